import type { Claim } from "@pipeline/db";
import { AppError, askPatiently } from "@pipeline/runtime";
import type { StageContext, StageOutcome } from "../stage-handler.ts";

/** Probes get rarer as the job ages: a quarter of its age, within these bounds. */
const SHORTEST_PROBE_MS = 5_000;
const LONGEST_PROBE_MS = 60_000;

/** Waits for the upload, then proves that the stored bytes are the promised ones. */
export async function verify(job: Claim, { storage, file, signal }: StageContext): Promise<StageOutcome> {
  const stored = await askPatiently(() => storage.stat(job.raw_path), { signal });
  if (stored === undefined) return waitForUpload(job);
  const { format } = await file();
  return { kind: "advance", detail: { bytes_len: job.bytes_len, format } };
}

function waitForUpload(job: Claim): StageOutcome {
  switch (job.upload_is_expired) {
    case null:
      // Nobody was given a link, so nothing will arrive.
      throw new AppError({
        kind: "permanent",
        code: "object_not_found",
        message: "The file is not in object storage.",
      });
    case true:
      throw new AppError({
        kind: "permanent",
        code: "upload_expired",
        message: "The file did not arrive before its upload link expired. Request a new upload.",
      });
    case false:
      return { kind: "wait", waiting_for: "upload", delayMs: probeDelayMs(job.age_seconds) };
  }
}

function probeDelayMs(ageSeconds: number): number {
  return Math.min(LONGEST_PROBE_MS, Math.max(SHORTEST_PROBE_MS, (ageSeconds * 1000) / 4));
}
