import { randomUUID } from "node:crypto";
import { rm } from "node:fs/promises";
import { endSession, openPostgres, pauseClaims, recordProviderFault, resumeClaims } from "@pipeline/db";
import { createSession } from "@pipeline/db/testing";
import { startSupabase } from "@pipeline/mocks/supabase";
import { AppError } from "@pipeline/runtime";
import { createSupabaseStore } from "@pipeline/storage";
import { createClient } from "@supabase/supabase-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildApi } from "../app.ts";
import { openTestApi, send, type Answer, type TestApi } from "../testing/test-api.ts";

let api: TestApi;
beforeAll(async () => {
  api = await openTestApi();
});
afterAll(() => api.close());

async function ask(): Promise<{ health: Answer; ready: Answer; live: Answer }> {
  return {
    health: await api.call({ path: "root:/health" }),
    ready: await api.call({ path: "root:/health/ready" }),
    live: await api.call({ path: "root:/health/live" }),
  };
}

async function openCircuit(provider: string, code: string): Promise<void> {
  const message = "Nothing is left.";
  const limits = { threshold: 1, openMs: 60_000, longestOpenMs: 60_000, retryAfterMs: undefined };
  await recordProviderFault(api.database, { provider, probe_id: undefined, ...limits, code, message });
}

async function closeCircuits(): Promise<void> {
  await api.database.run(`delete from ${api.database.schema}.provider_circuits`);
}

