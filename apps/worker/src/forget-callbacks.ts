import { deleteOldCallbacks } from "@pipeline/db";
import { createAlarm } from "./alarm.ts";
import type { WorkerDependencies } from "./options.ts";
import { repeat } from "./repeat.ts";

/** They are kept for a month, so that the hour does not matter. */
const INTERVAL_MS = 3_600_000;
/** In one statement. */
const LIMIT = 1_000;

/** Deletes notes of old callbacks, also where no parser calls back any more. */
export async function forgetCallbacks(
  { database, log }: Pick<WorkerDependencies, "database" | "log">,
  signal: AbortSignal,
): Promise<void> {
  const alarm = createAlarm();
  signal.addEventListener("abort", () => alarm.ring(), { once: true });
  const round = async (): Promise<void> => {
    const count = await deleteOldCallbacks(database, LIMIT);
    if (count > 0) log.info({ callback_count: count }, "old callbacks deleted");
  };
  await repeat(round, {
    pause: () => alarm.wait(INTERVAL_MS),
    signal,
    onError: (error) => log.warn({ err: error }, "old callbacks not deleted"),
  });
}
