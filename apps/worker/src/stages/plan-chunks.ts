import { CHUNKER } from "@pipeline/chunking";
import type { Claim } from "@pipeline/db";
import type { StageOutcome } from "../stage-handler.ts";

/** Records which chunker cuts this generation. */
export async function planChunks(job: Claim): Promise<StageOutcome> {
  return {
    kind: "advance",
    detail: { chunker: CHUNKER.name, version: CHUNKER.version, generation: job.generation },
  };
}
