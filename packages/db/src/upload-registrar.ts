import { AppError, isRetryable, toAppError } from "@pipeline/runtime";
import type { Database } from "./database.ts";
import { uploadRefused } from "./errors.ts";
import { createGroupCommit } from "./group-commit.ts";
import { makeUpload, makeUploads, type UploadOutcome } from "./make-uploads.ts";
import { type UploadAllowance, withFreshCount } from "./upload-counts.ts";
import { registerAgain, type RegisteredUpload, type UploadPromise } from "./uploads.ts";

export interface UploadRegistrar {
  /**
   * The document and its job, made together or found, within what the user may have. The same upload many times at once makes
   * one job. Throws rate_limited `daily_upload_limit` and `uploads_in_flight_limit`; what has a job already is never refused.
   */
  register(upload: UploadPromise): Promise<RegisteredUpload>;
}

/** One statement takes some ten milliseconds at most. */
const LARGEST_BATCH = 100;
/** Those beyond would wait longer than for the next few statements. */
const MOST_WAITING = 300;

/**
 * Uploads that come in while others are being committed are committed together: most of what one costs the server is its
 * statement and its commit. One whose user is counted elsewhere at that moment is no hindrance to the others; it waits alone.
 */
export function createUploadRegistrar(database: Database, allowance: UploadAllowance): UploadRegistrar {
  const make = createGroupCommit<UploadPromise, UploadOutcome>({
    commit: (uploads) => makeUploads(database, uploads, { allowance, isPatient: false }),
    keyOf: ({ document_id }) => document_id,
    isOfOne: (error) => !isRetryable(toAppError(error)),
    largest: LARGEST_BATCH,
    mostWaiting: MOST_WAITING,
  });
  const makeAlone = (upload: UploadPromise): Promise<UploadOutcome> =>
    makeUpload(database, upload, { allowance, isPatient: true });
  const attempt = async (upload: UploadPromise): Promise<RegisteredUpload> => {
    const together = await make(upload).catch(busyAfterConflict);
    const result = together.outcome === "busy" ? await makeAlone(upload) : together;
    if (result.outcome === "made") return result.made;
    if (result.outcome === "daily" || result.outcome === "in_flight") throw uploadRefused(result.outcome);
    return database.transaction((tx) => registerAgain(tx, upload, allowance));
  };
  return {
    register: (upload) =>
      withFreshCount(database, { user_id: upload.user_id, maxInFlight: allowance.maxInFlight }, () => attempt(upload)),
  };
}

/** Whoever was in the way of one upload was not in that of the others. */
function busyAfterConflict(error: unknown): UploadOutcome {
  if (error instanceof AppError && error.code === "database_conflict") return { outcome: "busy" };
  throw error;
}
