import { AppError } from "@pipeline/runtime";
import { afterAll, beforeAll, expect, test } from "vitest";
import { advanceJobs, failJob, parkJob, releaseJob } from "./checkpoints.ts";
import { stageFrom, type Status } from "./pipeline.ts";
import { claimJobs } from "./claims.ts";
import { promoteDueJobs, rescueJobs } from "./queue.ts";
import type { Queryable } from "./queryable.ts";
import type { Hold } from "./rows.ts";
import {
  createQueuedJob,
  createSession,
  findFaults,
  findIllegalChanges,
  observeJob,
  openTestDatabase,
  type ObservedJob,
  type TestDatabase,
} from "./testing/index.ts";

/**
 * Two workers and a third party, each with a script of statements, on one job: every order in which their statements
 * can follow each other, looked at after every statement. Orders that lead to the same rows, history and beliefs at
 * the same place of all scripts go on alike and are followed once; the count proves that none is left out.
 */
let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());

const WORKERS = ["a", "b"] as const;
type Worker = (typeof WORKERS)[number];
type Ending = "advance" | "fail" | "release" | "park";
type WorkerStep = "claim" | "rescue" | Ending;
type ThirdStep = "promote" | "rescue" | "end session a" | "end session b" | "overrun";

interface Scripts {
  a: readonly WorkerStep[];
  b: readonly WorkerStep[];
  third: readonly ThirdStep[];
}

/** What a worker believes after its last claim. Refusals do not teach it: every later write is tried all the same. */
interface Belief {
  hold: Hold;
  status: Status;
}

interface Moment {
  done: Record<keyof Scripts, number>;
  beliefs: Partial<Record<Worker, Belief>>;
  job: ObservedJob;
}

interface Exploration {
  tx: Queryable;
  jobId: string;
  sessions: Record<Worker, string>;
  scripts: Scripts;
  /** Orders that follow from each moment met so far. */
  counted: Map<string, number>;
  staleWrites: number;
}

const MAX_RETRIES = 1;
const MAX_CRASHES = 2;

const ENDINGS: readonly Ending[] = ["advance", "fail", "release"];
const PAIRS = [...ENDINGS.flatMap((a) => ENDINGS.map((b) => ({ a, b }))), { a: "park", b: "park" } as const];
const SHORT = PAIRS.map(({ a, b }): [string, Scripts] => [
  `A ends with ${a}, B with ${b}`,
  { a: ["claim", "advance", a], b: ["rescue", "claim", "advance", b], third: ["end session a", "promote"] },
]);
const LONG: [string, Scripts][] = [
  [
    "A comes back after a failure while B works and its stage overruns",
    {
      a: ["claim", "advance", "fail", "claim", "advance"],
      b: ["claim", "advance", "advance", "rescue", "claim"],
      third: ["overrun", "rescue", "promote"],
    },
  ],
  [
    "A gives the job back and takes it again while B's session ends",
    {
      a: ["claim", "advance", "release", "claim", "advance"],
      b: ["rescue", "claim", "advance", "advance", "fail"],
      third: ["end session b", "rescue", "promote"],
    },
  ],
];

test.each([...SHORT, ...LONG])(
  "every order of statements keeps the job sound: %s",
  async (_name, scripts) => {
    const exploration = await explore(scripts);
    expect(exploration.orders).toBe(countOrders(scripts));
    expect(exploration.staleWrites).toBeGreaterThan(0);
  },
  180_000,
);

/** (a + b + t)! / (a! b! t!) */
function countOrders({ a, b, third }: Scripts): number {
  const choose = (n: number, k: number): number => (k === 0 ? 1 : (choose(n - 1, k - 1) * n) / k);
  return choose(a.length + b.length, a.length) * choose(a.length + b.length + third.length, third.length);
}

async function explore(scripts: Scripts): Promise<{ orders: number; staleWrites: number }> {
  await opened.database.run("delete from upload_pipeline.documents");
  const { job } = await createQueuedJob(opened.database);
  const sessions = { a: await createSession(opened.database), b: await createSession(opened.database) };
  const rollback = new Error("rolled back on purpose");
  let found = { orders: 0, staleWrites: 0 };
  const exploring = opened.database.transaction(async (tx) => {
    const exploration = {
      tx,
      jobId: job.job_id,
      sessions,
      scripts,
      counted: new Map<string, number>(),
      staleWrites: 0,
    };
    const start = { done: { a: 0, b: 0, third: 0 }, beliefs: {}, job: await observeJob(tx, job.job_id) };
    const orders = await follow(exploration, start);
    found = { orders, staleWrites: exploration.staleWrites };
    throw rollback;
  });
  await exploring.catch((error: unknown) => {
    if (error !== rollback) throw error;
  });
  return found;
}

