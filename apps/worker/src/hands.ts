import type { Claim } from "@pipeline/db";
import { LostClaim } from "./abort-reasons.ts";
import { type JobDependencies, runJob } from "./run-job.ts";
import type { ClaimEnd } from "./end-claim.ts";

/** A claim that this process works on. */
interface Hand {
  claim: Claim;
  sessionId: string;
  claimOver: AbortController;
  done: Promise<void>;
}

/** The jobs in hand: started here, counted here, stopped here. */
export interface Hands {
  count(): number;
  /** Starts the job; an older claim of the same job is lost by that. */
  take(claim: Claim, sessionId: string): void;
  /** The claims that are not being stopped. */
  claims(): Claim[];
  /** True while a job claimed in this session is in hand. */
  hasJobsOf(sessionId: string): boolean;
  /** Stops the jobs for which `which` is true. */
  abort(which: (hand: { claim: Claim; sessionId: string }) => boolean, reason: Error): void;
  /** Resolves when no job is in hand. */
  idle(): Promise<void>;
}

export function createHands(dependencies: JobDependencies, onEnd: (end: ClaimEnd) => void): Hands {
  // Not by job id: a job that was lost and claimed again may still be on its way out.
  const hands = new Set<Hand>();
  const work = async (hand: Omit<Hand, "done">): Promise<ClaimEnd> =>
    runJob(hand.claim, { ...dependencies, claimOver: hand.claimOver });
  const abort: Hands["abort"] = (which, reason) => {
    for (const hand of hands) {
      if (which(hand)) hand.claimOver.abort(reason);
    }
  };
  return {
    count: () => hands.size,
    take: (claim, sessionId) => {
      abort((older) => older.claim.job_id === claim.job_id, new LostClaim());
      const started = { claim, sessionId, claimOver: new AbortController() };
      const end = (how: ClaimEnd): void => {
        hands.delete(hand);
        onEnd(how);
      };
      const hand: Hand = { ...started, done: work(started).then(end) };
      hands.add(hand);
    },
    claims: () => [...hands].filter((hand) => !hand.claimOver.signal.aborted).map((hand) => hand.claim),
    hasJobsOf: (sessionId) => [...hands].some((hand) => hand.sessionId === sessionId),
    abort,
    idle: async () => {
      while (hands.size > 0) await Promise.all([...hands].map((hand) => hand.done));
    },
  };
}
