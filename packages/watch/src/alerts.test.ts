import { randomUUID } from "node:crypto";
import { type Database, pauseClaims, redriveJobs, resumeClaims } from "@pipeline/db";
import {
  createSession,
  insertJobInState,
  openTestDatabase,
  queueInBulk,
  type TestDatabase,
} from "@pipeline/db/testing";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ALERT_RULES, REMINDER_SECONDS } from "./alert-rules.ts";
import type { Watch } from "./create-watch.ts";
import { isFiring, showAlerts } from "./show-alerts.ts";
import { openWatch, passTime } from "./watch.fixture.ts";
import { startWebhookReceiver, type WebhookReceiver } from "./webhook-receiver.fixture.ts";

let opened: TestDatabase;
let database: Database;
let receiver: WebhookReceiver;
let lines: string[];
let watch: Watch;
beforeAll(async () => {
  opened = await openTestDatabase();
  database = opened.database;
});
afterAll(() => opened.close());
beforeEach(async () => {
  receiver = await startWebhookReceiver();
  lines = [];
  watch = await openWatch(database, { webhookUrl: receiver.url, budgetUsdPerDay: 10, lines });
  await createSession(database);
});
afterEach(async () => {
  await watch.stop();
  await receiver.close();
  for (const table of [
    "documents",
    "worker_sessions",
    "service_instances",
    "alerts",
    "alert_messages",
    "spending_days",
    "provider_circuits",
  ]) {
    await sql(`delete from schema.${table}`);
  }
});

const sql = (statement: string): Promise<number> =>
  database.run(statement.replaceAll("schema.", `${database.schema}.`));

/** Longer than any alert waits before it is told, and shorter than until it is told again. */
const LONG_ENOUGH = 1_000;

async function firing(): Promise<string[]> {
  const { alerts } = await showAlerts(database, watch.databaseAlert());
  return alerts.filter(isFiring).map(({ name }) => name);
}

async function lookTwice(): Promise<void> {
  await watch.tick();
  await passTime(database, LONG_ENOUGH);
  await watch.tick();
}

const slowRequests = (count: number): void => {
  for (let index = 0; index < count; index += 1) watch.traffic.record({ ms: 2_500, isError: false });
};
const failedRequests = (count: number): void => {
  for (let index = 0; index < count; index += 1) watch.traffic.record({ ms: 5, isError: true });
};
const goodRequests = (count: number): void => {
  for (let index = 0; index < count; index += 1) watch.traffic.record({ ms: 5, isError: false });
};

const openCircuit = (since: string): Promise<number> =>
  sql(`insert into schema.provider_circuits (provider, failure_count, opened_at, open_until, code, message)
       values ('openai', 5, now() - interval '${since}', now() + interval '1 min', 'embedding_quota_exhausted', 'Used up.')`);

/** What causes each alert, and what ends that. */
const CAUSES: Record<
  (typeof ALERT_RULES)[number]["name"],
  { cause: () => Promise<unknown>; mend: () => Promise<unknown> }
> = {
  queue_backlog: {
    cause: () => queueInBulk(database, { user_id: randomUUID(), count: 101 }),
    mend: () =>
      sql("delete from schema.documents where document_id in (select document_id from schema.documents limit 21)"),
  },
  queue_waiting: {
    cause: async () => {
      await queueInBulk(database, { user_id: randomUUID(), count: 1 });
      await sql("update schema.upload_jobs set updated_at = now() - interval '301 s'");
    },
    mend: () => sql("delete from schema.documents"),
  },
  slow_job: {
    cause: async () => {
      await insertJobInState(database, { state: "working", status: "parsing" });
      await sql("update schema.session_claims set claimed_at = now() - interval '301 s'");
    },
    mend: () => sql("delete from schema.documents"),
  },
  api_latency: { cause: async () => slowRequests(20), mend: async () => goodRequests(1_000) },
  api_errors: {
    cause: async () => {
      goodRequests(90);
      failedRequests(6);
    },
    mend: async () => goodRequests(200),
  },
  no_live_worker: { cause: () => sql("delete from schema.worker_sessions"), mend: () => createSession(database) },
  no_live_api: {
    // Another worker looks at the alerts, and the API is gone.
    cause: async () => {
      await watch.stop();
      watch = await openWatch(database, { service: "worker", webhookUrl: receiver.url, lines });
    },
    mend: async () => (await openWatch(database)).tick(),
  },
  services_differ: {
    cause: async () => (await openWatch(database, { service: "worker", agreement: { embed_model: "other" } })).tick(),
    mend: () => sql("delete from schema.service_instances where embed_model = 'other'"),
  },
  dead_letters: {
    cause: async () => {
      for (let count = 0; count < 11; count += 1) {
        await insertJobInState(database, { state: "deadletter", status: "parsing" });
      }
    },
    mend: () => sql("delete from schema.documents"),
  },
  provider_out_of_order: {
    cause: () => openCircuit("121 s"),
    mend: () =>
      sql(`update schema.provider_circuits set failure_count = 0, open_count = 0, opened_at = null, open_until = null,
             code = null, message = null`),
  },
  jobs_set_aside: {
    cause: async () => {
      const job_id = await insertJobInState(database, { state: "retryable", status: "parsing" });
      await database.run(
        `insert into ${database.schema}.events (job_id, type, status, state, fence, code, created_at)
         values ($1, 'retry_scheduled', 'parsing', 'retryable', 5, 'budget_exhausted', now() - interval '1801 s')`,
        [job_id],
      );
    },
    mend: () => sql("delete from schema.documents"),
  },
  budget: {
    cause: () =>
      sql(`insert into schema.spending_days (day, scope, spent_usd, reserved_usd)
           values ((now() at time zone 'utc')::date, 'everybody', 7, 1)`),
    mend: () => sql("delete from schema.spending_days"),
  },
};

