import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createNotifier, type Database } from "@pipeline/db";
import { openTestDatabase } from "@pipeline/db/testing";
import { createLocalEmbedder } from "@pipeline/embedding";
import { createLogger, parseEnvironment } from "@pipeline/runtime";
import { createDiskStore, type DiskStore } from "@pipeline/storage";
import type { FastifyInstance } from "fastify";
import { z } from "zod";
import { buildApi } from "../app.ts";
import { createServiceVerifier } from "../auth/service-verifier.ts";
import { signDevelopmentToken, signServiceToken } from "../auth/sign-development-token.ts";
import { createTokenVerifier } from "../auth/token-verifier.ts";
import { API_PREFIX } from "../contract/urls.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { settingsFrom, type ApiSettings } from "../settings.ts";

export const TOKEN_SECRET = "token secret of the tests, long enough";
export const UPLOAD_SECRET = "upload secret of the tests, 32 b";
export const PAGE_ORIGIN = "https://app.example.test";

export interface Call {
  method?: "GET" | "POST" | "PUT" | "OPTIONS" | "DELETE";
  /** Below the API's prefix, unless it starts with "root:". */
  path: string;
  /** Whose token goes along; none if undefined. */
  user?: string;
  /** The service role's token goes along. */
  isService?: boolean;
  body?: unknown;
  headers?: Record<string, string>;
}

export interface Answer {
  status: number;
  headers: Record<string, unknown>;
  text: string;
  body: Record<string, unknown>;
}

/** The API on a database, a disk store and the local embedder of its own, with a provider of the parser's that calls back. */
export interface TestApi {
  app: FastifyInstance;
  dependencies: ApiDependencies;
  database: Database;
  storage: DiskStore;
  storageDirectory: string;
  /** Another pool of the API's role on the same database, as another process would have; not on the embedded one. */
  openAnother: () => Database;
  /** Everything logged so far. */
  readLog: () => string;
  call: (call: Call) => Promise<Answer>;
  /** Listens on a free port of loopback; upload links lead there from then on. */
  listen: () => Promise<string>;
  close: () => Promise<void>;
}

export async function openTestApi(
  overrides: Partial<ApiDependencies> = {},
  settings: Partial<ApiSettings> = {},
): Promise<TestApi> {
  const directory = await mkdtemp(join(tmpdir(), "api-test-"));
  const opened = await openTestDatabase();
  const lines: string[] = [];
  const address = { url: "http://127.0.0.1:1" };
  const storage = createDiskStore({
    directory,
    publicUrl: () => address.url,
    secret: "upload secret of the tests, 32 b",
  });
  const environment = parseEnvironment({ ENVIRONMENT: "test", CORS_ORIGINS: PAGE_ORIGIN }, "local");
  const notifier = createNotifier(opened.database, { intervalMs: 1, onError: () => undefined });
  const dependencies: ApiDependencies = {
    database: opened.openAs("api"),
    storage,
    embedder: createLocalEmbedder(),
    checkParser: async () => undefined,
    notifier,
    verifyToken: createTokenVerifier({ secret: TOKEN_SECRET }),
    verifyService: createServiceVerifier({ secret: TOKEN_SECRET }),
    log: createLogger({ level: "trace", service: "api", stream: { write: (line) => lines.push(line) } }),
    // Longer than any load on the machine that runs the tests.
    settings: {
      ...settingsFrom(environment, "test build"),
      probeTimeoutMs: 30_000,
      maxLagMs: 0,
      requestLimits: { perUser: 1_000_000, perAddress: 1_000_000 },
      ...settings,
    },
    ...overrides,
  };
  const app = await buildApi(dependencies);
  return {
    app,
    dependencies,
    database: opened.database,
    storage,
    storageDirectory: directory,
    openAnother: () => opened.openAs("api"),
    readLog: () => lines.join(""),
    call: (call) => send(app, call),
    listen: async () => {
      address.url = await app.listen({ host: "127.0.0.1", port: 0 });
      return address.url;
    },
    close: async () => {
      await app.close();
      await notifier.close();
      await opened.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

export async function send(app: FastifyInstance, call: Call): Promise<Answer> {
  const token = await tokenFor(call);
  const response = await app.inject({
    method: call.method ?? "GET",
    url: call.path.startsWith("root:") ? call.path.slice("root:".length) : `${API_PREFIX}${call.path}`,
    headers: { ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...call.headers },
    ...(call.body === undefined ? {} : { payload: z.union([z.string(), z.looseObject({})]).parse(call.body) }),
  });
  const text = response.body;
  return { status: response.statusCode, headers: response.headers, text, body: parseBody(text) };
}

function tokenFor({ user, isService }: Call): Promise<string> | undefined {
  if (isService === true) return signServiceToken({ secret: TOKEN_SECRET, expiresInSeconds: 60 });
  return user === undefined ? undefined : tokenOf(user);
}

export function tokenOf(userId: string): Promise<string> {
  return signDevelopmentToken({ secret: TOKEN_SECRET, userId, expiresInSeconds: 60 });
}

function parseBody(text: string): Record<string, unknown> {
  return text.startsWith("{") ? z.record(z.string(), z.unknown()).parse(JSON.parse(text)) : {};
}

export const uploadAnswer = z.object({
  job_id: z.uuid(),
  document_id: z.uuid(),
  signed_url: z.string().nullable(),
  upload_expires_at: z.string().nullable(),
  upload: z
    .object({
      method: z.string(),
      headers: z.record(z.string(), z.string()),
      bucket: z.string(),
      path: z.string(),
      token: z.string(),
    })
    .nullable(),
  resumable: z
    .object({
      protocol: z.literal("tus"),
      url: z.string(),
      headers: z.record(z.string(), z.string()),
      metadata: z.record(z.string(), z.string()),
      chunk_bytes: z.int(),
    })
    .nullable(),
  status: z.string(),
  state: z.string(),
  duplicate: z.boolean(),
  correlation_id: z.string(),
});

/** The link of an answer that has one. */
export function linkOf(answer: Answer): { url: string; path: string; token: string; headers: Record<string, string> } {
  const { signed_url, upload } = uploadAnswer.parse(answer.body);
  if (signed_url === null || upload === null) throw new Error("The answer holds no upload link.");
  return { url: signed_url, path: upload.path, token: upload.token, headers: upload.headers };
}

/** The body of a legal POST /upload of 12 bytes; every field can be set. */
export function uploadRequest(overrides: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    filename: "letter.txt",
    mime: "text/plain",
    bytes_len: 12,
    sha256: randomUUID().replaceAll("-", "").repeat(2),
    ...overrides,
  };
}

export function problemOf(answer: Answer): Record<string, unknown> {
  const { correlation_id: _, ...rest } = answer.body;
  return rest;
}
