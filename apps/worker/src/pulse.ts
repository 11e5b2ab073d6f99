import type { Vitals } from "./vitals.ts";

/** Remembers when a worker's loops last went round. */
export interface Pulse {
  roundEnded(isGood: boolean): void;
  beatSucceeded(): void;
  /** For how long no round has been good; since the start where none ever was. */
  sinceGoodRound(): number;
  read(now: Pick<Vitals, "has_session" | "job_count" | "is_stopping">): Vitals;
}

/** `clock`: milliseconds that never go back. */
export function createPulse(clock: () => number): Pulse {
  const startedAt = clock();
  let roundEndedAt: number | undefined;
  let roundSucceededAt: number | undefined;
  let beatAt: number | undefined;
  const since = (time: number | undefined): number | undefined => (time === undefined ? undefined : clock() - time);
  return {
    roundEnded: (isGood) => {
      roundEndedAt = clock();
      if (isGood) roundSucceededAt = roundEndedAt;
    },
    beatSucceeded: () => {
      beatAt = clock();
    },
    sinceGoodRound: () => clock() - (roundSucceededAt ?? startedAt),
    read: (now) => ({
      started: clock() - startedAt,
      round_ended: since(roundEndedAt),
      round_succeeded: since(roundSucceededAt),
      beat_succeeded: since(beatAt),
      ...now,
    }),
  };
}
