import { hasWorkerFor, IS_ACTIVE, type Check } from "./check.ts";

/** Every job is somebody's to move, in time and within bounds. */
export const QUEUE_CHECKS: readonly Check[] = [
  {
    invariant: "I2",
    title: "Every job is exactly one of claimable, due later, leased or finished",
    severity: "error",
    sql: (schema) => `
      select id, why from (
        select job_id::text as id, case
          when (state = 'working') and (lease_session_id is null or lease_expires_at is null) then 'works without a lease'
          when (state <> 'working') and (lease_session_id is not null or lease_expires_at is not null)
            then format('is %s and holds a lease', state)
          when state in ('waiting', 'retryable') and due_at is null then format('is %s with no time to go on', state)
          when state not in ('waiting', 'retryable') and due_at is not null then format('is %s and has a due time', state)
          when (state = 'waiting') <> (waiting_for is not null)
            then format('is %s and waits for %s', state, coalesce(waiting_for, 'nothing'))
          when state = 'queued' and turn <= 0 then 'is queued without a place in the fair order'
          when (${IS_ACTIVE}) <> (finished_at is null)
            then format('is %s and %s', state, case when finished_at is null then 'has no end' else 'has ended' end)
          when (state = 'done') <> (status = 'complete') then format('is %s with status %s', state, status)
        end as why from ${schema}.upload_jobs
      ) found where why is not null`,
    parameters: () => [],
  },
  {
    invariant: "I2",
    title: "The queue that claims read holds the queued jobs, each at its place",
    severity: "error",
    sql: (schema) => `
      select j.job_id::text as id, 'is queued and not in ready_jobs' as why
      from ${schema}.upload_jobs j
      where j.state = 'queued' and not exists (
        select from ${schema}.ready_jobs r
        where r.turn = j.turn and r.priority = j.priority and r.seq = j.seq and r.job_id = j.job_id and r.fence = j.fence)
      union all
      select r.job_id::text, format('is in ready_jobs and %s', coalesce('is ' || j.state, 'does not exist'))
      from ${schema}.ready_jobs r
      left join ${schema}.upload_jobs j on j.job_id = r.job_id
      where j.state is distinct from 'queued' or (r.turn, r.priority, r.seq) <> (j.turn, j.priority, j.seq)`,
    parameters: () => [],
  },
  {
    invariant: "I2",
    title: "Every job in hand is on a list of its worker's claims",
    severity: "error",
    // The rescue looks there.
    sql: (schema) => `
      select j.job_id::text as id, format('is held by session %s, which has not listed it', j.lease_session_id) as why
      from ${schema}.upload_jobs j
      where j.state = 'working' and not exists (
        select from ${schema}.session_claims c
        where c.session_id = j.lease_session_id and j.job_id = any (c.job_ids))`,
    parameters: () => [],
  },
  {
    invariant: "I2",
    title: "No due job is left lying while workers live",
    severity: "error",
    sql: (schema) => `
      select job_id::text as id, format('is %s and was due at %s', state, due_at) as why
      from ${schema}.upload_jobs
      where state in ('waiting', 'retryable') and due_at < now() - $1::float8 * interval '1 ms'
        and ${hasWorkerFor(schema, "$1")}`,
    parameters: (settings) => [settings.overdueMs],
  },
  {
    invariant: "I2",
    title: "No job waits long for a worker",
    severity: "warning",
    sql: (schema) => `
      select job_id::text as id, case when is_served then format('is queued since %s', updated_at)
        else format('is %s since %s and no worker lives', state, updated_at) end as why
      from (
        select j.job_id, j.state, j.due_at, j.updated_at, ${hasWorkerFor(schema, "0")} as is_served
        from ${schema}.upload_jobs j
        where j.${IS_ACTIVE} and j.updated_at < now() - $1::float8 * interval '1 ms'
      ) old
      where case when is_served then state = 'queued' and (select paused_at is null from ${schema}.queue_control)
        else coalesce(due_at, now()) <= now() end`,
    parameters: (settings) => [settings.overdueMs],
  },
  {
    invariant: "I8",
    title: "Retries and lost workers are counted within their limits",
    severity: "error",
    sql: (schema) => `
      select job_id::text as id, format('counts %s retries and %s lost workers', retry_count, crash_count) as why
      from ${schema}.upload_jobs
      where retry_count > $1::int or (crash_count >= $2::int and state <> 'deadletter')`,
    parameters: (settings) => [settings.maxRetries, settings.maxCrashes],
  },
  {
    invariant: "I10",
    title: "Every due time is near",
    severity: "error",
    sql: (schema) => `
      select job_id::text as id, format('was set %s at %s, due at %s', state, updated_at, due_at) as why
      from ${schema}.upload_jobs
      where state in ('waiting', 'retryable') and due_at > updated_at
        + case state when 'retryable' then $1::float8 else $2::float8 end * interval '1 ms'`,
    parameters: (settings) => [settings.longestRetryMs, settings.longestWaitMs],
  },
  {
    invariant: "I11",
    title: "No user has more jobs in hand than the cap",
    severity: "error",
    needsCap: true,
    sql: (schema) => `
      select user_id::text as id, format('has %s jobs in hand, the cap is %s', count(*), $1::int) as why
      from ${schema}.upload_jobs where state = 'working'
      group by user_id having count(*) > $1::int`,
    parameters: (settings) => [settings.maxInHandPerUser ?? null],
  },
  {
    invariant: "I13",
    title: "No worker that ended holds a job, nor a dead one or an overrun stage while workers live",
    severity: "error",
    // Whoever ends has given its jobs back; what the others left has to wait for a worker that takes it.
    sql: (schema) => `
      select job_id::text as id, format('is held by session %s since that ended at %s', lease_session_id, over_at) as why
      from (
        select j.job_id, j.lease_session_id, s.ended_at, least(j.lease_expires_at, s.expires_at, s.ended_at,
          -- A session that is not there has no end: then the job's last sign of life counts.
          case when s.session_id is null then j.updated_at end) as over_at
        from ${schema}.upload_jobs j
        left join ${schema}.worker_sessions s on s.session_id = j.lease_session_id
        where j.state = 'working'
      ) held
      where over_at < now() - $1::float8 * interval '1 ms'
        and (ended_at < now() - $1::float8 * interval '1 ms' or ${hasWorkerFor(schema, "$1")})`,
    parameters: (settings) => [settings.staleLeaseMs],
  },
  {
    invariant: "I17",
    title: "While claiming is paused no worker takes a job",
    severity: "error",
    // A session that began after the pause holds nothing from before it. The second is for claims under way at that moment.
    sql: (schema) => `
      select distinct on (taken.job_id) taken.job_id::text as id,
        format('is held by session %s, %s at %s, paused at %s', session_id, what, at, paused_at) as why
      from ${schema}.queue_control cross join lateral (
        select listed.job_id, c.session_id, 'which took it' as what, c.claimed_at as at
        from ${schema}.session_claims c cross join lateral unnest(c.job_ids) as listed (job_id)
        where c.claimed_at > paused_at + interval '1 second'
        union all
        select j.job_id, s.session_id, 'begun', s.started_at
        from ${schema}.worker_sessions s join ${schema}.upload_jobs j on j.lease_session_id = s.session_id
        where s.started_at > paused_at + interval '1 second'
      ) taken
      join ${schema}.upload_jobs j on j.job_id = taken.job_id and j.lease_session_id = taken.session_id
      order by taken.job_id, at desc`,
    parameters: () => [],
  },
];
