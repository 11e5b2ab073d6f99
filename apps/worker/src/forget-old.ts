import { createAlarm } from "./alarm.ts";
import type { WorkerDependencies } from "./options.ts";
import { repeat } from "./repeat.ts";

export interface OldRows {
  /** For the log. */
  name: string;
  intervalMs: number;
  /** Deletes some. */
  remove: (database: WorkerDependencies["database"]) => Promise<Removed>;
}

export interface Removed {
  /** How many, by the log's field for them. */
  counts: Readonly<Record<string, number>>;
  /** The next ones are due after a short pause. */
  hasMore: boolean;
}

/** Others get at the database in between. */
const PAUSE_MS = 500;
/** A database that did not answer is asked again sooner than the interval of a day says. */
const LONGEST_PAUSE_AFTER_FAILURE_MS = 60_000;

/** Deletes rows that nobody needs any more, at once and then in intervals, until the signal is aborted. */
export async function forgetOld(
  { database, log }: Pick<WorkerDependencies, "database" | "log">,
  rows: OldRows,
  signal: AbortSignal,
): Promise<void> {
  const alarm = createAlarm();
  signal.addEventListener("abort", () => alarm.ring(), { once: true });
  let pauseMs: number;
  const round = async (): Promise<void> => {
    pauseMs = Math.min(rows.intervalMs, LONGEST_PAUSE_AFTER_FAILURE_MS);
    const { counts, hasMore } = await rows.remove(database);
    pauseMs = hasMore ? PAUSE_MS : rows.intervalMs;
    if (Object.values(counts).some((count) => count > 0)) log.info(counts, `${rows.name} deleted`);
  };
  await repeat(round, {
    pause: () => alarm.wait(pauseMs),
    signal,
    onError: (error) => log.warn({ err: error }, `${rows.name} not deleted`),
  });
}
