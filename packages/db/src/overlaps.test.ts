import { AppError } from "@pipeline/runtime";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { advanceJobs, failJob, holdJob, parkJob, releaseJob, reportProgress } from "./checkpoints.ts";
import type { Database } from "./database.ts";
import { replacePages } from "./generations.ts";
import { claimJobs } from "./claims.ts";
import { promoteDueJobs, rescueJobs } from "./queue.ts";
import { one, type Queryable } from "./queryable.ts";
import type { Hold } from "./rows.ts";
import {
  claimOne,
  createQueuedJob,
  createSession,
  findFaults,
  findIllegalChanges,
  hasParallelConnections,
  observeJob,
  openTestDatabase,
  type ObservedJob,
  type TestDatabase,
} from "./testing/index.ts";

/**
 * One party has made its change and not yet committed, and another acts on the same job. Whatever comes out must be what
 * one after the other gives, in one of the two orders, or the second found nothing to do.
 */
interface Scene {
  hold: Hold;
  document_id: string;
  /** Whose claim `hold` is. */
  holder: string;
  other: string;
}

interface Act {
  name: string;
  run: (db: Queryable, scene: Scene) => Promise<unknown>;
  /** What is left to do before the commit, once the other has begun. */
  finish?: (db: Queryable, scene: Scene) => Promise<unknown>;
  /** What it answers where it found nothing to do. */
  nothing: unknown;
  /** Passes over rows that others have locked instead of waiting. */
  neverWaits: boolean;
}

type Setting = "held, its session over" | "held, its stage overdue" | "queued" | "due again";

const error = new AppError({ kind: "transient", code: "test", message: "Test." });
const advance = (db: Queryable, { hold }: Scene): Promise<string[]> =>
  advanceJobs(db, [{ ...hold, from: "parsing", to: "parsed", progress: {}, detail: {} }]).then((ids) => [...ids]);
const claim = async (db: Queryable, { other }: Scene): Promise<number[]> =>
  (await claimJobs(db, { session_id: other, limit: 1 })).map(({ fence }) => fence);
const rescue = async (db: Queryable): Promise<string[]> =>
  (await rescueJobs(db, { maxCrashes: 3 })).map(({ state }) => state);
const waits = { neverWaits: false, nothing: undefined };
const skips = { neverWaits: true, nothing: [] };

const CHECKPOINT: Act = { ...waits, name: "advance", run: advance, nothing: [] };
const RESCUE: Act = { ...skips, name: "rescue", run: rescue };
const CLAIM: Act = { ...skips, name: "claim", run: claim };
const PROMOTE: Act = { ...skips, name: "promote", run: (db) => promoteDueJobs(db), nothing: 0 };
const HOLDERS_ACTS: readonly Act[] = [
  CHECKPOINT,
  { ...waits, name: "hold", run: (db, { hold }) => holdJob(db, hold), nothing: false },
  { ...waits, name: "report", run: (db, { hold }) => reportProgress(db, hold, { pages_done: 1 }), nothing: false },
  {
    ...waits,
    name: "fail",
    run: (db, { hold }) => failJob(db, hold, { stage: "parse", error, maxRetries: 3, delayMs: 0 }),
  },
  { ...waits, name: "release", run: (db, { hold }) => releaseJob(db, hold) },
  { ...waits, name: "park", run: (db, { hold }) => parkJob(db, hold, { waiting_for: "parser", delayMs: 0 }) },
];
const STAGE: Act = {
  ...waits,
  name: "advance and store",
  run: advance,
  finish: (db, { document_id }) =>
    replacePages(db, { document_id, generation: 1 }, { title: null, pages: [{ page_number: 1, text: "Text." }] }),
};
const TAKE_OVER: Act = {
  ...skips,
  name: "rescue, claim and advance for another",
  run: async (db, scene) => {
    await rescue(db);
    const [fence = 0] = await claim(db, scene);
    return advance(db, { ...scene, hold: { ...scene.hold, fence } });
  },
};

const SECONDS = [...HOLDERS_ACTS, RESCUE, CLAIM, PROMOTE, TAKE_OVER];
const FIRSTS: readonly [Setting, readonly Act[]][] = [
  ["held, its session over", [...HOLDERS_ACTS, STAGE, RESCUE, TAKE_OVER]],
  ["held, its stage overdue", [STAGE, RESCUE, TAKE_OVER]],
  ["queued", [CLAIM]],
  ["due again", [PROMOTE]],
];
const CASES = FIRSTS.flatMap(([setting, firsts]) => firsts.map((first) => [first.name, setting, first] as const));

