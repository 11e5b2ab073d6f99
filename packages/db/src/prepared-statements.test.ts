import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { openPostgres, type Database } from "./database.ts";
import { getJob } from "./jobs.ts";
import { createUpload, hasParallelConnections, openTestDatabase, type TestDatabase } from "./testing/index.ts";

describe.skipIf(!hasParallelConnections())("on a server, straight to it", () => {
  let opened: TestDatabase;
  let database: Database;
  beforeAll(async () => {
    opened = await openTestDatabase();
    database = openPostgres({
      url: opened.url ?? "",
      schemaName: "upload_pipeline",
      applicationName: "prepared",
      poolSize: 1,
      onIdleError: () => undefined,
    });
    await opened.database.run("create table upload_pipeline.changing (id integer, text text)");
    await opened.database.run("insert into upload_pipeline.changing values (1, '7')");
  });
  afterAll(async () => {
    await database.close();
    await opened.close();
  });

  const read = (): Promise<unknown[]> =>
    database.many(z.unknown(), "select text from upload_pipeline.changing where id = $1", [1], { prepare: true });
  const keptRow = z.object({ statement: z.string(), uses: z.number() });
  const listKept = (): Promise<z.infer<typeof keptRow>[]> =>
    database.many(keptRow, "select statement, (generic_plans + custom_plans)::int as uses from pg_prepared_statements");

  test("a statement that asks for it is kept by its connection, others are not", async () => {
    const { job } = await createUpload(opened.database);
    const kept = (await listKept()).length;
    for (const times of [1, 2, 3]) {
      expect(await getJob(database, job)).toMatchObject({ job_id: job.job_id });
      expect((await listKept()).slice(kept)).toEqual([{ statement: expect.stringContaining("job_id"), uses: times }]);
    }
    await expect(getJob(database, { ...job, user_id: randomUUID() })).rejects.toMatchObject({ code: "job_not_found" });
  });

  test("one whose table was changed fails once, as what passes, and is asked on another connection then", async () => {
    expect(await read()).toEqual([{ text: "7" }]);
    await opened.database.run(
      "alter table upload_pipeline.changing alter column text type integer using text::integer",
    );
    await expect(read()).rejects.toMatchObject({ kind: "transient", code: "database_conflict" });
    expect(await read()).toEqual([{ text: 7 }]);
  });
});
