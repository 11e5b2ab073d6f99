import {
  cancelJob,
  diagnose,
  getDocument,
  listNeededKeys,
  listVerifiedFiles,
  removeDeletedFiles,
  reprocessDocument,
  type ReprocessFrom,
  retryJob,
} from "@pipeline/db";
import { readJob } from "@pipeline/db/testing";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { openWorkerBench, policyOf, type WorkerBench, workThrough } from "./worker.fixture.ts";

let bench: WorkerBench;
beforeAll(async () => {
  bench = await openWorkerBench();
});
afterEach(() => bench.clear());
afterAll(() => bench.close());

const correlation_id = "test";
const CONTENT = policyOf(2);

const cancel = (job_id: string) => cancelJob(bench.database, { job_id, correlation_id });
const retry = (job_id: string) => bench.database.transaction((tx) => retryJob(tx, { job_id, correlation_id }));
const reprocess = (document_id: string, from: ReprocessFrom) =>
  bench.database.transaction((tx) => reprocessDocument(tx, { document_id, from, correlation_id }));

/** A complete document of which a new upload, with another type, was promised and never came. */
async function abandonUpload() {
  const first = await bench.submit(CONTENT);
  await workThrough(bench.openWorker());
  const { document_id, user_id } = first.document;
  await cancel((await reprocess(document_id, "parse")).job_id);
  const second = await bench.promise(CONTENT, { user_id, filename: "policy.html", mime: "text/html" });
  expect(second).toMatchObject({ duplicate: false, document: { document_id } });
  await bench.database.run(
    `update ${bench.database.schema}.upload_jobs set upload_expires_at = now(), due_at = now() where job_id = $1`,
    [second.job.job_id],
  );
  await workThrough(bench.openWorker());
  expect(await readJob(bench.database, second.job.job_id)).toMatchObject({
    state: "deadletter",
    last_error: { code: "upload_expired" },
  });
  return { first, second, document_id, kept: first.document.raw_path, abandoned: second.document.raw_path };
}

it.each(["verify", "parse", "chunk"] as const)(
  "a document whose later upload never came is complete again from %s, and its file stays",
  async (from) => {
    const { first, second, document_id, kept, abandoned } = await abandonUpload();
    await expect(retry(second.job.job_id)).rejects.toMatchObject({ code: "upload_again" });
    const { job_id } = await reprocess(document_id, from);
    await workThrough(bench.openWorker());
    expect(await readJob(bench.database, job_id)).toMatchObject({ state: "done", status: "complete" });
    expect(await getDocument(bench.database, first.document)).toMatchObject({
      live_generation: 4,
      raw_path: kept,
      mime: "text/markdown",
      filename: "policy.html",
      title: "Home policy",
      processing_status: "complete",
    });
    // A late PUT by the link of the upload that was given up.
    await bench.put(second, CONTENT);
    await removeAll();
    expect(await bench.storage.stat(abandoned)).toBeUndefined();
    expect(await bench.storage.stat(kept)).toBeDefined();
    expect([...(await listNeededKeys(bench.database, [kept, abandoned]))]).toEqual([kept]);
    expect(await listVerifiedFiles(bench.database, { after: undefined, limit: 9 })).toMatchObject([
      { document_id, raw_path: kept, job_id },
    ]);
    expect((await diagnose(bench.database)).filter(({ total }) => total > 0)).toEqual([]);
  },
);

it("what could not be read anew can be retried, with the same file", async () => {
  const { document_id, kept } = await abandonUpload();
  const { job_id } = await reprocess(document_id, "parse");
  await cancel(job_id);
  await retry(job_id);
  await workThrough(bench.openWorker());
  expect(await readJob(bench.database, job_id)).toMatchObject({ state: "done" });
  expect(await bench.storage.stat(kept)).toBeDefined();
});

it("a later upload that comes after all replaces the file that was restored", async () => {
  const { first, document_id, kept } = await abandonUpload();
  await cancel((await reprocess(document_id, "parse")).job_id);
  const third = await bench.submit(CONTENT, { user_id: first.document.user_id });
  await workThrough(bench.openWorker());
  expect(await readJob(bench.database, third.job.job_id)).toMatchObject({ state: "done" });
  await removeAll();
  expect(await bench.storage.stat(kept)).toBeUndefined();
  expect(await bench.storage.stat(third.document.raw_path)).toBeDefined();
});

/** As if every link of before were dead. */
async function removeAll(): Promise<void> {
  await bench.database.run(`update ${bench.database.schema}.removals set due_at = now(), upload_until = now()`);
  await removeDeletedFiles(bench.database, (keys) => bench.storage.remove(keys));
}
