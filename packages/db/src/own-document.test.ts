import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, it, test } from "vitest";
import { cancelJob } from "./cancel.ts";
import { deleteDocument } from "./delete-document.ts";
import type { Queryable } from "./queryable.ts";
import { retryJob } from "./redrive.ts";
import { reprocessDocument } from "./reprocess.ts";
import { createUpload, hasParallelConnections, openTestDatabase, readJob, type TestDatabase } from "./testing/index.ts";
import { confirmUpload, lockDocument } from "./uploads.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());

interface Asked {
  user_id: string;
  document_id: string;
  job_id: string;
}

const correlation_id = "test";
const DOCUMENT = { kind: "not_found", code: "document_not_found" };
const JOB = { kind: "not_found", code: "job_not_found" };

/** Everything that a user can do to a document or a job by its id, and what it answers where that is not theirs. */
const ACTS: [string, (tx: Queryable, asked: Asked) => Promise<unknown>, object][] = [
  ["delete", (tx, asked) => deleteDocument(tx, asked), DOCUMENT],
  ["reprocess", (tx, asked) => reprocessDocument(tx, { ...asked, from: "parse", correlation_id }), DOCUMENT],
  ["retry", (tx, asked) => retryJob(tx, { ...asked, correlation_id }), JOB],
  ["cancel", (tx, asked) => cancelJob(tx, { ...asked, correlation_id }), JOB],
  [
    "confirm",
    async (tx, asked) => {
      if ((await confirmUpload(tx, { ...asked, correlation_id })) === undefined) throw Object.assign(new Error(), JOB);
    },
    JOB,
  ],
];

test.each(ACTS)("to %s another's holds no lock on it", async (_name, act, refused) => {
  const { job } = await createUpload(opened.database);
  const before = await readJob(opened.database, job.job_id);
  await opened.database.transaction(async (tx) => {
    await expect(act(tx, { ...job, user_id: randomUUID() })).rejects.toMatchObject(refused);
    expect(await tx.run("select from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()")).toBe(0);
    expect(await tx.run("select from upload_pipeline.upload_jobs where job_id = $1 and xmax <> 0", [job.job_id])).toBe(
      0,
    );
  });
  expect(await readJob(opened.database, job.job_id)).toEqual(before);
});

it.skipIf(!hasParallelConnections()).each(ACTS)(
  "to %s another's waits for nothing that its owner does: needs two connections",
  async (_name, act, refused) => {
    const { job } = await createUpload(opened.database);
    await opened.openAnother().transaction(async (owners) => {
      await lockDocument(owners, job.document_id);
      await owners.run("select from upload_pipeline.upload_jobs where job_id = $1 for update", [job.job_id]);
      await owners.run("select from upload_pipeline.documents where document_id = $1 for update", [job.document_id]);
      await opened.database.transaction(async (tx) => {
        // Whoever waits gets another answer than this one.
        await tx.run("set local lock_timeout = '1s'");
        await expect(act(tx, { ...job, user_id: randomUUID() })).rejects.toMatchObject(refused);
      });
    });
  },
);
