import { z } from "zod";
import type { Queryable } from "./queryable.ts";
import { jobRow } from "./rows.ts";
import { storableJson, storableText } from "./storable-text.ts";
import type { UploadAllowance } from "./upload-counts.ts";
import type { RegisteredUpload, UploadPromise } from "./uploads.ts";

const nothing = { status: z.null(), state: z.null(), upload_expires_at: z.null() };
const outcomeRow = z.discriminatedUnion("outcome", [
  jobRow
    .pick({ job_id: true, status: true, state: true, upload_expires_at: true })
    .extend({ outcome: z.literal("made") }),
  z.object({ job_id: z.string(), outcome: z.enum(["known", "daily", "in_flight", "busy"]), ...nothing }),
]);

/** What came of one upload: made, or why not. */
export type UploadOutcome =
  | { outcome: "made"; made: RegisteredUpload }
  /** There is a document of the file. */
  | { outcome: "known" }
  /** The limit of the user's that it would pass. */
  | { outcome: "daily" | "in_flight" }
  /** Somebody else is changing the user's count. */
  | { outcome: "busy" };

export interface MakeUploadsOptions {
  allowance: UploadAllowance;
  /** Waits up to 2 s for whoever changes a user's count; else that user's uploads are busy. */
  isPatient: boolean;
}

/**
 * Documents, jobs and events of files that their users never promised before, in one statement; no document twice. Answers in
 * the uploads' order. Throws transient `database_conflict` where it waited in vain.
 */
export async function makeUploads(
  db: Queryable,
  uploads: readonly UploadPromise[],
  { allowance, isPatient }: MakeUploadsOptions,
): Promise<UploadOutcome[]> {
  const promises = uploads.map((upload) => ({ ...upload, filename: storableText(upload.filename) }));
  const rows = await db.many(
    outcomeRow,
    `select job_id, outcome, status, state, upload_expires_at
     from ${db.schema}.make_uploads($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
    [
      promises.map((upload) => upload.document_id),
      promises.map((upload) => upload.user_id),
      promises.map((upload) => upload.filename),
      promises.map((upload) => upload.mime),
      promises.map((upload) => upload.bytes_len),
      promises.map((upload) => upload.file_sha256),
      promises.map((upload) => upload.raw_path),
      promises.map((upload) => storableJson(upload.metadata)),
      promises.map((upload) => upload.job_id),
      promises.map((upload) => upload.correlation_id),
      promises.map((upload) => upload.firstProbeMs),
      promises.map((upload) => upload.uploadSeconds),
      allowance.maxPerDay,
      allowance.maxInFlight,
      isPatient,
    ],
    { prepare: true },
  );
  const outcomes = new Map(rows.map((row) => [row.job_id, row]));
  return promises.map((promise) => toOutcome(promise, outcomes.get(promise.job_id)));
}

export async function makeUpload(
  db: Queryable,
  upload: UploadPromise,
  options: MakeUploadsOptions,
): Promise<UploadOutcome> {
  const [outcome] = await makeUploads(db, [upload], options);
  return outcome ?? { outcome: "busy" };
}

function toOutcome(promise: UploadPromise, row: z.infer<typeof outcomeRow> | undefined): UploadOutcome {
  if (row?.outcome !== "made") return { outcome: row?.outcome ?? "busy" };
  const { job_id, document_id, user_id, filename, mime, bytes_len, file_sha256, raw_path, correlation_id } = promise;
  const { status, state, upload_expires_at } = row;
  return {
    outcome: "made",
    made: {
      document: { document_id, user_id, filename, mime, bytes_len, file_sha256, raw_path },
      job: { job_id, document_id, user_id, correlation_id, status, state, upload_expires_at },
      duplicate: false,
      replaced_path: null,
    },
  };
}
