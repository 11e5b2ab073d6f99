import type { IncomingMessage } from "node:http";
import type { Bucket } from "./buckets.ts";
import type { Fault } from "./faults.ts";
import type { ProjectKeys } from "./project-keys.ts";
import { refuse } from "./refusals.ts";
import type { ResumableUpload } from "./resumable-uploads.ts";

/** Everything that a project has, in memory. */
export interface Project {
  keys: ProjectKeys;
  buckets: Map<string, Bucket>;
  uploads: Map<string, ResumableUpload>;
  uploadLinkSeconds: number;
  resumableSeconds: number;
  isProduction: boolean;
}

/** One request, as a route sees it. */
export interface Exchange {
  project: Project;
  request: IncomingMessage;
  url: URL;
  /** The named groups of the route's pattern, decoded. */
  params: Record<string, string>;
  fault: Fault | undefined;
}

/** The connection ended before the body was whole: there is nobody left to answer. */
export class SenderGone extends Error {}

/** Of JSON bodies, and of what multipart puts around a file. */
const MAX_OVERHEAD_BYTES = 1024 * 1024;

export function header(exchange: Exchange, name: string): string | undefined {
  const value = exchange.request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** The declared length, undefined where there is none. */
export function contentLength(exchange: Exchange): number | undefined {
  const value = header(exchange, "content-length");
  return value === undefined ? undefined : Number(value);
}

export async function readJson(exchange: Exchange): Promise<unknown> {
  const body = await readBody(exchange, MAX_OVERHEAD_BYTES);
  if (body.byteLength === 0) return {};
  try {
    return JSON.parse(body.toString());
  } catch {
    throw refuse.invalidRequest("Body is not valid JSON");
  }
}

export async function readBody(exchange: Exchange, maxBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of bodyChunks(exchange)) {
    length += chunk.byteLength;
    if (length > maxBytes) throw refuse.tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

/** A file in multipart, with the fields before it. */
export async function readForm(exchange: Exchange, maxBytes: number): Promise<FormData> {
  const body = await readBody(exchange, maxBytes + MAX_OVERHEAD_BYTES);
  try {
    return await new Response(body, { headers: { "content-type": header(exchange, "content-type") ?? "" } }).formData();
  } catch {
    throw refuse.invalidRequest("No content provided");
  }
}

/** The body as it comes. Where the fault says so the connection breaks after half of it. */
export async function* bodyChunks(exchange: Exchange): AsyncGenerator<Uint8Array> {
  const { request } = exchange;
  const half = exchange.fault === "cut_upload" ? Math.max(1, (contentLength(exchange) ?? 0) / 2) : Infinity;
  let received = 0;
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      if (!(chunk instanceof Uint8Array)) throw new TypeError("A request's body must be bytes.");
      received += chunk.byteLength;
      yield chunk;
      if (received >= half) throw breakConnection(request);
    }
  } catch (error) {
    if (error instanceof SenderGone) throw error;
    if (request.destroyed && !request.complete) throw new SenderGone("The sender is gone.", { cause: error });
    throw error;
  }
}

function breakConnection(request: IncomingMessage): SenderGone {
  request.socket.destroy();
  return new SenderGone("The connection was cut.");
}
