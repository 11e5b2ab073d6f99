import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { claimJobs } from "./claims.ts";
import { openPostgres, type Database } from "./database.ts";
import { migrate } from "./migrate.ts";
import type { Queryable } from "./queryable.ts";
import {
  createCompleteDocument,
  createQueuedJob,
  createSession,
  hasParallelConnections,
  openTestDatabase,
  vectorOf,
  type TestDatabase,
} from "./testing/index.ts";

/** What Supabase's clients may be, and whom their claims name. */
interface Client {
  role: "authenticated" | "anon";
  claims: string;
}

const userA = randomUUID();
const userB = randomUUID();
const claimsOf = (user: string): string => JSON.stringify({ sub: user, role: "authenticated", aud: "authenticated" });

const STRANGERS: [string, Client][] = [
  ["authenticated as B", { role: "authenticated", claims: claimsOf(userB) }],
  ["authenticated without claims", { role: "authenticated", claims: "" }],
  ["authenticated with claims that are no JSON", { role: "authenticated", claims: "{sub" }],
  ["authenticated with claims that are a list", { role: "authenticated", claims: "[1]" }],
  ["authenticated with a subject that is no UUID", { role: "authenticated", claims: '{"sub":"%"}' }],
  ["authenticated without a subject", { role: "authenticated", claims: '{"sub":null}' }],
  ["anon", { role: "anon", claims: "" }],
  ["anon with the claims of A", { role: "anon", claims: claimsOf(userA) }],
];

/** What an owner may read; every other table is closed to clients. */
const OWNED = ["document_chunks", "document_pages", "documents", "events", "upload_jobs"];

let opened: TestDatabase;
let database: Database;
let tables: string[];

beforeAll(async () => {
  opened = await openTestDatabase();
  database = opened.database;
  await createClientRoles(database);
  await database.run(`select ${database.schema}.open_to_clients()`);
  for (const user_id of [userA, userB]) {
    const passages = [{ text: "Water damage is covered.", vector: vectorOf(1) }];
    await createCompleteDocument(database, { passages, upload: { user_id } });
  }
  tables = await namesOf(
    database,
    `select c.relname as name from pg_class c
     where c.relnamespace = $1::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f') order by 1`,
  );
});
afterAll(() => opened.close());

describe("clients that reach the tables directly", () => {
  test("every table has row-level security and a policy for the services", async () => {
    const open = await namesOf(
      database,
      `select c.relname as name from pg_class c
       where c.relnamespace = $1::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
         and not (c.relrowsecurity and exists (select from pg_policy p where p.polrelid = c.oid and p.polname = 'services'))`,
    );
    expect(open).toEqual([]);
    expect(tables).toEqual(expect.arrayContaining([...OWNED, "webhook_log", "provider_jobs", "spending"]));
  });

  test.each(STRANGERS)("%s reads nothing of A, in any table", async (_name, client) => {
    for (const table of tables) {
      const seen = await outcomeOf(client, (tx) => rowsOfA(tx, table));
      const isOpen = client.role === "authenticated" && OWNED.includes(table);
      expect([table, seen]).toEqual([table, isOpen ? 0 : "42501"]);
    }
  });

  test.each([...STRANGERS, ["A", { role: "authenticated", claims: claimsOf(userA) }] satisfies [string, Client]])(
    "%s writes nothing, in any table",
    async (_name, client) => {
      for (const table of tables) {
        const column = await firstColumn(table);
        const name = `${database.schema}.${table}`;
        for (const statement of [
          `insert into ${name} default values`,
          `update ${name} set ${column} = ${column}`,
          `delete from ${name}`,
          `truncate ${name} cascade`,
        ]) {
          expect([statement, await outcomeOf(client, (tx) => tx.run(statement))]).toEqual([statement, "42501"]);
        }
      }
    },
  );

  test("A reads A's own rows and no others", async () => {
    const client: Client = { role: "authenticated", claims: claimsOf(userA) };
    for (const table of OWNED) {
      const [own, all] = [
        await outcomeOf(client, (tx) => rowsOfA(tx, table)),
        await outcomeOf(client, (tx) => countRows(tx, `select count(*)::int as count from ${tx.schema}.${table}`)),
      ];
      expect([table, own]).toEqual([table, await rowsOfA(database, table)]);
      expect([table, all]).toEqual([table, own]);
      expect(own).not.toBe(0);
    }
  });

  test("no function or sequence is a client's but the one that says who asks", async () => {
    const functions = await namesOf(
      database,
      `select role || ' ' || p.proname as name from pg_proc p, unnest(array['anon', 'authenticated']) as role
       where p.pronamespace = $1::regnamespace and has_function_privilege(role, p.oid, 'execute')`,
    );
    const sequences = await namesOf(
      database,
      `select role || ' ' || c.relname as name from pg_class c, unnest(array['anon', 'authenticated']) as role
       where c.relnamespace = $1::regnamespace and c.relkind = 'S'
         and has_sequence_privilege(role, c.oid, 'usage, select, update')`,
    );
    expect(functions).toEqual(["authenticated requesting_user"]);
    expect(sequences).toEqual([]);
  });

  test("functions that act with their owner's rights look for tables in their own schema alone", async () => {
    const found = await namesOf(
      database,
      `select proname || ' ' || array_to_string(proconfig, ' ') as name from pg_proc
       where pronamespace = $1::regnamespace and prosecdef order by 1`,
    );
    expect(found.length).toBeGreaterThan(2);
    for (const line of found) expect(line).toMatch(/ search_path=upload_pipeline, pg_temp$/);
  });
});

