import { z } from "zod";
import { Fault } from "./finding.ts";

export interface Call {
  method?: "GET" | "POST" | "PUT" | "DELETE" | "OPTIONS";
  token?: string | undefined;
  headers?: Record<string, string>;
  /** Sent as JSON unless it is text already. */
  body?: unknown;
}

export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  /** From the first byte sent to the last one received. */
  ms: number;
}

/** Calls the deployment; throws Fault where nothing answers. */
export type Http = (path: string, call?: Call) => Promise<Answer>;

/** Longer than every deadline of the service's own, and short for whoever waits. */
const TIMEOUT_MS = 15_000;

/** `path` below the deployment's address; whole URLs are taken as they are. */
export function createHttp(baseUrl: string): Http {
  return async (path, { method = "GET", token, headers = {}, body } = {}) => {
    const url = path.startsWith("http") ? path : `${baseUrl}${path}`;
    const startedAt = performance.now();
    try {
      const response = await fetch(url, {
        method,
        headers: {
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...headers,
        },
        redirect: "manual",
        signal: AbortSignal.timeout(TIMEOUT_MS),
        ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      return { status: response.status, headers: response.headers, text, ms: performance.now() - startedAt };
    } catch (cause) {
      throw new Fault(`${method} ${new URL(url).origin}${new URL(url).pathname} gets no answer (${reasonOf(cause)})`);
    }
  };
}

/** Undici hides the reason in the cause. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError") return `none within ${TIMEOUT_MS / 1_000} s`;
  return error.cause instanceof Error && error.cause.message !== "" ? error.cause.message : error.message;
}

const problemBody = z.object({
  type: z.string(),
  title: z.string(),
  status: z.number(),
  code: z.string(),
  detail: z.string(),
  correlation_id: z.string(),
});

/** The answer's body in its shape; throws Fault for another status and for another shape. */
export function read<T>(answer: Answer, status: number | readonly number[], shape: z.ZodType<T>): T {
  if (![status].flat().includes(answer.status)) throw new Fault(`answered ${describeAnswer(answer)}`);
  const parsed = shape.safeParse(parseJson(answer.text));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Fault(
    `answered ${answer.status} in an unknown shape: ${issue?.path.join(".") ?? ""} ${issue?.message ?? ""}`,
  );
}

/** The problem body that every error must have; throws Fault where it is none, or one of another status. */
export function readProblem(answer: Answer, status: number): z.infer<typeof problemBody> {
  const problem = read(answer, status, problemBody);
  const type = answer.headers.get("content-type") ?? "none";
  if (!type.startsWith("application/problem+json")) throw new Fault(`the error has content type ${type}`);
  if (problem.status !== status) throw new Fault(`the problem body says ${problem.status}, the answer ${status}`);
  return problem;
}

/** Status and, of a problem, its code and detail; never more of a body, which may hold a user's text. */
export function describeAnswer(answer: Answer): string {
  const problem = problemBody.safeParse(parseJson(answer.text));
  return problem.success ? `${answer.status} ${problem.data.code}: ${problem.data.detail}` : String(answer.status);
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
