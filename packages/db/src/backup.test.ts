import { randomUUID } from "node:crypto";
import { GenericContainer, getContainerRuntimeClient, type StartedTestContainer } from "testcontainers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { advanceJobs } from "./checkpoints.ts";
import { openPostgres, type Database } from "./database.ts";
import { fillHealthily, type HealthyDatabase } from "./doctor/healthy-database.fixture.ts";
import { diagnose } from "./doctor.ts";
import { checkSchemaVersion, migrate } from "./migrate.ts";
import { one } from "./queryable.ts";
import { rescueJobs } from "./queue.ts";
import { searchChunks } from "./search.ts";
import {
  claimOne,
  createQueuedJob,
  hasParallelConnections,
  openTestDatabase,
  readJob,
  type TestDatabase,
  vectorOf,
} from "./testing/index.ts";
import { startPatiently } from "./testing/postgres-container.ts";

const docker =
  hasParallelConnections() &&
  (await getContainerRuntimeClient().then(
    () => true,
    () => false,
  ));

let original: TestDatabase;
let restored: Database;
let tools: StartedTestContainer;
let healthy: HealthyDatabase;
let dropRestored: () => Promise<void>;

beforeAll(async () => {
  if (!docker) return;
  original = await openTestDatabase();
  healthy = await fillHealthily(original.database);
  tools = await startPatiently(() =>
    new GenericContainer("pgvector/pgvector:pg17").withNetworkMode("host").withEntrypoint(["sleep", "600"]).start(),
  );
  const target = await createEmptyDatabase();
  // As docs/runbook.md has it.
  await run(`pg_dump --format=custom --schema=upload_pipeline --file=/tmp/backup.dump '${original.url ?? ""}'`);
  await run(`psql --quiet --set=ON_ERROR_STOP=1 --command='create extension vector' '${target}'`);
  await run(`pg_restore --exit-on-error --single-transaction --dbname='${target}' /tmp/backup.dump`);
  restored = open(target);
});

afterAll(async () => {
  await restored?.close();
  await dropRestored?.();
  await tools?.stop();
  await original?.close();
});

async function run(command: string): Promise<void> {
  const { exitCode, output } = await tools.exec(["sh", "-c", command]);
  if (exitCode !== 0) throw new Error(`${command.split(" ")[0] ?? ""} ended with ${exitCode}: ${output}`);
}

async function createEmptyDatabase(): Promise<string> {
  const name = `pipeline_test_${randomUUID().replaceAll("-", "")}`;
  await original.database.run(`create database ${name}`);
  dropRestored = async () => void (await original.database.run(`drop database ${name} with (force)`));
  const url = new URL(original.url ?? "");
  url.pathname = `/${name}`;
  return url.toString();
}

function open(url: string): Database {
  const parts = { schemaName: "upload_pipeline", applicationName: "test", poolSize: 2, onIdleError: () => undefined };
  return openPostgres({ url, ...parts });
}

/** Of every table how many rows it has, and what they hold. */
async function fingerprint(db: Database): Promise<Record<string, string>> {
  const tables = await db.many(
    z.object({ name: z.string() }),
    "select tablename as name from pg_tables where schemaname = 'upload_pipeline' order by 1",
  );
  const found: Record<string, string> = {};
  for (const { name } of tables) {
    const { print } = await one(
      db,
      z.object({ print: z.string() }),
      `select count(*) || ' ' || coalesce(md5(string_agg(r::text, '|' order by r::text)), '') as print from upload_pipeline.${name} r`,
    );
    found[name] = print;
  }
  return found;
}

const served = (db: Database) =>
  one(db, z.object({ last_value: z.number() }), "select last_value from upload_pipeline.served_turn");

describe.skipIf(!docker)("a schema restored into an empty database: needs a server and a Docker engine", () => {
  it("holds every row of every table, and its sequences go on", async () => {
    expect(await fingerprint(restored)).toEqual(await fingerprint(original.database));
    expect(await served(restored)).toEqual(await served(original.database));
    expect(await checkSchemaVersion(restored)).toBe((await migrate(restored)).version);
  });

  it("violates no invariant", async () => {
    const violated = (await diagnose(restored)).filter(({ severity, total }) => severity === "error" && total > 0);
    expect(violated).toEqual([]);
  });

  it("is searched as before", async () => {
    const { user_id } = await one(
      restored,
      z.object({ user_id: z.string() }),
      "select user_id from upload_pipeline.documents where document_id = $1",
      [healthy.complete.document_id],
    );
    const scope = { documentIds: undefined, metadata: undefined, threshold: 0.3, limit: 10 };
    const question = { user_id, text: "passage", vector: vectorOf(1), model: "test-model", ...scope };
    const found = await searchChunks(restored, question);
    expect(found.map(({ document_id }) => document_id)).toContain(healthy.complete.document_id);
    expect(found).toEqual(await searchChunks(original.database, question));
  });

  it("takes jobs in hand back from the workers of before, whose writes it refuses", async () => {
    const { job_id } = healthy.working;
    const before = await readJob(restored, job_id);
    expect(before).toMatchObject({ state: "working", status: "chunks_stored" });
    // The workers of before send no heartbeats here.
    await restored.run("update upload_pipeline.worker_sessions set expires_at = now() - interval '1 s'");
    expect(await rescueJobs(restored, { maxCrashes: 3 })).toEqual([{ job_id, state: "queued" }]);
    const stale = { job_id, fence: before.fence };
    const checkpoint = { ...stale, from: "chunks_stored", to: "embedding_queued", progress: {}, detail: {} } as const;
    expect((await advanceJobs(restored, [checkpoint])).size).toBe(0);
    expect(await readJob(restored, job_id)).toMatchObject({ state: "queued", status: "chunks_stored" });
  });

  it("goes on with every job that was in line, and with new ones", async () => {
    const { job } = await createQueuedJob(restored);
    const line = await restored.run("select from upload_pipeline.ready_jobs");
    const claimed = [];
    for (let place = 0; place < line; place += 1) claimed.push(await claimOne(restored));
    expect(new Set(claimed.map(({ job_id }) => job_id)).size).toBe(line);
    expect(claimed.map(({ job_id }) => job_id)).toEqual(expect.arrayContaining([healthy.queued.job_id, job.job_id]));
    const resumed = claimed.find(({ job_id }) => job_id === healthy.working.job_id);
    expect(resumed).toMatchObject({ status: "chunks_stored" });
    expect((await diagnose(restored)).filter(({ severity, total }) => severity === "error" && total > 0)).toEqual([]);
  });
});
