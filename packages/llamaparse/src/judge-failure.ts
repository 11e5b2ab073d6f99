import { AppError } from "@pipeline/runtime";

/**
 * What the failure of a call says.
 * `provider`: it is out of order, for every document. `account`: every call will fail until somebody acts. `pace`: it was asked
 * too fast. `answer`: this answer was of no use, a later one may be. `none`: nothing of the provider's state.
 */
export type LlamaParseBlame = "provider" | "account" | "pace" | "answer" | "none";

const BLAMES: Readonly<Record<string, LlamaParseBlame>> = {
  llamaparse_unavailable: "provider",
  llamaparse_unauthorized: "account",
  llamaparse_quota_exhausted: "account",
  llamaparse_rate_limited: "pace",
  llamaparse_invalid_answer: "answer",
  llamaparse_job_unfinished: "answer",
  llamaparse_jobs_unlisted: "answer",
};

/** What the failure means for the other calls to the provider. */
export function judgeLlamaParseFailure(thrown: unknown): LlamaParseBlame {
  return thrown instanceof AppError ? (BLAMES[thrown.code] ?? "none") : "none";
}

/**
 * Whether a submission that failed can become a job all the same.
 * `refused`: it cannot; the provider's list still tells whether it did before. `failed`: the answer says that it failed, which
 * is no proof, since what stands before the service answers in its place. `unknown`: nobody said anything.
 */
export type SubmissionVerdict = "refused" | "failed" | "unknown";

/** Answers of a service or of what stands before it that may still be at work on the request. */
const UNDECIDED = new Set([408, 409, 504]);

export function judgeSubmission({ details }: AppError): SubmissionVerdict {
  const status = details?.["status"];
  if (details?.["never_sent"] === true) return "refused";
  if (typeof status !== "number" || UNDECIDED.has(status)) return "unknown";
  return status >= 500 ? "failed" : "refused";
}
