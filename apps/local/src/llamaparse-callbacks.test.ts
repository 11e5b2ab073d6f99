import { randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  API_PREFIX,
  buildApi,
  createServiceVerifier,
  createTokenVerifier,
  settingsFrom,
  signDevelopmentToken,
} from "@pipeline/api";
import { createEmbedder, createLlamaParse, createParserCheck } from "@pipeline/composition";
import { createNotifier } from "@pipeline/db";
import { openTestDatabase, type TestDatabase } from "@pipeline/db/testing";
import { type LlamaParse, type LlamaParseOptions, startLlamaParse } from "@pipeline/mocks";
import { createLogger, parseEnvironment } from "@pipeline/runtime";
import { createDiskStore } from "@pipeline/storage";
import { createParser, createWorker, workerOptions } from "@pipeline/worker";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { type Client, createClient } from "./client.ts";

/** API and worker on one database, with an emulated LlamaParse that calls back over HTTP. */
interface Pipeline {
  client: Client;
  emulator: LlamaParse;
  stop(): Promise<void>;
}

const SECRET = "a secret for the tests, long enough for HS256";
const log = createLogger({ level: "silent", service: "test" });

let test: TestDatabase;
let directory: string;
let running: Pipeline | undefined;
beforeAll(async () => {
  test = await openTestDatabase();
  directory = await mkdtemp(join(tmpdir(), "callbacks-test-"));
});
afterEach(async () => {
  await running?.stop();
  running = undefined;
});
afterAll(async () => {
  await test.close();
  await rm(directory, { recursive: true });
});

async function startPipeline(options: LlamaParseOptions): Promise<Pipeline> {
  const { database } = test;
  const emulator = await startLlamaParse({ parseMs: [60_000, 60_000], backoffMs: [1, 1], ...options });
  const environment = parseEnvironment(
    { LLAMAPARSE_API_KEY: "llx-key-of-the-tests", LLAMAPARSE_BASE_URL: emulator.url },
    "local",
  );
  const address = { url: "" };
  const storage = createDiskStore({ directory, publicUrl: () => address.url, secret: SECRET });
  const notifier = createNotifier(database, { onError: () => undefined });
  const verifyToken = createTokenVerifier({ secret: SECRET });
  const verifyService = createServiceVerifier({ secret: SECRET });
  const embedder = createEmbedder(environment);
  const settings = settingsFrom(environment);
  const checkParser = createParserCheck(environment);
  const parts = { database, storage, embedder, checkParser, notifier, verifyToken, verifyService, log, settings };
  const api = await buildApi(parts);
  address.url = await api.listen({ host: "127.0.0.1", port: 0 });

  const llamaparse = createLlamaParse(environment);
  if (llamaparse === undefined) throw new Error("A key is set.");
  // The real service would not call an address like this.
  const webhookUrl = (jobId: string): string => `${address.url}${API_PREFIX}/webhooks/llamaparse/${jobId}`;
  const parser = createParser({ ...llamaparse, webhookUrl });
  const worker = createWorker({ database, storage, embedder, parser, log, options: workerOptions(environment) });
  await worker.start();

  const token = await signDevelopmentToken({ secret: SECRET, userId: randomUUID(), expiresInSeconds: 600 });
  running = {
    client: createClient({ url: address.url, token }),
    emulator,
    stop: async () => {
      await worker.stop({ deadlineMs: 0 });
      await llamaparse.client.close();
      await emulator.close();
      await api.close();
      await notifier.close();
    },
  };
  return running;
}

/** Uploads a document and waits until it is with the provider; no look at the provider is due for an hour. */
async function submit({ client }: Pipeline): Promise<string> {
  const path = join(directory, "policy.md");
  await writeFile(path, `# Policy ${randomUUID()}\n\nWater damage is covered up to 5,000 dollars.\n`);
  const { job_id } = await client.upload(path);
  const { database } = test;
  const postpone = (): Promise<number> =>
    database.run(
      `update ${database.schema}.upload_jobs set due_at = now() + interval '1 hour'
       where job_id = $1 and state = 'waiting' and waiting_for = 'parser'`,
      [job_id],
    );
  await expect.poll(postpone, { timeout: 30_000, interval: 20 }).toBe(1);
  return job_id;
}

const expectDone = ({ client }: Pipeline, jobId: string): Promise<void> =>
  expect.poll(async () => (await client.getJob(jobId)).state, { timeout: 30_000, interval: 50 }).toBe("done");

function readLog(jobId: string) {
  return test.database.many(
    z.object({ accepted: z.boolean(), code: z.string().nullable() }),
    `select accepted, code from ${test.database.schema}.webhook_log where job_id = $1 order by webhook_id`,
    [jobId],
  );
}

const ACCEPTED = { accepted: true, code: null };
/** A callback that is refused comes so often. */
const ATTEMPTS = [1, 2, 3];

it("a callback ends the waiting of a document long before the next look", async () => {
  const pipeline = await startPipeline({});
  const jobId = await submit(pipeline);
  pipeline.emulator.finishJobs();
  await expectDone(pipeline, jobId);
  await pipeline.emulator.settled();
  expect(await readLog(jobId)).toEqual([ACCEPTED]);
  expect(await pipeline.client.listStatuses(jobId)).toHaveLength(10);
  expect(pipeline.emulator.stats()).toMatchObject({ callbacks: { delivered: 1 }, files: [{ job_count: 1 }] });
});

it("forged and repeated callbacks change nothing, and the real one counts once", async () => {
  const pipeline = await startPipeline({ callbackRates: { forged: 1, duplicate: 1 } });
  const jobId = await submit(pipeline);
  const codes = async () => (await readLog(jobId)).map(({ code }) => code);
  await expect.poll(codes, { timeout: 30_000, interval: 20 }).toEqual(["webhook_signature_invalid"]);
  expect(await pipeline.client.getJob(jobId)).toMatchObject({ state: "waiting", status: "parsing" });
  pipeline.emulator.finishJobs();
  await expectDone(pipeline, jobId);
  await pipeline.emulator.settled();
  const [forged, real, ...repeated] = await readLog(jobId);
  expect([forged, real]).toEqual([{ accepted: false, code: "webhook_signature_invalid" }, ACCEPTED]);
  expect(repeated).toEqual(ATTEMPTS.map(() => ({ accepted: false, code: "webhook_replayed" })));
  expect(pipeline.emulator.stats()).toMatchObject({ callbacks: { forged: 1, duplicate: 1 } });
});

it("a callback that never comes strands no document, and one that comes late changes nothing", async () => {
  const pipeline = await startPipeline({ callbackRates: { late: 1 }, lateMs: [600_000, 600_000] });
  const jobId = await submit(pipeline);
  pipeline.emulator.finishJobs();
  const jobIsRead = () => pipeline.emulator.stats().jobs.map(({ status }) => status);
  await expect.poll(jobIsRead, { timeout: 30_000, interval: 20 }).toEqual(["SUCCESS"]);
  expect(await readLog(jobId)).toEqual([]);
  await test.database.run(`update ${test.database.schema}.upload_jobs set due_at = now() where job_id = $1`, [jobId]);
  await expectDone(pipeline, jobId);
  const before = await pipeline.client.getJob(jobId);
  pipeline.emulator.sendLateCallbacks();
  await pipeline.emulator.settled();
  expect(await readLog(jobId)).toEqual(ATTEMPTS.map(() => ({ accepted: false, code: "webhook_late" })));
  expect(await pipeline.client.getJob(jobId)).toEqual(before);
});
