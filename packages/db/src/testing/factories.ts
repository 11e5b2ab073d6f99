import { createHash, randomUUID } from "node:crypto";
import { documentId } from "@pipeline/runtime";
import { z } from "zod";
import { claimJobs } from "../claims.ts";
import { one, type Queryable } from "../queryable.ts";
import type { Claim } from "../rows.ts";
import { openSession } from "../sessions.ts";
import { confirmUpload, registerUpload, type RegisteredUpload, type UploadPromise } from "../uploads.ts";
import type { Database } from "../database.ts";

/** A promise of a small text file; every field can be set. */
export function uploadPromise(overrides: Partial<UploadPromise> = {}): UploadPromise {
  const user_id = overrides.user_id ?? randomUUID();
  const file_sha256 = overrides.file_sha256 ?? createHash("sha256").update(randomUUID()).digest("hex");
  const job_id = overrides.job_id ?? randomUUID();
  const document_id = overrides.document_id ?? documentId(user_id, file_sha256);
  return {
    document_id,
    job_id,
    user_id,
    filename: "letter.txt",
    mime: "text/plain",
    bytes_len: 12,
    file_sha256,
    raw_path: `${document_id}/${job_id}`,
    metadata: {},
    correlation_id: randomUUID(),
    uploadSeconds: 3_600,
    firstProbeMs: 5_000,
    ...overrides,
  };
}

/** A job that waits for its upload. */
export function createUpload(database: Database, overrides: Partial<UploadPromise> = {}): Promise<RegisteredUpload> {
  return database.transaction((tx) => registerUpload(tx, uploadPromise(overrides)));
}

/** A job that workers may claim. */
export async function createQueuedJob(
  database: Database,
  overrides: Partial<UploadPromise> = {},
): Promise<RegisteredUpload> {
  const upload = await createUpload(database, overrides);
  const { user_id, document_id, correlation_id } = upload.job;
  await database.transaction((tx) => confirmUpload(tx, { user_id, document_id, correlation_id }));
  return upload;
}

/** A live session of a worker process of its own. */
export function createSession(db: Queryable, leaseMs = 60_000): Promise<string> {
  lastPid += 1;
  return openSession(db, { worker_name: "test", hostname: "localhost", pid: lastPid, leaseMs });
}
let lastPid = 0;

/** The next job in line, claimed by a session of its own unless one is given. */
export async function claimOne(db: Queryable, sessionId?: string): Promise<Claim> {
  const session_id = sessionId ?? (await createSession(db));
  const [claim] = await claimJobs(db, { session_id, limit: 1 });
  if (!claim) throw new Error("No job was claimable.");
  return claim;
}

const rawJob = z.looseObject({
  job_id: z.string(),
  status: z.string(),
  state: z.string(),
  fence: z.number(),
  retry_count: z.number(),
  crash_count: z.number(),
  turn: z.number(),
  progress: z.record(z.string(), z.unknown()),
  last_error: z.record(z.string(), z.unknown()).nullable(),
});

/** A job's row as it stands. */
export function readJob(db: Queryable, jobId: string): Promise<z.infer<typeof rawJob>> {
  return one(db, rawJob, `select * from ${db.schema}.upload_jobs where job_id = $1`, [jobId]);
}

/** `type:status` of each of a job's events, oldest first. */
export async function readHistory(db: Queryable, jobId: string): Promise<string[]> {
  const rows = await db.many(
    z.object({ line: z.string() }),
    `select type || ':' || status as line from ${db.schema}.events where job_id = $1 order by event_id`,
    [jobId],
  );
  return rows.map((row) => row.line);
}
