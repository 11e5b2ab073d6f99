import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { confirmUpload, type Database, listEvents, type RegisteredUpload, type UploadPromise } from "@pipeline/db";
import { createUpload, openTestDatabase, type TestDatabase } from "@pipeline/db/testing";
import { createLocalEmbedder, type Embedder } from "@pipeline/embedding";
import { createLogger } from "@pipeline/runtime";
import { createDiskStore, type DiskStore } from "@pipeline/storage";
import type { WorkerDependencies, WorkerOptions } from "./options.ts";
import type { Parser } from "./stage-handler.ts";
import { storeDocument } from "./stages/parse/store-document.ts";
import { createWorker, type Worker } from "./worker.ts";

/** A database, a disk store and as many workers as a test wants. */
export interface WorkerBench {
  test: TestDatabase;
  database: Database;
  storage: DiskStore;
  /** Where workers put their copies of documents. */
  copiesDirectory: string;
  /** Every line that the workers logged. */
  logged: string[];
  openWorker(overrides?: BenchOverrides): Worker;
  /** A job whose file is promised and not there. */
  promise(content: string | Buffer, overrides?: Partial<UploadPromise>): Promise<RegisteredUpload>;
  /** A job that workers may claim, with its file in storage. */
  submit(content: string | Buffer, overrides?: Partial<UploadPromise>): Promise<RegisteredUpload>;
  /** Puts bytes where the upload was promised, whatever was promised. */
  put(upload: RegisteredUpload, content: string | Buffer): Promise<void>;
  /** Stops the workers and removes every row. */
  clear(): Promise<void>;
  close(): Promise<void>;
}

export type BenchOverrides = Partial<Omit<WorkerDependencies, "options">> & { options?: Partial<WorkerOptions> };

const OPTIONS: Omit<WorkerOptions, "copiesDirectory"> = {
  workerName: "test",
  concurrency: 4,
  pollIntervalMs: 5_000,
  leaseMs: 60_000,
  promoteIntervalMs: 0,
  rescueIntervalMs: 0,
  maxRetries: 3,
  retryBaseDelayMs: 1_000,
  maxCrashes: 3,
};

