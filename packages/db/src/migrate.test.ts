import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, it, test } from "vitest";
import { z } from "zod";
import { openPostgres, type Database } from "./database.ts";
import { checkSchemaVersion, migrate } from "./migrate.ts";
import type { Queryable } from "./queryable.ts";
import { claimJobs } from "./claims.ts";
import {
  createQueuedJob,
  createSession,
  hasParallelConnections,
  openTestDatabase,
  type TestDatabase,
} from "./testing/index.ts";
import { createNotifier, listenForWork } from "./wakeup.ts";

const STAGING = "upload_pipeline_staging";
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

let shared: TestDatabase;
beforeAll(async () => {
  shared = await openTestDatabase(STAGING);
});
afterAll(() => shared.close());

/** A database opened on a schema that is not there yet, beside the migrated one. */
async function openUnmigrated(): Promise<TestDatabase> {
  await shared.database.run(`drop schema if exists ${STAGING} cascade`);
  return shared;
}

async function directoryWith(files: Record<string, string>): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "pipeline-migrations-"));
  cleanups.push(() => rm(directory, { recursive: true }));
  for (const [name, sql] of Object.entries(files)) await writeFile(join(directory, name), sql);
  return directory;
}

async function tableNames(db: Queryable, schemaName: string): Promise<string[]> {
  const rows = await db.many(
    z.object({ name: z.string() }),
    "select tablename as name from pg_tables where schemaname = $1 order by 1",
    [schemaName],
  );
  return rows.map((row) => row.name);
}

const ONE = "create table one (id integer);";
const TWO = "create table two (id integer);";

test("the project's migrations apply once, and a second run does nothing", async () => {
  const { database } = await openUnmigrated();
  const first = await migrate(database);
  const second = await migrate(database);
  const version = first.applied.length;
  expect(first).toEqual({ applied: Array.from({ length: version }, (_, index) => index + 1), version });
  expect(second).toEqual({ applied: [], version });
  expect(await checkSchemaVersion(database)).toBe(version);
  expect(await tableNames(database, STAGING)).toEqual(
    expect.arrayContaining([
      "architecture_notes",
      "document_chunks",
      "documents",
      "events",
      "upload_jobs",
      "webhook_log",
    ]),
  );
});

test("the migrations are numbered without a gap", async () => {
  const names = (await readdir(join(import.meta.dirname, "../../../migrations"))).toSorted();
  expect(names.map((name) => Number(name.slice(0, 4)))).toEqual(names.map((_name, index) => index + 1));
});

test("a later run applies only what is new", async () => {
  const { database } = await openUnmigrated();
  await migrate(database, await directoryWith({ "0001_one.sql": ONE }));
  const later = await migrate(database, await directoryWith({ "0001_one.sql": ONE, "0002_two.sql": TWO }));
  expect(later).toEqual({ applied: [2], version: 2 });
});

it.skipIf(!hasParallelConnections())("two runners at once do the work once: needs two connections", async () => {
  const opened = await openUnmigrated();
  const results = await Promise.all([migrate(opened.database), migrate(opened.openAnother())]);
  const [first] = results;
  expect(results.flatMap((result) => result.applied)).toHaveLength(first?.version ?? 0);
});

it.skipIf(!hasParallelConnections())(
  "two schemas of one new database migrated at once do not trip over the extension: needs two connections",
  async () => {
    const opened = await openTestDatabase(STAGING);
    cleanups.push(opened.close);
    await opened.database.run("drop schema upload_pipeline cascade; drop extension vector cascade");
    const others = ["schema_a", "schema_b", "schema_c"].map((schemaName) =>
      openPostgres({ ...anyPostgres, url: opened.url ?? "", schemaName }),
    );
    cleanups.push(() => Promise.all(others.map((database) => database.close())));
    const results = await Promise.all(others.map((database) => migrate(database)));
    expect(results.map((result) => result.applied.length)).toEqual(results.map((result) => result.version));
  },
);

const anyPostgres = { applicationName: "test", poolSize: 2, onIdleError: () => undefined };

test("a file that was edited after it had been applied is refused, line ends aside", async () => {
  const { database } = await openUnmigrated();
  await migrate(database, await directoryWith({ "0001_one.sql": `${ONE}\n` }));
  await migrate(database, await directoryWith({ "0001_one.sql": `${ONE}\r\n` }));
  const edited = migrate(database, await directoryWith({ "0001_one.sql": `${ONE} -- now with a word more\n` }));
  await expect(edited).rejects.toMatchObject({ kind: "conflict", code: "migration_edited" });
});

