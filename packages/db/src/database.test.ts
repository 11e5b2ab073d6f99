import { AppError } from "@pipeline/runtime";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, test } from "vitest";
import { z } from "zod";
import { openPostgres, type Database } from "./database.ts";
import { translateDatabaseError } from "./errors.ts";
import { maybeOne, one } from "./queryable.ts";
import { createUpload, hasParallelConnections, openTestDatabase, type TestDatabase } from "./testing/index.ts";

let opened: TestDatabase;
let database: Database;
beforeAll(async () => {
  opened = await openTestDatabase();
  database = opened.database;
});
afterAll(() => opened.close());
beforeEach(() => database.run("create table public.notes (id integer primary key, size bigint)"));
afterEach(() => database.run("drop table public.notes"));

const noteRow = z.object({ id: z.number() });

function listNotes(): Promise<{ id: number }[]> {
  return database.many(noteRow, "select id from public.notes order by id");
}

test("a transaction stores all of its work and answers what it returned", async () => {
  const result = await database.transaction(async (tx) => {
    await tx.run("insert into public.notes values (1)");
    await tx.run("insert into public.notes values (2)");
    return "answer";
  });
  expect(result).toBe("answer");
  expect(await listNotes()).toEqual([{ id: 1 }, { id: 2 }]);
});

test("whatever a transaction throws passes through and rolls back", async () => {
  for (const thrown of [
    new Error("own"),
    new AppError({ kind: "permanent", code: "own", message: "Own." }),
    Object.assign(new Error("storage"), { code: "ECONNREFUSED" }),
  ]) {
    const failing = database.transaction(async (tx) => {
      await tx.run("insert into public.notes values (1)");
      throw thrown;
    });
    await expect(failing).rejects.toBe(thrown);
  }
  expect(await listNotes()).toEqual([]);
});

test("a transaction whose failed statement was passed over does not look like a success", async () => {
  const failing = database.transaction(async (tx) => {
    await tx.run("insert into public.notes values (1)");
    await tx.run("insert into public.notes values (1)").catch(() => undefined);
    return "fine";
  });
  await expect(failing).rejects.toMatchObject({ kind: "internal", code: "transaction_aborted" });
  expect(await listNotes()).toEqual([]);
});

test("a snapshot answers what its work returned, and refuses to write", async () => {
  await database.run("insert into public.notes values (1)");
  expect(await database.snapshot((tx) => tx.many(noteRow, "select id from public.notes"))).toEqual([{ id: 1 }]);
  const writing = database.snapshot((tx) => tx.run("insert into public.notes values (2)"));
  await expect(writing).rejects.toMatchObject({ code: "database_error" });
  expect(await listNotes()).toEqual([{ id: 1 }]);
});

it.skipIf(!hasParallelConnections())(
  "all statements of a snapshot see the same moment: needs two connections",
  async () => {
    const seen = await database.snapshot(async (tx) => {
      const before = await tx.many(noteRow, "select id from public.notes");
      await database.run("insert into public.notes values (1)");
      return [before, await tx.many(noteRow, "select id from public.notes")];
    });
    expect(seen).toEqual([[], []]);
    expect(await listNotes()).toEqual([{ id: 1 }]);
  },
);

test("after a refused statement the next one works, time after time", async () => {
  for (let time = 0; time < 20; time++) {
    await expect(database.run("select 1 / 0")).rejects.toMatchObject({ code: "database_error" });
    await expect(database.transaction((tx) => tx.run("select 1 / 0"))).rejects.toMatchObject({
      code: "database_error",
    });
    expect(await database.run("select 1")).toBe(1);
  }
});

it.skipIf(!hasParallelConnections())(
  "a refused statement does not cost its connection: needs a pool of connections",
  async () => {
    const single = openPostgres({ ...anyPostgres, url: opened.url ?? "" });
    const backend = (): Promise<{ pid: number }> =>
      one(single, z.object({ pid: z.number() }), "select pg_backend_pid() as pid");
    const before = await backend();
    await expect(single.run("select 1 / 0")).rejects.toMatchObject({ code: "database_error" });
    expect(await backend()).toEqual(before);
    await single.close();
  },
);

it.skipIf(!hasParallelConnections())(
  "a killed connection is told as unavailable and replaced: needs two connections",
  async () => {
    const single = openPostgres({ ...anyPostgres, url: opened.url ?? "" });
    const backend = (): Promise<{ pid: number }> =>
      one(single, z.object({ pid: z.number() }), "select pg_backend_pid() as pid");
    const { pid } = await backend();
    const dying = single.transaction(async (tx) => {
      await tx.run("insert into public.notes values (1)");
      await database.run("select pg_terminate_backend($1)", [pid]);
      await tx.run("insert into public.notes values (2)");
    });
    await expect(dying).rejects.toMatchObject({ kind: "transient", code: "database_unavailable" });
    expect((await backend()).pid).not.toBe(pid);
    expect(await listNotes()).toEqual([]);
    await single.close();
  },
);

const anyPostgres = {
  schemaName: "upload_pipeline",
  applicationName: "test",
  poolSize: 1,
  onIdleError: () => undefined,
};

