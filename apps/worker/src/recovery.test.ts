import { countChunks, createNotifier, type Database } from "@pipeline/db";
import { readHistory, readJob } from "@pipeline/db/testing";
import { createLocalEmbedder } from "@pipeline/embedding";
import { AppError } from "@pipeline/runtime";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import {
  countingEmbedder,
  expireSessions,
  hangingEmbedder,
  makeDue,
  openWorkerBench,
  policyOf,
  readCodes,
  type WorkerBench,
  workThrough,
} from "./worker.fixture.ts";

let bench: WorkerBench;
beforeAll(async () => {
  bench = await openWorkerBench();
});
afterEach(() => bench.clear());
afterAll(() => bench.close());

const jobOf = (jobId: string) => readJob(bench.database, jobId);

const outcomes = (): unknown[] =>
  bench.logged
    .map((line) => z.looseObject({ msg: z.string() }).parse(JSON.parse(line)))
    .filter((line) => line.msg === "claim ended")
    .map((line) => line["outcome"]);

const SESSIONS = z.object({ ended: z.boolean(), live: z.boolean() });
const readSessions = () =>
  bench.database.many(
    SESSIONS,
    `select ended_at is not null as ended, ended_at is null and expires_at > now() as live
     from ${bench.database.schema}.worker_sessions order by started_at`,
  );

describe("a lost claim", () => {
  it("ends in silence when somebody raised the fence behind its back", async () => {
    const { job } = await bench.submit(policyOf(2));
    const { embedder, sent } = countingEmbedder(async (batch) => {
      if (batch > 1) return;
      await bench.database.run(`update ${bench.database.schema}.upload_jobs set fence = fence + 1 where job_id = $1`, [
        job.job_id,
      ]);
    });
    bench.logged.length = 0;
    const worker = bench.openWorker({ embedder });
    await worker.tick();
    await worker.idle();
    expect(sent.length).toBeGreaterThan(0);
    const counts = await countChunks(bench.database, { ...job, generation: 1 }, embedder.model);
    expect(counts.embedded_count).toBe(0);
    expect(await jobOf(job.job_id)).toMatchObject({
      state: "working",
      status: "embedding_in_progress",
      last_error: null,
    });
    expect(outcomes()).toEqual(["lost"]);
  });

  it("stops the handler at the next heartbeat after a cancellation", async () => {
    const { job } = await bench.submit(policyOf(1));
    const { embedder, called } = hangingEmbedder();
    const worker = bench.openWorker({ embedder });
    await worker.tick();
    await called;
    await bench.database.run(
      `update ${bench.database.schema}.upload_jobs set state = 'cancelled', finished_at = now(), lease_session_id = null,
         lease_expires_at = null where job_id = $1`,
      [job.job_id],
    );
    await worker.beat();
    await worker.idle();
    expect(await jobOf(job.job_id)).toMatchObject({ state: "cancelled", status: "embedding_in_progress" });
  });
});

describe("an expired session", () => {
  it("stops its jobs, and the worker goes on in a new one", async () => {
    const { job } = await bench.submit(policyOf(1));
    const { embedder, called } = hangingEmbedder();
    const worker = bench.openWorker({ embedder });
    await worker.tick();
    await called;
    await expireSessions(bench.database);
    await worker.beat();
    await worker.idle();
    expect(await jobOf(job.job_id)).toMatchObject({ state: "working", crash_count: 0 });
    await bench.openWorker().tick();
    await worker.tick();
    expect(await readSessions()).toEqual([
      { ended: false, live: false },
      { ended: false, live: true },
      { ended: false, live: true },
    ]);
  });

  it("gives its jobs to another worker, which goes on where they were", async () => {
    const upload = await bench.submit(policyOf(1));
    const { embedder, called } = hangingEmbedder();
    await bench.openWorker({ embedder }).tick();
    await called;
    await expireSessions(bench.database);
    await workThrough(bench.openWorker());
    expect(await jobOf(upload.job.job_id)).toMatchObject({ state: "done" });
    expect(await readCodes(bench.database, upload)).toEqual(["worker_lost"]);
    const history = await readHistory(bench.database, upload.job.job_id);
    expect(history.filter((line) => line === "status:embedding_in_progress")).toHaveLength(1);
  });

  it("makes a dead letter of a job on which three workers died", async () => {
    const upload = await bench.submit(policyOf(1));
    for (let crash = 1; crash <= 3; crash += 1) {
      const { embedder, called } = hangingEmbedder();
      await bench.openWorker({ embedder }).tick();
      await called;
      await expireSessions(bench.database);
    }
    await workThrough(bench.openWorker());
    expect(await jobOf(upload.job.job_id)).toMatchObject({
      state: "deadletter",
      last_error: { stage: "embed", code: "poison_job", retryable: false },
    });
    expect(await readCodes(bench.database, upload)).toEqual(["worker_lost", "worker_lost", "poison_job"]);
  });
});

