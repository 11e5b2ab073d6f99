import { advanceJobs, diagnose, releaseJob, replacePages, type RegisteredUpload } from "@pipeline/db";
import {
  claimOne,
  findFaults,
  observeJob,
  openFailing,
  readJob,
  type Failpoint,
  type FailingDatabase,
} from "@pipeline/db/testing";
import { createLocalEmbedder, type Embedder } from "@pipeline/embedding";
import { AppError } from "@pipeline/runtime";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { expireSessions, makeDue, openWorkerBench, type WorkerBench, workThrough } from "./worker.fixture.ts";

/**
 * A worker carries a document through all stages while one statement fails, for every statement and every way to fail;
 * then it dies and another one finishes. Reading a file takes a process of its own, so the statements after that are
 * failed on documents that were read before.
 */
let bench: WorkerBench;
beforeAll(async () => {
  bench = await openWorkerBench();
});
afterAll(() => bench.close());

interface Way {
  name: string;
  moment: Failpoint["moment"];
  /** In turn, so that each statement meets one of them. */
  sqlStates: readonly string[];
}

const LOST = ["08006", "57P01"] as const;
const WAYS: readonly Way[] = [
  { name: "the connection is lost before", moment: "before", sqlStates: LOST },
  { name: "the connection is lost after it was done, the reply with it", moment: "after", sqlStates: LOST },
  {
    name: "a serialization failure, a deadlock or a time-out",
    moment: "before",
    sqlStates: ["40001", "40P01", "57014"],
  },
  { name: "a unique violation", moment: "before", sqlStates: ["23505"] },
];

type Scenario = "a new file" | "a file that was read" | "a stage that fails";

describe.each(["a new file", "a file that was read", "a stage that fails"] as const)("%s", (scenario) => {
  let last: number;
  let first: number;
  beforeAll(async () => {
    const whole = await walk(scenario);
    await finish(whole.upload);
    const stored = whole.statements.findIndex((sql) => sql.includes("insert into") && sql.includes(".document_pages"));
    const failed = whole.statements.findIndex((sql) => sql.includes("with failed as"));
    first = scenario === "a stage that fails" ? failed + 1 : 1;
    // With the end of the transaction: what is stored, the document's title, which parser it was, and the commit.
    last = scenario === "a new file" ? stored + 4 : whole.statements.length;
    expect(last - first).toBeGreaterThanOrEqual(scenario === "a stage that fails" ? 1 : 10);
  });

  it.each(WAYS)(
    "is complete exactly once, whichever statement fails: $name",
    async (way) => {
      for (let nth = first; nth <= last; nth += 1) {
        const sqlState = way.sqlStates[nth % way.sqlStates.length] ?? "08006";
        const { upload, statements } = await walk(scenario, { nth, moment: way.moment, sqlState });
        expect(statements.length, `statement ${nth}`).toBeGreaterThanOrEqual(nth);
        const told = `${sqlState} ${way.moment} statement ${nth}: ${statements[nth - 1]?.replace(/\s+/g, " ").slice(0, 90) ?? ""}`;
        await finish(upload);
        await expectOneEffect(upload, { told, mayBeRefused: sqlState === "23505" });
      }
      expect(await findViolations()).toEqual([]);
    },
    300_000,
  );
});

let documents = 0;

/** The worker dies in the end: it says no goodbye. */
async function walk(
  scenario: Scenario,
  failpoint?: Failpoint,
): Promise<{ upload: RegisteredUpload; statements: FailingDatabase["statements"] }> {
  documents += 1;
  const upload = await bench.submit(`# Policy ${documents}\n\nWater damage is covered.\n`);
  if (scenario !== "a new file") await readBefore(upload);
  const { database, statements } = openFailing(bench.database, failpoint);
  const embedder = scenario === "a stage that fails" ? failingEmbedder() : createLocalEmbedder();
  const worker = bench.openWorker({ database, embedder, random: () => 0, options: { concurrency: 1 } });
  // A round or a heartbeat that fails is tried again by the loops; here that is another worker's turn.
  await worker.tick().catch(expectDatabaseError);
  await worker.idle();
  await worker.beat().catch(expectDatabaseError);
  return { upload, statements: [...statements] };
}

/** Brings a job to `parsed` as a worker would that then stopped. */
async function readBefore({ job }: RegisteredUpload): Promise<void> {
  const claim = await claimOne(bench.database);
  expect(claim.job_id).toBe(job.job_id);
  const step = { job_id: claim.job_id, fence: claim.fence, progress: {}, detail: {} };
  await bench.database.transaction(async (tx) => {
    await advanceJobs(tx, [{ ...step, from: "uploaded", to: "parsing" }]);
    await advanceJobs(tx, [{ ...step, from: "parsing", to: "parsed" }]);
    const pages = [{ page_number: 1, text: "# Policy\n\nWater damage is covered.\n" }];
    await replacePages(tx, claim, { title: "Policy", pages });
  });
  await releaseJob(bench.database, claim);
}

function failingEmbedder(): Embedder {
  const error = new AppError({ kind: "transient", code: "embedding_unavailable", message: "Try later." });
  return { ...createLocalEmbedder(), embed: () => Promise.reject(error) };
}

function expectDatabaseError(error: unknown): void {
  expect(error).toMatchObject({
    code: expect.stringMatching(/^(database_unavailable|database_conflict|already_exists)$/),
  });
}

/** Whatever the first worker left behind, a fresh one ends it. */
async function finish(upload: RegisteredUpload): Promise<void> {
  await expireSessions(bench.database);
  const worker = bench.openWorker({ random: () => 0 });
  await workThrough(worker);
  const { state } = await readJob(bench.database, upload.job.job_id);
  if (state !== "retryable") return;
  await makeDue(bench.database, upload.job.job_id);
  await workThrough(worker);
}

async function expectOneEffect(
  upload: RegisteredUpload,
  { told, mayBeRefused }: { told: string; mayBeRefused: boolean },
): Promise<void> {
  const job = await observeJob(bench.database, upload.job.job_id);
  const { last_error } = await readJob(bench.database, upload.job.job_id);
  expect(findFaults(job), told).toEqual([]);
  // A broken rule of the database is no passing condition: the job may end as a dead letter that says so.
  const isRefused = mayBeRefused && last_error?.["code"] === "already_exists";
  expect(job.state, told).toBe(isRefused ? "deadletter" : "done");
}

async function findViolations() {
  const diagnoses = await diagnose(bench.database);
  return diagnoses.filter(({ severity, total }) => severity === "error" && total > 0);
}
