import { isDate } from "node:util/types";
import {
  hasParallelConnections,
  interceptStatements,
  readHistory,
  readJob,
  type Statement,
} from "@pipeline/db/testing";
import { createLocalEmbedder } from "@pipeline/embedding";
import { AppError } from "@pipeline/runtime";
import { afterAll, afterEach, beforeAll, expect, it, vi } from "vitest";
import { z } from "zod";
import {
  countingEmbedder,
  expireSessions,
  makeDue,
  openWorkerBench,
  policyOf,
  type WorkerBench,
  workThrough,
} from "./worker.fixture.ts";

let bench: WorkerBench;
beforeAll(async () => {
  bench = await openWorkerBench();
});
afterEach(async () => {
  vi.useRealTimers();
  await bench.clear();
});
afterAll(() => bench.close());

const HOUR_MS = 3_600_000;

it("no statement carries a time of the worker's own clock, whatever happens to a job", async () => {
  const sent: Statement[] = [];
  const database = interceptStatements(bench.database, (statement, send) => {
    sent.push(statement);
    return send();
  });
  const upload = await bench.promise(policyOf(2));
  const open = (embedder = createLocalEmbedder()) => bench.openWorker({ database, embedder });
  // Waits for its file, fails, is rescued, is given back, and is completed.
  await makeDue(bench.database, upload.job.job_id);
  await workThrough(open());
  await bench.put(upload, policyOf(2));
  await makeDue(bench.database, upload.job.job_id);
  await workThrough(open(failingOnce()));
  await makeDue(bench.database, upload.job.job_id);
  const { embedder, called } = stalling();
  const dying = open(embedder);
  await dying.tick();
  await called;
  await expireSessions(bench.database);
  await dying.beat();
  await dying.idle();
  const second = stalling();
  const stopping = open(second.embedder);
  await stopping.tick();
  await second.called;
  await stopping.beat();
  await stopping.stop({ deadlineMs: 0 });
  await workThrough(open());

  expect(await readJob(bench.database, upload.job.job_id)).toMatchObject({ state: "done" });
  const history = await readHistory(bench.database, upload.job.job_id);
  expect(history.map((line) => line.split(":")[0])).toEqual(
    expect.arrayContaining(["retry_scheduled", "rescued", "released"]),
  );
  expect(sent.length).toBeGreaterThan(60);
  expect(sent.filter((statement) => statement.parameters.some(isTime))).toEqual([]);
});

it.each([
  [new Date(), true],
  [new Date().toISOString(), true],
  [`{"at": "${new Date().toISOString()}"}`, true],
  [Date.now(), true],
  [[Math.round(Date.now() / 1_000)], true],
  [["letter.txt", 12, null, true], false],
])("a parameter like %s is told from a time", (parameter, expected) => {
  expect(isTime(parameter)).toBe(expected);
});

/** A date, text that holds one of today, or a number that counts from 1970 to within a day of now. */
function isTime(parameter: unknown): boolean {
  if (Array.isArray(parameter)) return parameter.some(isTime);
  if (isDate(parameter)) return true;
  if (typeof parameter === "number") {
    return [1, 1_000].some((unit) => Math.abs(parameter * unit - Date.now()) < 24 * HOUR_MS);
  }
  if (typeof parameter !== "string") return false;
  const days = [-1, 0, 1].map((day) => new Date(Date.now() + day * 24 * HOUR_MS).toISOString().slice(0, 10));
  return days.some((day) => parameter.includes(day));
}

// The embedded database takes its time from this process, so there its clock would be off as well.
it.skipIf(!hasParallelConnections())(
  "workers whose clocks are an hour off, each its own way, neither rescue each other nor lose a job: needs a server",
  async () => {
    const uploads = [await bench.submit(policyOf(1)), await bench.submit(policyOf(2))];
    const local = stalling();
    const ahead = bench.openWorker({ embedder: local.embedder, options: { concurrency: 1 } });
    setClock(HOUR_MS);
    await ahead.tick();
    await local.called;
    setClock(-HOUR_MS);
    const behind = bench.openWorker({ options: { concurrency: 1 } });
    await workThrough(behind);
    setClock(HOUR_MS);
    await ahead.beat();
    expect(await states(uploads)).toEqual(["done", "working"]);
    local.release();
    await ahead.idle();
    expect(await states(uploads)).toEqual(["done", "done"]);
    const crashes = await bench.database.many(
      z.object({ type: z.string() }),
      `select type from ${bench.database.schema}.events where type not in ('created', 'upload_confirmed', 'status')`,
    );
    expect(crashes).toEqual([]);
  },
);

function setClock(offsetMs: number): void {
  vi.useRealTimers();
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + offsetMs });
}

async function states(uploads: readonly { job: { job_id: string } }[]): Promise<string[]> {
  const jobs = await Promise.all(uploads.map(({ job }) => readJob(bench.database, job.job_id)));
  return jobs.map((job) => job.state).toSorted();
}

function failingOnce() {
  return countingEmbedder((batch) => {
    if (batch === 1) throw new AppError({ kind: "transient", code: "embedding_unavailable", message: "Try later." });
  }).embedder;
}

/** Waits in its first batch until it is released. */
function stalling() {
  const { promise: called, resolve: call } = Promise.withResolvers<void>();
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const { embedder } = countingEmbedder(async (batch) => {
    if (batch > 1) return;
    call();
    await released;
  });
  return { embedder, called, release };
}
