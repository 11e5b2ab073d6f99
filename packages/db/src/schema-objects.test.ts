import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Database } from "./database.ts";
import { migrate } from "./migrate.ts";
import { compareSchema, listSchemaObjects } from "./schema-objects.ts";
import { openTestDatabase, type TestDatabase } from "./testing/index.ts";

let opened: TestDatabase;
let database: Database;

beforeAll(async () => {
  opened = await openTestDatabase();
  database = opened.database;
});
afterAll(() => opened.close());

describe("the objects of a schema", () => {
  it("are listed in schema-objects.txt as the migrations make them (vitest -u writes it)", async () => {
    await createClientRoles();
    await database.run(`select ${database.schema}.open_to_clients()`);
    const lines = (await listSchemaObjects(database)).map((line) =>
      line.replaceAll(/\bupload_pipeline_(api|worker)\b/g, "SCHEMA_$1"),
    );
    await expect(`${lines.join("\n")}\n`).toMatchFileSnapshot("schema-objects.txt");
  });

  it("are those of the migrations in a schema of any name", async () => {
    const name = "pipeline_of_a_tenant_whose_name_is_as_long_as_it_may_be";
    const other = await openTestDatabase(name);
    await migrate(other.database);
    expect(await compareSchema(other.database)).toEqual({ missing: expect.any(Array), added: [] });
    expect((await compareSchema(other.database)).missing.filter((line) => !line.endsWith("to authenticated"))).toEqual(
      [],
    );
    await other.close();
  });

  it.each<[string, { missing?: string[]; added?: string[] }]>([
    ["drop index upload_jobs_due", { missing: ["index upload_jobs_due on upload_jobs"] }],
    [
      "alter table upload_jobs disable trigger upload_jobs_guard",
      {
        missing: ["trigger upload_jobs_guard on upload_jobs"],
        added: ["trigger upload_jobs_guard on upload_jobs (disabled)"],
      },
    ],
    [
      "alter table events drop constraint events_pkey",
      { missing: ["constraint events_pkey on events", "unique index events_pkey on events"] },
    ],
    [
      "create policy leak on document_chunks for select to public using (true)",
      { added: ["policy leak on document_chunks for select to public using (true)"] },
    ],
    [
      "grant select (text) on document_chunks to public",
      { added: ["grant select (text) on document_chunks to public"] },
    ],
    [
      "revoke insert on documents from upload_pipeline_api",
      { missing: ["grant insert on documents to upload_pipeline_api"] },
    ],
    [
      "grant update on documents to upload_pipeline_worker",
      { added: ["grant update on documents to upload_pipeline_worker"] },
    ],
    [
      "revoke update on documents from upload_pipeline_worker; grant update on documents to upload_pipeline_worker",
      { added: ["grant update on documents to upload_pipeline_worker"] },
    ],
  ])("differ after: %s", async (statements, difference) => {
    expect(await compareAfter(statements)).toEqual({ missing: [], added: [], ...difference });
  });
});

/** As a Supabase project has them; on another server they are left behind, without privileges. */
async function createClientRoles(): Promise<void> {
  await database.run(
    `do $$ begin
       if not exists (select from pg_roles where rolname = 'anon') then create role anon nologin; end if;
       if not exists (select from pg_roles where rolname = 'authenticated') then create role authenticated nologin; end if;
     exception when duplicate_object or unique_violation then null;
     end $$`,
  );
}

/** Nothing of the statements stays. */
async function compareAfter(statements: string): Promise<unknown> {
  const rollback = new Error("rolled back on purpose");
  let difference: unknown;
  await database
    .transaction(async (tx) => {
      await tx.run(`set local search_path to ${tx.schema}`);
      await tx.run(statements);
      difference = await compareSchema({ ...database, ...tx });
      throw rollback;
    })
    .catch((error: unknown) => {
      if (error !== rollback) throw error;
    });
  return difference;
}
