import { randomUUID } from "node:crypto";
import { openPostgres } from "@pipeline/db";
import { hasParallelConnections, openTestDatabase } from "@pipeline/db/testing";
import { expect, it, vi } from "vitest";
import { buildApi } from "../app.ts";
import { openTestApi, send } from "../testing/test-api.ts";

it("a lagging event loop turns requests away with 503 until it keeps up, health excepted", async () => {
  const api = await openTestApi({}, { maxLagMs: 20 });
  const ask = () => api.call({ path: "/documents", user: randomUUID() });
  await vi.waitFor(
    async () => {
      const end = performance.now() + 200;
      while (performance.now() < end);
      const answer = await ask();
      expect(answer).toMatchObject({ status: 503, body: { code: "server_busy" } });
      expect(answer.headers["retry-after"]).toBe("2");
      expect((await api.call({ path: "root:/docs/openapi.json" })).status).toBe(200);
    },
    { timeout: 60_000, interval: 10 },
  );
  expect((await api.call({ path: "root:/health/live" })).status).toBe(200);
  await vi.waitFor(async () => expect((await ask()).status).toBe(200), { timeout: 60_000, interval: 300 });
  await api.close();
});

it.skipIf(!hasParallelConnections())(
  "requests beyond those that may wait for a connection are turned away at once: needs a server",
  async () => {
    const opened = await openTestDatabase();
    const database = openPostgres({
      url: opened.url ?? "",
      schemaName: "upload_pipeline",
      applicationName: "test",
      poolSize: 1,
      maxWaiting: 2,
      onIdleError: () => undefined,
    });
    const api = await openTestApi();
    const app = await buildApi({ ...api.dependencies, database });
    const { promise: release, resolve } = Promise.withResolvers<void>();
    const holding = database.transaction(() => release);
    await vi.waitFor(() => expect(database.connections().in_use).toBe(1));
    const user = randomUUID();
    const asking = Array.from({ length: 5 }, () => send(app, { path: "/jobs", user }));
    const turnedAway = await Promise.race(asking);
    expect(turnedAway).toMatchObject({ status: 503, body: { code: "database_busy" } });
    expect(turnedAway.headers["retry-after"]).toBe("2");
    resolve();
    await holding;
    const statuses = (await Promise.all(asking)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(2);
    expect(statuses.filter((status) => status === 503)).toHaveLength(3);
    await app.close();
    await database.close();
    await api.close();
    await opened.close();
  },
);
