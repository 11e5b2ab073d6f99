import { addAlertMessage, type Database, openPostgres } from "@pipeline/db";
import { hasParallelConnections, openTestDatabase, type TestDatabase } from "@pipeline/db/testing";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { DATABASE_RULE, OTHERS_HOLD_BACK_SECONDS } from "./alert-rules.ts";
import { showAlerts } from "./show-alerts.ts";
import { openWatch, type TestWatch } from "./watch.fixture.ts";
import { startWebhookReceiver, type WebhookReceiver } from "./webhook-receiver.fixture.ts";

let opened: TestDatabase;
let database: Database;
let receiver: WebhookReceiver;
let lines: string[];
const watches: TestWatch[] = [];
beforeAll(async () => {
  opened = await openTestDatabase();
  database = opened.database;
});
afterAll(() => opened.close());
beforeEach(async () => {
  receiver = await startWebhookReceiver();
  lines = [];
});
afterEach(async () => {
  for (const watch of watches.splice(0)) await watch.stop();
  await receiver.close();
});

async function open(...parameters: Parameters<typeof openWatch>): Promise<TestWatch> {
  const watch = await openWatch(...parameters);
  watches.push(watch);
  return watch;
}

test("processes that fit together have one fingerprint and no differences", async () => {
  const api = await open(database);
  const worker = await open(database, { service: "worker" });
  await worker.tick();
  await api.tick();
  expect(api.view()?.fingerprint).toMatch(/^[0-9a-f]{12}$/);
  expect(api.view()?.fingerprint).toBe(worker.view()?.fingerprint);
  expect(api.view()?.differences).toEqual([]);
});

test.each([
  ["environment", { environment: "production" }, "ENVIRONMENT"],
  ["schema_version", { schema_version: 3 }, "schema version"],
  ["storage", { storage: "supabase other.example/uploads" }, "files"],
  ["embed_model", { embed_model: "other" }, "embedding model"],
] as const)(
  "a worker of another %s is named, logged once, and has another fingerprint",
  async (field, agreement, words) => {
    const api = await open(database, { lines });
    const worker = await open(database, { service: "worker", agreement });
    await worker.tick();
    await api.tick();
    await api.tick();
    expect(api.view()?.differences).toEqual([{ field, detail: expect.stringContaining(words) }]);
    expect(api.view()?.differences[0]?.detail).toMatch(/api on .* and .*worker on /);
    expect(lines.filter((line) => line.includes("services differ"))).toHaveLength(1);
    expect(worker.view()?.fingerprint).not.toBe(api.view()?.fingerprint);

    await worker.stop();
    await api.tick();
    expect(api.view()?.differences).toEqual([]);
    expect(lines.join("")).toContain("services agree again");
  },
);

test("a schema that is migrated under a running process is noticed, and said once", async () => {
  const worker = await open(database, { service: "worker", lines });
  await worker.tick();
  const before = worker.view()?.schema_version ?? 0;
  const { schema } = database;
  await database.run(`insert into ${schema}.schema_migrations (version, name, checksum) values ($1, 'later', 'x')`, [
    before + 1,
  ]);
  await worker.tick();
  await worker.tick();
  await database.run(`delete from ${schema}.schema_migrations where version = $1`, [before + 1]);
  expect(worker.view()?.schema_version).toBe(before + 1);
  expect(lines.filter((line) => line.includes("schema changed under running code"))).toHaveLength(1);
});

test("rounds send nothing, so that a slow webhook delays none: what is to be told goes out beside them", async () => {
  receiver.answerNext({ status: 500 });
  const watch = await open(database, { webhookUrl: receiver.url });
  await addAlertMessage(database, { alert_name: "queue_backlog", kind: "firing", body: {} });
  await watch.round();
  expect(receiver.requestCount()).toBe(0);
  watch.start();
  await expect.poll(() => receiver.requestCount()).toBe(1);
  await watch.stop();
  await database.run(`delete from ${database.schema}.alert_messages`);
});

/** A database at an address where nobody listens. */
function openNowhere(): Database {
  return openPostgres({
    url: "postgres://user:hidden-password@127.0.0.1:1/nowhere",
    schemaName: "upload_pipeline",
    applicationName: "test",
    poolSize: 1,
    onIdleError: () => undefined,
  });
}

test("a database that is away for half a minute is told without it, by each process that cannot ask the others", async () => {
  let now = 0;
  const nowhere = openNowhere();
  const watch = await open(nowhere, { webhookUrl: receiver.url, clock: () => now, lines });
  const lookAt = async (seconds: number): Promise<string> => {
    now = seconds * 1_000;
    await watch.tick();
    await watch.look();
    return watch.databaseAlert().state;
  };
  // This one never looked at the alerts, so it leaves the others time to tell.
  expect(await lookAt(DATABASE_RULE.threshold)).toBe("ok");
  receiver.answerNext({ status: 503 });
  expect(await lookAt(OTHERS_HOLD_BACK_SECONDS)).toBe("firing");
  expect(await lookAt(OTHERS_HOLD_BACK_SECONDS + 20)).toBe("firing");
  expect(receiver.received).toMatchObject([{ alert: "database_unreachable", state: "firing", severity: "critical" }]);
  expect(JSON.stringify([receiver.received, lines])).not.toContain("hidden-password");
  await nowhere.close();
});

test.skipIf(!hasParallelConnections())(
  "the process that looks at the alerts tells at once that the database went away and came back: needs a server",
  async () => {
    const own = await openTestDatabase();
    let now = 0;
    const watch = await open(own.database, { webhookUrl: receiver.url, clock: () => now, lines });
    const lookAt = async (seconds: number): Promise<string> => {
      now = seconds * 1_000;
      await watch.tick();
      await watch.look();
      return watch.databaseAlert().state;
    };
    expect(await lookAt(0)).toBe("ok");
    await allowConnections(own, false);
    expect(await lookAt(29)).toBe("ok");
    expect(await lookAt(30)).toBe("firing");
    expect(await lookAt(60)).toBe("firing");
    expect(receiver.received).toMatchObject([{ alert: "database_unreachable", state: "firing", value: "30 s" }]);
    await allowConnections(own, true);
    expect(await lookAt(70)).toBe("clearing");
    expect(await lookAt(85)).toBe("ok");
    expect(receiver.received.map(({ state }) => state)).toEqual(["firing", "cleared"]);
    await watch.stop();
    await own.close();
  },
);

/** Cuts everybody off from a database, or lets them in again. */
async function allowConnections(own: TestDatabase, isAllowed: boolean): Promise<void> {
  const url = new URL(own.url ?? "");
  const name = url.pathname.slice(1);
  url.pathname = "/postgres";
  const admin = openPostgres({
    url: url.toString(),
    schemaName: "public",
    applicationName: "test",
    poolSize: 1,
    onIdleError: () => undefined,
  });
  await admin.run(`alter database ${name} allow_connections ${String(isAllowed)}`);
  await admin.run("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", [name]);
  await admin.close();
}

test("alerts are shown all, those that nobody looked at as unknown", async () => {
  await database.run(`delete from ${database.schema}.alerts`);
  const { alerts } = await showAlerts(database);
  expect(alerts.map(({ name, state }) => [name, state])).toContainEqual(["queue_backlog", "unknown"]);
  expect(alerts.map(({ name, state }) => [name, state])).toContainEqual(["database_unreachable", "ok"]);
  const watch = await open(database);
  await watch.tick();
  const shown = await showAlerts(database, watch.databaseAlert());
  expect(shown.evaluated_at).toBeInstanceOf(Date);
  expect(shown.alerts.every(({ state }) => state !== "unknown")).toBe(true);
});
