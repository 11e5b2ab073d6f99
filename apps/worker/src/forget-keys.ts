import { deleteOldKeys } from "@pipeline/db";
import { createAlarm } from "./alarm.ts";
import type { WorkerDependencies } from "./options.ts";
import { repeat } from "./repeat.ts";

/** The API deletes them while keys come; this is for the last ones, and for more than it keeps up with. */
const INTERVAL_MS = 60_000;
/** In one statement. */
const LIMIT = 5_000;

/** Deletes answers that are kept under an Idempotency-Key for longer than a day. */
export async function forgetKeys(
  { database, log }: Pick<WorkerDependencies, "database" | "log">,
  signal: AbortSignal,
): Promise<void> {
  const alarm = createAlarm();
  signal.addEventListener("abort", () => alarm.ring(), { once: true });
  const round = async (): Promise<void> => {
    const count = await deleteOldKeys(database, LIMIT);
    if (count > 0) log.info({ key_count: count }, "old idempotency keys deleted");
  };
  await repeat(round, {
    pause: () => alarm.wait(INTERVAL_MS),
    signal,
    onError: (error) => log.warn({ err: error }, "old idempotency keys not deleted"),
  });
}
