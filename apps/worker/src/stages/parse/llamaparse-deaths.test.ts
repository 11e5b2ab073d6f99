import { diagnose, getSpendingToday, listSpending, type RegisteredUpload } from "@pipeline/db";
import { findFaults, interceptStatements, observeJob } from "@pipeline/db/testing";
import type { LlamaParseClient } from "@pipeline/llamaparse";
import type { LlamaParse } from "@pipeline/mocks";
import { afterAll, beforeAll, expect, it } from "vitest";
import { expireSessions, makeDue, policyOf, workThrough } from "../../worker.fixture.ts";
import { finishJob, type LlamaParseBench, openLlamaParseBench, settleAttempts } from "./llamaparse.fixture.ts";

/**
 * A worker dies before or after each statement and each call of a document's way through the provider; another one
 * finishes. However it dies, the provider is sent the document once.
 */
let bench: LlamaParseBench;
let emulator: LlamaParse;
beforeAll(async () => {
  bench = await openLlamaParseBench();
  emulator = await bench.start();
});
afterAll(() => bench.close());

interface Death {
  /** Which step it dies at, statements and calls together, counted from 1. */
  nth: number;
  /** `before`: the step takes no effect. `after`: it does, and the worker does not get to know. */
  moment: "before" | "after";
}

let documents = 0;

/** The worker's way until its pages are stored, or until its death; answers the steps that it took. */
async function walk(death?: Death): Promise<{ upload: RegisteredUpload; steps: string[] }> {
  documents += 1;
  const upload = await bench.submit(`${policyOf(1)}\nPolicy number ${documents}.\n`);
  const steps: string[] = [];
  let isDead = false;
  const live = async <T>(step: string, take: () => Promise<T>): Promise<T> => {
    if (isDead) throw new Error("dead");
    const isLast = steps.push(step) === death?.nth;
    if (isLast && death.moment === "before") isDead = true;
    if (isDead) throw new Error("dead");
    const taken = await take();
    if (isLast) isDead = true;
    if (isDead) throw new Error("dead");
    return taken;
  };
  const database = interceptStatements(bench.database, ({ sql }, send) => live(sql, send));
  const worker = bench.openWorker({ client: mortalClient(live) }, { database });
  const work = async (): Promise<void> => {
    await worker.tick().catch(() => undefined);
    await worker.idle();
  };
  await work();
  await emulator.settled();
  if (!isDead) await makeDue(bench.database, upload.job.job_id);
  await work();
  return { upload, steps };
}

function mortalClient(live: <T>(step: string, take: () => Promise<T>) => Promise<T>): LlamaParseClient {
  const client = bench.createClient();
  return {
    ...client,
    submit: (submission, options) => live("call submit", () => client.submit(submission, options)),
    findJob: (query, options) => live("call findJob", () => client.findJob(query, options)),
    status: (id, options) => live("call status", () => client.status(id, options)),
    result: (id, options) => live("call result", () => client.result(id, options)),
  };
}

async function finish({ job }: RegisteredUpload): Promise<void> {
  await expireSessions(bench.database);
  await settleAttempts(bench.database);
  const worker = bench.openWorker();
  await workThrough(worker);
  await finishJob(bench, { job_id: job.job_id, worker, emulator });
}

it.each(["before", "after"] as const)(
  "the provider has one job for each document, whichever step a worker dies %s",
  async (moment) => {
    const whole = await walk();
    await finish(whole.upload);
    const called = whole.steps.indexOf("call submit");
    const stored = whole.steps.findIndex((step) => step.includes(".page_sources"));
    expect(called).toBeGreaterThan(0);
    // What is stored of the submission, what it cost and the end of the transaction come behind.
    expect(whole.steps.slice(stored + 3, stored + 4)).toEqual(["commit"]);
    for (let nth = 1; nth <= stored + 4; nth += 1) {
      const { upload, steps } = await walk({ nth, moment });
      const told = `${moment} step ${nth}: ${steps[nth - 1]?.replace(/\s+/g, " ").slice(0, 90) ?? ""}`;
      expect(steps, told).toHaveLength(nth);
      await finish(upload);
      const job = await observeJob(bench.database, upload.job.job_id);
      expect(job.state, told).toBe("done");
      expect(findFaults(job), told).toEqual([]);
      const file = emulator.stats().files.find(({ sha256 }) => sha256 === upload.document.file_sha256);
      expect({ told, jobs: file?.job_count }).toEqual({ told, jobs: 1 });
    }
    expect(emulator.stats().paid_again_count).toBe(0);
    const [spent] = await listSpending(bench.database, { days: 1 });
    expect(spent).toMatchObject({ request_count: documents, lost_request_count: 0 });
    expect(await getSpendingToday(bench.database)).toMatchObject({ reserved_usd: 0 });
    const diagnoses = await diagnose(bench.database);
    expect(diagnoses.filter(({ severity, total }) => severity === "error" && total > 0)).toEqual([]);
  },
  300_000,
);