test("an applied version that the files do not have is refused", async () => {
  const { database } = await openUnmigrated();
  await migrate(database, await directoryWith({ "0001_one.sql": ONE, "0002_two.sql": TWO }));
  const older = migrate(database, await directoryWith({ "0001_one.sql": ONE }));
  await expect(older).rejects.toMatchObject({ kind: "conflict", code: "migration_unknown" });
});

test("a version missing among the applied ones is refused", async () => {
  const { database } = await openUnmigrated();
  const directory = await directoryWith({ "0001_one.sql": ONE, "0002_two.sql": TWO });
  await migrate(database, directory);
  await database.run(`delete from ${STAGING}.schema_migrations where version = 1`);
  await expect(migrate(database, directory)).rejects.toMatchObject({ code: "migration_out_of_order" });
});

test.each([
  ["a gap", { "0001_one.sql": ONE, "0003_three.sql": TWO }],
  ["a number twice", { "0001_one.sql": ONE, "0001_two.sql": TWO }],
  ["a start at zero", { "0000_one.sql": ONE }],
  ["a name without a number", { "one.sql": ONE }],
])("%s in the numbering is refused", async (_what, files) => {
  const { database } = await openUnmigrated();
  const migrating = migrate(database, await directoryWith(files));
  await expect(migrating).rejects.toMatchObject({ kind: "conflict", code: "migration_out_of_order" });
});

test("a failing migration leaves nothing, not even those before it", async () => {
  const { database } = await openUnmigrated();
  const failing = { "0001_one.sql": ONE, "0002_two.sql": `${TWO} select 1 / 0;` };
  await expect(migrate(database, await directoryWith(failing))).rejects.toMatchObject({ code: "database_error" });
  expect(await tableNames(database, STAGING)).toEqual([]);
  await expect(checkSchemaVersion(database)).rejects.toMatchObject({ code: "schema_missing" });
});

test("a schema that is missing, older or newer than the code is told apart", async () => {
  const { database } = await openUnmigrated();
  const one = await directoryWith({ "0001_one.sql": ONE });
  const two = await directoryWith({ "0001_one.sql": ONE, "0002_two.sql": TWO });
  await expect(checkSchemaVersion(database, one)).rejects.toMatchObject({ kind: "conflict", code: "schema_missing" });
  await migrate(database, one);
  expect(await checkSchemaVersion(database, one)).toBe(1);
  await expect(checkSchemaVersion(database, two)).rejects.toMatchObject({ kind: "conflict", code: "schema_older" });
  await migrate(database, two);
  await expect(checkSchemaVersion(database, one)).rejects.toMatchObject({ kind: "conflict", code: "schema_newer" });
});

test("two schemas in one database see neither each other's jobs nor each other's wake-ups", async () => {
  const opened = await openUnmigrated();
  const staging = opened.database;
  await migrate(staging);
  // The migrated schema of the same database, seen through the same connections.
  const production: Database = {
    ...staging,
    schema: '"upload_pipeline"',
    schemaName: "upload_pipeline",
    transaction: (work) => staging.transaction((tx) => work({ ...tx, schema: '"upload_pipeline"' })),
  };
  const { job } = await createQueuedJob(staging);

  const inProduction = await claimJobs(production, { session_id: await createSession(production), limit: 5 });
  expect(inProduction).toEqual([]);
  const woken = { staging: 0, production: 0 };
  const stopStaging = await listenForWork(staging, { onWork: () => woken.staging++, onLost: () => undefined });
  const stopProduction = await listenForWork(production, { onWork: () => woken.production++, onLost: () => undefined });
  const before = { ...woken };
  const notifier = createNotifier(staging, { onError: () => undefined });
  notifier.wake();
  await notifier.close();
  await expect.poll(() => woken.staging).toBe(before.staging + 1);
  expect(woken.production).toBe(before.production);
  await stopStaging();
  await stopProduction();

  const inStaging = await claimJobs(staging, { session_id: await createSession(staging), limit: 5 });
  expect(inStaging.map((claim) => claim.job_id)).toEqual([job.job_id]);
});

test.each(["", "Staging", "a-b", 'x"; drop schema public; --', "1st", "a".repeat(64)])(
  "the schema name %j is refused",
  (schemaName) => {
    const opening = () => openPostgres({ ...anyPostgres, url: "postgres://localhost/none", schemaName });
    expect(opening).toThrow(expect.objectContaining({ kind: "invalid", code: "invalid_schema_name" }));
  },
);

test("the migration names no schema of its own", async () => {
  const sql = await readFile(join(import.meta.dirname, "../../../migrations/0001_initial.sql"), "utf8");
  expect(sql).not.toContain("upload_pipeline");
});
