import type { AppError } from "@pipeline/runtime";
import { z } from "zod";
import { type FailedJob, jobCancelled, jobFailure } from "./job-failure.ts";

export type ProviderStatus = "pending" | "running" | "completed" | "failed" | "cancelled";

/** A job at the provider, as far as it concerns us. */
export interface ProviderJob {
  /** The provider's id, what is to be stored. */
  id: string;
  status: ProviderStatus;
  /** What the submission was given to be found again by. */
  submission_id: string | null;
  tier: string | null;
  version: string | null;
  /** Null until billing has settled. */
  credits: number | null;
  /** Why a job failed or was cancelled, as the error to throw; null for any other. */
  failure: AppError | null;
}

/** No more will come of it. */
export function isEnded(job: ProviderJob): boolean {
  return job.status === "completed" || job.status === "failed" || job.status === "cancelled";
}

/** It goes into paths of later calls and into our database. */
export const providerIdSchema = z.string().regex(/^[\w-]{1,128}$/);

export const SUBMISSION_KEY = "submission_id";
export const VERSION_KEY = "parse_version";

const metadataText = z.string().max(200).nullish().catch(null);

export const jobSchema = z
  .object({
    id: providerIdSchema,
    status: z.string(),
    tier: z.string().max(64).nullish(),
    error_code: z.string().nullish(),
    error_message: z.string().nullish(),
    usage: z.object({ credits: z.number().nonnegative().nullish() }).nullish(),
    user_metadata: z.object({ [SUBMISSION_KEY]: metadataText, [VERSION_KEY]: metadataText }).nullish(),
  })
  .transform((job): ProviderJob => {
    const status = STATUSES.get(job.status) ?? "running";
    return {
      id: job.id,
      status,
      submission_id: job.user_metadata?.[SUBMISSION_KEY] ?? null,
      tier: job.tier ?? null,
      version: job.user_metadata?.[VERSION_KEY] ?? null,
      credits: job.usage?.credits ?? null,
      failure: failureOf(status, job),
    };
  });

/**
 * Both versions of the API have words of their own. A word that is in neither counts as running: to take a passing
 * state for the end would throw away a paid job, and the time limit ends those that stay in it.
 */
const STATUSES: ReadonlyMap<string, ProviderStatus> = new Map([
  ["PENDING", "pending"],
  ["RUNNING", "running"],
  ["COMPLETED", "completed"],
  ["SUCCESS", "completed"],
  // The result says which pages are missing.
  ["PARTIAL_SUCCESS", "completed"],
  ["FAILED", "failed"],
  ["ERROR", "failed"],
  ["CANCELLED", "cancelled"],
]);

function failureOf(status: ProviderStatus, job: FailedJob): AppError | null {
  if (status === "cancelled") return jobCancelled();
  return status === "failed" ? jobFailure(job) : null;
}