test("a quiet system fires nothing", async () => {
  goodRequests(100);
  await lookTwice();
  expect(await firing()).toEqual([]);
  expect(receiver.received).toEqual([]);
});

describe.each(ALERT_RULES)("$name", ({ name, severity, forSeconds }) => {
  test("fires by its cause, is told once, and is cleared and told again when that is over", async () => {
    const { cause, mend } = CAUSES[name];
    await watch.tick();
    await cause();
    await watch.tick();
    expect(await firing()).toEqual(forSeconds === 0 ? [name] : []);
    await passTime(database, LONG_ENOUGH);
    await watch.tick();
    await watch.tick();
    expect(await firing()).toEqual([name]);
    expect(receiver.received).toMatchObject([{ alert: name, state: "firing", severity, environment: "test" }]);

    await mend();
    await watch.tick();
    expect(await firing()).toEqual([name]);
    await passTime(database, LONG_ENOUGH);
    await watch.tick();
    await watch.tick();
    expect(await firing()).toEqual([]);
    expect(receiver.received.map(({ alert, state }) => [alert, state])).toEqual([
      [name, "firing"],
      [name, "cleared"],
    ]);
  });
});

test("a message says what is wrong, how much, since when, where, and what to do", async () => {
  await CAUSES.queue_backlog.cause();
  await lookTwice();
  const since = expect.stringMatching(/^\d{4}-.*Z$/);
  const [message] = receiver.received;
  expect(message).toMatchObject({ value: "101 jobs", threshold: "> 100 jobs", since, schema: "upload_pipeline" });
  expect(message?.["text"]).toMatch(
    /^\[test\] FIRING warning queue_backlog: Too many jobs wait for a worker\. Value 101 jobs, alert at > 100 jobs, since .*Z\. Start more/,
  );
});

test("an alert that goes on is told again, and only then", async () => {
  await CAUSES.no_live_worker.cause();
  await lookTwice();
  await passTime(database, REMINDER_SECONDS);
  await watch.tick();
  await watch.tick();
  expect(receiver.received.map(({ state }) => state)).toEqual(["firing", "reminder"]);
});

test("of two processes one tells, and a restart neither tells again nor forgets", async () => {
  const other = await openWatch(database, { webhookUrl: receiver.url, service: "worker" });
  await CAUSES.no_live_worker.cause();
  await watch.tick();
  await other.tick();
  await passTime(database, LONG_ENOUGH);
  await Promise.all([watch.tick(), other.tick()]);
  expect(receiver.received.map(({ state }) => state)).toEqual(["firing"]);

  // Without a goodbye, as a crash would have it: the lease runs out, and the other goes on from what is stored.
  await sql("update schema.alert_watch set expires_at = now()");
  await other.tick();
  await watch.tick();
  expect(receiver.received).toHaveLength(1);
  await createSession(database);
  await other.tick();
  await passTime(database, LONG_ENOUGH);
  await other.tick();
  await watch.tick();
  expect(receiver.received.map(({ state }) => state)).toEqual(["firing", "cleared"]);
  await other.stop();
});

