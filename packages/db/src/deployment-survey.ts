import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { Database } from "./database.ts";
import { one, type Queryable } from "./queryable.ts";
import { quoteIdentifier } from "./quote-identifier.ts";

const MIGRATIONS_DIRECTORY = join(import.meta.dirname, "../../../migrations");

/** Tables that the migrations make and this schema does not have. */
export async function listMissingTables(db: Queryable, directory = MIGRATIONS_DIRECTORY): Promise<string[]> {
  const rows = await db.many(
    z.object({ table_name: z.string() }),
    "select expected as table_name from unnest($2::text[]) as expected where to_regclass($1 || '.' || quote_ident(expected)) is null order by 1",
    [db.schema, await listExpectedTables(directory)],
  );
  return rows.map((row) => row.table_name);
}

/** As the migrations' own statements name them. */
async function listExpectedTables(directory: string): Promise<string[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith(".sql")).toSorted();
  const files = await Promise.all(names.map((name) => readFile(join(directory, name), "utf8")));
  const tables = new Set(["schema_migrations"]);
  for (const [, verb, name = ""] of files
    .join("\n")
    .matchAll(/^(create|drop) table (?:if (?:not )?exists )?([a-z_]+)/gm)) {
    if (verb === "create") tables.add(name);
    else tables.delete(name);
  }
  return [...tables];
}

/** Tables of this schema that row-level security does not close. */
export async function listUnprotectedTables(db: Database): Promise<string[]> {
  const rows = await db.many(
    z.object({ table_name: z.string() }),
    `select c.relname as table_name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = $1 and c.relkind in ('r', 'p') and not c.relrowsecurity order by 1`,
    [db.schemaName],
  );
  return rows.map((row) => row.table_name);
}

/** Whether pgvector is there, and which version. */
export async function findVectorVersion(db: Queryable): Promise<string | undefined> {
  const [row] = await db.many(
    z.object({ version: z.string() }),
    "select extversion as version from pg_extension where extname = 'vector'",
  );
  return row?.version;
}

/**
 * The statements of the operators' validation guide as they stand there, on rows of its own, all taken back again. Answers
 * whether the guide's locking query found a job.
 */
export async function rehearseGuide(db: Database): Promise<boolean> {
  let isFound = false;
  await db
    .transaction(async (tx) => {
      await tx.run(`insert into ${tx.schema}.documents (document_id, user_id, filename, mime, bytes_len, file_sha256, raw_path, processing_status, created_at, updated_at)
        values (gen_random_uuid(), gen_random_uuid(), 'validation-guide.pdf', 'application/pdf', 1024, 'test-sha256-hash', 'test/path/document.pdf', 'uploaded', now(), now())`);
      await tx.run(`insert into ${tx.schema}.upload_jobs (job_id, document_id, status, state, progress, created_at, updated_at)
        values (gen_random_uuid(), (select document_id from ${tx.schema}.documents where filename = 'validation-guide.pdf' limit 1), 'uploaded', 'queued', '{"test": true}', now(), now())`);
      const locked =
        await tx.run(`select uj.job_id, uj.document_id, d.user_id, uj.status, uj.state, uj.progress, uj.retry_count, uj.last_error, uj.created_at, d.raw_path as storage_path, d.mime as mime_type
        from ${tx.schema}.upload_jobs uj join ${tx.schema}.documents d on uj.document_id = d.document_id
        where uj.status in ('uploaded','parsed','parse_validated') order by priority, uj.created_at for update skip locked limit 1`);
      isFound = locked === 1;
      throw new Rehearsed();
    })
    .catch((error: unknown) => {
      if (!(error instanceof Rehearsed)) throw error;
    });
  return isFound;
}

/** Ends the rehearsal's transaction without a trace. */
class Rehearsed extends Error {}

const endedRow = z.object({ done_count: z.number(), failed_count: z.number() });

/** Jobs that came to their end within the last hour. */
export function countEndedLastHour(db: Queryable): Promise<z.infer<typeof endedRow>> {
  return one(
    db,
    endedRow,
    `select count(*) filter (where state = 'done')::int as done_count, count(*) filter (where state = 'deadletter')::int as failed_count
     from ${db.schema}.upload_jobs where state in ('done', 'deadletter') and finished_at > now() - interval '1 hour'`,
  );
}

/** Other schemas of this database that hold a pipeline, each with whether it has a row of this document. */
export async function listOtherPipelines(
  db: Database,
  documentId: string,
): Promise<{ schema_name: string; has_document: boolean }[]> {
  const others: { schema_name: string; has_document: boolean }[] = [];
  for (const schema_name of await listOtherSchemas(db)) {
    const found = await db.run(`select from ${quoteIdentifier(schema_name)}.documents where document_id = $1`, [
      documentId,
    ]);
    others.push({ schema_name, has_document: found > 0 });
  }
  return others;
}

/** Other schemas of this database in which workers live. */
export async function listOtherWorkers(db: Database): Promise<string[]> {
  const living: string[] = [];
  for (const schema_name of await listOtherSchemas(db)) {
    const live = await db.run(
      `select from ${quoteIdentifier(schema_name)}.worker_sessions where ended_at is null and expires_at > now()`,
    );
    if (live > 0) living.push(schema_name);
  }
  return living;
}

async function listOtherSchemas(db: Database): Promise<string[]> {
  const rows = await db.many(
    z.object({ schema_name: z.string() }),
    `select n.nspname as schema_name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relname = 'worker_sessions' and c.relkind = 'r' and n.nspname <> $1 order by 1`,
    [db.schemaName],
  );
  return rows.map((row) => row.schema_name);
}

const tracesRow = z.object({ documents: z.number(), jobs: z.number(), chunks: z.number(), events: z.number() });

/** Rows that are left of a document. */
export function countTraces(
  db: Queryable,
  input: { document_id: string; job_id: string },
): Promise<z.infer<typeof tracesRow>> {
  return one(
    db,
    tracesRow,
    `select (select count(*)::int from ${db.schema}.documents where document_id = $1) as documents,
       (select count(*)::int from ${db.schema}.upload_jobs where document_id = $1) as jobs,
       (select count(*)::int from ${db.schema}.document_chunks where document_id = $1) as chunks,
       (select count(*)::int from ${db.schema}.events where job_id = $2) as events`,
    [input.document_id, input.job_id],
  );
}
