import { setTimeout as delay } from "node:timers/promises";
import type { Queryable } from "@pipeline/db";
import { z } from "zod";
import { openBenchDatabase } from "../postgres/bench-database.ts";
import { loadSystem } from "../systems/index.ts";
import { sendToParent, wallClock } from "./child.ts";
import { workerInput, type WorkerReport } from "./messages.ts";

/** One worker of one system, until its documents are done or its time is up. Reports, stops and ends. */
const input = workerInput.parse(JSON.parse(process.argv[2] ?? "{}"));
const system = await loadSystem(input.system);
const observer = openBenchDatabase(input.url, { poolSize: 1 });
const completions: [string, number][] = [];
const allDone = Promise.withResolvers<void>();
let startedAt = 0;

const worker = await system.startWorker(input.url, {
  stages: input.stages,
  handlerMs: input.handlerMs,
  onStart: () => {
    startedAt ||= wallClock();
  },
  onComplete: (id) => {
    completions.push([id, wallClock()]);
    if (completions.length === input.docs) allDone.resolve();
  },
});
await sendToParent("ready");
const isInTime = await Promise.race([allDone.promise.then(() => true), delay(input.limitMs, false, { ref: false })]);
if (isInTime && input.mode === "drain") await waitUntilDurable(observer, system.unfinishedSql);
const report: WorkerReport = {
  startedAt,
  finishedAt: wallClock(),
  doneCount: completions.length,
  completions: input.mode === "latency" ? completions : [],
};
await sendToParent(report);
await worker.stop();
await observer.close();
process.exit(0);

/** The last handler has run; its completion may not be committed yet. */
async function waitUntilDurable(db: Queryable, unfinishedSql: string): Promise<void> {
  const row = z.object({ unfinished: z.number() });
  for (;;) {
    const [counted] = await db.many(row, unfinishedSql);
    if (counted?.unfinished === 0) return;
    await delay(5);
  }
}
