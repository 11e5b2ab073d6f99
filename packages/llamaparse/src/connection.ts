import { AppError, askPatiently, MOST_ASKS, wasNeverSent } from "@pipeline/runtime";
import { Agent, type FormData, request } from "undici";
import type { z } from "zod";
import { configurationInvalid, httpFailure, invalidAnswer, timedOut, unavailable } from "./failures.ts";

export interface ConnectionOptions {
  apiKey: string;
  /** Without a slash at its end. */
  baseUrl: string;
  connectTimeoutMs: number;
  /** How often a question (GET) is asked that meets a fault by chance; 3 by default. */
  mostAsks?: number | undefined;
}

export interface Call<T> {
  method: "GET" | "POST";
  /** From the base on, encoded. */
  path: string;
  body?: FormData;
  /** For all of it: every try, bodies included. */
  timeoutMs: number;
  /** The most bytes of an answer that are read. */
  maxBytes: number;
  answer: z.ZodType<T>;
  /** What a 404 and an answer that is too long mean, where they mean something. */
  notFound?: AppError;
  tooLong?: AppError;
  signal?: AbortSignal | undefined;
  correlationId?: string | undefined;
}

export interface Connection {
  /**
   * One request and its validated answer. What changes nothing is asked again after a fault; a POST never is: the caller
   * does that, by the error's kind. Throws AppError, or the signal's reason once the signal is aborted.
   */
  send: <T>(call: Call<T>) => Promise<T>;
  close: () => Promise<void>;
}

export function openConnection(options: ConnectionOptions): Connection {
  // A key with a line break would make every request fail, with an error that quotes it.
  if (!/^[\x21-\x7e]+$/.test(options.apiKey)) {
    throw configurationInvalid("The parsing service's key is empty or holds characters that no header may hold.");
  }
  // The deadline of each call takes the place of the agent's own limits, which know nothing of pages.
  const agent = new Agent({ connect: { timeout: options.connectTimeoutMs }, headersTimeout: 0, bodyTimeout: 0 });
  return {
    async send(call) {
      call.signal?.throwIfAborted();
      const deadline = AbortSignal.timeout(call.timeoutMs);
      const signal = AbortSignal.any(call.signal === undefined ? [deadline] : [deadline, call.signal]);
      const mostAsks = call.method === "GET" ? (options.mostAsks ?? MOST_ASKS) : 1;
      let met: unknown;
      const ask = () =>
        sendOnce(call, { agent, signal, ...options }).catch((error: unknown) => {
          met = error;
          throw error;
        });
      try {
        return await askPatiently(ask, { signal, mostAsks, isByChance });
      } catch {
        call.signal?.throwIfAborted();
        // Where there was no time to ask again, what was met last says more than that.
        throw met instanceof AppError ? met : timedOut();
      }
    },
    close: () => agent.close(),
  };
}

/** A connection that broke, half an answer, a server error. Whoever is asked too fast, or cannot be reached, is left alone. */
function isByChance({ code, details }: AppError): boolean {
  return code === "llamaparse_unavailable" && details?.["never_sent"] !== true;
}

interface Wire extends ConnectionOptions {
  agent: Agent;
  signal: AbortSignal;
}

async function sendOnce<T>(call: Call<T>, wire: Wire): Promise<T> {
  try {
    return readAnswer(await exchange(call, wire), call.answer);
  } catch (error) {
    if (error instanceof AppError || wire.signal.aborted) throw error;
    throw unavailable(undefined, wasNeverSent(error) ? { never_sent: true } : undefined);
  }
}

/** undici's `request` follows no redirect: one would carry customers' text to a host that nobody configured. */
async function exchange<T>(call: Call<T>, { agent, signal, apiKey, baseUrl }: Wire): Promise<string> {
  const { statusCode, headers, body } = await request(`${baseUrl}${call.path}`, {
    dispatcher: agent,
    method: call.method,
    signal,
    headers: {
      accept: "application/json",
      authorization: `Bearer ${apiKey}`,
      ...(call.correlationId === undefined ? {} : { "x-correlation-id": call.correlationId }),
    },
    ...(call.body === undefined ? {} : { body: call.body }),
  });
  if (statusCode >= 200 && statusCode < 300) return readText(body, call);
  // However its body ends, the status has said what counts; what is left of it is read so that the connection can serve.
  await body.dump({ limit: MAX_ERROR_BYTES, signal }).catch(() => undefined);
  if (statusCode === 404 && call.notFound !== undefined) throw call.notFound;
  const retryAfter = headers["retry-after"];
  throw httpFailure(statusCode, typeof retryAfter === "string" ? retryAfter : undefined);
}

const MAX_ERROR_BYTES = 65_536;

async function readText(
  body: AsyncIterable<Uint8Array>,
  { maxBytes, tooLong }: { maxBytes: number; tooLong?: AppError },
): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > maxBytes) throw tooLong ?? invalidAnswer("it is too long");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length).toString("utf8");
}

function readAnswer<T>(text: string, schema: z.ZodType<T>): T {
  const parsed = schema.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  throw invalidAnswer(`it has another shape at "${parsed.error.issues[0]?.path.join(".") ?? ""}"`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The syntax error quotes the text.
    throw invalidAnswer("it is not JSON");
  }
}
