import { type Database, diagnose, type Diagnosis, type Queryable, STAGES } from "@pipeline/db";
import { z } from "zod";

/** One thing that must hold at the end; nothing offending means that it does. */
export interface Check {
  check: string;
  title: string;
  offending: { id: string; why: string }[];
  total: number;
  /** A warning does not fail the run. */
  severity: "error" | "warning";
}

export interface Expected {
  /** Jobs that must be complete. */
  jobIds: readonly string[];
  /** The job that must be dead-lettered as poison. */
  poisonJobId: string | undefined;
}

/** What the database must show once everything has finished: the invariants, and what this run promised. */
export async function checkDatabase(database: Database, expected: Expected): Promise<Check[]> {
  const invariants = await diagnose(database);
  return [
    await checkComplete(database, expected.jobIds),
    await checkInnocents(database, expected),
    await checkPoison(database, expected.poisonJobId),
    await checkSteps(database),
    await checkFences(database),
    await checkVectors(database),
    await checkUploads(database, expected),
    ...invariants.map(checkOfInvariant),
  ];
}

/** A check of what was counted outside the database. */
export function checkOf(check: string, title: string, offending: { id: string; why: string }[]): Check {
  return { check, title, offending, total: offending.length, severity: "error" };
}

function checkOfInvariant({ invariant, title, offending, total, severity }: Diagnosis): Check {
  return { check: invariant, title, offending, total, severity };
}

const offenceRow = z.object({ id: z.string(), why: z.string() });

async function ask(
  db: Queryable,
  input: { check: string; title: string; sql: string; parameters?: readonly (string | number | readonly string[])[] },
): Promise<Check> {
  return checkOf(input.check, input.title, await db.many(offenceRow, input.sql, input.parameters ?? []));
}

function checkComplete(db: Queryable, jobIds: readonly string[]): Promise<Check> {
  return ask(db, {
    check: "complete",
    title: "every document but the poison one is complete, or dead-lettered with a reason",
    sql: `select i.job_id as id, coalesce(j.state || ' at ' || j.status, 'the job is gone') as why
          from unnest($1::uuid[]) as i (job_id) left join ${db.schema}.upload_jobs j on j.job_id = i.job_id
          where j.state is null or j.state not in ('done', 'deadletter')`,
    parameters: [jobIds],
  });
}

function checkInnocents(db: Queryable, { jobIds }: Expected): Promise<Check> {
  return ask(db, {
    check: "innocent",
    title: "no document but the poison one is dead-lettered",
    sql: `select j.job_id as id, coalesce(j.last_error ->> 'code', '?') || ' at ' || j.status as why
          from ${db.schema}.upload_jobs j where j.state = 'deadletter' and j.job_id = any ($1::uuid[])`,
    parameters: [jobIds],
  });
}

function checkPoison(db: Queryable, poisonJobId: string | undefined): Promise<Check> {
  return ask(db, {
    check: "poison",
    title: "the document that kills its workers is dead-lettered as poison_job after three",
    sql: `select i.job_id as id, coalesce(j.state || ' ' || coalesce(j.last_error ->> 'code', ''), 'gone') as why
          from unnest($1::uuid[]) as i (job_id) left join ${db.schema}.upload_jobs j on j.job_id = i.job_id
          where j.state is distinct from 'deadletter' or j.last_error ->> 'code' is distinct from 'poison_job'
            or j.crash_count is distinct from 3`,
    parameters: [poisonJobId === undefined ? [] : [poisonJobId]],
  });
}

function checkSteps(db: Queryable): Promise<Check> {
  return ask(db, {
    check: "once",
    title: "every step of every complete job happened exactly once, in order",
    sql: `select j.job_id as id, coalesce(string_agg(e.status, ' ' order by e.event_id), 'no steps') as why
          from ${db.schema}.upload_jobs j left join ${db.schema}.events e on e.job_id = j.job_id and e.type = 'status'
          where j.state = 'done' group by j.job_id
          having array_agg(e.status order by e.event_id) is distinct from $1::text[]`,
    parameters: [STAGES.map((definition) => definition.to)],
  });
}

function checkFences(db: Queryable): Promise<Check> {
  return ask(db, {
    check: "stale",
    title: "no event carries an older fence than the one before it",
    sql: `select job_id as id, type || ' with fence ' || fence || ' after ' || before as why
          from (select job_id, type, fence, lag(fence) over (partition by job_id order by event_id) as before
                from ${db.schema}.events) e
          where fence < before`,
  });
}

function checkVectors(db: Queryable): Promise<Check> {
  return ask(db, {
    check: "vectors",
    title: "every complete document has the pages and chunks of one generation, each chunk once with its vector",
    sql: `select d.document_id as id,
            c.total || ' chunks, ' || c.embedded || ' vectors, ' || c.foreign_count || ' of another generation' as why
          from ${db.schema}.documents d
          join ${db.schema}.upload_jobs j on j.document_id = d.document_id and j.state = 'done'
          cross join lateral (
            select count(*) as total, count(embedding) as embedded, coalesce(max(ordinal), -1) + 1 as expected,
              count(*) filter (where generation <> j.generation) as foreign_count
            from ${db.schema}.document_chunks c where c.document_id = d.document_id) c
          cross join lateral (
            select count(*) as total from ${db.schema}.document_pages p where p.document_id = d.document_id) p
          where c.total = 0 or c.total <> c.embedded or c.total <> c.expected or c.foreign_count > 0
            or p.total = 0 or d.live_generation is distinct from j.generation or d.processing_status <> 'complete'`,
  });
}

function checkUploads(db: Queryable, { jobIds, poisonJobId }: Expected): Promise<Check> {
  return ask(db, {
    check: "made",
    title: "there is no job and no document that nobody sent",
    sql: `select job_id as id, 'a job that nobody sent' as why from ${db.schema}.upload_jobs
          where not job_id = any ($1::uuid[])
          union all
          select document_id, 'a document with ' || count(*) || ' jobs' from ${db.schema}.upload_jobs
          group by document_id having count(*) > 1`,
    parameters: [poisonJobId === undefined ? jobIds : [...jobIds, poisonJobId]],
  });
}
