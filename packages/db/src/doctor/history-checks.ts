import { STAGES, STATES, TERMINAL_STATES, type EventType, type State } from "../pipeline.ts";
import type { Check } from "./check.ts";

/**
 * What the events tell agrees with itself and with the job. Events leave by age, but never a job's last: a job whose first
 * event is gone is compared only where a part of its history is enough.
 */
export const HISTORY_CHECKS: readonly Check[] = [
  {
    invariant: "I3",
    title: "Every status of a job was reached once",
    severity: "error",
    bound: "jobs",
    sql: (schema) => `
      with recent as materialized (${recentJobs(schema)})
      select j.job_id::text as id, format('reached %s %s times', repeated.status, times) as why
      from recent j cross join lateral (
        select e.status, count(*) as times from ${schema}.events e
        where e.job_id = j.job_id and e.type = 'status'
        group by e.status having count(*) > 1
      ) repeated`,
    parameters: (settings) => [settings.recentJobs],
  },
  {
    invariant: "I4",
    title: "Fences never fall",
    severity: "error",
    bound: "jobs",
    sql: (schema) => `
      with recent as materialized (${recentJobs(schema)})
      select distinct on (job_id) job_id::text as id, case
        when history.fence > j.fence then format('event %s has fence %s, the job %s', event_id, history.fence, j.fence)
        else format('event %s has fence %s after %s', event_id, history.fence, fence_before) end as why
      from recent j cross join lateral (
        select e.event_id, e.fence, lag(e.fence) over (order by e.event_id) as fence_before
        from ${schema}.events e where e.job_id = j.job_id
      ) history
      where history.fence > j.fence or history.fence < fence_before
      order by job_id, event_id`,
    parameters: (settings) => [settings.recentJobs],
  },
  {
    invariant: "I6",
    title: "Every event is one legal step from the one before",
    severity: "error",
    bound: "jobs",
    sql: (schema) => `
      with recent as materialized (${recentJobs(schema)})
      select distinct on (job_id) job_id::text as id,
        format('event %s is %s to %s/%s after %s', event_id, e.type, e.status, e.state, status_before) as why
      from recent j cross join lateral (
        select event_id, type, status, state,
          lag(status) over steps as status_before, first_value(type) over steps as first_type
        from ${schema}.events where events.job_id = j.job_id
        window steps as (order by event_id)
      ) e
      where first_type = 'created' and (
        (e.type = 'created' and status_before is not null)
        or (e.type = 'status' and (status_before || '>' || e.status) <> all ($2::text[]))
        or (e.type <> 'status' and e.status <> status_before)
        or (e.type = any ($3::text[]) and (e.type || '>' || e.state) <> all ($4::text[]))
        or (e.status = 'complete') <> (e.state = 'done'))
      order by job_id, event_id`,
    parameters: (settings) => [
      settings.recentJobs,
      STAGES.map(({ from, to }) => `${from}>${to}`),
      Object.keys(STATES_AFTER_EVENT),
      edgesOf(STATES_AFTER_EVENT),
    ],
  },
  {
    invariant: "I7",
    title: "A job stands where its last event left it",
    severity: "error",
    bound: "jobs",
    sql: (schema) => `
      with recent as materialized (${recentJobs(schema)})
      select j.job_id::text as id,
        case when last.status is null then format('is %s/%s and has no event', j.status, j.state)
          else format('is %s/%s, its last event left it %s/%s', j.status, j.state, last.status, last.state) end as why
      from recent j
      left join lateral (
        select status, state from ${schema}.events e where e.job_id = j.job_id order by event_id desc limit 1
      ) last on true
      where last.status is distinct from j.status or (last.state || '>' || j.state) <> all ($2::text[])`,
    parameters: (settings) => [settings.recentJobs, edgesOf(STATES_WITHOUT_EVENT)],
  },
  {
    invariant: "I7",
    title: "A document's status is its newest job's",
    severity: "error",
    sql: (schema) => `
      select d.document_id::text as id,
        format('is %s, its newest job %s is %s', d.processing_status, j.job_id, j.status) as why
      from ${schema}.documents d
      join ${schema}.upload_jobs j on j.document_id = d.document_id and j.generation = d.generation_count
      where d.processing_status <> j.status`,
    parameters: () => [],
  },
  {
    invariant: "I9",
    title: "After its end a job is only ever redriven",
    severity: "error",
    bound: "jobs",
    sql: (schema) => `
      with recent as materialized (${recentJobs(schema)})
      select distinct on (job_id) job_id::text as id,
        format('event %s is %s after the job was %s', event_id, type, state_before) as why
      from recent j cross join lateral (
        select e.event_id, e.type, lag(e.state) over (order by e.event_id) as state_before
        from ${schema}.events e where e.job_id = j.job_id
      ) history
      where state_before = any ($2::text[]) and (type <> 'redriven' or state_before = 'done')
      order by job_id, event_id`,
    parameters: (settings) => [settings.recentJobs, TERMINAL_STATES],
  },
];

/** Their events are looked up job by job (lateral): a join would read all of the history for a part of the jobs. */
function recentJobs(schema: string): string {
  return `select job_id, status, state, fence from ${schema}.upload_jobs order by updated_at desc limit $1`;
}

/** Types of events that leave a job in few states. */
const STATES_AFTER_EVENT: Partial<Record<EventType, readonly State[]>> = {
  upload_confirmed: ["queued"],
  status: ["working", "done"],
  waiting: ["waiting"],
  retry_scheduled: ["retryable"],
  released: ["queued"],
  rescued: ["queued"],
  deadlettered: ["deadletter"],
  cancelled: ["cancelled"],
  redriven: ["queued"],
};

/** Where a job may have gone since its last event: claims, waiting and coming due write none. */
const STATES_WITHOUT_EVENT: Readonly<Record<State, readonly State[]>> = {
  queued: ["queued", "working", "waiting"],
  working: ["queued", "working", "waiting"],
  waiting: ["queued", "working", "waiting"],
  retryable: ["queued", "working", "waiting", "retryable"],
  done: ["done"],
  deadletter: ["deadletter"],
  cancelled: ["cancelled"],
};

function edgesOf(states: Readonly<Record<string, readonly State[]>>): string[] {
  return Object.entries(states).flatMap(([from, to]) =>
    STATES.filter((state) => to.includes(state)).map((state) => `${from}>${state}`),
  );
}
