import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { Database } from "./database.ts";

/** Of the schema as the migrations leave it; written by the test beside it. */
const MIGRATED = join(import.meta.dirname, "schema-objects.txt");

const SERVICES = ["api", "worker"] as const;

/** How a schema differs from what the migrations make; each a line such as `trigger upload_jobs_guard on upload_jobs`. */
export interface SchemaDifference {
  missing: string[];
  added: string[];
}

/** The schema must be at the version that this code knows. */
export async function compareSchema(db: Database): Promise<SchemaDifference> {
  const expected = await listMigratedObjects(db.schemaName);
  const found = new Set(await listSchemaObjects(db));
  return {
    // Who may write a table may write its columns.
    missing: expected.filter((line) => !found.has(line) && !found.has(line.replace(/^(grant \w+) \(\w+\)/, "$1"))),
    added: [...found].filter((line) => !expected.includes(line)),
  };
}

/** The services' roles, as `role_of` of the migrations names them. */
export function listServiceRoles(schemaName: string): string[] {
  return SERVICES.map((service) => `${schemaName.slice(0, 62 - service.length)}_${service}`);
}

async function listMigratedObjects(schemaName: string): Promise<string[]> {
  const roles = listServiceRoles(schemaName);
  const text = (await readFile(MIGRATED, "utf8")).trim();
  return text
    .split(/\r?\n/)
    .map((line) =>
      SERVICES.reduce((named, service, at) => named.replaceAll(`SCHEMA_${service}`, roles[at] ?? ""), line),
    );
}

/**
 * Indexes, constraints, triggers, functions, sequences, policies, and what is granted to others than the owner. What is
 * there and does not work is a line of its own: `… (disabled)`.
 */
export async function listSchemaObjects(db: Database): Promise<string[]> {
  const rows = await db.many(z.object({ line: z.string() }), `${OBJECTS} union ${GRANTS}`, [db.schemaName]);
  // The database's own order is another one in each locale.
  return rows.map(({ line }) => line).toSorted();
}

/** NOT NULL has constraints from Postgres 18 on, and none before. What an extension brings is its own. */
const OBJECTS = `
  select format('%sindex %s on %s%s', case when i.indisunique then 'unique ' end, c.relname, t.relname,
    case when not i.indisvalid then ' (invalid)' end) as line
  from pg_index i join pg_class c on c.oid = i.indexrelid join pg_class t on t.oid = i.indrelid
  where t.relnamespace = to_regnamespace(quote_ident($1))
  union
  select format('constraint %s on %s%s', k.conname, t.relname, case when not k.convalidated then ' (not validated)' end)
  from pg_constraint k join pg_class t on t.oid = k.conrelid
  where t.relnamespace = to_regnamespace(quote_ident($1)) and k.contype <> 'n'
  union
  select format('trigger %s on %s%s', g.tgname, t.relname, case when g.tgenabled in ('D', 'R') then ' (disabled)' end)
  from pg_trigger g join pg_class t on t.oid = g.tgrelid
  where t.relnamespace = to_regnamespace(quote_ident($1)) and not g.tgisinternal
  union
  select format('function %s(%s)%s', p.proname,
    (select string_agg(t.typname, ', ' order by a.nth) from unnest(p.proargtypes) with ordinality as a (type, nth)
     join pg_type t on t.oid = a.type),
    case when p.prosecdef then ' with its owner''s rights' end)
  from pg_proc p
  where p.pronamespace = to_regnamespace(quote_ident($1))
    and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
  union
  select format('sequence %s', c.relname) from pg_class c
  where c.relnamespace = to_regnamespace(quote_ident($1)) and c.relkind = 'S'
  union
  select regexp_replace(replace(format('policy %s on %s%s for %s to %s%s%s', y.polname, t.relname,
    case when not y.polpermissive then ' as restrictive' end,
    case y.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
    (select string_agg(case when role = 0 then 'public' else pg_get_userbyid(role) end, ', ' order by pg_get_userbyid(role))
     from unnest(y.polroles) as role),
    ' using (' || pg_get_expr(y.polqual, t.oid) || ')', ' with check (' || pg_get_expr(y.polwithcheck, t.oid) || ')'),
    quote_ident($1) || '.', ''), '\\s+', ' ', 'g')
  from pg_policy y join pg_class t on t.oid = y.polrelid
  where t.relnamespace = to_regnamespace(quote_ident($1))`;

/** A function without a list of its own is everybody's. */
const GRANTS = `
  select format('grant %s%s on %s to %s', lower(g.privilege_type), ' (' || o.column_name || ')', o.name,
    case when g.grantee = 0 then 'public' else pg_get_userbyid(g.grantee) end)
  from (
    select 'schema' as name, null as column_name, nspowner as owner, nspacl as acl from pg_namespace where nspname = $1
    union all
    select relname, null, relowner, relacl from pg_class
    where relnamespace = to_regnamespace(quote_ident($1)) and relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    union all
    select t.relname, c.attname, t.relowner, c.attacl from pg_attribute c join pg_class t on t.oid = c.attrelid
    where t.relnamespace = to_regnamespace(quote_ident($1)) and not c.attisdropped
    union all
    select 'function ' || proname, null, proowner, coalesce(proacl, acldefault('f', proowner)) from pg_proc p
    where pronamespace = to_regnamespace(quote_ident($1))
      and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
  ) o cross join lateral aclexplode(o.acl) g
  where g.grantee <> o.owner`;
