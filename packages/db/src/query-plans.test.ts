import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { z } from "zod";
import { advanceJobs } from "./checkpoints.ts";
import { listDocuments } from "./documents.ts";
import { claimJobs } from "./claims.ts";
import { listJobs } from "./job-list.ts";
import { promoteDueJobs, rescueJobs } from "./queue.ts";
import { makeUploads } from "./make-uploads.ts";
import { redriveJobs } from "./redrive.ts";
import { one, type Queryable } from "./queryable.ts";
import { hasOtherModels } from "./search.ts";
import {
  captureStatement,
  createCompleteDocument,
  createSession,
  discardedRows,
  explainGeneric,
  openFunction,
  openTestDatabase,
  queueInBulk,
  uploadPromise,
  vectorOf,
  type PlanNode,
  type TestDatabase,
} from "./testing/index.ts";
import { readUploadUsage, UNLIMITED } from "./upload-counts.ts";
import { createUploadRegistrar } from "./upload-registrar.ts";
import { listUserJobs } from "./user-jobs.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
  await opened.database.run("alter table upload_pipeline.upload_jobs set (autovacuum_enabled = false)");
});
afterAll(() => opened.close());
beforeEach(() => opened.database.run("truncate upload_pipeline.documents, upload_pipeline.events cascade"));

const BATCH = 500;
const schema = '"upload_pipeline"';

function analyze(): Promise<number> {
  return opened.database.run("analyze upload_pipeline.upload_jobs");
}

function indexesOf(nodes: readonly PlanNode[]): unknown[] {
  return nodes.map((node) => node["Index Name"]).filter((name) => name !== undefined);
}

/** Nodes that read this table from its first page to its last. */
function scansOf(nodes: readonly PlanNode[], table: string): PlanNode[] {
  return nodes.filter((node) => node["Node Type"] === "Seq Scan" && node["Relation Name"] === table);
}

/** Rows of a table that were fetched, over all loops, those thrown away included. */
function rowsRead(nodes: readonly PlanNode[], table: string): number {
  const scans = nodes.filter((node) => node["Relation Name"] === table);
  const kept = scans.reduce((sum, node) => sum + Number(node["Actual Rows"]) * Number(node["Actual Loops"]), 0);
  return kept + discardedRows(scans);
}

/** What the connection has read of these tables and not told yet: rows of scans, and rows fetched by an index. */
function countReads(tx: Queryable, tables: string[]): Promise<{ scanned: number; fetched: number }> {
  return one(
    tx,
    z.object({ scanned: z.number(), fetched: z.number() }),
    `select sum(seq_tup_read)::int as scanned, sum(idx_tup_fetch)::int as fetched from pg_stat_xact_user_tables
     where schemaname = 'upload_pipeline' and relname = any ($1)`,
    [tables],
  );
}

/** When the planner last looked, the table was as the first step left it; then it became as the second leaves it. */
const STATISTICS: [string, () => Promise<unknown>, () => Promise<unknown>][] = [
  ["fresh", fill, analyze],
  ["of an empty table", analyze, fill],
];

async function fill(): Promise<void> {
  for (let user = 0; user < 4; user++) await queueInBulk(opened.database, { user_id: randomUUID(), count: BATCH });
}

test.each(STATISTICS)("a claim reads its index in order, with statistics %s", async (_when, first, second) => {
  await first();
  await second();
  const session_id = await createSession(opened.database);
  const call = await captureStatement(schema, (probe) => claimJobs(probe, { session_id, limit: 10 }));
  const nodes = await explainGeneric(opened.database, await openFunction(opened.database, call));
  expect(indexesOf(nodes)).toContain("ready_jobs_pkey");
  for (const table of ["upload_jobs", "ready_jobs"]) expect(scansOf(nodes, table)).toEqual([]);
  const sorted = nodes.filter((node) => node["Node Type"] === "Sort").map((node) => node["Actual Rows"]);
  for (const rows of sorted) expect(rows).toBeLessThanOrEqual(10);
});

