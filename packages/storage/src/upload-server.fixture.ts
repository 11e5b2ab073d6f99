import { mkdtemp, readdir, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ErrorKind, toAppError } from "@pipeline/runtime";
import { createDiskStore, type DiskStore } from "./disk-store.ts";
import { RESUMABLE_ROUTE, UPLOAD_ROUTE } from "./upload-link.ts";

/** A disk store in a directory of its own behind a real HTTP server on loopback. */
export interface UploadServer {
  store: DiskStore;
  directory: string;
  /** How each request ended, in that order: "stored" or "served", or the code of the error. */
  outcomes: string[];
  /** Paths below `directory` of all files, whole or not. */
  listFiles(): Promise<string[]>;
  close(): Promise<void>;
}

export const TEST_SECRET = "a secret for the tests, long enough for HS256";

const ROUTE = new RegExp(`^${UPLOAD_ROUTE.replace(":bucket", "([^/]+)").replace("*", "(.+)")}$`, "u");

/** With the upload's id, which ends where a router ends a path. */
const RESUMABLE = new RegExp(`^${RESUMABLE_ROUTE}(?:/([^/?#]+))?(?:[?#]|$)`, "u");

const STATUS: Record<ErrorKind, number> = {
  invalid: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  too_large: 413,
  rate_limited: 429,
  permanent: 500,
  internal: 500,
  transient: 503,
};

export async function openUploadServer(): Promise<UploadServer> {
  const directory = await mkdtemp(join(tmpdir(), "disk-store-"));
  const outcomes: string[] = [];
  let url = "";
  const openStore = () => createDiskStore({ directory, publicUrl: () => url, secret: TEST_SECRET });
  const store = openStore();
  const server = createServer((request, response) => {
    // A store of its own for every request, as if each came to another process.
    void serve({ store: openStore(), request, response }).then((outcome) => outcomes.push(outcome));
  });
  url = await listen(server);
  return {
    store,
    directory,
    outcomes,
    listFiles: () => listFiles(directory),
    close: async () => {
      server.closeAllConnections();
      await new Promise((done) => {
        server.close(done);
      });
      await rm(directory, { recursive: true, force: true });
    },
  };
}

interface Exchange {
  store: DiskStore;
  request: IncomingMessage;
  response: ServerResponse;
}

async function serve(exchange: Exchange): Promise<string> {
  const { request, response } = exchange;
  const resumable = RESUMABLE.exec(request.url ?? "/");
  try {
    if (resumable === null) return await serveUpload(exchange);
    const [, id] = resumable;
    const answer = await exchange.store.admitResumable({
      request,
      response,
      id: id === undefined ? undefined : decodeURIComponent(id),
    });
    await answer();
    return "served";
  } catch (error) {
    const { kind, code } = toAppError(error);
    response.writeHead(STATUS[kind]).end(JSON.stringify({ code }));
    return code;
  }
}

async function serveUpload({ store, request, response }: Exchange): Promise<string> {
  const { pathname, searchParams } = new URL(request.url ?? "/", "http://loopback");
  const [, bucket = "", path = ""] = ROUTE.exec(pathname) ?? [];
  const length = request.headers["content-length"];
  const received = await store.receiveUpload({
    bucket,
    path,
    token: searchParams.get("token") ?? "",
    body: request,
    contentType: request.headers["content-type"],
    contentLength: length === undefined ? undefined : Number(length),
  });
  response.end(JSON.stringify(received));
  return "stored";
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((done) => {
    server.listen(0, "127.0.0.1", done);
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("The server has no port.");
  return `http://127.0.0.1:${address.port}`;
}

async function listFiles(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
