import { openTestDatabase, type TestDatabase } from "@pipeline/db/testing";
import { createLogger } from "@pipeline/runtime";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { forgetOld, type OldRows } from "./forget-old.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterEach(() => vi.useRealTimers());
afterAll(() => opened.close());

const log = createLogger({ level: "silent", service: "worker" });
const DAY_MS = 86_400_000;

function forget(remove: OldRows["remove"], signal: AbortSignal): Promise<void> {
  return forgetOld({ database: opened.database, log }, { name: "old rows", intervalMs: DAY_MS, remove }, signal);
}

test("a worker that stops in the middle of old rows ends at once", async () => {
  const stopping = new AbortController();
  let calls = 0;
  const remove: OldRows["remove"] = async () => {
    calls += 1;
    if (calls === 3) stopping.abort();
    return { counts: { row_count: 1 }, hasMore: true };
  };
  await forget(remove, stopping.signal);
  expect(calls).toBe(3);
});

test("a database that did not answer is asked again within a minute, and then once in an interval", async () => {
  vi.useFakeTimers();
  const stopping = new AbortController();
  const remove = vi.fn<OldRows["remove"]>(async () => ({ counts: { row_count: 0 }, hasMore: false }));
  remove.mockRejectedValueOnce(new Error("away"));
  const forgetting = forget(remove, stopping.signal);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(remove).toHaveBeenCalledTimes(2);
  await vi.advanceTimersByTimeAsync(DAY_MS - 1);
  expect(remove).toHaveBeenCalledTimes(2);
  await vi.advanceTimersByTimeAsync(1);
  expect(remove).toHaveBeenCalledTimes(3);
  stopping.abort();
  await forgetting;
});
