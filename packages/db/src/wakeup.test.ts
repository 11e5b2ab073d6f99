import { afterAll, afterEach, beforeAll, expect, it, test } from "vitest";
import type { Database } from "./database.ts";
import { hasParallelConnections, openTestDatabase, type TestDatabase } from "./testing/index.ts";
import { createNotifier, listenForWork } from "./wakeup.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

/** Counts wake-ups from now on; what a fresh connection reports by itself is not counted. */
async function startListening(): Promise<{ woken: number; lost: unknown[]; tested: boolean[] }> {
  const counter = { woken: 0, lost: new Array<unknown>(), tested: new Array<boolean>() };
  const stop = await listenForWork(opened.database, {
    onWork: () => {
      counter.woken++;
    },
    onLost: (error) => counter.lost.push(error),
    onTested: (doArrive) => counter.tested.push(doArrive),
  });
  stops.push(stop);
  counter.woken = 0;
  return counter;
}

const strict = {
  onError: (error: unknown) => {
    throw error;
  },
};

test("a wake-up reaches a listener", async () => {
  const counter = await startListening();
  const notifier = createNotifier(opened.database, strict);
  notifier.wake();
  await expect.poll(() => counter.woken).toBe(1);
  notifier.wake();
  await expect.poll(() => counter.woken).toBe(2);
  await notifier.close();
});

test("a thousand wake-ups become two at most, and the last is not lost", async () => {
  const counter = await startListening();
  const notifier = createNotifier(opened.database, strict);
  for (let call = 0; call < 1_000; call++) notifier.wake();
  await notifier.close();
  // Notifications arrive in the order in which they were sent: once this one is here, so are all others.
  const last = createNotifier(opened.database, strict);
  last.wake();
  await last.close();
  await expect.poll(() => counter.woken).toBeGreaterThanOrEqual(2);
  await opened.database.run("select 1");
  expect(counter.woken).toBeLessThanOrEqual(3);
});

test("what is pending is sent on closing, and nothing after it", async () => {
  const counter = await startListening();
  const notifier = createNotifier(opened.database, { ...strict, intervalMs: 3_600_000 });
  notifier.wake();
  notifier.wake();
  await notifier.close();
  await expect.poll(() => counter.woken).toBe(2);
  notifier.wake();
  await notifier.close();
  expect(counter.woken).toBe(2);
});

test("a failing notification is reported and the next one is tried", async () => {
  const errors: unknown[] = [];
  const broken = { ...opened.database, run: () => Promise.reject(new Error("away")) };
  const notifier = createNotifier(broken, { intervalMs: 1, onError: (error) => errors.push(error) });
  notifier.wake();
  await expect.poll(() => errors.length).toBe(1);
  notifier.wake();
  await expect.poll(() => errors.length).toBe(2);
  await notifier.close();
});

test("while one notification hangs no others pile up", async () => {
  let sent = 0;
  const answers: ((rows: number) => void)[] = [];
  const hanging = {
    ...opened.database,
    run: () => {
      sent++;
      return new Promise<number>((resolve) => answers.push(resolve));
    },
  };
  const notifier = createNotifier(hanging, { ...strict, intervalMs: 0 });
  for (let turn = 0; turn < 5; turn++) {
    notifier.wake();
    await opened.database.run("select 1");
  }
  expect(sent).toBe(1);
  answers.shift()?.(1);
  await expect.poll(() => sent).toBe(2);
  answers.shift()?.(1);
  await notifier.close();
  expect(sent).toBe(2);
});

test("a listener that stopped is not called any more", async () => {
  const counter = await startListening();
  const other = await startListening();
  await stops.shift()?.();
  const notifier = createNotifier(opened.database, strict);
  notifier.wake();
  await notifier.close();
  await expect.poll(() => other.woken).toBe(1);
  expect(counter.woken).toBe(0);
});

test("a listener is told that wake-ups arrive, and the test of it wakes nobody", async () => {
  const first = await startListening();
  const second = await startListening();
  expect([first.tested, second.tested]).toEqual([[true], [true]]);
  const notifier = createNotifier(opened.database, strict);
  notifier.wake();
  await notifier.close();
  await expect.poll(() => [first.woken, second.woken]).toEqual([1, 1]);
});

interface Listening {
  channels: string[];
  stopped: string[];
  lose?: (error: unknown) => void;
}

/** LISTEN succeeds and nothing is ever heard, as through a pooler in transaction mode. */
function deaf(listening: Listening): Database {
  return {
    ...opened.database,
    listen: async (channel, listener) => {
      listening.channels.push(channel);
      listening.lose = listener.onLost;
      listener.onListening();
      return async () => void listening.stopped.push(channel);
    },
  };
}

/** Starts a listener with an hour's patience and keeps what it was told. */
function startTold(database: Database, testMs = 3_600_000) {
  const told = { tested: new Array<boolean>(), lost: new Array<unknown>() };
  const starting = listenForWork(database, {
    onWork: () => undefined,
    onLost: (error) => told.lost.push(error),
    onTested: (doArrive) => told.tested.push(doArrive),
    testMs,
  });
  return { told, starting };
}

test("a listener that hears nothing is told so, and never listens where wake-ups are announced", async () => {
  const listening: Listening = { channels: [], stopped: [] };
  const { told, starting } = startTold(deaf(listening), 1);
  const stop = await starting;
  expect(told).toEqual({ tested: [false], lost: [] });
  expect(listening.channels).toEqual([expect.stringMatching(/^test_/)]);
  expect(listening.stopped).toEqual(listening.channels);
  await stop();
  expect(listening.stopped).toHaveLength(1);
});

test("a connection that is lost during its test says nothing about wake-ups", async () => {
  const listening: Listening = { channels: [], stopped: [] };
  const { told, starting } = startTold(deaf(listening));
  listening.lose?.(new Error("reset"));
  const stop = await starting;
  expect(told).toEqual({ tested: [], lost: [expect.any(Error)] });
  expect(listening.stopped).toEqual([]);
  await stop();
  expect(listening.stopped).toEqual(listening.channels);
});

test("a test that cannot be sent says nothing about wake-ups, and can be stopped", async () => {
  const listening: Listening = { channels: [], stopped: [] };
  const { told, starting } = startTold({ ...deaf(listening), run: () => Promise.reject(new Error("away")) });
  const stop = await starting;
  expect(told).toEqual({ tested: [], lost: [expect.any(Error)] });
  await stop();
  expect(listening.stopped).toEqual(listening.channels);
});

it.skipIf(!hasParallelConnections())(
  "a listener whose connection was killed comes back and wakes its worker: needs two connections",
  async () => {
    const counter = await startListening();
    await opened.database.run(
      "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'test listen'",
    );
    await expect.poll(() => counter.lost.length).toBe(1);
    await expect.poll(() => counter.woken, { timeout: 20_000 }).toBe(1);
    const notifier = createNotifier(opened.database, strict);
    notifier.wake();
    await notifier.close();
    await expect.poll(() => counter.woken).toBe(2);
  },
);
