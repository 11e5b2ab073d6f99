import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { listenOnOwnConnection } from "./listen.ts";
import { hasParallelConnections, openDatabaseSwitch, openTestDatabase, type TestDatabase } from "./testing/index.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());

describe.skipIf(!hasParallelConnections())("the connection that listens: needs a server", () => {
  it("is opened again when it falls silent without an end", async () => {
    const between = await openDatabaseSwitch(opened.url ?? "");
    const [heard, lost]: [string[], unknown[]] = [[], []];
    let listening = 0;
    const stop = await listenOnOwnConnection(
      { url: between.url, applicationName: "test", connectTimeoutMs: 5_000, heartbeatMs: 50, answerMs: 500 },
      {
        channel: "silence",
        onNotify: (payload) => heard.push(payload),
        onListening: () => {
          listening += 1;
        },
        onLost: (error) => lost.push(error),
      },
    );
    expect(listening).toBe(1);

    between.freeze();

    await expect.poll(() => listening, { timeout: 20_000 }).toBe(2);
    expect(lost.map(String)).toEqual(["Error: The connection that listens does not answer."]);
    await opened.database.run("select pg_notify('silence', 'again')");
    await expect.poll(() => heard).toEqual(["again"]);
    await stop();
    await between.close();
  });

  it("is left alone while it answers", async () => {
    let asked = 0;
    const lost: unknown[] = [];
    const stop = await listenOnOwnConnection(
      {
        url: opened.url ?? "",
        applicationName: "test asked",
        connectTimeoutMs: 5_000,
        heartbeatMs: 1,
        answerMs: 5_000,
      },
      {
        channel: "silence",
        onNotify: () => undefined,
        onListening: () => undefined,
        onLost: (error) => lost.push(error),
      },
    );
    await expect
      .poll(async () => {
        asked += await opened.database.run(
          "select from pg_stat_activity where application_name = 'test asked listen' and query = 'select 1'",
        );
        return asked;
      })
      .toBeGreaterThanOrEqual(3);
    expect(lost).toEqual([]);
    await stop();
  });
});
