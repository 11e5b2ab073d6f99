import { hasParallelConnections, openTestDatabase } from "@pipeline/db/testing";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createRequestCounter, type RequestSubject } from "./request-counter.ts";

const HOUR_MS = 3_600_000;
const USER: RequestSubject = { kind: "user", name: "a" };

describe("the counter of requests", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["Date"], now: new Date("2026-01-01T12:00:10.000Z") });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it("lets a subject through to its limit in a minute, and again in the next", async () => {
    const counter = createRequestCounter(unreachable(), { exchangeMs: HOUR_MS, onError: () => undefined });
    const take = (): boolean => counter.take(USER, 3).isAllowed;
    expect([take(), take(), take(), take()]).toEqual([true, true, true, false]);
    expect(counter.take({ kind: "user", name: "b" }, 3)).toEqual({
      isAllowed: true,
      limit: 3,
      used: 1,
      resets_at: new Date("2026-01-01T12:01:00.000Z"),
    });
    vi.setSystemTime(new Date("2026-01-01T12:01:00.000Z"));
    expect(take()).toBe(true);
    await counter.close();
  });

  it("goes on counting by itself while the database is away", async () => {
    const onError = vi.fn<(error: unknown) => void>();
    const counter = createRequestCounter(unreachable(), { exchangeMs: 1, onError });
    const answers = Array.from({ length: 30 }, () => counter.take(USER, 20).isAllowed);
    expect(answers.filter(Boolean)).toHaveLength(20);
    await vi.waitFor(() => expect(onError).toHaveBeenCalled());
    expect(counter.take(USER, 20).isAllowed).toBe(false);
    await counter.close();
  });

  it("stops counting new subjects when there are too many, and keeps to those it knows", async () => {
    const counter = createRequestCounter(unreachable(), { exchangeMs: HOUR_MS, onError: () => undefined });
    for (let index = 0; index < 50_000; index += 1) counter.take(address(index), 100);
    const answers = Array.from({ length: 200 }, () => counter.take(address(50_000), 100).isAllowed);
    expect(answers).not.toContain(false);
    const known = Array.from({ length: 100 }, () => counter.take(address(0), 100).isAllowed);
    expect(known.filter(Boolean)).toHaveLength(99);
    await counter.close();
  });

  it("holds users to their limit while there are too many addresses", async () => {
    const counter = createRequestCounter(unreachable(), { exchangeMs: HOUR_MS, onError: () => undefined });
    for (let index = 0; index < 50_000; index += 1) counter.take(address(index), 100);
    const answers = Array.from({ length: 20 }, () => counter.take(USER, 3).isAllowed);
    expect(answers.filter(Boolean)).toHaveLength(3);
    await counter.close();
  });

  it("counts with other processes: what one let through is used up for the other", async () => {
    vi.useRealTimers();
    const opened = await openTestDatabase();
    const [here, there] = [opened.database, hasParallelConnections() ? opened.openAs("api") : opened.database].map(
      (database) => createRequestCounter(database, { exchangeMs: 1, onError: fail }),
    );
    if (!here || !there) throw new Error("Two were opened.");
    // A minute may end in between, and then all begins anew.
    await vi.waitFor(
      async () => {
        const subject = { kind: "user", name: String(Math.random()) } as const;
        const limit = 1_000;
        for (let index = 0; index < 600; index += 1) here.take(subject, limit);
        there.take(subject, limit);
        await vi.waitFor(() => expect(there.take(subject, limit).used).toBeGreaterThan(600));
        await vi.waitFor(() => expect(here.take(subject, limit).used).toBeGreaterThan(601));
        let more = 0;
        while (there.take(subject, limit).isAllowed) more += 1;
        expect(more).toBeLessThan(400);
      },
      { timeout: 60_000 },
    );
    await here.close();
    await there.close();
    await opened.close();
  });

  it.skipIf(!hasParallelConnections())(
    "is passed by few where two processes take from it at once (on a server)",
    async () => {
      vi.useRealTimers();
      const opened = await openTestDatabase();
      const counters = [0, 1].map(() =>
        createRequestCounter(opened.openAs("api"), { exchangeMs: HOUR_MS, onError: fail }),
      );
      // A minute may end in between, and then all begins anew.
      await vi.waitFor(
        async () => {
          const subject = { kind: "user", name: String(Math.random()) } as const;
          let total = 0;
          for (let taken = -1; taken !== 0; total += taken) {
            taken = counters.filter((counter) => counter.take(subject, 600).isAllowed).length;
            // As long as an exchange takes, or a little longer.
            for (let turn = 0; turn < 3; turn += 1) await opened.database.run("select 1");
          }
          expect(total).toBeGreaterThanOrEqual(599);
          expect(total).toBeLessThan(610);
        },
        { timeout: 60_000 },
      );
      for (const counter of counters) await counter.close();
      await opened.close();
    },
  );
});

function address(index: number): RequestSubject {
  return { kind: "address", name: String(index) };
}

function fail(error: unknown): void {
  throw error;
}

async function refuse(): Promise<never> {
  throw new Error("away");
}

/** A database that is away. */
function unreachable() {
  return { schema: '"upload_pipeline"', many: refuse, run: refuse };
}