describe.skipIf(!hasParallelConnections())("while a change is not yet committed: needs parallel connections", () => {
  let opened: TestDatabase;
  let second: Database;
  beforeAll(async () => {
    opened = await openTestDatabase();
    second = opened.openAnother();
  });
  afterAll(() => opened.close());

  it.each(CASES)(
    "after %s (%s) others act as if one came after the other",
    async (_name, setting, first) => {
      for (const act of SECONDS) {
        for (const isCommitted of [true, false]) {
          const what = `${act.name} before the ${isCommitted ? "commit" : "rollback"}`;
          const { faults, outcome, possible } = await overlap({ setting, first, act, isCommitted });
          expect(faults, what).toEqual([]);
          expect(possible, what).toContainEqual(outcome);
        }
      }
    },
    180_000,
  );

  async function overlap(input: { setting: Setting; first: Act; act: Act; isCommitted: boolean }) {
    const scene = await arrange(input.setting);
    const before = await observeJob(opened.database, scene.hold.job_id);
    const possible = await listSerial(scene, input);
    const results = await runOverlapping(scene, input);
    const job = await observeJob(opened.database, scene.hold.job_id);
    await opened.database.run("delete from upload_pipeline.documents");
    return { faults: [...findFaults(job), ...findIllegalChanges(before, job)], outcome: { ...results, job }, possible };
  }

  /** A job at `parsing`, in the setting. */
  async function arrange(setting: Setting): Promise<Scene> {
    const { job } = await createQueuedJob(opened.database);
    const holder = await createSession(opened.database);
    const other = await createSession(opened.database);
    const { job_id, fence } = await claimOne(opened.database, holder);
    const hold = { job_id, fence };
    await advanceJobs(opened.database, [{ ...hold, from: "uploaded", to: "parsing", progress: {}, detail: {} }]);
    await settle(setting, { hold, holder });
    return { hold, document_id: job.document_id, holder, other };
  }

  async function settle(setting: Setting, { hold, holder }: { hold: Hold; holder: string }): Promise<unknown> {
    switch (setting) {
      case "held, its session over":
        return opened.database.run(
          "update upload_pipeline.worker_sessions set expires_at = now() - interval '1 s' where session_id = $1",
          [holder],
        );
      case "held, its stage overdue":
        return opened.database.run(
          "update upload_pipeline.upload_jobs set lease_expires_at = now() - interval '1 s' where job_id = $1",
          [hold.job_id],
        );
      case "queued":
        return releaseJob(opened.database, hold);
      case "due again":
        return failJob(opened.database, hold, { stage: "parse", error, maxRetries: 3, delayMs: 0 });
    }
  }

  interface Results {
    first: unknown;
    second: unknown;
  }

  /** What may come out: both orders of the two, or that the second did nothing. */
  async function listSerial(
    scene: Scene,
    { first, act, isCommitted }: { first: Act; act: Act; isCommitted: boolean },
  ): Promise<(Results & { job: ObservedJob })[]> {
    const whole = async (db: Queryable): Promise<unknown> => {
      const result = await first.run(db, scene);
      await first.finish?.(db, scene);
      return result;
    };
    const orders: ((db: Queryable) => Promise<Results>)[] = isCommitted
      ? [
          async (db) => ({ first: await whole(db), second: await act.run(db, scene) }),
          async (db) => {
            const result = await act.run(db, scene);
            return { first: await whole(db), second: result };
          },
          async (db) => ({ first: await whole(db), second: act.nothing }),
        ]
      : [
          async (db) => ({ first: "rolled back", second: await act.run(db, scene) }),
          async () => ({ first: "rolled back", second: act.nothing }),
        ];
    const outcomes = [];
    for (const order of orders) outcomes.push(await rehearse(scene, order));
    return outcomes;
  }

  /** Runs it in a transaction that is rolled back. */
  async function rehearse(scene: Scene, order: (db: Queryable) => Promise<Results>) {
    const rollback = new Error("rolled back on purpose");
    let outcome: (Results & { job: ObservedJob }) | undefined;
    const running = opened.database.transaction(async (tx) => {
      outcome = { ...(await order(tx)), job: await observeJob(tx, scene.hold.job_id) };
      throw rollback;
    });
    await expect(running).rejects.toBe(rollback);
    if (!outcome) throw new Error("The rehearsal did not end.");
    return outcome;
  }

  async function runOverlapping(
    scene: Scene,
    { first, act, isCommitted }: { first: Act; act: Act; isCommitted: boolean },
  ): Promise<Results> {
    const rollback = new Error("rolled back on purpose");
    let acting: Promise<unknown> | undefined;
    const committing = opened.database.transaction(async (tx) => {
      const result = await first.run(tx, scene);
      acting = second.transaction((other) => act.run(other, scene));
      const isBlocked = await settlesOrBlocks(acting);
      if (act.neverWaits) expect(isBlocked).toBe(false);
      await first.finish?.(tx, scene);
      if (!isCommitted) throw rollback;
      return result;
    });
    const result = await committing.catch((thrown: unknown) => {
      if (thrown !== rollback) throw thrown;
      return "rolled back";
    });
    return { first: result, second: await acting };
  }

  /** Waits until the work is done (false) or stands still at another's lock (true). */
  async function settlesOrBlocks(work: Promise<unknown>): Promise<boolean> {
    let isSettled = false;
    const settled = work.then(
      () => void (isSettled = true),
      () => void (isSettled = true),
    );
    for (;;) {
      const { count } = await one(
        opened.database,
        z.object({ count: z.number() }),
        `select count(*)::int as count from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock'`,
      );
      if (isSettled) return false;
      if (count > 0) return true;
      await Promise.race([settled, new Promise((resolve) => setImmediate(resolve))]);
    }
  }
});
