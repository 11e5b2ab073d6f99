import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { claimJobs } from "./claims.ts";
import { createSession, openTestDatabase, readHistory, type TestDatabase } from "./testing/index.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());

// Word for word from the operators' validation guide.
const INSERT_DOCUMENT = `INSERT INTO upload_pipeline.documents (document_id, user_id, filename, mime, bytes_len, file_sha256, raw_path, processing_status, created_at, updated_at)
VALUES (gen_random_uuid(), gen_random_uuid(), 'test-document.pdf', 'application/pdf', 1024, 'test-sha256-hash', 'test/path/document.pdf', 'uploaded', NOW(), NOW());`;
const INSERT_JOB = `INSERT INTO upload_pipeline.upload_jobs (job_id, document_id, status, state, progress, created_at, updated_at)
VALUES (gen_random_uuid(), (SELECT document_id FROM upload_pipeline.documents WHERE filename = 'test-document.pdf' LIMIT 1), 'uploaded', 'queued', '{"test": true}', NOW(), NOW());`;
const LOCK_NEXT = `SELECT uj.job_id, uj.document_id, d.user_id, uj.status, uj.state, uj.progress, uj.retry_count, uj.last_error, uj.created_at, d.raw_path AS storage_path, d.mime AS mime_type
FROM upload_pipeline.upload_jobs uj JOIN upload_pipeline.documents d ON uj.document_id = d.document_id
WHERE uj.status IN ('uploaded','parsed','parse_validated') ORDER BY priority, uj.created_at FOR UPDATE SKIP LOCKED LIMIT 1;`;
const COUNT_BY_STATUS = `SELECT status, COUNT(*) FROM upload_pipeline.upload_jobs GROUP BY status;`;

test("the statements of the operators' guide run as they stand, and the job they insert is served", async () => {
  const { database } = opened;
  await database.run(INSERT_DOCUMENT);
  await database.run(INSERT_JOB);
  const locked = await database.transaction((tx) =>
    tx.many(z.looseObject({ job_id: z.string(), progress: z.unknown() }), LOCK_NEXT),
  );
  const counts = await database.many(z.object({ status: z.string(), count: z.number() }), COUNT_BY_STATUS);

  expect(locked).toEqual([
    expect.objectContaining({
      status: "uploaded",
      state: "queued",
      progress: { test: true },
      storage_path: "test/path/document.pdf",
      mime_type: "application/pdf",
    }),
  ]);
  expect(counts).toEqual([{ status: "uploaded", count: 1 }]);

  const [claim] = await claimJobs(database, { session_id: await createSession(database), limit: 5 });
  expect(claim).toMatchObject({
    job_id: locked[0]?.job_id,
    user_id: locked[0]?.["user_id"],
    filename: "test-document.pdf",
    file_sha256: "test-sha256-hash",
    generation: 1,
    fence: 1,
    upload_is_expired: null,
  });
  expect(claim?.correlation_id).toMatch(/^[0-9a-f-]{36}$/);
  expect(await readHistory(database, claim?.job_id ?? "")).toEqual(["created:uploaded"]);
});

test("a job inserted by hand at a later status takes its document along", async () => {
  const { database } = opened;
  const rows = await database.many(
    z.object({ document_id: z.string() }),
    `insert into upload_pipeline.documents (document_id, user_id, filename, mime, bytes_len, file_sha256, raw_path)
     values (gen_random_uuid(), gen_random_uuid(), 'later.pdf', 'application/pdf', 1, 'later', 'later') returning document_id`,
  );
  const id = rows[0]?.document_id ?? "";
  await database.run("insert into upload_pipeline.upload_jobs (document_id, status) values ($1, 'parsed')", [id]);
  const [document] = await database.many(
    z.object({ processing_status: z.string() }),
    "select processing_status from upload_pipeline.documents where document_id = $1",
    [id],
  );
  expect(document).toEqual({ processing_status: "parsed" });
});