describe("a crash in the middle of embedding", () => {
  it("sends no stored batch twice", async () => {
    const upload = await bench.submit(policyOf(8));
    const first = countingEmbedder((batch) => {
      if (batch === 3) throw new Error("out of memory");
    });
    await workThrough(bench.openWorker({ embedder: first.embedder }));
    const generation = { document_id: upload.job.document_id, generation: 1 };
    const counts = await countChunks(bench.database, generation, first.embedder.model);
    expect(first.sent).toHaveLength(4);
    expect(counts.embedded_count).toBe(4);
    expect(counts.chunk_count).toBeGreaterThan(6);
    await makeDue(bench.database, upload.job.job_id);
    const second = countingEmbedder();
    await workThrough(bench.openWorker({ embedder: second.embedder }));
    expect(await jobOf(upload.job.job_id)).toMatchObject({ state: "done" });
    expect(second.sent).toHaveLength(counts.chunk_count - 4);
    expect(second.sent.filter((text) => first.sent.includes(text))).toEqual([]);
  });

  it("embeds everything anew when the model has changed meanwhile", async () => {
    const upload = await bench.submit(policyOf(4));
    const first = countingEmbedder((batch) => {
      if (batch === 2) throw new Error("out of memory");
    });
    await workThrough(bench.openWorker({ embedder: first.embedder }));
    await makeDue(bench.database, upload.job.job_id);
    const { embedder, sent } = countingEmbedder();
    await workThrough(bench.openWorker({ embedder: { ...embedder, model: "another-model" } }));
    const generation = { document_id: upload.job.document_id, generation: 1 };
    const counts = await countChunks(bench.database, generation, "another-model");
    expect(counts.embedded_count).toBe(counts.chunk_count);
    expect(sent).toHaveLength(counts.chunk_count);
  });
});

describe("an answer that cannot be stored", () => {
  it("fails the stage when there are fewer vectors than passages", async () => {
    const { job } = await bench.submit(policyOf(3));
    const local = createLocalEmbedder();
    const embedder = {
      ...local,
      embed: async (...input: Parameters<typeof local.embed>) => {
        const { vectors, total_tokens } = await local.embed(...input);
        return { vectors: vectors.slice(1), total_tokens };
      },
    };
    await workThrough(bench.openWorker({ embedder }));
    expect(await jobOf(job.job_id)).toMatchObject({ state: "retryable", last_error: { code: "embedding_invalid" } });
  });
});

