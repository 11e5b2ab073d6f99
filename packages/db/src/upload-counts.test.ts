import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, it, test } from "vitest";
import { cancelJob } from "./cancel.ts";
import { retryJob } from "./redrive.ts";
import {
  createUpload,
  hasParallelConnections,
  insertJobInState,
  openTestDatabase,
  uploadPromise,
  type TestDatabase,
} from "./testing/index.ts";
import { readUploadUsage } from "./upload-counts.ts";
import { createUploadRegistrar } from "./upload-registrar.ts";
import { registerUpload } from "./uploads.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());

const correlation_id = "test";
const REFUSED = { kind: "rate_limited", code: "uploads_in_flight_limit" };

const upload = (user_id: string, maxInFlight: number) =>
  createUploadRegistrar(opened.database, { maxPerDay: 1_000, maxInFlight }).register(uploadPromise({ user_id }));
const cancel = (job_id: string) => cancelJob(opened.database, { job_id, correlation_id });
const retry = (job_id: string) => opened.database.transaction((tx) => retryJob(tx, { job_id, correlation_id }));
const inFlight = async (user_id: string) => (await readUploadUsage(opened.database, user_id)).in_flight;

/** Jobs that are all at their end, with a count made after that. */
async function endedJobs(user_id: string): Promise<string[]> {
  const ids = [(await upload(user_id, 2)).job.job_id, (await upload(user_id, 2)).job.job_id];
  for (const job_id of ids) await cancel(job_id);
  const last = await upload(user_id, 2);
  await cancel(last.job.job_id);
  return ids;
}

test("a job that is revived counts, however long before the last count it was made", async () => {
  const user_id = randomUUID();
  const ended = await endedJobs(user_id);
  expect(await inFlight(user_id)).toBe(0);
  for (const job_id of ended) await retry(job_id);
  expect(await inFlight(user_id)).toBe(2);
  await expect(upload(user_id, 2)).rejects.toMatchObject(REFUSED);
  expect((await upload(user_id, 3)).job.state).toBe("waiting");
  await expect(upload(user_id, 3)).rejects.toMatchObject(REFUSED);
});

test("a job that was inserted by hand with a time of its own counts", async () => {
  const user_id = randomUUID();
  await endedJobs(user_id);
  await opened.database.run(
    `with made as (
       insert into upload_pipeline.documents (document_id, user_id, filename, mime, bytes_len, file_sha256, raw_path)
       values (gen_random_uuid(), $1::uuid, 'a.txt', 'text/plain', 1, $1::uuid::text, 'somewhere') returning document_id)
     insert into upload_pipeline.upload_jobs (document_id, user_id, correlation_id, generation, turn, created_at)
     select document_id, $1::uuid, 'test', 1, 1, now() - interval '1 year' from made`,
    [user_id],
  );
  expect(await inFlight(user_id)).toBe(1);
  await expect(upload(user_id, 1)).rejects.toMatchObject(REFUSED);
});

test("a user of whom nothing was counted yet has the jobs that are there", async () => {
  const user_id = randomUUID();
  await insertJobInState(opened.database, { state: "waiting", status: "uploaded", user_id });
  expect(await inFlight(user_id)).toBe(1);
});

it.skipIf(!hasParallelConnections())(
  "an upload whose transaction is older than a count counts: needs two connections",
  async () => {
    const user_id = randomUUID();
    await endedJobs(user_id);
    await opened.openAnother().transaction(async (older) => {
      await older.run("select now()");
      const newer = await upload(user_id, 1);
      await cancel(newer.job.job_id);
      // Counts anew, and finds nothing.
      await cancel((await upload(user_id, 1)).job.job_id);
      await registerUpload(older, uploadPromise({ user_id }));
    });
    expect(await inFlight(user_id)).toBe(1);
    await expect(upload(user_id, 1)).rejects.toMatchObject(REFUSED);
  },
);

test("what another user has under way is not counted", async () => {
  await createUpload(opened.database);
  expect(await inFlight(randomUUID())).toBe(0);
});
