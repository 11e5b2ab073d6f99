import { AppError } from "@pipeline/runtime";
import type { STAGE_HANDLERS } from "./stages/index.ts";

/**
 * The handlers of all stages. They are a fifth of all that a worker loads, the tokeniser's table above all, so they come when
 * it is ready or with the first job, whichever is first. Throws transient `stages_unavailable`: another worker may have them.
 */
export async function loadStages(): Promise<typeof STAGE_HANDLERS> {
  try {
    return (await import("./stages/index.ts")).STAGE_HANDLERS;
  } catch (cause) {
    const message = "The worker could not load its stages.";
    throw new AppError({ kind: "transient", code: "stages_unavailable", message, cause });
  }
}
