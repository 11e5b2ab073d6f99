import type { Claim } from "@pipeline/db";
import type { StageContext, StageOutcome } from "../stage-handler.ts";

/** Marks the point after which a provider may be paid. */
export async function startEmbedding(_job: Claim, { embedder }: StageContext): Promise<StageOutcome> {
  return { kind: "advance", detail: { model: embedder.model } };
}