test("a second row with the same key is a conflict", async () => {
  await database.run("insert into public.notes values (1)");
  const second = database.run("insert into public.notes values (1)");
  await expect(second).rejects.toMatchObject({ kind: "conflict", code: "already_exists" });
});

test("an illegal transition is a conflict of its own, and keeps the driver's error as cause", async () => {
  const { job } = await createUpload(database);
  const changing = database.run("update upload_pipeline.upload_jobs set status = 'complete' where job_id = $1", [
    job.job_id,
  ]);
  await expect(changing).rejects.toMatchObject({
    kind: "conflict",
    code: "illegal_transition",
    cause: expect.any(Error),
  });
});

test("a missing reference is a conflict", async () => {
  const orphan = database.run("insert into upload_pipeline.document_pages values (gen_random_uuid(), 1, 1, 'text')");
  await expect(orphan).rejects.toMatchObject({ kind: "conflict", code: "missing_reference" });
});

test.each([
  ["40001", "transient", "database_conflict"],
  ["40P01", "transient", "database_conflict"],
  ["55P03", "transient", "database_conflict"],
  ["57014", "transient", "database_conflict"],
  ["08006", "transient", "database_unavailable"],
  ["53300", "transient", "database_unavailable"],
  ["57P01", "transient", "database_unavailable"],
  ["25P03", "transient", "database_unavailable"],
  ["ECONNRESET", "transient", "database_unavailable"],
  ["28P01", "transient", "database_login_refused"],
  ["28000", "transient", "database_login_refused"],
  ["3D000", "transient", "database_missing"],
  ["42501", "transient", "database_privilege_missing"],
  ["42P01", "internal", "database_error"],
  ["XX000", "internal", "database_error"],
])("the driver's code %s is %s %s", (code, kind, translated) => {
  const error = translateDatabaseError(Object.assign(new Error("driver"), { code, severity: "ERROR" }));
  expect(error).toMatchObject({ kind, code: translated });
});

test.each([
  "Connection terminated unexpectedly",
  "Query read timeout",
  "timeout exceeded when trying to connect",
  "Cannot use a pool after calling end on the pool",
])("the driver's message %j, which has no code, is unavailable", (message) => {
  expect(translateDatabaseError(new Error(message))).toMatchObject({ code: "database_unavailable" });
});

test("a server that is not there is unavailable, and trying later can help", async () => {
  const nowhere = openPostgres({ ...anyPostgres, url: "postgres://localhost:1/none" });
  const unavailable = { kind: "transient", code: "database_unavailable" };
  await expect(nowhere.run("select 1")).rejects.toMatchObject(unavailable);
  await expect(nowhere.transaction((tx) => tx.run("select 1"))).rejects.toMatchObject(unavailable);
  await nowhere.close();
});

test("bigint columns are numbers, and what a number cannot hold is refused", async () => {
  const sized = z.object({ size: z.number() });
  const largest = await one(database, sized, "select 9007199254740991::bigint as size");
  expect(largest).toEqual({ size: Number.MAX_SAFE_INTEGER });
  const tooLarge = one(database, sized, "select 9007199254740993::bigint as size");
  await expect(tooLarge).rejects.toMatchObject({ kind: "internal", code: "number_too_large" });
  expect(await one(database, sized, "select -1::bigint as size")).toEqual({ size: -1 });
});

test("one row, no row and two rows are told apart", async () => {
  await database.run("insert into public.notes values (1), (2)");
  const all = "select id from public.notes";
  expect(await maybeOne(database, noteRow, `${all} where id = 3`)).toBeUndefined();
  expect(await one(database, noteRow, `${all} where id = 1`)).toEqual({ id: 1 });
  await expect(one(database, noteRow, `${all} where id = 3`)).rejects.toMatchObject({ code: "row_missing" });
  await expect(maybeOne(database, noteRow, all)).rejects.toMatchObject({ code: "too_many_rows" });
});

test("closing twice is fine, and a closed database is unavailable", async () => {
  const another = await openTestDatabase();
  await another.database.close();
  await another.database.close();
  await expect(another.database.run("select 1")).rejects.toMatchObject({ code: "database_unavailable" });
  await another.close();
});

test.skipIf(!hasParallelConnections())(
  "a transaction that nobody goes on with ends before its worker's lease does: needs a server",
  async () => {
    const setting = z.object({ idle: z.string(), lock: z.string(), statement: z.string() });
    const settings = `select current_setting('idle_in_transaction_session_timeout') as idle,
      current_setting('lock_timeout') as lock, current_setting('statement_timeout') as statement`;
    const limits = { idle: "10s", lock: "10s", statement: "1min" };
    expect(await opened.database.transaction((tx) => tx.many(setting, settings))).toEqual([limits]);
    expect(await opened.database.snapshot((tx) => tx.many(setting, settings))).toEqual([limits]);
    // Nothing stays behind on the connection, which a pooler may give to somebody else.
    expect(await opened.database.many(setting, settings)).toEqual([{ idle: "0", lock: "0", statement: "0" }]);
  },
);
