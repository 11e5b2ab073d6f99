import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "@pipeline/runtime";
import { z } from "zod";
import type { Database } from "./database.ts";
import { one, type Queryable } from "./queryable.ts";

export interface MigrationResult {
  /** Versions applied by this call, in order. */
  applied: number[];
  /** The schema's version now. */
  version: number;
}

/**
 * Brings the schema to the newest version, all or nothing: one transaction under one lock, so that two runners do the
 * work once. Refuses (AppError kind conflict) `migration_edited`, `migration_unknown` and `migration_out_of_order`.
 */
export async function migrate(database: Database, directory = MIGRATIONS_DIRECTORY): Promise<MigrationResult> {
  const files = await readMigrations(directory);
  return database.transaction(async (tx) => {
    // Migrations may take their time, and wait for each other.
    await tx.run("set local statement_timeout = 0; set local lock_timeout = 0");
    // Transaction-scoped, so that it also works through a pooler in transaction mode. One for all schemas of the
    // database: they share the extension, and creating it twice at once fails.
    await tx.run("select pg_advisory_xact_lock(hashtextextended('migrate upload pipeline', 0))");
    await prepareSchema(tx);
    const applied = await listApplied(tx);
    const pending = pendingMigrations(files, applied);
    for (const file of pending) {
      await applyMigration(tx, file);
    }
    return { applied: pending.map((file) => file.version), version: files.at(-1)?.version ?? 0 };
  });
}

/**
 * Throws AppError kind conflict when the schema is not exactly at the version that this code was written for:
 * `schema_missing`, `schema_older` (run the migrations) or `schema_newer` (deploy newer code).
 */
export async function checkSchemaVersion(database: Database, directory = MIGRATIONS_DIRECTORY): Promise<number> {
  const files = await readMigrations(directory);
  const expected = files.at(-1)?.version ?? 0;
  const found = await findSchemaVersion(database);
  if (found === expected) return found;
  if (found === undefined) {
    throw mismatch("schema_missing", `Schema ${database.schemaName} does not exist; run "pnpm migrate" first.`);
  }
  const [code, remedy] =
    found < expected ? ["schema_older", 'run "pnpm migrate"'] : ["schema_newer", "deploy newer code"];
  throw mismatch(code, `Schema ${database.schemaName} is at version ${found}, this code needs ${expected}: ${remedy}.`);
}

/** The schema version that this code was written for. */
export async function codeSchemaVersion(directory = MIGRATIONS_DIRECTORY): Promise<number> {
  return (await readMigrations(directory)).at(-1)?.version ?? 0;
}

const MIGRATIONS_DIRECTORY = join(import.meta.dirname, "../../../migrations");

interface MigrationFile {
  version: number;
  name: string;
  sql: string;
  checksum: string;
}

const appliedRow = z.object({ version: z.number(), name: z.string(), checksum: z.string() });
type AppliedMigration = z.infer<typeof appliedRow>;

async function readMigrations(directory: string): Promise<MigrationFile[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith(".sql")).toSorted();
  const files = await Promise.all(names.map((name) => readMigration(directory, name)));
  files.forEach((file, index) => {
    if (file.version !== index + 1) {
      throw mismatch("migration_out_of_order", `${file.name} should have number ${index + 1}.`);
    }
  });
  return files;
}

async function readMigration(directory: string, name: string): Promise<MigrationFile> {
  const version = Number(/^(\d{4})_[a-z0-9_]+\.sql$/.exec(name)?.[1]);
  if (!Number.isInteger(version)) {
    throw mismatch("migration_out_of_order", `${name} is not named like 0001_what_it_does.sql.`);
  }
  // Line ends are no edit: a checkout on another system may change them.
  const sql = (await readFile(join(directory, name), "utf8")).replaceAll("\r\n", "\n");
  return { version, name, sql, checksum: createHash("sha256").update(sql).digest("hex") };
}

async function prepareSchema(tx: Queryable): Promise<void> {
  await tx.run(`create schema if not exists ${tx.schema}`);
  // In public, so that schemas that share a database share the type; does nothing where it is installed elsewhere.
  await tx.run("create extension if not exists vector with schema public");
  const { home } = await one(
    tx,
    z.object({ home: z.string() }),
    "select extnamespace::regnamespace::text as home from pg_extension where extname = 'vector'",
  );
  const known = ["public", "extensions"];
  const path = [tx.schema, ...known, ...(known.includes(home) ? [] : [home])];
  await tx.run(`set local search_path to ${path.join(", ")}`);
  await tx.run(`create table if not exists ${tx.schema}.schema_migrations (
    version integer primary key, name text not null, checksum text not null, applied_at timestamptz not null default now())`);
}

function listApplied(tx: Queryable): Promise<AppliedMigration[]> {
  return tx.many(appliedRow, `select version, name, checksum from ${tx.schema}.schema_migrations order by version`);
}

function pendingMigrations(files: MigrationFile[], applied: AppliedMigration[]): MigrationFile[] {
  for (const row of applied) {
    const file = files.find((candidate) => candidate.version === row.version);
    if (!file) throw mismatch("migration_unknown", `${row.name} was applied, but is not among the migrations.`);
    if (file.checksum !== row.checksum) {
      throw mismatch("migration_edited", `${file.name} was edited after it had been applied.`);
    }
  }
  if (applied.some((row, index) => row.version !== index + 1)) {
    throw mismatch("migration_out_of_order", "The applied migrations are not numbered without a gap.");
  }
  return files.slice(applied.length);
}

async function applyMigration(tx: Queryable, file: MigrationFile): Promise<void> {
  await tx.run(file.sql);
  await tx.run(`insert into ${tx.schema}.schema_migrations (version, name, checksum) values ($1, $2, $3)`, [
    file.version,
    file.name,
    file.checksum,
  ]);
}

async function findSchemaVersion(database: Database): Promise<number | undefined> {
  const [table] = await database.many(z.object({ found: z.boolean() }), "select to_regclass($1) is not null as found", [
    `${database.schema}.schema_migrations`,
  ]);
  if (!table?.found) return undefined;
  const [row] = await database.many(
    z.object({ version: z.number() }),
    `select coalesce(max(version), 0)::int as version from ${database.schema}.schema_migrations`,
  );
  return row?.version;
}

function mismatch(code: string, message: string): AppError {
  return new AppError({ kind: "conflict", code, message });
}
