import { createCheckpointBatcher, listenForWork } from "@pipeline/db";
import { createSilentRegistry, createWorkerMetrics, type WorkerMetrics } from "@pipeline/metrics";
import { NO_TRACING } from "@pipeline/telemetry";
import { WorkerStopping } from "./abort-reasons.ts";
import { createAlarm, type Alarm } from "./alarm.ts";
import { OLD_CALLBACKS } from "./forget-callbacks.ts";
import { oldHistory } from "./forget-history.ts";
import { OLD_KEYS } from "./forget-keys.ts";
import { forgetOld, type OldRows } from "./forget-old.ts";
import { createHands, type Hands } from "./hands.ts";
import { removeLeftovers } from "./local-copies.ts";
import type { WorkerDependencies, WorkerOptions } from "./options.ts";
import { removeFiles } from "./remove-files.ts";
import { createPulse, type Pulse } from "./pulse.ts";
import { repeat } from "./repeat.ts";
import { createRounds, type Rounds } from "./rounds.ts";
import { createSessions, type Sessions } from "./sessions.ts";
import { LOCAL_PARSER } from "./stages/parse/local-parser.ts";
import type { Vitals } from "./vitals.ts";
import { within } from "./within.ts";

export interface Worker {
  /** Begins to claim, to send heartbeats and to listen. Resolves when it listens, or knows that it cannot. */
  start(): Promise<void>;
  /** One round: promotes what is due, rescues when due, claims up to the free slots. Answers how many it claimed. */
  tick(): Promise<number>;
  /** One heartbeat, with a look at whether the jobs in hand are still ours. */
  beat(): Promise<void>;
  /** Resolves when no job is in hand. */
  idle(): Promise<void>;
  /** There may be work. */
  wake(): void;
  /** How the worker is. */
  vitals(): Vitals;
  /**
   * Stops claiming, lets the jobs in hand go on until the deadline, then gives them back without burning an attempt.
   * Takes at most `deadlineMs` and a few seconds.
   */
  stop(options: { deadlineMs: number }): Promise<void>;
}

/** How long to give jobs back and to say goodbye may take each, on a database that does not answer. */
const GOODBYE_MS = 3_000;

interface Parts {
  dependencies: WorkerDependencies;
  alarm: Alarm;
  hands: Hands;
  sessions: Sessions;
  rounds: Rounds;
  metrics: WorkerMetrics;
  pulse: Pulse;
}

export function createWorker(dependencies: WorkerDependencies): Worker {
  const stopping = new AbortController();
  const beating = new AbortController();
  const parts = buildParts(dependencies, stopping.signal);
  const { alarm, hands, sessions, rounds } = parts;
  let running: Promise<unknown> = Promise.resolve();
  let listening: Promise<StopListening> | undefined;
  let stopped: Promise<void> | undefined;

  const stop = async (deadlineMs: number): Promise<void> => {
    stopping.abort();
    alarm.ring();
    // A claim under way still brings jobs into hand.
    await within(rounds.settle(), GOODBYE_MS);
    await within(hands.idle(), deadlineMs);
    hands.abort(() => true, new WorkerStopping());
    await within(hands.idle(), GOODBYE_MS);
    beating.abort();
    await within(sayGoodbye(parts, { running, listening }), GOODBYE_MS);
  };
  return {
    start: async () => {
      await clearCopies(dependencies);
      running = Promise.all([
        runRounds(parts, stopping.signal),
        runHeartbeats(parts, beating.signal),
        tidyParser(parts, stopping.signal),
        removeFiles(dependencies, stopping.signal),
        ...listOldRows(dependencies.options).map((rows) => forgetOld(dependencies, rows, stopping.signal)),
      ]);
      listening = listen(parts);
      await listening;
    },
    tick: () => rounds.run(),
    beat: () => beat(parts),
    idle: () => hands.idle(),
    wake: () => alarm.ring(),
    vitals: () =>
      parts.pulse.read({
        has_session: sessions.hasCurrent(),
        job_count: hands.count(),
        is_stopping: stopping.signal.aborted,
      }),
    stop: ({ deadlineMs }) => (stopped ??= stop(deadlineMs)),
  };
}

