import { type Hold, type ProgressCounters, type Queryable, reportProgress } from "@pipeline/db";
import type { Logger } from "@pipeline/runtime";

/** Shows a running stage's counters. */
export interface ProgressReporter {
  /** Returns at once. Left out while an earlier report is under way or younger than the interval. */
  report(counters: ProgressCounters): void;
  /** Waits for the report under way, which must not overwrite the counters of the checkpoint that follows. */
  settle(): Promise<void>;
}

/** People see no difference below this; each report is a write to the job's row. */
const INTERVAL_MS = 500;

export function createProgressReporter(
  database: Queryable,
  run: { hold: Hold; log: Logger; onLost: () => void },
): ProgressReporter {
  let lastAt = Number.NEGATIVE_INFINITY;
  let underWay: Promise<void> | undefined;

  const send = async (counters: ProgressCounters): Promise<void> => {
    try {
      if (!(await reportProgress(database, run.hold, { ...counters }))) run.onLost();
    } catch (error) {
      // Only the display lags: the stage itself goes on, and its own writes say whether the database is there.
      run.log.warn({ err: error }, "progress not reported");
    }
  };
  return {
    report: (counters) => {
      const now = performance.now();
      if (underWay !== undefined || now - lastAt < INTERVAL_MS) return;
      lastAt = now;
      underWay = send(counters).finally(() => {
        underWay = undefined;
      });
    },
    settle: async () => {
      await underWay;
    },
  };
}
