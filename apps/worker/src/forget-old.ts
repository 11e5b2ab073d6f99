import { createAlarm } from "./alarm.ts";
import type { WorkerDependencies } from "./options.ts";
import { repeat } from "./repeat.ts";

export interface OldRows {
  /** For the log. */
  name: string;
  /** The log's field for how many were deleted. */
  countField: string;
  intervalMs: number;
  /** Deletes some, in one statement; answers how many. */
  remove: (database: WorkerDependencies["database"]) => Promise<number>;
}

/** Deletes rows that nobody needs any more, at once and then in intervals, until the signal is aborted. */
export async function forgetOld(
  { database, log }: Pick<WorkerDependencies, "database" | "log">,
  rows: OldRows,
  signal: AbortSignal,
): Promise<void> {
  const alarm = createAlarm();
  signal.addEventListener("abort", () => alarm.ring(), { once: true });
  const round = async (): Promise<void> => {
    const count = await rows.remove(database);
    if (count > 0) log.info({ [rows.countField]: count }, `${rows.name} deleted`);
  };
  await repeat(round, {
    pause: () => alarm.wait(rows.intervalMs),
    signal,
    onError: (error) => log.warn({ err: error }, `${rows.name} not deleted`),
  });
}
