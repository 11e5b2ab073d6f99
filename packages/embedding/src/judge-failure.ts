import { AppError } from "@pipeline/runtime";

/**
 * Whose fault a failed request was.
 * `pace`: it came too fast, and is no fault at all. `account`: every request will fail until somebody acts. `input`: this
 * request, whatever the provider's state. `provider`: anything that may pass by itself. `ours`: not the provider's at all.
 */
export type Blame = "pace" | "account" | "input" | "provider" | "ours";

export interface Judgement {
  blame: Blame;
  /** The provider may have done the work although its answer is of no use to us. */
  mayBeBilled: boolean;
}

const BLAMES: Readonly<Record<string, Blame>> = {
  embedding_rate_limited: "pace",
  embedding_quota_exhausted: "account",
  embedding_unauthorized: "account",
  embedding_model_not_found: "account",
  embedding_rejected: "input",
  embedding_too_large: "input",
};

/** What the failure of `embed` means for the other requests to the same provider. */
export function judgeEmbeddingFailure(thrown: unknown): Judgement {
  if (!(thrown instanceof AppError)) return { blame: "ours", mayBeBilled: true };
  const { code, details } = thrown;
  const wasRefused = details?.["status"] !== undefined || details?.["never_sent"] === true;
  return { blame: BLAMES[code] ?? "provider", mayBeBilled: !wasRefused };
}
