import { AppError, wasNeverSent } from "@pipeline/runtime";
import { Agent, type FormData, request } from "undici";
import type { z } from "zod";
import { configurationInvalid, httpFailure, invalidAnswer, timedOut, unavailable } from "./failures.ts";

export interface ConnectionOptions {
  apiKey: string;
  /** Without a slash at its end. */
  baseUrl: string;
  connectTimeoutMs: number;
}

export interface Call<T> {
  method: "GET" | "POST";
  /** From the base on, encoded. */
  path: string;
  body?: FormData;
  /** For the whole exchange, body included. */
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
   * One request and its validated answer. Never retries: the caller does, by the error's kind. Throws AppError, or the
   * signal's reason once the signal is aborted.
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
      try {
        const text = await exchange(call, { agent, deadline, ...options });
        return readAnswer(text, call.answer);
      } catch (error) {
        call.signal?.throwIfAborted();
        if (error instanceof AppError) throw error;
        if (wasNeverSent(error)) throw unavailable(undefined, { never_sent: true });
        throw deadline.aborted ? timedOut() : unavailable();
      }
    },
    close: () => agent.close(),
  };
}

interface Wire extends ConnectionOptions {
  agent: Agent;
  deadline: AbortSignal;
}

/** undici's `request` follows no redirect: one would carry customers' text to a host that nobody configured. */
async function exchange<T>(call: Call<T>, { agent, deadline, apiKey, baseUrl }: Wire): Promise<string> {
  const signal = AbortSignal.any(call.signal === undefined ? [deadline] : [deadline, call.signal]);
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
