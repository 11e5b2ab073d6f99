import { IS_ACTIVE, type Check } from "./check.ts";

/** Nothing accepted is lost, nothing is there twice, nothing is left over. */
export const PRESENCE_CHECKS: readonly Check[] = [
  {
    invariant: "I1",
    title: "Every document has a job, or passages that search sees",
    severity: "error",
    sql: (schema) => `
      select d.document_id::text as id, 'has no job and nothing that search sees' as why
      from ${schema}.documents d
      where d.live_generation is null
        and not exists (select from ${schema}.upload_jobs j where j.document_id = d.document_id)`,
    parameters: () => [],
  },
  {
    invariant: "I1",
    title: "A document's newest job builds its newest generation",
    severity: "error",
    // A document's newest job never leaves by age, so this holds however old it is. Without a job only
    // what is complete is sound.
    sql: (schema) => `
      select d.document_id::text as id, case
        when j.newest is null then format('began generation %s, is %s and has no job', d.generation_count, d.processing_status)
        else format('began generation %s, its newest job builds %s', d.generation_count, j.newest) end as why
      from ${schema}.documents d
      left join (select document_id, max(generation) as newest from ${schema}.upload_jobs group by document_id) j
        on j.document_id = d.document_id
      where d.generation_count <> j.newest or (j.newest is null and d.live_generation is not null
        and (d.live_generation <> d.generation_count or d.processing_status <> 'complete'))`,
    parameters: () => [],
  },
  {
    invariant: "I1",
    title: "What is complete is what search sees",
    severity: "error",
    sql: (schema) => `
      select d.document_id::text as id,
        format('is complete with generation %s, search sees %s', d.generation_count,
          coalesce(d.live_generation::text, 'none')) as why
      from ${schema}.documents d
      where d.processing_status = 'complete' and d.live_generation is distinct from d.generation_count`,
    parameters: () => [],
  },
  {
    invariant: "I15",
    title: "The same file of a user is one document, with one job under way",
    severity: "error",
    sql: (schema) => `
      select (array_agg(d.document_id order by d.created_at, d.document_id))[1]::text as id,
        format('%s documents of user %s hold the same file', count(*), d.user_id) as why
      from ${schema}.documents d
      group by d.user_id, d.file_sha256 having count(*) > 1
      union all
      select j.document_id::text, format('%s jobs of it are under way', count(*))
      from ${schema}.upload_jobs j where j.${IS_ACTIVE}
      group by j.document_id having count(*) > 1
      union all
      select j.document_id::text, format('%s jobs of it build generation %s', count(*), j.generation)
      from ${schema}.upload_jobs j
      group by j.document_id, j.generation having count(*) > 1`,
    parameters: () => [],
  },
  {
    invariant: "D3",
    title: "Nothing is left of what was deleted",
    severity: "error",
    bound: "jobs",
    sql: (schema) => `
      with recursive ${walk({ name: "told", key: "job_id", table: `${schema}.events`, schema })},
        ${walk({ name: "cut", key: "document_id", table: `${schema}.document_chunks`, schema })},
        ${walk({ name: "read", key: "document_id", table: `${schema}.document_pages`, schema })}
      select key::text as id, 'has events and no job' as why
      from (select key from told where key is not null limit $1) told
      where not exists (select from ${schema}.upload_jobs j where j.job_id = key)
      union all
      select key::text, 'has chunks and no document'
      from (select key from cut where key is not null limit $1) cut
      where not exists (select from ${schema}.documents d where d.document_id = key)
      union all
      select key::text, 'has pages and no document'
      from (select key from read where key is not null limit $1) read
      where not exists (select from ${schema}.documents d where d.document_id = key)
      union all
      select j.job_id::text, format('belongs to document %s, which is not there', j.document_id)
      from ${schema}.upload_jobs j
      where not exists (select from ${schema}.documents d where d.document_id = j.document_id)`,
    parameters: (settings) => [settings.recentJobs],
  },
];

/**
 * A recursive CTE of a table's distinct ids, one index lookup each, where reading nine million events took 10 s of a core.
 * Bounded to fewer than there are jobs it begins at a random id, so that run after run sees all.
 */
function walk(over: { name: string; key: string; table: string; schema: string }): string {
  const { name, key, table, schema } = over;
  return `${name} (key) as (
    (select ${key} from ${table}
      where ${key} >= (select case when count(*) > $1 then gen_random_uuid() else '${FIRST_ID}' end from ${schema}.upload_jobs)
      order by ${key} limit 1)
    union all
    select (select t.${key} from ${table} t where t.${key} > w.key order by t.${key} limit 1)
    from ${name} w where w.key is not null)`;
}

const FIRST_ID = "00000000-0000-0000-0000-000000000000";
