import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import { buffer } from "node:stream/consumers";
import { z } from "zod";

export interface LoopbackRequest {
  method: string;
  path: string;
  query: URLSearchParams;
  headers: IncomingHttpHeaders;
  /** Of a submission. */
  configuration?: unknown;
  file?: { name: string; bytes: Buffer };
}

export type LoopbackAnswer = (response: ServerResponse, request: LoopbackRequest) => void;

export interface LlamaParseLoopback {
  baseUrl: string;
  /** Every request so far, oldest first. */
  requests: LoopbackRequest[];
  /** How the next requests are answered. */
  answer: LoopbackAnswer;
  close: () => Promise<void>;
}

/** A server on loopback that records what it is sent; each test says how it answers. */
export async function startLlamaParseLoopback(): Promise<LlamaParseLoopback> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = z.object({ port: z.int() }).parse(server.address());
  const loopback: LlamaParseLoopback = {
    baseUrl: `http://127.0.0.1:${port}`,
    requests: [],
    answer: (response) => sendJson(response, { detail: "Not Found" }, 404),
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
  const respond = async (request: IncomingMessage, response: ServerResponse) => {
    const recorded = await readRequest(request);
    loopback.requests.push(recorded);
    loopback.answer(response, recorded);
  };
  server.on("request", (request, response) => {
    // A client that hung up.
    respond(request, response).catch(() => response.destroy());
  });
  return loopback;
}

async function readRequest(request: IncomingMessage): Promise<LoopbackRequest> {
  const { pathname, searchParams } = new URL(request.url ?? "/", "http://loopback");
  const bytes = await buffer(request);
  const { method = "", headers } = request;
  return { method, path: pathname, query: searchParams, headers, ...(await readForm(bytes, headers)) };
}

async function readForm(bytes: Buffer, headers: IncomingHttpHeaders): Promise<Partial<LoopbackRequest>> {
  const type = headers["content-type"];
  if (type?.startsWith("multipart/form-data") !== true) return {};
  const form = await new Response(Uint8Array.from(bytes), { headers: { "content-type": type } }).formData();
  const file = z.instanceof(File).parse(form.get("file"));
  return {
    configuration: JSON.parse(z.string().parse(form.get("configuration"))),
    file: { name: file.name, bytes: Buffer.from(await file.arrayBuffer()) },
  };
}

export function sendJson(response: ServerResponse, body: unknown, status = 200): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

/** A job as the provider shows it. */
export function describeJob(changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    id: "job-1",
    project_id: "project-1",
    status: "COMPLETED",
    tier: "agentic",
    created_at: "2026-01-02T03:04:05Z",
    error_message: null,
    usage: { credits: null },
    user_metadata: { submission_id: "submission-1", parse_version: "2026-01-01" },
    ...changes,
  };
}

export function markdownPage(page_number: number, markdown: string): Record<string, unknown> {
  return { page_number, success: true, markdown, header: null, footer: null };
}
