import type { AppError } from "@pipeline/runtime";

/**
 * Thrown by a stage that cannot go on for a reason that the document is not to blame for: a budget, a provider's limits,
 * a provider that is out of order. The job is given back until later, tells the reason, and no attempt is counted.
 */
export class Deferral extends Error {
  readonly reason: AppError;
  /** How long there is no use in trying again; the job looks again after minutes at the latest. */
  readonly delayMs: number;

  constructor(reason: AppError, delayMs: number) {
    super(reason.message);
    this.name = "Deferral";
    this.reason = reason;
    this.delayMs = delayMs;
  }
}
