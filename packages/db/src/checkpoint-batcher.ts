import { isRetryable, toAppError } from "@pipeline/runtime";
import { advanceJobs, type Checkpoint } from "./checkpoints.ts";
import { createGroupCommit } from "./group-commit.ts";
import type { Queryable } from "./queryable.ts";

/** Commits checkpoints that store nothing but the step itself, many jobs in one statement. */
export interface CheckpointBatcher {
  /** False: the claim is lost. Rejects with the database's error. */
  advance(checkpoint: Checkpoint): Promise<boolean>;
}

/** One statement stays well below a second and a few hundred KB, however many jobs wait. */
const LARGEST_BATCH = 1_000;

/**
 * Under load two flushes are under way, so that the server works on one while this process deals with the other, and on two
 * cores. A second one for less than this would only make batches smaller and commits more.
 */
const SECOND_FLUSH_FROM = 16;

export function createCheckpointBatcher(database: Queryable): CheckpointBatcher {
  return {
    advance: createGroupCommit<Checkpoint, boolean>({
      commit: async (checkpoints) => {
        const moved = await advanceJobs(database, checkpoints);
        return checkpoints.map(({ job_id }) => moved.has(job_id));
      },
      // The answer names jobs only, so a stale claim of the same job would seem to have moved.
      keyOf: ({ job_id }) => job_id,
      // A refused statement is one entry's fault; an absent database concerns them all.
      isOfSome: (error) => !isRetryable(toAppError(error)),
      largest: LARGEST_BATCH,
      secondFrom: SECOND_FLUSH_FROM,
    }),
  };
}