describe("a running worker", () => {
  it("keeps its session alive", async () => {
    await bench.openWorker({ options: { leaseMs: 6_000, rescueIntervalMs: 1_000 } }).start();
    const beats = () =>
      bench.database.many(
        z.object({ has_beaten: z.boolean(), is_live: z.boolean() }),
        `select heartbeat_at > started_at as has_beaten, expires_at > now() as is_live
         from ${bench.database.schema}.worker_sessions`,
      );
    await expect.poll(beats, { timeout: 30_000, interval: 100 }).toEqual([{ has_beaten: true, is_live: true }]);
  });

  it("fills a slot as soon as it is free", async () => {
    const hour = 3_600_000;
    const uploads = [await bench.submit(policyOf(1)), await bench.submit(policyOf(2))];
    await bench.openWorker({ options: { concurrency: 1, pollIntervalMs: hour, rescueIntervalMs: hour } }).start();
    const states = () => Promise.all(uploads.map(async (upload) => (await jobOf(upload.job.job_id)).state));
    await expect.poll(states, { timeout: 30_000, interval: 100 }).toEqual(["done", "done"]);
  });

  it("is woken by a notification, long before it would look by itself", async () => {
    const hour = 3_600_000;
    bench.logged.length = 0;
    await bench.openWorker({ options: { pollIntervalMs: hour, rescueIntervalMs: hour } }).start();
    expect(bench.logged.join("")).toContain("wake-ups work");
    await expect.poll(readSessions, { timeout: 30_000, interval: 50 }).toHaveLength(1);
    const { job } = await bench.submit(policyOf(1));
    const failures: unknown[] = [];
    const notifier = createNotifier(bench.database, { onError: (error) => failures.push(error) });
    notifier.wake();
    await notifier.close();
    await expect.poll(async () => (await jobOf(job.job_id)).state, { timeout: 30_000, interval: 100 }).toBe("done");
    expect(failures).toEqual([]);
  });
});

describe("a worker that cannot be woken", () => {
  it("finds committed work at its next round", async () => {
    const worker = bench.openWorker({ database: deaf(bench.database) });
    expect(await worker.tick()).toBe(0);
    const { job } = await bench.submit(policyOf(1));
    expect(await worker.tick()).toBe(1);
    await worker.idle();
    expect(await jobOf(job.job_id)).toMatchObject({ state: "done" });
  });

  it("goes on by itself from round to round", async () => {
    bench.logged.length = 0;
    await bench
      .openWorker({ database: deaf(bench.database), options: { pollIntervalMs: 50, rescueIntervalMs: 50 } })
      .start();
    const { job } = await bench.submit(policyOf(1));
    await expect.poll(async () => (await jobOf(job.job_id)).state, { timeout: 30_000, interval: 100 }).toBe("done");
    expect(bench.logged.join("")).toContain("wake-ups lost");
  });
});

describe("a stopping worker", () => {
  it("gives its jobs back without burning an attempt, and claims no more", async () => {
    const { job } = await bench.submit(policyOf(1));
    const { embedder, called } = hangingEmbedder();
    const worker = bench.openWorker({ embedder });
    await worker.tick();
    await called;
    await worker.stop({ deadlineMs: 0 });
    expect(await jobOf(job.job_id)).toMatchObject({
      state: "queued",
      status: "embedding_in_progress",
      retry_count: 0,
      crash_count: 0,
    });
    expect(await readSessions()).toEqual([{ ended: true, live: false }]);
    expect(await worker.tick()).toBe(0);
    await workThrough(bench.openWorker());
    expect(await jobOf(job.job_id)).toMatchObject({ state: "done" });
  });

  it("lets jobs that finish in time finish", async () => {
    const { job } = await bench.submit(policyOf(1));
    const worker = bench.openWorker();
    await worker.start();
    worker.wake();
    await worker.tick();
    await worker.stop({ deadlineMs: 60_000 });
    expect(await jobOf(job.job_id)).toMatchObject({ state: "done" });
    expect(await readSessions()).toEqual([{ ended: true, live: false }]);
  });
});

/** What a database says that is away, or lets nobody in. */
const AWAY = ["database_unavailable", "database_login_refused", "database_missing"] as const;

