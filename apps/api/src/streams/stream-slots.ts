import { AppError } from "@pipeline/runtime";

export interface StreamLimits {
  /** Of this process. */
  maxStreams: number;
  maxStreamsPerUser: number;
}

/** Counts open streams. */
export interface StreamSlots {
  /** Throws rate_limited `too_many_streams` or transient `streams_exhausted`. What it answers gives the slot back, once. */
  take(userId: string): () => void;
}

/** A stream ends with its job, which takes seconds to minutes. */
const RETRY_AFTER_MS = 5_000;

export function createStreamSlots(limits: StreamLimits): StreamSlots {
  const byUser = new Map<string, number>();
  let total = 0;
  return {
    take: (userId) => {
      const own = byUser.get(userId) ?? 0;
      if (own >= limits.maxStreamsPerUser) throw tooMany(limits.maxStreamsPerUser);
      if (total >= limits.maxStreams) throw exhausted();
      byUser.set(userId, own + 1);
      total += 1;
      let isTaken = true;
      return () => {
        if (!isTaken) return;
        isTaken = false;
        total -= 1;
        const left = (byUser.get(userId) ?? 1) - 1;
        if (left > 0) byUser.set(userId, left);
        else byUser.delete(userId);
      };
    },
  };
}

function tooMany(count: number): AppError {
  return new AppError({
    kind: "rate_limited",
    code: "too_many_streams",
    message: `A user may have ${count} streams open at once.`,
    retryAfterMs: RETRY_AFTER_MS,
  });
}

function exhausted(): AppError {
  return new AppError({
    kind: "transient",
    code: "streams_exhausted",
    message: "Too many streams are open; ask for the job itself meanwhile.",
    retryAfterMs: RETRY_AFTER_MS,
  });
}
