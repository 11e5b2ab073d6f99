import {
  advanceJobs,
  type Database,
  failJob,
  holdJob,
  parkJob,
  type Queryable,
  releaseJob,
  reportProgress,
  STAGES,
} from "@pipeline/db";
import { AppError } from "@pipeline/runtime";
import { patiently } from "./patience.ts";
import type { SeenJob } from "./observe.ts";

export interface StaleWrites {
  tried: number;
  accepted: { id: string; why: string }[];
}

/** Writes as the former holder of a job would: everything about them is right but the fence. Each must change nothing. */
export async function tryStaleWrites(
  database: Database,
  claim: { job: SeenJob; staleFence: number },
  result: StaleWrites,
): Promise<void> {
  const { job, staleFence } = claim;
  for (const [name, write] of Object.entries(staleWrites(job, staleFence))) {
    const isAccepted = await patiently(() => database.transaction(write));
    result.tried += 1;
    if (isAccepted) result.accepted.push({ id: job.job_id, why: `${name} with fence ${staleFence} of ${job.fence}` });
  }
}

type StaleWrite = (tx: Queryable) => Promise<boolean>;

function staleWrites(job: SeenJob, staleFence: number): Record<string, StaleWrite> {
  const hold = { job_id: job.job_id, fence: staleFence };
  const definition = STAGES.find((candidate) => candidate.from === job.status);
  const stage = definition?.stage ?? "publish";
  const error = new AppError({ kind: "transient", code: "stale", message: "A write that comes too late." });
  return {
    holdJob: (tx) => holdJob(tx, hold),
    reportProgress: (tx) => reportProgress(tx, hold, { stale: true }),
    releaseJob: async (tx) => (await releaseJob(tx, hold)) !== undefined,
    parkJob: async (tx) => (await parkJob(tx, hold, { waiting_for: "upload", delayMs: 0 })) !== undefined,
    failJob: async (tx) => (await failJob(tx, hold, { stage, error, maxRetries: 3, delayMs: 0 })) !== undefined,
    ...(definition && {
      advanceJobs: async (tx) => {
        const { from, to } = definition;
        return (await advanceJobs(tx, [{ ...hold, from, to, progress: {}, detail: {} }])).size > 0;
      },
    }),
  };
}
