import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { diagnose, openPostgres } from "@pipeline/db";
import {
  findFreePort,
  hasParallelConnections,
  hasPgBouncer,
  openTestDatabase,
  startPgBouncer,
  type PgBouncer,
  type TestDatabase,
} from "@pipeline/db/testing";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { createClient } from "./client.ts";
import { killStarted, startCommand } from "./spawn.fixture.ts";

const COUNT = 30;

describe.skipIf(!hasParallelConnections() || !hasPgBouncer())(
  "separate processes through PgBouncer in transaction mode: need a server and the pgbouncer binary",
  () => {
    let directory: string;
    let opened: TestDatabase;
    let bouncer: PgBouncer;
    beforeEach(async () => {
      directory = await mkdtemp(join(tmpdir(), "pooled-test-"));
      opened = await openTestDatabase("pooled");
      bouncer = await startPgBouncer({ url: opened.url ?? "", poolSize: 3 });
    });
    afterEach(async () => {
      killStarted();
      await bouncer.stop();
      await opened.close();
      await rm(directory, { recursive: true });
    });

    test("migrate, the API and two workers, one that is woken and one that polls, complete every document", async () => {
      const env = {
        DATABASE_URL: bouncer.url,
        DATABASE_SCHEMA: "pooled",
        DATA_DIR: join(directory, "data"),
        SERVICE_PORT: String(await findFreePort()),
      };
      const migrating = startCommand("apps/migrate/src/main.ts", { env });
      expect(await migrating.ended, migrating.output()).toBe(0);
      const api = startCommand("apps/api/src/main.ts", { env });
      const polling = startCommand("apps/worker/src/main.ts", { env });
      const woken = startCommand("apps/worker/src/main.ts", {
        env: { ...env, DATABASE_DIRECT_URL: opened.url ?? "" },
      });
      await Promise.all([
        api.printed(/listening/),
        polling.printed(/wake-ups do not arrive, polling instead/),
        woken.printed(/wake-ups work/),
      ]);
      const token = await startCommand("apps/api/src/token.ts", { env }).printed(/^(eyJ\S+)$/m);
      const client = createClient({ url: `http://127.0.0.1:${env.SERVICE_PORT}`, token });
      const numbers = Array.from({ length: COUNT }, (_, index) => index);
      await Promise.all(
        numbers.map(async (number) => {
          const path = join(directory, `letter-${number}.txt`);
          await writeFile(path, `Letter number ${number}.\n\nYour contract ${number * 7} was renewed for a year.\n`);
          await client.upload(path);
        }),
      );
      await expect.poll(countDone, { timeout: 120_000, interval: 200 }).toBe(COUNT);
      for (const worker of [polling, woken]) {
        worker.child.kill("SIGTERM");
        expect(await worker.ended, worker.output()).toBe(0);
        expect(worker.output()).not.toMatch(/"level":"error"|database_error/);
      }
      expect(bouncer.output()).not.toMatch(/unsupported startup parameter|ERROR/);
      // What the trial announces; a wake-up is never heard of.
      expect(bouncer.output().split("WARNING").length - 1).toBeLessThanOrEqual(1);
      const diagnoses = await diagnose(opened.database);
      expect(diagnoses.filter(({ severity, total }) => severity === "error" && total > 0)).toEqual([]);
    }, 180_000);

    test("more clients than the pooler has connections wait for each other", async () => {
      const pooled = openPostgres({
        url: bouncer.url,
        schemaName: "pooled",
        applicationName: "test",
        poolSize: 20,
        onIdleError: () => undefined,
      });
      const naps = Array.from({ length: 20 }, () =>
        pooled.transaction((tx) => tx.run("select pg_sleep(0.01), pg_advisory_xact_lock(1)")),
      );
      expect(await Promise.all(naps)).toEqual(naps.map(() => 1));
      await pooled.close();
    });

    async function countDone(): Promise<number> {
      const [row] = await opened.database.many(
        z.object({ done: z.number() }),
        `select count(*)::int as done from ${opened.database.schema}.upload_jobs where state = 'done'`,
      );
      return row?.done ?? 0;
    }
  },
);