export async function openWorkerBench(): Promise<WorkerBench> {
  const test = await openTestDatabase();
  const { database } = test;
  const serviceDatabase = test.openAs("worker");
  const directory = await mkdtemp(join(tmpdir(), "worker-test-"));
  const copiesDirectory = join(directory, "copies");
  await mkdir(copiesDirectory);
  const storage = openStore(join(directory, "objects"));
  const logged: string[] = [];
  const log = createLogger({ level: "debug", service: "worker", stream: { write: (line) => void logged.push(line) } });
  let workers: Worker[] = [];

  const stopAll = async (): Promise<void> => {
    await Promise.all(workers.map((worker) => worker.stop({ deadlineMs: 0 })));
    workers = [];
  };
  return {
    test,
    database,
    storage,
    copiesDirectory,
    logged,
    openWorker: ({ options, ...overrides } = {}) => {
      const parts = {
        database: serviceDatabase,
        storage,
        embedder: createLocalEmbedder(),
        log,
        random: () => 1,
        ...overrides,
      };
      const worker = createWorker({ ...parts, options: { ...OPTIONS, copiesDirectory, ...options } });
      workers.push(worker);
      return worker;
    },
    promise: (content, overrides) => createUpload(database, { ...promiseOf(content), ...overrides }),
    submit: (content, overrides) => submit(content, { database, storage, overrides }),
    put: (upload, content) => putObject(storage, upload, content),
    clear: async () => {
      await stopAll();
      for (const table of ["documents", "events", "worker_sessions", "user_turns"]) {
        await database.run(`delete from ${database.schema}.${table}`);
      }
    },
    close: async () => {
      await stopAll();
      await test.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function openStore(directory: string): DiskStore {
  const secret = "a secret for the tests, long enough for HS256";
  return createDiskStore({ directory, publicUrl: () => "http://127.0.0.1", secret });
}

async function submit(
  content: string | Buffer,
  to: { database: Database; storage: DiskStore; overrides: Partial<UploadPromise> | undefined },
): Promise<RegisteredUpload> {
  const upload = await createUpload(to.database, { ...promiseOf(content), ...to.overrides });
  // Before it can be claimed: a worker that is running would wait for the file.
  await putObject(to.storage, upload, content);
  await to.database.transaction((tx) => confirmUpload(tx, upload.job));
  return upload;
}

function promiseOf(content: string | Buffer): Partial<UploadPromise> {
  const bytes = Buffer.from(content);
  return {
    filename: "policy.md",
    mime: "text/markdown",
    bytes_len: bytes.byteLength,
    file_sha256: createHash("sha256").update(bytes).digest("hex"),
  };
}

async function putObject(storage: DiskStore, upload: RegisteredUpload, content: string | Buffer): Promise<void> {
  const bytes = Buffer.from(content);
  const { raw_path: key, mime } = upload.document;
  const link = await storage.signUpload({ key, mime, bytes_len: bytes.byteLength, expiresInSeconds: 60 });
  const { bucket, path, token } = link;
  const body = Readable.from([bytes]);
  await storage.receiveUpload({ bucket, path, token, body, contentType: mime, contentLength: bytes.byteLength });
}

/** Rounds until nothing is claimable any more. */
export async function workThrough(worker: Worker): Promise<void> {
  let claimed = 0;
  do {
    claimed = await worker.tick();
    await worker.idle();
  } while (claimed > 0);
}

/** Lets a waiting or retryable job's time come. */
export async function makeDue(database: Database, jobId: string): Promise<void> {
  await database.run(`update ${database.schema}.upload_jobs set due_at = now() where job_id = $1`, [jobId]);
}

/** Lets every lease of every worker run out, as if they had died. */
export async function expireSessions(database: Database): Promise<void> {
  await database.run(`update ${database.schema}.worker_sessions set expires_at = now() - interval '1 s'`);
}

/** The codes of a job's events, oldest first, events without one left out. */
export async function readCodes(database: Database, upload: RegisteredUpload): Promise<string[]> {
  const { job_id, user_id } = upload.job;
  const events = await listEvents(database, { job_id, user_id, after: 0, limit: 1_000 });
  return events.flatMap((event) => event.code ?? []);
}

/** A policy of so many sections, each long enough for a chunk of its own. */
export function policyOf(sectionCount: number): string {
  const sections = Array.from({ length: sectionCount }, (_, index) => {
    const sentences = Array.from(
      { length: 24 },
      (__, line) =>
        `Clause ${index + 1}.${line + 1}: water damage in room ${line + 1} is covered up to ${line + 5},000 dollars.`,
    );
    return `## Section ${index + 1}\n\n${sentences.join(" ")}`;
  });
  return `# Home policy\n\n${sections.join("\n\n")}\n`;
}

/** The local embedder, with small batches, keeping count of what it was sent. */
export function countingEmbedder(beforeBatch: (batchNumber: number) => void | Promise<void> = () => undefined) {
  const local = createLocalEmbedder();
  const sent: string[] = [];
  const correlationIds: (string | undefined)[] = [];
  let batchCount = 0;
  const embedder: Embedder = {
    ...local,
    batch: { maxInputs: 2, maxTokens: 100_000 },
    embed: async (texts, options) => {
      batchCount += 1;
      await beforeBatch(batchCount);
      sent.push(...texts);
      correlationIds.push(options.correlationId);
      return local.embed(texts, options);
    },
  };
  return { embedder, sent, correlationIds };
}

/** Never answers and ignores its signal, like a call into broken native code. */
export function hangingEmbedder(): { embedder: Embedder; called: Promise<void> } {
  const { promise: called, resolve } = Promise.withResolvers<void>();
  const embed = (): Promise<never> => {
    resolve();
    return new Promise(() => undefined);
  };
  return { embedder: { ...createLocalEmbedder(), embed }, called };
}

/** Reads plain text without the child process that takes most of a small document's time: for tests of later stages. */
export const INLINE_PARSER: Parser = {
  parse: async (job, context) => {
    const { path } = await context.file();
    const pages = (await readFile(path, "utf8")).split("\f").map((text, index) => ({ page_number: index + 1, text }));
    return storeDocument(job, {
      document: { parser: "inline", parser_version: "1", title: null, pages, notes: [] },
    });
  },
};