test.each(STATISTICS)(
  "a claim under a cap reads past nobody's backlog, with statistics %s",
  async (_when, first, second) => {
    await first();
    await second();
    await opened.database.run("select setval('upload_pipeline.served_turn', 100)");
    const session_id = await createSession(opened.database);
    const claim = () =>
      opened.database.transaction(async (tx) => {
        const before = await countReads(tx, ["ready_jobs", "upload_jobs"]);
        const claims = await claimJobs(tx, { session_id, limit: 10, maxPerUser: 2 });
        const after = await countReads(tx, ["ready_jobs", "upload_jobs"]);
        return {
          count: claims.length,
          scanned: after.scanned - before.scanned,
          fetched: after.fetched - before.fetched,
        };
      });
    const [taken, none] = [await claim(), await claim()];
    expect([taken.count, none.count, taken.scanned, none.scanned]).toEqual([8, 0, 0, 0]);
    // One row of each user says that there is the user, and two are looked at to be taken.
    expect(taken.fetched).toBeLessThanOrEqual(100);
    expect(none.fetched).toBeLessThanOrEqual(50);
  },
);

test.each(STATISTICS)(
  "a batch of checkpoints looks up its jobs one by one, with statistics %s",
  async (_when, a, b) => {
    await a();
    await b();
    const session_id = await createSession(opened.database);
    const holds = await claimJobs(opened.database, { session_id, limit: BATCH });
    const batch = holds.map(({ job_id, fence }) => {
      return { job_id, fence, from: "uploaded" as const, to: "parsing" as const, progress: {}, detail: {} };
    });
    const call = await captureStatement(schema, (probe) => advanceJobs(probe, batch));
    const nodes = await explainGeneric(opened.database, await openFunction(opened.database, call));
    expect(batch).toHaveLength(BATCH);
    for (const table of ["upload_jobs", "documents"]) expect(scansOf(nodes, table)).toEqual([]);
    // A nested loop of the batch over itself would throw away BATCH × BATCH rows.
    expect(discardedRows(nodes)).toBeLessThanOrEqual(4 * BATCH);
  },
);

test.each(STATISTICS)("a batch of uploads looks at its own rows alone, with statistics %s", async (_when, a, b) => {
  await a();
  await b();
  const user_id = randomUUID();
  await queueInBulk(opened.database, { user_id, count: BATCH });
  const uploads = [user_id, randomUUID()].flatMap((user) =>
    Array.from({ length: 20 }, () => uploadPromise({ user_id: user })),
  );
  const { before, after } = await opened.database.transaction(async (tx) => ({
    before: await countReads(tx, ["documents", "upload_jobs"]),
    outcomes: await makeUploads(tx, uploads, { allowance: UNLIMITED, isPatient: false }),
    after: await countReads(tx, ["documents", "upload_jobs"]),
  }));
  expect(after.scanned - before.scanned).toBe(0);
  // Each document is read by the check of its job's reference.
  expect(after.fetched - before.fetched).toBeLessThanOrEqual(2 * uploads.length);
});

test.each(STATISTICS)(
  "promotion finds due jobs by index among many deferred ones, with statistics %s",
  async (_w, a, b) => {
    await a();
    await b();
    await claimJobs(opened.database, { session_id: await createSession(opened.database), limit: 4 * BATCH });
    await opened.database.run(
      `update upload_pipeline.upload_jobs set state = 'waiting', waiting_for = 'parser', lease_session_id = null,
       lease_expires_at = null, due_at = now() + interval '1 hour'`,
    );
    await opened.database.run(`update upload_pipeline.upload_jobs set due_at = now() where seq % 100 = 0`);
    const statement = await captureStatement(schema, (probe) => promoteDueJobs(probe, 100));
    const nodes = await explainGeneric(opened.database, statement);
    expect(indexesOf(nodes)).toContain("upload_jobs_due");
    expect(discardedRows(nodes)).toBeLessThanOrEqual(BATCH);
  },
);

test("a rescue that finds nothing wrong reads the leased jobs only", async () => {
  await fill();
  const session_id = await createSession(opened.database);
  await claimJobs(opened.database, { session_id, limit: 20 });
  await analyze();
  const statement = await captureStatement(schema, (probe) => rescueJobs(probe, { maxCrashes: 3 }));
  const nodes = await explainGeneric(opened.database, statement);
  expect(scansOf(nodes, "upload_jobs")).toEqual([]);
  expect(discardedRows(nodes)).toBeLessThanOrEqual(40);
});

