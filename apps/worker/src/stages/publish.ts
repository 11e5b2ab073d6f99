import { type Claim, publishGeneration } from "@pipeline/db";
import type { StageOutcome } from "../stage-handler.ts";

/** Lets search see this generation and no other, in the transaction that completes the job. */
export async function publish(job: Claim): Promise<StageOutcome> {
  return {
    kind: "advance",
    detail: { generation: job.generation },
    write: (tx) => publishGeneration(tx, job),
  };
}
