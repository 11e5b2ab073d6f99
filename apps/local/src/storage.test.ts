import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startSupabase, type SupabaseEmulator } from "@pipeline/mocks/supabase";
import { createLogger, parseEnvironment } from "@pipeline/runtime";
import { createSupabaseStore } from "@pipeline/storage";
import { Upload } from "tus-js-client";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { createClient, type Client, type JobAnswer } from "./client.ts";
import { ROOT } from "./spawn.fixture.ts";
import { type LocalStack, startStack } from "./stack.ts";

const SAMPLE = join(ROOT, "samples/renewal-letter.md");
const USER = "5b1f7f4e-0c39-4f0c-9a53-6d1c0f5c7a11";

const log = createLogger({ level: "silent", service: "test" });

let directory: string;
let emulator: SupabaseEmulator;
let stack: LocalStack;
let token: string;
let client: Client;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "storage-test-"));
  emulator = await startSupabase({ jwtSecret: "the secret of the project's tokens" });
});
afterEach(async () => {
  await stack.stop();
  await emulator.close();
  await rm(directory, { recursive: true });
});

async function start(variables: Record<string, string>): Promise<void> {
  const environment = parseEnvironment({ DATA_DIR: directory, ...variables }, "local");
  stack = await startStack({ environment, log, port: 0 });
  token = await stack.signToken(USER);
  client = createClient({ url: stack.url, token });
}

const onSupabase = (): Record<string, string> => ({
  SUPABASE_URL: emulator.url,
  SUPABASE_SERVICE_ROLE_KEY: emulator.serviceRoleKey,
  SUPABASE_JWT_SECRET: emulator.jwtSecret,
});

async function endOf(jobId: string): Promise<JobAnswer> {
  await expect
    .poll(async () => (await client.getJob(jobId)).state, { timeout: 50_000 })
    .toMatch(/^(done|deadletter|cancelled)$/);
  return client.getJob(jobId);
}

const uploadAnswer = z.object({
  job_id: z.string(),
  document_id: z.string(),
  duplicate: z.boolean(),
  upload: z.object({ path: z.string() }),
  resumable: z.object({
    url: z.string(),
    headers: z.record(z.string(), z.string()),
    metadata: z.record(z.string(), z.string()),
    chunk_bytes: z.number(),
  }),
});
type UploadAnswer = z.infer<typeof uploadAnswer>;

async function call(path: string, body: unknown): Promise<Response> {
  return fetch(`${stack.url}/api/upload-pipeline${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

async function announce(file: Buffer): Promise<UploadAnswer> {
  const sha256 = createHash("sha256").update(file).digest("hex");
  const promise = { filename: "letter.md", mime: "text/markdown", bytes_len: file.byteLength, sha256 };
  const answer = await call("/upload", promise);
  expect(answer.status).toBe(201);
  return uploadAnswer.parse(await answer.json());
}

/** As a frontend would send it, by what the answer says alone; then the job is told to start. */
async function sendResumably(bytes: Buffer, { resumable, document_id }: UploadAnswer): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const { url: endpoint, headers, metadata, chunk_bytes: chunkSize } = resumable;
    const options = { endpoint, headers, metadata, chunkSize, retryDelays: null };
    new Upload(bytes, { ...options, onSuccess: () => resolve(), onError: reject }).start();
  });
  expect((await call(`/documents/${document_id}/uploaded`, {})).status).toBe(202);
}

test("a document goes the whole way through Supabase Storage, and its file can be had by a signed link", async () => {
  await start(onSupabase());
  const { job_id } = await client.upload(SAMPLE);
  expect(await endOf(job_id)).toMatchObject({ state: "done", status: "complete", last_error: null });
  expect(await client.listStatuses(job_id)).toHaveLength(10);
  const [passage] = await client.search("How much is a monthly instalment?");
  expect(passage?.filename).toBe("renewal-letter.md");

  const store = createSupabaseStore(emulator);
  const keys: string[] = [];
  for await (const { key } of store.list()) keys.push(key);
  expect(keys).toEqual([expect.stringContaining(job_id)]);
  const link = await store.signDownload(keys[0] ?? "", {
    expiresInSeconds: 60,
    filename: "a.md",
    mime: "text/markdown",
  });
  expect(await (await fetch(link)).text()).toBe(await readFile(SAMPLE, "utf8"));
});

describe.each([
  ["the disk store", (): Record<string, string> => ({})],
  ["Supabase Storage", onSupabase],
])("over the resumable offer of %s", (_, configuration) => {
  test("a wrong byte ends in a coded failure, and the same user can upload the right file at once", async () => {
    await start(configuration());
    const file = await readFile(SAMPLE);
    const wrong = Buffer.from(file);
    wrong[100] = (wrong[100] ?? 0) ^ 1;

    const first = await announce(file);
    await sendResumably(wrong, first);
    expect(await endOf(first.job_id)).toMatchObject({
      state: "deadletter",
      status: "uploaded",
      last_error: { code: "hash_mismatch" },
    });

    const second = await announce(file);
    expect(second).toMatchObject({ document_id: first.document_id, duplicate: false });
    expect(second.job_id).not.toBe(first.job_id);
    await sendResumably(file, second);
    expect(await endOf(second.job_id)).toMatchObject({ state: "done", status: "complete", last_error: null });
  });
});