/** Answers how many orders there are from this moment on. */
async function follow(exploration: Exploration, moment: Moment): Promise<number> {
  const key = JSON.stringify(moment);
  const known = exploration.counted.get(key);
  if (known !== undefined) return known;
  let orders = 0;
  let isEnd = true;
  for (const actor of ["a", "b", "third"] as const) {
    if (moment.done[actor] === exploration.scripts[actor].length) continue;
    isEnd = false;
    const savepoint = `step_${moment.done.a}_${moment.done.b}_${moment.done.third}`;
    await exploration.tx.run(`savepoint ${savepoint}`);
    orders += await follow(exploration, await take(exploration, moment, actor));
    await exploration.tx.run(`rollback to savepoint ${savepoint}`);
  }
  const total = isEnd ? 1 : orders;
  exploration.counted.set(key, total);
  return total;
}

async function take(exploration: Exploration, before: Moment, actor: keyof Scripts): Promise<Moment> {
  const { tx, jobId, scripts } = exploration;
  const place = before.done[actor];
  let beliefs = before.beliefs;
  if (actor === "third") await interfere(exploration, scripts.third[place] ?? "promote");
  else beliefs = await work(exploration, { worker: actor, step: scripts[actor][place] ?? "claim", before });
  const job = await observeJob(tx, jobId);
  const after = { done: { ...before.done, [actor]: place + 1 }, beliefs, job };
  expect([...findFaults(job), ...findIllegalChanges(before.job, job)], describe(scripts, after)).toEqual([]);
  const holders = WORKERS.filter((worker) => isHeld(job, beliefs[worker]));
  expect(holders.length, describe(scripts, after)).toBeLessThanOrEqual(1);
  return after;
}

function describe(scripts: Scripts, { done }: Moment): string {
  const told = (["a", "b", "third"] as const).map(
    (actor) => `${actor}: ${scripts[actor].slice(0, done[actor]).join()}`,
  );
  return told.join("; ");
}

function isHeld(job: ObservedJob, belief: Belief | undefined): boolean {
  return belief !== undefined && job.state === "working" && job.fence === belief.hold.fence;
}

async function interfere({ tx, sessions, jobId }: Exploration, step: ThirdStep): Promise<unknown> {
  switch (step) {
    case "promote":
      return promoteDueJobs(tx);
    case "rescue":
      return rescueJobs(tx, { maxCrashes: MAX_CRASHES });
    case "end session a":
    case "end session b":
      return tx.run("update upload_pipeline.worker_sessions set expires_at = now() where session_id = $1", [
        step === "end session a" ? sessions.a : sessions.b,
      ]);
    case "overrun":
      return tx.run(
        "update upload_pipeline.upload_jobs set lease_expires_at = now() where job_id = $1 and state = 'working'",
        [jobId],
      );
  }
}

async function work(
  exploration: Exploration,
  { worker, step, before }: { worker: Worker; step: WorkerStep; before: Moment },
): Promise<Moment["beliefs"]> {
  const { tx, sessions } = exploration;
  if (step === "rescue") {
    await rescueJobs(tx, { maxCrashes: MAX_CRASHES });
    return before.beliefs;
  }
  if (step === "claim") {
    const [claim] = await claimJobs(tx, { session_id: sessions[worker], limit: 1 });
    if (!claim) return before.beliefs;
    expect(claim.fence).toBeGreaterThan(before.job.fence);
    const { job_id, fence, status } = claim;
    return { ...before.beliefs, [worker]: { hold: { job_id, fence }, status } };
  }
  const belief = before.beliefs[worker];
  if (!belief) return before.beliefs;
  const isAccepted = await write(tx, step, belief);
  expect(isAccepted).toBe(isHeld(before.job, belief));
  if (!isAccepted) {
    exploration.staleWrites += 1;
    expect(await observeJob(tx, exploration.jobId)).toEqual(before.job);
    return before.beliefs;
  }
  if (step !== "advance") return before.beliefs;
  return { ...before.beliefs, [worker]: { ...belief, status: nextOf(belief.status) } };
}

async function write(tx: Queryable, step: Ending, { hold, status }: Belief): Promise<boolean> {
  switch (step) {
    case "advance": {
      const checkpoint = { ...hold, from: status, to: nextOf(status), progress: {}, detail: {} };
      return (await advanceJobs(tx, [checkpoint])).has(hold.job_id);
    }
    case "fail": {
      const error = new AppError({ kind: "transient", code: "test", message: "Test." });
      return (await failJob(tx, hold, { stage: "parse", error, maxRetries: MAX_RETRIES, delayMs: 0 })) !== undefined;
    }
    case "release":
      return (await releaseJob(tx, hold)) !== undefined;
    case "park":
      return (await parkJob(tx, hold, { waiting_for: "parser", delayMs: 0 })) !== undefined;
  }
}

function nextOf(status: Status): Status {
  const definition = stageFrom(status);
  if (!definition) throw new Error(`Nothing follows ${status}.`);
  return definition.to;
}