describe("the services' roles", () => {
  test.each<["api" | "worker", string]>([
    ["api", "update SCHEMA.upload_jobs set status = 'parsing'"],
    ["api", "update SCHEMA.upload_jobs set user_id = gen_random_uuid()"],
    ["api", "update SCHEMA.documents set live_generation = 1"],
    ["api", "update SCHEMA.document_chunks set text = 'x'"],
    ["api", "delete from SCHEMA.document_chunks"],
    ["api", "delete from SCHEMA.events"],
    ["api", "delete from SCHEMA.spending"],
    ["api", "delete from SCHEMA.document_pages"],
    ["api", "insert into SCHEMA.ready_jobs default values"],
    ["api", "create table SCHEMA.another (id int)"],
    ["worker", "insert into SCHEMA.documents default values"],
    ["worker", "delete from SCHEMA.documents"],
    ["worker", "update SCHEMA.documents set user_id = gen_random_uuid()"],
    ["worker", "insert into SCHEMA.upload_jobs default values"],
    ["worker", "update SCHEMA.upload_jobs set user_id = gen_random_uuid()"],
    ["worker", "delete from SCHEMA.spending"],
    ["worker", "update SCHEMA.queue_control set paused_at = now()"],
    ["worker", "insert into SCHEMA.webhook_log default values"],
    ["worker", "delete from SCHEMA.schema_migrations"],
  ])("the %s may not: %s", async (service, statement) => {
    const role = `upload_pipeline_${service}`;
    const refused = attempt(database, { role, claims: "" }, (tx) => tx.run(statement.replace("SCHEMA", tx.schema)));
    expect(await refused).toBe("42501");
  });

  test("the worker deletes no job that goes on", async () => {
    await createQueuedJob(database, { user_id: userB });
    const role = "upload_pipeline_worker";
    const deleted = attempt(database, { role, claims: "" }, (tx) => tx.run(`delete from ${tx.schema}.upload_jobs`));
    const ended = `select count(*)::int as count from ${database.schema}.upload_jobs where finished_at is not null`;
    expect(await deleted).toBe(await countRows(database, ended));
  });

  test("the worker claims, under a cap as well", async () => {
    await createQueuedJob(database, { user_id: userB });
    const session_id = await createSession(database);
    const role = "upload_pipeline_worker";
    for (const maxPerUser of [undefined, 1]) {
      const claimed = attempt(database, { role, claims: "" }, async (tx) => {
        // So that the claim writes down where its walk through the users stopped.
        await tx.run(`update ${tx.schema}.worker_sessions set walked_to = gen_random_uuid()`);
        return (await claimJobs(tx, { session_id, limit: 1, maxPerUser })).length;
      });
      expect(await claimed).toBe(1);
    }
  });

  test("a second schema in the same database has roles of its own, closed to the first one's", async () => {
    const staging = await openTestDatabase("upload_pipeline_staging");
    await migrate(staging.database);
    const read = (service: string, schema: string): Promise<unknown> =>
      attempt(staging.database, { role: `upload_pipeline_${service}`, claims: "" }, (tx) =>
        countRows(tx, `select count(*)::int as count from ${schema}.documents`),
      );
    expect(await read("staging_api", "upload_pipeline_staging")).toBe(0);
    expect(await read("api", "upload_pipeline")).toBe(0);
    expect(await read("api", "upload_pipeline_staging")).toBe("42501");
    expect(await read("staging_worker", "upload_pipeline")).toBe("42501");
    await staging.close();
  });

  test.skipIf(!hasParallelConnections())(
    "who may not create roles is told what an administrator has to run: needs a connection of another user",
    async () => {
      const fresh = await openTestDatabase("no_roles");
      const role = `limited_${randomUUID().slice(0, 8)}`;
      await fresh.database.run(
        `create role ${role} nologin; do $$ begin execute format('grant create on database %I to ${role}', current_database()); end $$`,
      );
      const limited = openPostgres({
        url: `${fresh.url ?? ""}?options=${encodeURIComponent(`-c role=${role}`)}`,
        schemaName: "no_roles",
        applicationName: "test",
        poolSize: 1,
        onIdleError: () => undefined,
      });
      await expect(migrate(limited)).rejects.toMatchObject({
        code: "roles_missing",
        message: expect.stringContaining("create role no_roles_api nologin; create role no_roles_worker nologin;"),
      });
      await limited.close();
      await fresh.database.run(`drop owned by ${role}; drop role ${role}`);
      await fresh.close();
    },
  );
});

