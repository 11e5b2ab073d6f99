import { removeDeletedFiles } from "@pipeline/db";
import { createAlarm } from "./alarm.ts";
import type { WorkerDependencies } from "./options.ts";
import { repeat } from "./repeat.ts";

/** The API removes a deleted document's file at once; this is for what storage refused then, and for late uploads. */
const INTERVAL_MS = 10_000;

/** Removes files of deleted documents as they become due. Where there are none it costs one small query. */
export async function removeFiles(
  { database, storage, log }: Pick<WorkerDependencies, "database" | "storage" | "log">,
  signal: AbortSignal,
): Promise<void> {
  const alarm = createAlarm();
  signal.addEventListener("abort", () => alarm.ring(), { once: true });
  const round = async (): Promise<void> => {
    let count: number;
    do {
      count = await removeDeletedFiles(database, (keys) => storage.remove(keys));
      if (count > 0) log.info({ file_count: count }, "files of deleted documents removed");
    } while (count > 0 && !signal.aborted);
  };
  await repeat(round, {
    pause: () => alarm.wait(INTERVAL_MS),
    signal,
    onError: (error) => log.error({ err: error }, "files of deleted documents not removed"),
  });
}