describe("a database that loses its replies", () => {
  it("makes no stage take effect twice", async () => {
    const upload = await bench.submit(policyOf(1));
    const { embedder, sent } = countingEmbedder();
    // The first is the claim, of which a test below tells.
    const { database, lost } = losing(bench.database, (call) => call % 2 === 0);
    bench.logged.length = 0;
    await workThrough(bench.openWorker({ database, embedder, random: () => 0 }));
    expect(lost()).toBeGreaterThan(2);
    expect(await jobOf(upload.job.job_id)).toMatchObject({ state: "done", retry_count: 0, crash_count: 0 });
    expect(outcomes()).toEqual(["completed"]);
    const history = await readHistory(bench.database, upload.job.job_id);
    expect(history).toHaveLength(new Set(history).size);
    expect(sent).toHaveLength(new Set(sent).size);
  });

  it.each(AWAY)("costs no attempt while a stage reads or stores, and it says %s", async (code) => {
    const { job } = await bench.submit(policyOf(1));
    let refusals = 0;
    let transactions = 0;
    const database: Database = {
      ...bench.database,
      many: async (row, sql, parameters) => {
        // Claims and checkpoints are functions that write.
        const isRead = sql.trimStart().startsWith("select") && !sql.includes("_jobs(") && refusals < 6;
        if (isRead && (refusals += 1) % 2 === 1) throw databaseAway(code);
        return bench.database.many(row, sql, parameters);
      },
      transaction: async (work) => {
        // The claim comes first, of which another test tells.
        transactions += 1;
        if (transactions > 1 && transactions % 2 === 0) throw databaseAway(code);
        return bench.database.transaction(work);
      },
    };
    await workThrough(bench.openWorker({ database, random: () => 0 }));
    expect(refusals).toBe(6);
    expect(transactions).toBeGreaterThan(2);
    expect(await jobOf(job.job_id)).toMatchObject({ state: "done", retry_count: 0, crash_count: 0 });
    const history = await readHistory(bench.database, job.job_id);
    expect(history.filter((line) => line.startsWith("retry_scheduled"))).toEqual([]);
  });

  it("leaves a job to the rescue when its failure cannot be recorded", async () => {
    const upload = await bench.submit("x".repeat(10), { mime: "application/pdf" });
    const database: Database = {
      ...bench.database,
      many: async (row, sql, parameters) => {
        if (sql.includes("with failed as")) throw connectionLost();
        return bench.database.many(row, sql, parameters);
      },
    };
    bench.logged.length = 0;
    const worker = bench.openWorker({ database, options: { leaseMs: 3_000 } });
    await worker.tick();
    await worker.idle();
    expect(outcomes()).toEqual(["abandoned"]);
    await worker.beat();
    await workThrough(bench.openWorker());
    expect(await jobOf(upload.job.job_id)).toMatchObject({
      state: "deadletter",
      last_error: { code: "content_mismatch" },
    });
    expect(await readCodes(bench.database, upload)).toEqual(["worker_lost", "content_mismatch"]);
  });

  it("records a failure as soon as the database is back", async () => {
    const { job } = await bench.submit("x".repeat(10), { mime: "application/pdf" });
    let refusals = 2;
    const database: Database = {
      ...bench.database,
      many: async (row, sql, parameters) => {
        if (sql.includes("with failed as") && refusals > 0) {
          refusals -= 1;
          throw connectionLost();
        }
        return bench.database.many(row, sql, parameters);
      },
    };
    await workThrough(bench.openWorker({ database }));
    expect(refusals).toBe(0);
    expect(await jobOf(job.job_id)).toMatchObject({ state: "deadletter", crash_count: 0 });
  });

  it("strands no job that was claimed without an answer", async () => {
    const { job } = await bench.submit(policyOf(1));
    const { database } = losing(bench.database, (call) => call === 1);
    const worker = bench.openWorker({ database });
    await expect(worker.tick()).rejects.toMatchObject({ code: "database_unavailable" });
    expect(await jobOf(job.job_id)).toMatchObject({ state: "working" });
    await worker.beat();
    await workThrough(worker);
    expect(await jobOf(job.job_id)).toMatchObject({ state: "done" });
  });
});

/** Does the work and then behaves as if the connection had broken before the answer, for the calls named. */
function losing(database: Database, shouldLose: (call: number) => boolean): { database: Database; lost: () => number } {
  let calls = 0;
  let lost = 0;
  return {
    lost: () => lost,
    database: {
      ...database,
      transaction: async (work) => {
        const result = await database.transaction(work);
        calls += 1;
        if (!shouldLose(calls)) return result;
        lost += 1;
        throw connectionLost();
      },
    },
  };
}

/** As where LISTEN is impossible. */
function deaf(database: Database): Database {
  return { ...database, listen: () => Promise.reject(connectionLost()) };
}

function connectionLost(): AppError {
  return databaseAway("database_unavailable");
}

function databaseAway(code: (typeof AWAY)[number]): AppError {
  return new AppError({ kind: "transient", code, message: "Nobody gets through." });
}