function buildParts(dependencies: WorkerDependencies, stopping: AbortSignal): Parts {
  const { database, log, options, parser = LOCAL_PARSER, random = Math.random } = dependencies;
  const { metrics = createWorkerMetrics(createSilentRegistry()), clock = () => performance.now() } = dependencies;
  const { tracing = NO_TRACING } = dependencies;
  const alarm = createAlarm();
  const pulse = createPulse(clock);
  const batcher = createCheckpointBatcher(database);
  const hands = createHands({ ...dependencies, parser, batcher, random, metrics, tracing }, (end) => {
    metrics.jobsInHand.set(hands.count());
    // The database may not know that this claim is over, so it is made to look as if its worker had died.
    if (end === "abandoned") sessions.retire();
    alarm.ring();
  });
  const { workerName, leaseMs } = options;
  const sessions = createSessions({ database, hands, log, workerName, leaseMs });
  const rounds = createRounds({ dependencies, hands, sessions, metrics, pulse, stopping });
  return { dependencies, alarm, hands, sessions, metrics, pulse, rounds };
}

function runRounds({ rounds, alarm, dependencies }: Parts, signal: AbortSignal): Promise<void> {
  const { log, options } = dependencies;
  return repeat(() => rounds.run(), {
    pause: () => alarm.wait(Math.min(longestPauseMs(options), rounds.rescueDueInMs())),
    signal,
    onError: (error) => log.error({ err: error }, "round failed"),
  });
}

/** However rarely this worker polls, dead workers' jobs are found in time. */
function longestPauseMs({ pollIntervalMs, rescueIntervalMs }: WorkerOptions): number {
  return Math.min(pollIntervalMs, rescueIntervalMs);
}

async function beat({ sessions, metrics, pulse }: Parts): Promise<void> {
  let outcome = "failed";
  try {
    await sessions.beat();
    pulse.beatSucceeded();
    outcome = "ok";
  } finally {
    metrics.heartbeats.inc({ outcome });
  }
}

/** Apart from the rounds, so that a slow claim does not make the worker look dead. */
function runHeartbeats(parts: Parts, signal: AbortSignal): Promise<void> {
  const { log, options } = parts.dependencies;
  const alarm = createAlarm();
  signal.addEventListener("abort", () => alarm.ring(), { once: true });
  return repeat(() => beat(parts), {
    pause: () => alarm.wait(options.leaseMs / 3),
    signal,
    onError: (error) => log.error({ err: error }, "heartbeat failed"),
  });
}

/** How soon a provider hears that nobody waits any more; where nothing is to be said it costs one small query. */
const TIDY_INTERVAL_MS = 5_000;

async function tidyParser({ dependencies }: Parts, signal: AbortSignal): Promise<void> {
  const { database, log, parser } = dependencies;
  const tidy = parser?.tidy;
  if (tidy === undefined) return;
  const alarm = createAlarm();
  signal.addEventListener("abort", () => alarm.ring(), { once: true });
  await repeat(() => tidy({ database, log, signal }), {
    pause: () => alarm.wait(TIDY_INTERVAL_MS),
    signal,
    onError: (error) => {
      if (!signal.aborted) log.error({ err: error }, "parser not tidied");
    },
  });
}

function listOldRows({ historyMs }: WorkerOptions): OldRows[] {
  return [OLD_KEYS, OLD_CALLBACKS, ...(historyMs === undefined ? [] : [oldHistory(historyMs)])];
}

/** Copies that stay behind are no reason not to work. */
async function clearCopies({ log, options }: WorkerDependencies): Promise<void> {
  try {
    await removeLeftovers(options.copiesDirectory);
  } catch (error) {
    log.warn({ err: error }, "local copies not removed");
  }
}

type StopListening = () => Promise<void>;

/** Never rejects: without LISTEN everything works, only later, as the polling finds it. */
async function listen({ alarm, dependencies }: Parts): Promise<StopListening> {
  const { database, log, options } = dependencies;
  const onLost = (error: unknown): void => log.warn({ err: error }, "wake-ups lost");
  const onTested = (doArrive: boolean): void => {
    if (doArrive) log.info("wake-ups work");
    else log.warn({ every_seconds: longestPauseMs(options) / 1_000 }, "wake-ups do not arrive, polling instead");
  };
  try {
    return await listenForWork(database, { onWork: () => alarm.ring(), onLost, onTested });
  } catch (error) {
    onLost(error);
    return async () => undefined;
  }
}

/** The session first: from then on others may take what is still held. */
async function sayGoodbye(
  { sessions, dependencies }: Parts,
  ends: { running: Promise<unknown>; listening: Promise<StopListening> | undefined },
): Promise<void> {
  try {
    await sessions.end();
    const stopListening = await ends.listening;
    await stopListening?.();
    await ends.running;
  } catch (error) {
    // The session runs out by itself.
    dependencies.log.warn({ err: error }, "worker did not say goodbye");
  }
}
