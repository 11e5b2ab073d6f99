import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { openPostgres, type Database } from "./database.ts";
import { diagnose } from "./doctor.ts";
import { checkSchemaVersion, migrate } from "./migrate.ts";
import { one } from "./queryable.ts";
import {
  createCompleteDocument,
  createUpload,
  hasParallelConnections,
  hasPgBouncer,
  openTestDatabase,
  startPgBouncer,
  uploadPromise,
  vectorOf,
  type PgBouncer,
  type TestDatabase,
} from "./testing/index.ts";
import { registerUpload } from "./uploads.ts";
import { createNotifier, listenForWork } from "./wakeup.ts";

/** Every transaction may run on another connection, and there are fewer of them than clients. */
describe.skipIf(!hasParallelConnections() || !hasPgBouncer())(
  "through PgBouncer in transaction mode: needs a server and the pgbouncer binary",
  () => {
    let opened: TestDatabase;
    let bouncer: PgBouncer;
    const databases: Database[] = [];
    beforeAll(async () => {
      opened = await openTestDatabase();
      bouncer = await startPgBouncer({ url: opened.url ?? "", poolSize: 2 });
    });
    afterAll(async () => {
      await Promise.all(databases.map((database) => database.close()));
      await bouncer.stop();
      await opened.close();
    });

    function open(options: { schemaName?: string; listenUrl?: string } = {}): Database {
      const database = openPostgres({
        url: bouncer.url,
        schemaName: "upload_pipeline",
        applicationName: "pooled",
        poolSize: 4,
        onIdleError: () => undefined,
        ...options,
      });
      databases.push(database);
      return database;
    }

    it("a schema is migrated by two at once, and found by its version", async () => {
      const pooled = [open({ schemaName: "pooled" }), open({ schemaName: "pooled" })];
      const results = await Promise.all(pooled.map((database) => migrate(database)));
      expect(results.filter(({ applied }) => applied.length > 0)).toHaveLength(1);
      await Promise.all(pooled.map((database) => checkSchemaVersion(database)));
    });

    it("statements keep nothing on a connection: no prepared names, no settings, no locks", async () => {
      const pooled = open();
      await createCompleteDocument(pooled, { passages: [{ text: "Water damage.", vector: vectorOf(1) }] });
      const diagnoses = await diagnose(pooled);
      expect(diagnoses.filter(({ severity, total }) => severity === "error" && total > 0)).toEqual([]);
      const leftRow = z.object({ prepared: z.number(), changed: z.number(), locks: z.number() });
      const look = `select (select count(*)::int from pg_prepared_statements) as prepared,
        (select count(*)::int from pg_settings where source = 'session' and name not in
          ('application_name', 'client_encoding', 'DateStyle', 'TimeZone', 'standard_conforming_strings')) as changed,
        (select count(*)::int from pg_locks l join pg_database d on d.oid = l.database
         where l.locktype = 'advisory' and d.datname = current_database()) as locks, pg_sleep(0.05)`;
      // As many at once as there are connections, so that each is looked at.
      const left = await Promise.all([one(pooled, leftRow, look), one(pooled, leftRow, look)]);
      expect(left).toEqual([
        { prepared: 0, changed: 0, locks: 0 },
        { prepared: 0, changed: 0, locks: 0 },
      ]);
    });

    it("the same upload twenty times at once is one document and one job", async () => {
      const { user_id, file_sha256 } = uploadPromise();
      const pooled = [open(), open()].flatMap((database) => Array.from({ length: 10 }, () => database));
      const uploads = await Promise.all(
        pooled.map((database) =>
          database.transaction((tx) => registerUpload(tx, uploadPromise({ user_id, file_sha256 }))),
        ),
      );
      expect(new Set(uploads.map(({ job }) => job.job_id)).size).toBe(1);
      expect(uploads.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
    });

    it("a listener learns that it hears nothing, and polls", async () => {
      const tested: boolean[] = [];
      const listener = { onWork: () => undefined, onLost: fail, onTested: (is: boolean) => void tested.push(is) };
      const stop = await listenForWork(open(), listener);
      expect(tested).toEqual([false]);
      const heard = bouncer.output();
      for (let time = 0; time < 10; time++) await open().run("select pg_notify('upload_pipeline_work', '')");
      expect(bouncer.output().slice(heard.length)).not.toContain("packet 'A'");
      await stop();
    });

    it("a listener with a direct address hears what is announced through the pooler", async () => {
      const tested: boolean[] = [];
      let woken = 0;
      const pooled = open({ listenUrl: opened.url ?? "" });
      const stop = await listenForWork(pooled, {
        onWork: () => void woken++,
        onLost: fail,
        onTested: (is) => tested.push(is),
      });
      expect(tested).toEqual([true]);
      woken = 0;
      const notifier = createNotifier(open(), { onError: fail });
      await createUpload(pooled);
      notifier.wake();
      await notifier.close();
      await expect.poll(() => woken).toBe(1);
      await stop();
    });

    it("the pooler refused nothing", () => {
      expect(bouncer.output()).not.toMatch(/unsupported startup parameter|ERROR/);
      // What the trial announces; a wake-up is never heard of.
      expect(bouncer.output().split("WARNING").length - 1).toBeLessThanOrEqual(1);
    });
  },
);

function fail(error: unknown): void {
  throw error;
}