test("a process that stops hands the alerts over at once", async () => {
  const other = await openWatch(database, { webhookUrl: receiver.url });
  await watch.tick();
  await watch.stop();
  await CAUSES.no_live_worker.cause();
  await other.tick();
  await passTime(database, LONG_ENOUGH);
  await other.tick();
  expect(receiver.received.map(({ alert }) => alert)).toEqual(["no_live_worker"]);
  await other.stop();
});

test("what is not taken is sent again later, in order, and not sooner than asked", async () => {
  receiver.answerNext({ status: 500 }, { status: 429, headers: { "retry-after": "120" } });
  await CAUSES.slow_job.cause();
  await watch.tick();
  await CAUSES.dead_letters.cause();
  await watch.tick();
  expect(receiver.requestCount()).toBe(1);
  await passTime(database, 10);
  await watch.tick();
  expect(receiver.requestCount()).toBe(2);
  await passTime(database, 100);
  await watch.tick();
  expect(receiver.requestCount()).toBe(2);
  await passTime(database, 20);
  await watch.tick();
  expect(receiver.received.map(({ alert }) => alert)).toEqual(["slow_job", "dead_letters"]);
});

test("what nobody takes for a day is given up, with a line in the log", async () => {
  receiver.answerNext({ status: 404 });
  await CAUSES.slow_job.cause();
  await watch.tick();
  await passTime(database, 86_401);
  await watch.tick();
  expect(receiver.received.map(({ state }) => state)).toEqual(["reminder"]);
  expect(lines.join("")).toContain("alert never delivered");
});

test("without a webhook alerts are kept, shown and logged, and no message piles up", async () => {
  const silent = await openWatch(database, { lines });
  await CAUSES.slow_job.cause();
  await silent.tick();
  expect(await firing()).toEqual(["slow_job"]);
  expect(lines.join("")).toContain("alert firing");
  await passTime(database, 3 * 86_400);
  const next = await openWatch(database);
  await silent.stop();
  await next.tick();
  // The reminder is all that waits for a process with a webhook.
  expect(await sql("delete from schema.alert_messages")).toBe(1);
  await next.stop();
});

test("whichever process looks at the alerts, the one with a webhook tells, once", async () => {
  const holder = await openWatch(database, { service: "worker" });
  const second = await openWatch(database, { webhookUrl: receiver.url });
  await holder.tick();
  await CAUSES.slow_job.cause();
  await watch.tick();
  expect(receiver.received).toEqual([]);
  await holder.tick();
  await Promise.all([watch.tick(), second.tick(), holder.tick()]);
  expect(receiver.received.map(({ alert, state }) => [alert, state])).toEqual([["slow_job", "firing"]]);
  await Promise.all([holder.stop(), second.stop()]);
});

test("whichever process looks at the alerts, the budget of the one that has one counts", async () => {
  const holder = await openWatch(database, { service: "worker" });
  await holder.tick();
  await CAUSES.budget.cause();
  await watch.tick();
  await holder.tick();
  expect(await firing()).toEqual(["budget"]);
  await holder.stop();
});

test("a provider that was out of order for two minutes fires nothing", async () => {
  await openCircuit("110 s");
  await lookTwice();
  expect(await firing()).toEqual([]);
});

test("a dead letter of last week that is redriven fires nothing", async () => {
  await insertJobInState(database, { state: "deadletter", status: "parsing" });
  await sql("alter table schema.upload_jobs disable trigger upload_jobs_guard");
  await sql("update schema.upload_jobs set created_at = created_at - interval '7 days', updated_at = created_at");
  await sql("alter table schema.upload_jobs enable trigger upload_jobs_guard");
  const redrive = { filter: { limit: 1 }, correlation_id: "test" };
  expect(await database.transaction((tx) => redriveJobs(tx, redrive))).toHaveLength(1);
  await lookTwice();
  expect(await firing()).toEqual([]);
});

test("a queue that is paused is told though no worker lives", async () => {
  await CAUSES.queue_waiting.cause();
  await CAUSES.no_live_worker.cause();
  await lookTwice();
  expect(await firing()).toEqual(["no_live_worker"]);
  await pauseClaims(database, { paused_by: "test", reason: null });
  await lookTwice();
  expect(await firing()).toEqual(["queue_waiting", "no_live_worker"]);
  await resumeClaims(database);
});

test("neither a message nor a line of the log holds the webhook's address", async () => {
  receiver.answerNext({ status: 500 });
  await CAUSES.slow_job.cause();
  await watch.tick();
  await passTime(database, LONG_ENOUGH);
  await watch.tick();
  expect(receiver.received).toHaveLength(1);
  expect(lines.length).toBeGreaterThan(1);
  expect(JSON.stringify([receiver.received, lines])).not.toContain("secret-part");
});
