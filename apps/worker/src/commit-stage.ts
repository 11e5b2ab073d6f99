import {
  advanceJobs,
  type Checkpoint,
  type CheckpointBatcher,
  type Database,
  getJob,
  isDatabaseAway,
  listLostClaims,
  type Queryable,
} from "@pipeline/db";
import { LostClaim } from "./abort-reasons.ts";
import { type DatabaseRetry, retryDatabase } from "./retry-database.ts";

export interface StageCommit {
  checkpoint: Checkpoint & { user_id: string };
  /** Stores the stage's rows in the same transaction. */
  write: ((tx: Queryable) => Promise<void>) | undefined;
}

export interface CommitDependencies {
  database: Database;
  batcher: CheckpointBatcher;
  retry: DatabaseRetry;
}

/**
 * Makes one stage durable. Throws LostClaim when the claim is not ours any more. A commit whose reply was lost is
 * looked up before anything is repeated, so that a stage takes effect once.
 */
export async function commitStage(commit: StageCommit, dependencies: CommitDependencies): Promise<void> {
  let isUnsure = false;
  await retryDatabase(async () => {
    try {
      await attempt(commit, dependencies);
    } catch (error) {
      if (isUnsure && error instanceof LostClaim && (await wasCommitted(commit, dependencies.database))) return;
      isUnsure ||= isDatabaseAway(error);
      throw error;
    }
  }, dependencies.retry);
}

async function attempt({ checkpoint, write }: StageCommit, { database, batcher }: CommitDependencies): Promise<void> {
  if (write === undefined) {
    if (!(await batcher.advance(checkpoint))) throw new LostClaim();
    return;
  }
  await database.transaction(async (tx) => {
    // First, because it takes the job's lock and tells whether there is anything to write for.
    const moved = await advanceJobs(tx, [checkpoint]);
    if (!moved.has(checkpoint.job_id)) throw new LostClaim();
    await write(tx);
  });
}

/** While the claim is held nobody else moves the job; a job that is done left the claim by this very commit. */
async function wasCommitted({ checkpoint }: StageCommit, database: Database): Promise<boolean> {
  const lost = await listLostClaims(database, [checkpoint]);
  const job = await getJob(database, checkpoint);
  return job.status === checkpoint.to && (lost.size === 0 || job.state === "done");
}
