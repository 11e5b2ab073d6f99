import { type Database, openPostgres } from "@pipeline/db";
import { createQueuedJob, createSession, openTestDatabase, type TestDatabase } from "@pipeline/db/testing";
import { Registry } from "@prometheus-io/client";
import { afterAll, beforeAll, expect, test } from "vitest";
import { addDatabaseMetrics, type DatabaseMetricsOptions } from "./database-metrics.ts";

let opened: TestDatabase;
let database: Database;
beforeAll(async () => {
  opened = await openTestDatabase();
  database = opened.database;
});
afterAll(() => opened.close());

/** Longer than any load on the machine that runs the tests. */
const PATIENT = { timeoutMs: 30_000, budgetUsdPerDay: undefined };

function registryOf(from: Database, options: Partial<DatabaseMetricsOptions> = {}): Registry {
  const registry = new Registry();
  addDatabaseMetrics(registry, from, { ...PATIENT, ...options });
  return registry;
}

test("the queue, the workers, the pool and today's spending are told", async () => {
  await createQueuedJob(database);
  await createSession(database);
  await database.run(
    `insert into ${database.schema}.spending (day, user_id, provider, model, request_count, token_count, cost_usd)
     values ((now() at time zone 'utc')::date, gen_random_uuid(), 'openai', 'm', 1, 500, 0.25)`,
  );
  await database.run(
    `insert into ${database.schema}.spending_days (day, scope, spent_usd, reserved_usd)
     values ((now() at time zone 'utc')::date, 'everybody', 3, 1)`,
  );
  await database.run(
    `insert into ${database.schema}.provider_circuits (provider, failure_count, opened_at, open_until, code, message)
     values ('openai', 5, now() - interval '1 hour', now() + interval '1 min', 'embedding_quota_exhausted', 'Nothing left.')`,
  );
  const text = await registryOf(database, { budgetUsdPerDay: 5 }).metrics();
  for (const line of [
    "pipeline_database_up 1",
    'pipeline_queue_jobs{state="queued"} 1',
    'pipeline_queue_jobs{state="deadletter"} 0',
    "pipeline_processing_longest_seconds 0",
    "pipeline_live_workers 1",
    "pipeline_claims_paused 0",
    'pipeline_spent_today_usd{provider="openai"} 0.25',
    'pipeline_tokens_today{provider="openai"} 500',
    "pipeline_budget_used_ratio 0.8",
    "pipeline_set_aside_longest_seconds 0",
    `pipeline_database_pool_connections{kind="limit"} ${database.connections().limit}`,
  ]) {
    expect(text.split("\n")).toContain(line);
  }
  expect(text).toMatch(/^pipeline_queue_oldest_seconds\{state="queued"\} [\d.]+$/m);
  expect(text).toMatch(/^pipeline_provider_outage_seconds\{provider="openai"\} \d{4}/m);
  expect(text).not.toMatch(/^pipeline_queue_oldest_seconds\{state="working"\}/m);
});

test("a database that is away is told within the answer, without figures that nobody counted", async () => {
  const away = openPostgres({
    url: "postgres://user:hidden-password@127.0.0.1:1/nowhere",
    schemaName: "upload_pipeline",
    applicationName: "test",
    poolSize: 1,
    onIdleError: () => undefined,
  });
  const text = await registryOf(away, { budgetUsdPerDay: 1 }).metrics();
  await away.close();
  expect(text).toMatch(/^pipeline_database_up 0$/m);
  expect(text).not.toMatch(/^pipeline_(queue_jobs|live_workers|budget_used_ratio|spent_today_usd)\b.* \d/m);
  expect(text).not.toContain("hidden-password");
});

test("figures of a database that went away are missing, not old", async () => {
  let isAway = false;
  const flaky: Database = {
    ...database,
    many: (...statement) => (isAway ? Promise.reject(new Error("away")) : database.many(...statement)),
  };
  const registry = registryOf(flaky, { keepMs: 0 });
  expect(await registry.metrics()).toMatch(/^pipeline_live_workers \d/m);
  isAway = true;
  const text = await registry.metrics();
  expect(text).toMatch(/^pipeline_database_up 0$/m);
  expect(text).not.toMatch(/^pipeline_live_workers \d/m);
});

test("however often it is asked, the database is asked once in a while", async () => {
  let asked = 0;
  const counting: Database = {
    ...database,
    many: (...statement) => {
      asked += 1;
      return database.many(...statement);
    },
  };
  const registry = registryOf(counting, { keepMs: 3_600_000 });
  await Promise.all([registry.metrics(), registry.metrics()]);
  const afterTwo = asked;
  await registry.metrics();
  expect(afterTwo).toBe(4);
  expect(asked).toBe(4);
});