/** As a Supabase project has them; on another server they are left behind, without privileges. */
async function createClientRoles(db: Queryable): Promise<void> {
  await db.run(
    `do $$ begin
       if not exists (select from pg_roles where rolname = 'anon') then create role anon nologin; end if;
       if not exists (select from pg_roles where rolname = 'authenticated') then create role authenticated nologin; end if;
     end $$`,
  );
}

function outcomeOf(client: Client, work: (tx: Queryable) => Promise<number>): Promise<unknown> {
  return attempt(database, client, work);
}

/** What the work answers under that role, or the SQLSTATE that refused it; nothing of it stays. */
async function attempt(
  on: Database,
  { role, claims }: { role: string; claims: string },
  work: (tx: Queryable) => Promise<number>,
): Promise<unknown> {
  const rollback = new Error("rolled back on purpose");
  let answer: unknown;
  const attempted = on.transaction(async (tx) => {
    await tx.many(z.unknown(), "select set_config('request.jwt.claims', $1, true)", [claims]);
    await tx.run(`set local role ${role}`);
    answer = await work(tx);
    throw rollback;
  });
  return attempted.catch((error: unknown) => {
    if (error === rollback) return answer;
    return z.object({ cause: z.object({ code: z.string() }) }).parse(error).cause.code;
  });
}

/** Rows of A's in the tables that have an owner, and all rows of the others. */
function rowsOfA(db: Queryable, table: string): Promise<number> {
  const conditions: Readonly<Record<string, string>> = {
    documents: `user_id = '${userA}'`,
    upload_jobs: `user_id = '${userA}'`,
    document_chunks: `user_id = '${userA}'`,
    document_pages: `document_id in (select document_id from ${db.schema}.documents where user_id = '${userA}')`,
    events: `job_id in (select job_id from ${db.schema}.upload_jobs where user_id = '${userA}')`,
  };
  return countRows(db, `select count(*)::int as count from ${db.schema}.${table} where ${conditions[table] ?? "true"}`);
}

async function countRows(db: Queryable, sql: string): Promise<number> {
  const [row] = await db.many(z.object({ count: z.number() }), sql);
  return row?.count ?? 0;
}

async function firstColumn(table: string): Promise<string> {
  const [name] = await namesOf(
    database,
    `select attname as name from pg_attribute where attrelid = ($1 || '.${table}')::regclass and attnum > 0 and attidentity = '' and attgenerated = '' order by attnum limit 1`,
  );
  return name ?? "";
}

async function namesOf(db: Queryable, sql: string): Promise<string[]> {
  const rows = await db.many(z.object({ name: z.string() }), sql, [db.schema]);
  return rows.map((row) => row.name);
}
