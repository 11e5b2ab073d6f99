import { mkdtemp, readdir, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ErrorKind, toAppError } from "@pipeline/runtime";
import { createDiskStore, type DiskStore } from "./disk-store.ts";
import { UPLOAD_ROUTE } from "./upload-link.ts";

/** A disk store in a directory of its own behind a real HTTP server on loopback. */
export interface UploadServer {
  store: DiskStore;
  directory: string;
  /** How each PUT ended, in that order: "stored" or the code of the error. */
  outcomes: string[];
  /** Paths below `directory` of all files, whole or not. */
  listFiles(): Promise<string[]>;
  close(): Promise<void>;
}

export const TEST_SECRET = "a secret for the tests, long enough for HS256";

const ROUTE = new RegExp(`^${UPLOAD_ROUTE.replace(":bucket", "([^/]+)").replace("*", "(.+)")}$`, "u");

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

async function serve(exchange: {
  store: DiskStore;
  request: IncomingMessage;
  response: ServerResponse;
}): Promise<string> {
  const { store, request, response } = exchange;
  const { pathname, searchParams } = new URL(request.url ?? "/", "http://loopback");
  const [, bucket = "", path = ""] = ROUTE.exec(pathname) ?? [];
  const length = request.headers["content-length"];
  try {
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
  } catch (error) {
    const { kind, code } = toAppError(error);
    response.writeHead(STATUS[kind]).end(JSON.stringify({ code }));
    return code;
  }
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