test("a page of documents is read from its index and looks up no more jobs than it shows", async () => {
  const user_id = randomUUID();
  await queueInBulk(opened.database, { user_id, count: BATCH });
  await opened.database.run("analyze upload_pipeline.documents");
  await analyze();
  const before = { created_at: new Date(Date.now() + 60_000), document_id: randomUUID() };
  const statement = await captureStatement(schema, (probe) => listDocuments(probe, { user_id, before, limit: 10 }));
  const nodes = await explainGeneric(opened.database, statement);
  expect(indexesOf(nodes)).toContain("documents_by_user");
  expect(nodes.filter((node) => node["Node Type"] === "Sort" && Number(node["Actual Rows"]) > 10)).toEqual([]);
  const jobs = nodes.filter((node) => node["Relation Name"] === "upload_jobs");
  for (const node of jobs) expect(node["Actual Loops"]).toBeLessThanOrEqual(10);
});

test("a list of everybody's jobs reads no more of them than it shows", async () => {
  await fill();
  await opened.database.run(
    "update upload_pipeline.upload_jobs set created_at = '2026-01-01'::timestamptz + seq * interval '1 second'",
  );
  await analyze();
  const before = { created_at: new Date("2027-01-01T00:00:00Z"), job_id: randomUUID() };
  const asked = { filter: {}, before, limit: 10 };
  const statement = await captureStatement(schema, (probe) => listJobs(probe, asked));
  const nodes = await explainGeneric(opened.database, {
    ...statement,
    settings: ["plan_cache_mode=force_custom_plan"],
  });
  expect(indexesOf(nodes)).toContain("upload_jobs_by_age");
  expect(rowsRead(nodes, "upload_jobs")).toBeLessThanOrEqual(20);
});

test("a list of one document's jobs reads no others", async () => {
  const user_id = randomUUID();
  await queueInBulk(opened.database, { user_id, count: BATCH });
  await analyze();
  const [document] = await listDocuments(opened.database, { user_id, before: undefined, limit: 1 });
  const asked = { user_id, filter: { document_id: document?.document_id }, before: undefined, limit: 10 };
  const statement = await captureStatement(schema, (probe) => listUserJobs(probe, asked));
  const nodes = await explainGeneric(opened.database, {
    ...statement,
    settings: ["plan_cache_mode=force_custom_plan"],
  });
  expect(indexesOf(nodes)).toEqual(["upload_jobs_generation"]);
  expect(rowsRead(nodes, "upload_jobs")).toBe(1);
});

test("to count a user's jobs under way those that ended before the last count are not read", async () => {
  const user_id = randomUUID();
  await fill();
  await queueInBulk(opened.database, { user_id, count: BATCH });
  await opened.database.transaction(async (tx) => {
    await tx.run("set local session_replication_role = replica");
    await tx.run("update upload_pipeline.upload_jobs set state = 'cancelled', finished_at = now()");
    await tx.run("delete from upload_pipeline.ready_jobs");
  });
  await analyze();
  // Every one of them counted until now.
  const allowance = { maxPerDay: 2 * BATCH, maxInFlight: 1 };
  await createUploadRegistrar(opened.database, allowance).register(uploadPromise({ user_id }));
  const statement = await captureStatement(schema, (probe) => readUploadUsage(probe, user_id).catch(() => undefined));
  const nodes = await explainGeneric(opened.database, statement);
  expect(rowsRead(nodes, "upload_jobs")).toBe(1);
  expect(discardedRows(nodes)).toBe(0);
});

test("whether another model embedded some documents is seen by one passage of each", async () => {
  const user_id = randomUUID();
  const passages = Array.from({ length: 20 }, (_, index) => ({
    text: `Passage ${index}.`,
    vector: vectorOf(index + 1),
  }));
  for (let index = 0; index < 5; index += 1) {
    await createCompleteDocument(opened.database, { passages, upload: { user_id } });
  }
  const scope = { user_id, model: "test-model", documentIds: undefined, metadata: undefined };
  for (const prepare of [
    () => Promise.resolve(0),
    () => opened.database.run("analyze upload_pipeline.document_chunks"),
  ]) {
    await prepare();
    const statement = await captureStatement(schema, (probe) => hasOtherModels(probe, scope));
    const nodes = await explainGeneric(opened.database, statement);
    expect(rowsRead(nodes, "document_chunks")).toBe(5);
  }
});

