import { type Claim, type Claimer, claimJobs, createClaimer, promoteDueJobs, rescueJobs } from "@pipeline/db";
import type { WorkerMetrics } from "@pipeline/metrics";
import type { Hands } from "./hands.ts";
import type { WorkerDependencies } from "./options.ts";
import type { Pulse } from "./pulse.ts";
import type { Sessions } from "./sessions.ts";
import { NOT_READY_MS } from "./vitals.ts";

/** Takes up work. Rounds run one after the other, so that no two of them fill the same slot. */
export interface Rounds {
  /** Answers how many jobs it claimed. Throws the database's errors. */
  run(): Promise<number>;
  /** Milliseconds until dead workers' jobs are to be looked for again. */
  rescueDueInMs(): number;
  /** Resolves when the rounds called for so far are over, however they ended. */
  settle(): Promise<void>;
}

interface RoundDependencies {
  dependencies: WorkerDependencies;
  hands: Hands;
  sessions: Sessions;
  metrics: WorkerMetrics;
  pulse: Pulse;
  /** Aborted: nothing is claimed any more. */
  stopping: AbortSignal;
}

export function createRounds(parts: RoundDependencies): Rounds {
  let last: Promise<unknown> = Promise.resolve();
  const { database, options, log } = parts.dependencies;
  const { metrics, pulse } = parts;
  const claimer = createClaimer(database);
  const promote = atMostEvery(options.promoteIntervalMs, () => promoteDueJobs(database));
  const rescue = atMostEvery(options.rescueIntervalMs, async () => {
    const rescued = await rescueJobs(database, { maxCrashes: options.maxCrashes });
    for (const { job_id, state } of rescued) {
      metrics.rescues.inc({ state });
      log.warn({ job_id, state }, "job rescued");
    }
  });
  const round = async (): Promise<number> => {
    let isGood = false;
    try {
      await promote.run();
      await rescue.run();
      const claimedCount = await fillSlots(parts, claimer);
      // Full of jobs that it has lost and that do not stop, a worker claims nothing for ever.
      isGood = parts.sessions.hasCurrent() || parts.hands.claims().length > 0;
      return claimedCount;
    } finally {
      pulse.roundEnded(isGood);
      // Whoever has not looked at the queue for so long is not to be taken for alive by the others.
      if (pulse.sinceGoodRound() > NOT_READY_MS) parts.sessions.retire();
      metrics.rounds.inc({ outcome: isGood ? "ok" : "failed" });
    }
  };
  return {
    run: () => {
      const next = last.then(() => (parts.stopping.aborted ? 0 : round()));
      last = next.catch(() => undefined);
      return next;
    },
    rescueDueInMs: () => rescue.dueInMs(),
    settle: async () => {
      await last;
    },
  };
}

interface Occasional {
  /** Does the work if it is due. */
  run(): Promise<void>;
  dueInMs(): number;
}

function atMostEvery(intervalMs: number, work: () => Promise<unknown>): Occasional {
  let dueAt = Number.NEGATIVE_INFINITY;
  const dueInMs = (): number => Math.max(0, dueAt - performance.now());
  return {
    dueInMs,
    run: async () => {
      if (dueInMs() > 0) return;
      dueAt = performance.now() + intervalMs;
      await work();
    },
  };
}

async function fillSlots(
  { dependencies, hands, sessions, metrics }: RoundDependencies,
  claimer: Claimer,
): Promise<number> {
  const free = dependencies.options.concurrency - hands.count();
  if (free <= 0) return 0;
  const request = { limit: free, maxPerUser: dependencies.options.maxJobsPerUser };
  const { sessionId, claims } = await claimInSession(sessions, { claimer, request });
  metrics.claims.inc(claims.length);
  for (const claimed of claims) hands.take(claimed, sessionId);
  metrics.jobsInHand.set(hands.count());
  return claims.length;
}

interface Claiming {
  claimer: Claimer;
  request: { limit: number; maxPerUser: number | undefined };
}

async function claimInSession(
  sessions: Sessions,
  { claimer, request }: Claiming,
): Promise<{ sessionId: string; claims: Claim[] }> {
  const current = sessions.findCurrent();
  if (current === undefined) {
    const opened = await sessions.openWith((tx, session_id) => claimJobs(tx, { session_id, ...request }));
    return { sessionId: opened.sessionId, claims: opened.result };
  }
  const claims = await retiringOnError(sessions, () => claimer.claim({ session_id: current, ...request }));
  return { sessionId: current, claims };
}

async function retiringOnError(sessions: Sessions, claim: () => Promise<Claim[]>): Promise<Claim[]> {
  try {
    return await claim();
  } catch (error) {
    // The jobs may have become ours without an answer. Nobody would work on them while this session lives.
    sessions.retire();
    throw error;
  }
}
