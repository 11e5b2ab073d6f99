import type { FastifyInstance } from "fastify";
import type { RandomRequest } from "./arbitrary-requests.ts";
import type { ReceivedAnswer } from "./check-answer.ts";

const EVENT_STREAM = "text/event-stream";

/** Sends a request past the network. Of an answer that never ends it reads the first frame and goes away. */
export async function injectRequest(app: FastifyInstance, request: RandomRequest): Promise<ReceivedAnswer> {
  const { method, url, headers, payload } = request;
  const response = await app.inject({
    // Methods that light-my-request does not know by type are sent all the same.
    method: INJECTED.find((known) => known === method) ?? "GET",
    url,
    headers,
    payloadAsStream: true,
    ...(payload === undefined ? {} : { payload }),
  });
  const isEndless = response.headers["content-type"]?.startsWith(EVENT_STREAM) ?? false;
  const body = response.stream();
  const chunks: Buffer[] = [];
  for await (const chunk of body) {
    chunks.push(Buffer.from(chunk));
    if (isEndless && Buffer.concat(chunks).includes("\n\n")) break;
  }
  return { status: response.statusCode, headers: response.headers, text: Buffer.concat(chunks).toString("utf8") };
}

const INJECTED = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] as const;
