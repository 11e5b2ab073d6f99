import { randomUUID } from "node:crypto";
import { createMonitoring } from "@pipeline/composition";
import { openPostgres } from "@pipeline/db";
import { createQueuedJob } from "@pipeline/db/testing";
import { createLogger, parseEnvironment } from "@pipeline/runtime";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildApi } from "../app.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { settingsFrom } from "../settings.ts";
import { openTestApi, send, tokenOf, uploadRequest, type TestApi } from "../testing/test-api.ts";

let api: TestApi;
beforeAll(async () => {
  api = await openTestApi();
});
afterAll(() => api.close());

const TOKEN = "metrics-token-of-the-tests";
const log = createLogger({ level: "silent", service: "api" });

async function monitored(overrides: Partial<ApiDependencies> = {}) {
  const dependencies = { ...api.dependencies, ...overrides };
  const { database } = dependencies;
  const environment = parseEnvironment({ ENVIRONMENT: "test" }, "local");
  const parts = { environment, database, service: "api", build: "test build", embedModel: "m", log } as const;
  const monitoring = await createMonitoring(parts);
  return { app: await buildApi({ ...dependencies, monitoring }), monitoring };
}

describe("metrics", () => {
  it("count requests by route template, method and class, and hold no id of anything", async () => {
    const { app, monitoring } = await monitored();
    const user = randomUUID();
    await send(app, { path: `/jobs/${randomUUID()}`, user });
    await send(app, { path: `/jobs/${randomUUID()}`, user });
    await send(app, { path: "/jobs" });
    await send(app, { method: "POST", path: "/upload", user, body: uploadRequest() });
    await send(app, { path: `root:/made/up/${randomUUID()}` });
    await send(app, { path: "root:/health/live" });
    const { text, status, headers } = await send(app, { path: "root:/metrics" });
    await app.close();
    expect(status).toBe(200);
    expect(headers["content-type"]).toContain("text/plain; version=0.0.4");
    const deployment = `environment="test",schema="${api.database.schemaName}"`;
    const counted = (labels: string, count: number): void =>
      expect(text.split("\n")).toContain(
        `pipeline_http_request_duration_seconds_count{${deployment},${labels}} ${count}`,
      );
    counted('route="/api/upload-pipeline/jobs/:job_id",method="GET",status_class="4xx"', 2);
    counted('route="/api/upload-pipeline/upload",method="POST",status_class="2xx"', 1);
    counted('route="unmatched",method="GET",status_class="4xx"', 1);
    const samples = text.split("\n").filter((line) => line.startsWith("pipeline_"));
    expect(samples.filter((line) => /[0-9a-f]{8}-[0-9a-f]{4}-/.test(line))).toEqual([]);
    expect(text).toMatch(/^pipeline_queue_jobs\{state="waiting",environment="test",schema="\w+"\} \d+$/m);
    expect(text).toMatch(/^nodejs_eventloop_lag_seconds\{environment=/m);
    expect(text).toMatch(/^process_resident_memory_bytes\{environment=/m);
    expect(text).toMatch(/^pipeline_build_info\{service="api",environment="test",.*build="test build"\} 1$/m);
    // What alerts are decided by: neither health nor the scrape itself.
    expect(monitoring.watch.traffic.read().counts.reduce((sum, count) => sum + count, 0)).toBe(5);
  });

  it("tell how many streams are open, and no time of theirs", async () => {
    const { app } = await monitored();
    const user = randomUUID();
    const { job } = await createQueuedJob(api.database, { user_id: user });
    const url = await app.listen({ host: "127.0.0.1", port: 0 });
    const leaving = new AbortController();
    const headers = { authorization: `Bearer ${await tokenOf(user)}` };
    const path = `/api/upload-pipeline/jobs/${job.job_id}/stream`;
    const stream = await fetch(`${url}${path}`, { headers, signal: leaving.signal });
    expect(stream.status).toBe(200);
    const read = async (): Promise<string> => (await fetch(`${url}/metrics`)).text();
    expect(await read()).toMatch(/^pipeline_http_open_streams\{.*\} 1$/m);
    leaving.abort();
    await expect.poll(read).toMatch(/^pipeline_http_open_streams\{.*\} 0$/m);
    expect(await read()).not.toContain("/stream");
    await app.close();
  });

  it.each([
    ["development, without a token", { ENVIRONMENT: "development" }, undefined, 200],
    [
      "development, with a token that is not brought",
      { ENVIRONMENT: "development", METRICS_TOKEN: TOKEN },
      undefined,
      401,
    ],
    ["development, with another token", { ENVIRONMENT: "development", METRICS_TOKEN: TOKEN }, "Bearer another", 401],
    ["development, with the token", { ENVIRONMENT: "development", METRICS_TOKEN: TOKEN }, `Bearer ${TOKEN}`, 200],
  ] as const)("are shown or not in %s", async (_what, variables, authorization, status) => {
    const settings = settingsFrom(parseEnvironment(variables, "local"));
    const { app } = await monitored({ settings });
    const answer = await send(app, {
      path: "root:/metrics",
      headers: authorization === undefined ? {} : { authorization },
    });
    await app.close();
    expect(answer.status).toBe(status);
  });

  it("do not exist in staging and production without a token", async () => {
    const environment = parseEnvironment({ ENVIRONMENT: "test" }, "local");
    const { metricsAccess } = settingsFrom({ ...environment, ENVIRONMENT: "staging" });
    expect(metricsAccess).toBe("closed");
    const { app } = await monitored({ settings: { ...api.dependencies.settings, metricsAccess } });
    const answer = await send(app, { path: "root:/metrics" });
    await app.close();
    expect(answer).toMatchObject({ status: 404, body: { code: "route_not_found" } });
    expect(answer.text).not.toContain("pipeline_");
  });

  it("are answered while the database is away", async () => {
    const database = openPostgres({
      url: "postgres://user:hidden-password@127.0.0.1:1/nowhere",
      schemaName: "upload_pipeline",
      applicationName: "test",
      poolSize: 1,
      onIdleError: () => undefined,
    });
    const { app } = await monitored({ database, isOpen: () => false });
    const { status, text } = await send(app, { path: "root:/metrics" });
    await app.close();
    await database.close();
    expect(status).toBe(200);
    expect(text).toMatch(/^pipeline_database_up\{.*\} 0$/m);
    expect(text).not.toContain("hidden-password");
  });
});
