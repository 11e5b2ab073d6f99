import { once } from "node:events";
import { setTimeout as wait } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { expect, it } from "vitest";
import { namesOf } from "./hostile-texts.fixture.ts";

const SIZES = [50_000, 200_000];
/** The whole takes some four seconds. Where one of the texts has become quadratic, the larger one alone takes as long as this. */
const HANG_MS = 120_000;

it("no text hangs normalising or chunking", { timeout: 2 * HANG_MS }, async () => {
  const finished: unknown[] = [];
  const thread = new Worker(new URL("hostile-texts.fixture.ts", import.meta.url), { workerData: { sizes: SIZES } });
  thread.on("message", (name) => finished.push(name));
  const over = new AbortController();
  const end = once(thread, "exit", { signal: over.signal });
  await Promise.race([end, wait(HANG_MS, undefined, { signal: over.signal })]);
  over.abort();
  await thread.terminate();
  expect(finished).toEqual(namesOf(SIZES));
});