describe("health", () => {
  it("is degraded and not ready without a live worker", async () => {
    const { health, ready, live } = await ask();
    const failing = [{ part: "workers", code: "no_live_worker", detail: "No worker sends heartbeats." }];
    expect(health.status).toBe(200);
    expect(health.body).toEqual({
      status: "degraded",
      environment: "test",
      timestamp: expect.stringMatching(/^\d{4}-.*Z$/),
      database: "healthy",
      storage: "healthy",
      workers: { live_count: 0, last_heartbeat_at: null },
      schema_version: expect.any(Number),
      build: "test build",
      fingerprint: null,
      alerts: [],
      failing,
    });
    expect(ready).toMatchObject({ status: 503, body: { status: "not_ready", failing } });
    expect(ready.headers["retry-after"]).toBe("5");
    expect(live).toMatchObject({ status: 200, body: { status: "live" } });
  });

  it("is healthy and ready with a live worker, and no longer once it has gone", async () => {
    const session = await createSession(api.database);
    const { health, ready } = await ask();
    expect(health.body).toMatchObject({
      status: "healthy",
      workers: { live_count: 1, last_heartbeat_at: expect.stringMatching(/^\d{4}-.*Z$/) },
      failing: [],
    });
    expect(ready).toMatchObject({ status: 200, body: { status: "ready", failing: [] } });

    await endSession(api.database, session);
    expect((await ask()).health.body).toMatchObject({ status: "degraded", workers: { live_count: 0 } });
  });

  it("is degraded with a worker that missed its heartbeats", async () => {
    await createSession(api.database, -1_000);
    expect((await ask()).health.body).toMatchObject({ status: "degraded", workers: { live_count: 0 } });
  });

  it("is degraded while claiming is paused, and ready, because uploads are taken", async () => {
    const session = await createSession(api.database);
    await pauseClaims(api.database, { paused_by: "test", reason: null });
    const { health, ready } = await ask();
    await resumeClaims(api.database);
    await endSession(api.database, session);
    const failing = [{ part: "queue", code: "queue_paused", detail: expect.stringMatching(/paused since \d{4}-.*Z/) }];
    expect(health.body).toMatchObject({ status: "degraded", failing });
    expect(ready).toMatchObject({ status: 200, body: { status: "ready", failing: [] } });
  });

  it("names a provider that workers found out of order, and is not ready until it works again", async () => {
    const session = await createSession(api.database);
    await openCircuit("openai", "embedding_quota_exhausted");
    const { health, ready } = await ask();
    const failing = [
      {
        part: "embedder",
        code: "embedding_quota_exhausted",
        detail: expect.stringMatching(/^Nothing is left\. Out of order since \d{4}-.*Z\.$/),
      },
    ];
    expect(health.body).toMatchObject({ status: "degraded", failing });
    expect(ready).toMatchObject({ status: 503, body: { failing } });
    await closeCircuits();
    expect((await ask()).ready).toMatchObject({ status: 200, body: { failing: [] } });
    await endSession(api.database, session);
  });

  it("is ready without the parsing provider where workers read documents themselves meanwhile", async () => {
    const session = await createSession(api.database);
    await openCircuit("llamaparse", "llamaparse_quota_exhausted");
    const failing = [{ part: "parser", code: "llamaparse_quota_exhausted" }];
    expect((await ask()).ready).toMatchObject({ status: 503, body: { failing } });
    const { dependencies } = api;
    const app = await buildApi({ ...dependencies, settings: { ...dependencies.settings, hasParserFallback: true } });
    const health = await send(app, { path: "root:/health" });
    const ready = await send(app, { path: "root:/health/ready" });
    await app.close();
    await closeCircuits();
    await endSession(api.database, session);
    expect(health.body).toMatchObject({ status: "degraded", failing });
    expect(ready).toMatchObject({ status: 200, body: { status: "ready", failing: [] } });
  });

  it("names a schema of another version", async () => {
    await createSession(api.database);
    const { database } = api;
    await database.run(
      `insert into ${database.schema}.schema_migrations (version, name, checksum) values (9999, 'later', 'x')`,
    );
    const { health, ready } = await ask();
    await database.run(`delete from ${database.schema}.schema_migrations where version = 9999`);
    const failing = [{ part: "schema", code: "schema_newer" }];
    expect(health.body).toMatchObject({ status: "degraded", database: "healthy", schema_version: null, failing });
    expect(ready).toMatchObject({ status: 503, body: { failing } });
  });

  it("names a database that is away, and the process stays live", async () => {
    const database = openPostgres({
      url: "postgres://user:hidden-password@127.0.0.1:1/nowhere",
      schemaName: "upload_pipeline",
      applicationName: "test",
      poolSize: 1,
      onIdleError: () => undefined,
    });
    const app = await buildApi({ ...api.dependencies, database });
    const health = await send(app, { path: "root:/health" });
    const ready = await send(app, { path: "root:/health/ready" });
    const live = await send(app, { path: "root:/health/live" });
    await app.close();
    await database.close();
    const failing = [
      { part: "database", code: "database_unavailable" },
      { part: "workers", code: "database_unavailable" },
    ];
    expect(health.body).toMatchObject({
      status: "degraded",
      database: "unhealthy",
      schema_version: null,
      workers: { live_count: null, last_heartbeat_at: null },
      failing,
    });
    expect(ready).toMatchObject({ status: 503, body: { failing } });
    expect(live.status).toBe(200);
  });

  it("names storage that is away", async () => {
    const own = await openTestApi();
    await createSession(own.database);
    await rm(own.storageDirectory, { recursive: true });
    const health = await own.call({ path: "root:/health" });
    const ready = await own.call({ path: "root:/health/ready" });
    await own.close();
    const failing = [{ part: "storage", code: "storage_unavailable" }];
    expect(health.body).toMatchObject({ status: "degraded", database: "healthy", storage: "unhealthy", failing });
    expect(ready).toMatchObject({ status: 503, body: { failing } });
  });

  it("names what is wrong with a bucket, and with the providers, as exactly as they say", async () => {
    const emulator = await startSupabase({ jwtSecret: "the secret of the project's tokens" });
    const { storage: buckets } = createClient(emulator.url, emulator.serviceRoleKey);
    await buckets.createBucket("uploads", { public: true });
    const refused = new AppError({ kind: "permanent", code: "embedding_unauthorized", message: "The key is refused." });
    const checkEmbedder = () => Promise.reject(refused);
    const busy = new AppError({ kind: "rate_limited", code: "llamaparse_rate_limited", message: "It is busy." });
    const checks = { checkEmbedder, checkParser: () => Promise.reject(busy) };
    const app = await buildApi({ ...api.dependencies, storage: createSupabaseStore(emulator), ...checks });
    const health = await send(app, { path: "root:/health" });
    await app.close();
    await emulator.close();
    expect(health.body).toMatchObject({
      status: "degraded",
      storage: "unhealthy",
      failing: expect.arrayContaining([
        {
          part: "storage",
          code: "storage_bucket_mismatch",
          detail: expect.stringContaining("differs in public and file_size_limit"),
        },
        { part: "parser", code: "llamaparse_rate_limited", detail: "It is busy." },
        { part: "embedder", code: "embedding_unauthorized", detail: "The key is refused." },
      ]),
    });
    expect(health.text).not.toContain(emulator.serviceRoleKey);
  });

  it("needs no token and takes one without looking at it", async () => {
    const headers = { authorization: `Bearer ${randomUUID()}` };
    expect((await api.call({ path: "root:/health/live", headers })).status).toBe(200);
  });
});
