import type { Random } from "./random.ts";

/**
 * `kill` is SIGKILL; `graceful` SIGTERM; `zombie` SIGSTOP beyond the lease, then SIGCONT; `hole` a connection that carries
 * nothing for a while and is not closed; `terminate` ends one backend of a worker; `restart` and `crash` restart the server.
 */
export const FAULT_KINDS = ["kill", "graceful", "zombie", "hole", "terminate", "restart", "crash"] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];
export type FaultCounts = Record<FaultKind, number>;

export interface PlannedFault {
  kind: FaultKind;
  /** Milliseconds after the start of the load. */
  atMs: number;
  /** How long a zombie stands still and a hole lasts; 0 for what takes no time. */
  forMs: number;
}

/** Beyond the 20 s in which others must have taken over, so that a late takeover shows. */
const SHORTEST_PAUSE_MS = 22_000;
const LONGEST_PAUSE_MS = 26_000;

/** Time for the first workers to start and claim. */
const WARM_UP_MS = 4_000;

/** Each kind spread evenly over the time with some jitter, so that every length of run sees all of them. */
export function planFaults(random: Random, input: { seconds: number; counts: FaultCounts }): PlannedFault[] {
  const lengthMs = input.seconds * 1_000 - WARM_UP_MS;
  return FAULT_KINDS.flatMap((kind) => {
    const count = input.counts[kind];
    const takesTime = kind === "zombie" || kind === "hole";
    // The last one must be over when the load ends.
    const usableMs = Math.max(0, lengthMs - (takesTime ? LONGEST_PAUSE_MS : 0));
    return Array.from({ length: count }, (_, index) => ({
      kind,
      atMs: Math.round(WARM_UP_MS + ((index + 0.15 + 0.7 * random.next()) * usableMs) / count),
      forMs: takesTime ? random.between(SHORTEST_PAUSE_MS, LONGEST_PAUSE_MS) : 0,
    }));
  }).toSorted((a, b) => a.atMs - b.atMs);
}
