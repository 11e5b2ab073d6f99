import { setTimeout as delay } from "node:timers/promises";
import { AppError, isRetryable, toAppError } from "@pipeline/runtime";
import type { Database } from "./database.ts";
import { uploadRefused } from "./errors.ts";
import { createGroupCommit } from "./group-commit.ts";
import { makeUploads, type UploadOutcome } from "./make-uploads.ts";
import { createRecounter, type UploadAllowance, withFreshCount } from "./upload-counts.ts";
import { findDuplicate, registerAgain, type RegisteredUpload, type UploadPromise } from "./uploads.ts";

export interface UploadRegistrar {
  /**
   * The document and its job, made together or found, within what the user may have. The same upload many times at once makes
   * one job. Throws rate_limited `daily_upload_limit` and `uploads_in_flight_limit`; what has a job already is never refused.
   * Throws transient `database_conflict` where somebody kept it from being decided for 2 s.
   */
  register(upload: UploadPromise): Promise<RegisteredUpload>;
}

/** One statement takes some ten milliseconds at most. */
const LARGEST_BATCH = 100;
/** Those beyond would wait longer than for the next few statements. */
const MOST_WAITING = 300;
/** As long as a reprocessing of the same user, say, may keep uploads waiting. */
const PATIENCE_MS = 2_000;
const RETRY_MS = 20;
/** How long a new job of a failed file waits for the user's count with a connection in hand. */
const LOCK_MS = 300;

/**
 * Uploads that come in while others are being committed are committed together: most of what one costs the server is its
 * statement and its commit. One that somebody else's transaction is in the way of leaves the group and comes back a moment
 * later: it holds neither the others nor a connection meanwhile.
 */
export function createUploadRegistrar(database: Database, allowance: UploadAllowance): UploadRegistrar {
  const make = createGroupCommit<UploadPromise, UploadOutcome>({
    commit: (uploads) => makeUploads(database, uploads, { allowance, isPatient: false }),
    keyOf: ({ document_id }) => document_id,
    isOfSome: isInTheWay,
    largest: LARGEST_BATCH,
    mostWaiting: MOST_WAITING,
  });
  const recount = createRecounter(database);

  const again = (upload: UploadPromise): Promise<RegisteredUpload> =>
    database.transaction(async (tx) => {
      await tx.run(`set local lock_timeout = '${LOCK_MS}ms'`);
      return registerAgain(tx, upload, allowance);
    });
  /** Undefined: it could not be decided now. */
  const attempt = async (upload: UploadPromise): Promise<RegisteredUpload | undefined> => {
    const result = await make(upload);
    switch (result.outcome) {
      case "made":
        return result.made;
      case "daily":
      case "in_flight":
        throw uploadRefused(result.outcome);
      case "known":
        return (await findDuplicate(database, upload)) ?? again(upload);
      case "busy":
        return undefined;
    }
  };
  const attemptCounted = (upload: UploadPromise): Promise<RegisteredUpload | undefined> =>
    withFreshCount(recount, { user_id: upload.user_id, maxInFlight: allowance.maxInFlight }, () => attempt(upload));
  return {
    register: async (upload) => {
      const until = performance.now() + PATIENCE_MS;
      for (;;) {
        const registered = await attemptCounted(upload).catch((error: unknown) => {
          if (!isConflict(error) || performance.now() > until) throw error;
        });
        if (registered) return registered;
        if (performance.now() > until) throw undecided();
        await delay(RETRY_MS);
      }
    },
  };
}

/** One of them is wrong, or waited for what another transaction has not committed. */
function isInTheWay(error: unknown): boolean {
  return isConflict(error) || !isRetryable(toAppError(error));
}

function isConflict(error: unknown): boolean {
  return error instanceof AppError && error.code === "database_conflict";
}

function undecided(): AppError {
  return new AppError({ kind: "transient", code: "database_conflict", message: "The database asked to try again." });
}