test("claims and ends of jobs touch no index", async () => {
  await queueInBulk(opened.database, { user_id: randomUUID(), count: BATCH_IN_PAGES });
  await opened.database.transaction(async (tx) => {
    await tx.run("set local session_replication_role = replica");
    await tx.run("update upload_pipeline.upload_jobs set status = 'embeddings_stored'");
  });
  await opened.database.run("vacuum upload_pipeline.upload_jobs");
  const session_id = await createSession(opened.database);
  const counted = async <T>(work: (tx: Queryable) => Promise<T>) =>
    opened.database.transaction(async (tx) => {
      const before = (await countUpdates(tx))["upload_jobs"];
      const result = await work(tx);
      const after = (await countUpdates(tx))["upload_jobs"];
      const [all, hot] = [(after?.all ?? 0) - (before?.all ?? 0), (after?.hot ?? 0) - (before?.hot ?? 0)];
      return { result, all, hot };
    });
  const claimed = await counted((tx) => claimJobs(tx, { session_id, limit: BATCH_IN_PAGES }));
  await opened.database.run("vacuum upload_pipeline.upload_jobs");
  const ended = await counted((tx) =>
    advanceJobs(
      tx,
      claimed.result.map((job) => ({ ...job, from: "embeddings_stored", to: "complete", progress: {}, detail: {} })),
    ),
  );
  for (const { all, hot } of [claimed, ended])
    expect({ all, hot }).toEqual({ all: BATCH_IN_PAGES, hot: BATCH_IN_PAGES });
});

test("a redrive finds the dead letters by index", async () => {
  await queueInBulk(opened.database, { user_id: randomUUID(), count: BATCH });
  await analyze();
  const filter = { limit: 10 };
  const statement = await captureStatement(schema, (probe) => redriveJobs(probe, { filter, correlation_id: "test" }));
  const nodes = await explainGeneric(opened.database, statement);
  expect(indexesOf(nodes)).toContain("upload_jobs_dead");
  expect(scansOf(nodes, "upload_jobs")).toEqual([]);
});

test("checkpoints and progress stay in their page", async () => {
  await queueInBulk(opened.database, { user_id: randomUUID(), count: BATCH_IN_PAGES });
  const session_id = await createSession(opened.database);
  const holds = await claimJobs(opened.database, { session_id, limit: BATCH_IN_PAGES });
  const batch = holds.map(({ job_id, fence }) => {
    return {
      job_id,
      fence,
      from: "uploaded" as const,
      to: "parsing" as const,
      progress: { pages_total: 3 },
      detail: {},
    };
  });
  // As autovacuum does: the versions before the claim make room.
  await opened.database.run("vacuum upload_pipeline.documents");
  await opened.database.run("vacuum upload_pipeline.upload_jobs");
  const [before, after] = await opened.database.transaction(async (tx) => {
    const earlier = await countUpdates(tx);
    await advanceJobs(tx, batch);
    return [earlier, await countUpdates(tx)];
  });
  for (const table of ["documents", "upload_jobs"]) {
    expect(after[table]?.all).toBe((before[table]?.all ?? 0) + BATCH_IN_PAGES);
    expect(after[table]?.hot).toBeGreaterThan((before[table]?.hot ?? 0) + 0.8 * BATCH_IN_PAGES);
  }
});

const BATCH_IN_PAGES = 50;

/** Updates per table that this connection has not reported yet, those of the transaction included. */
async function countUpdates(tx: Queryable): Promise<Record<string, { all: number; hot: number }>> {
  const rows = await tx.many(
    z.object({ relname: z.string(), all: z.number(), hot: z.number() }),
    `select relname, n_tup_upd as all, n_tup_hot_upd as hot from pg_stat_xact_user_tables
     where schemaname = 'upload_pipeline'`,
  );
  return Object.fromEntries(rows.map(({ relname, all, hot }) => [relname, { all, hot }]));
}
