import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import { json } from "node:stream/consumers";
import { z } from "zod";
import { createLocalEmbedder } from "./local-embedder.ts";

const bodySchema = z.strictObject({
  model: z.string(),
  input: z.array(z.string()),
  encoding_format: z.enum(["base64", "float"]),
  dimensions: z.int().optional(),
});

interface LoopbackRequest {
  method: string | undefined;
  url: string | undefined;
  headers: IncomingHttpHeaders;
  body: z.infer<typeof bodySchema>;
}
export type LoopbackAnswer = (response: ServerResponse, request: LoopbackRequest) => void | Promise<void>;

export interface OpenAiLoopback {
  baseUrl: string;
  /** Every request so far, oldest first. */
  requests: LoopbackRequest[];
  /** How the next requests are answered. */
  answer: LoopbackAnswer;
  close: () => Promise<void>;
}

/** A server on loopback that speaks the OpenAI embeddings API as documented; faults are put in through `answer`. */
export async function startOpenAiLoopback(): Promise<OpenAiLoopback> {
  const server = createServer();
  const loopback: OpenAiLoopback = {
    baseUrl: "",
    requests: [],
    answer: answerEmbeddings({ format: "base64", isShuffled: false }),
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
  const respond = async (request: IncomingMessage, response: ServerResponse) => {
    const { method, url, headers } = request;
    const recorded = { method, url, headers, body: bodySchema.parse(await json(request)) };
    loopback.requests.push(recorded);
    await loopback.answer(response, recorded);
  };
  server.on("request", (request, response) => {
    // A client that hung up, or a request of another shape: the client sees a broken connection.
    respond(request, response).catch(() => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = z.object({ port: z.int() }).parse(server.address());
  loopback.baseUrl = `http://127.0.0.1:${address.port}/v1`;
  return loopback;
}

/** A correct answer, with the local embedder's vectors and a token per four characters. */
export function answerEmbeddings(options: { format: "base64" | "float"; isShuffled: boolean }): LoopbackAnswer {
  return async (response, { body }) => {
    const { vectors } = await createLocalEmbedder().embed(body.input, {});
    const data = vectors.map((vector, index) => ({
      object: "embedding",
      index,
      embedding: options.format === "base64" ? encodeFloats(vector) : vector,
    }));
    const tokens = Math.ceil(body.input.join("").length / 4);
    sendJson(response, {
      object: "list",
      data: options.isShuffled ? data.toReversed() : data,
      model: body.model,
      usage: { prompt_tokens: tokens, total_tokens: tokens },
    });
  };
}

export function encodeFloats(vector: readonly number[]): string {
  const bytes = Buffer.alloc(vector.length * 4);
  for (const [position, value] of vector.entries()) bytes.writeFloatLE(value, position * 4);
  return bytes.toString("base64");
}

export function sendJson(
  response: ServerResponse,
  body: unknown,
  { status = 200, headers = {} }: { status?: number; headers?: Record<string, string> } = {},
): void {
  response.writeHead(status, { "content-type": "application/json", "x-request-id": "req_loopback", ...headers });
  response.end(JSON.stringify(body));
}
