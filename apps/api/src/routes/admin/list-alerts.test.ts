import { randomUUID } from "node:crypto";
import { beatInstance } from "@pipeline/db";
import { createSession, queueInBulk } from "@pipeline/db/testing";
import { createMonitoring, type Monitoring } from "@pipeline/composition";
import { createLogger, parseEnvironment } from "@pipeline/runtime";
import type { FastifyInstance } from "fastify";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildApi } from "../../app.ts";
import { openTestApi, send, type TestApi } from "../../testing/test-api.ts";

let api: TestApi;
let app: FastifyInstance;
let monitoring: Monitoring;
beforeAll(async () => {
  api = await openTestApi();
  const environment = parseEnvironment({ ENVIRONMENT: "test" }, "local");
  const log = createLogger({ level: "silent", service: "api" });
  const { database } = api;
  monitoring = await createMonitoring({ environment, database, service: "api", build: "b", embedModel: "m", log });
  app = await buildApi({ ...api.dependencies, monitoring });
  await createSession(database);
});
afterAll(async () => {
  await app.close();
  await api.close();
});

const readAlerts = () => send(app, { path: "/admin/alerts", isService: true });

test("all alerts are shown to the service role alone, and those that fire by health", async () => {
  expect((await send(app, { path: "/admin/alerts", user: randomUUID() })).status).toBe(403);
  expect((await readAlerts()).body).toMatchObject({ evaluated_at: null });
  await queueInBulk(api.database, { user_id: randomUUID(), count: 101 });
  await monitoring.watch.tick();
  const { schema } = api.database;
  await api.database.run(`update ${schema}.alerts set state_since = state_since - interval '1 hour'`);
  await monitoring.watch.tick();
  const { status, body } = await readAlerts();
  expect(status).toBe(200);
  const backlog = { name: "queue_backlog", severity: "warning", threshold: 100, value: 101 };
  expect(body["alerts"]).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ ...backlog, state: "firing", unit: "jobs", operator: ">" }),
      expect.objectContaining({ name: "database_unreachable", state: "ok" }),
    ]),
  );
  expect(body["evaluated_at"]).toMatch(/^\d{4}-.*Z$/);
  const health = await send(app, { path: "root:/health" });
  expect(health.body).toMatchObject({
    status: "healthy",
    alerts: [{ ...backlog, since: expect.stringMatching(/^\d{4}-.*Z$/) }],
    fingerprint: expect.stringMatching(/^[0-9a-f]{12}$/),
  });
});

test("a worker that does not fit makes health fail, and says in what", async () => {
  await monitoring.watch.tick();
  await beatInstance(api.database, {
    ...monitoring.watch.agreement,
    instance_id: randomUUID(),
    service: "worker",
    hostname: "elsewhere",
    pid: 1,
    build: "b",
    embed_model: "another model",
    budget_usd_per_day: null,
    traffic: null,
    lifeMs: 60_000,
  });
  const health = await send(app, { path: "root:/health" });
  const ready = await send(app, { path: "root:/health/ready" });
  const told = await send(app, { path: "/admin/alerts", isService: true });
  const failing = [{ part: "services", code: "services_differ", detail: expect.stringContaining("embed_model") }];
  expect(health.body).toMatchObject({ status: "degraded", failing });
  for (const { text } of [health, ready]) expect(text).not.toMatch(/elsewhere|another model/);
  expect(told.body["differences"]).toMatchObject([
    { field: "embed_model", detail: expect.stringMatching(/embedding model: .*another model \(worker on elsewhere\)/) },
  ]);
  expect(ready).toMatchObject({ status: 503, body: { failing } });
});
