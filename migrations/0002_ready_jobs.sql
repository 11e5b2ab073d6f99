-- Claims and ends of jobs become HOT: what says that a job is claimable, or who holds it, leaves the indexes of upload_jobs
-- for two small tables, so that a job goes from its claim to `complete` without touching an index. Measured with 10,000
-- jobs: a claim of 500 took 16 ms with the indexes of before, most of it for five index entries per job.

-- What others have under way must be over before the tables are filled.
lock table upload_jobs in access exclusive mode;

-- Two batches of checkpoints at once keep each other's last row versions from being cleared away, so there is room for a
-- third: with 45 a fifth of the checkpoints did not find room on their page, with 33 one in a hundred.
alter table upload_jobs set (fillfactor = 33);
alter table documents set (fillfactor = 33);

-- Exactly the queued jobs, in the claim's order. A trigger on upload_jobs keeps it in step, whoever changes a job; only the
-- claim takes its rows away itself, all at once.
create table ready_jobs (
  turn bigint not null,
  priority integer not null,
  seq bigint not null,
  job_id uuid not null,
  user_id uuid not null,
  -- the job's when it was queued: tells this row from an earlier one of the same job
  fence bigint not null,
  primary key (turn, priority, seq)
);
insert into ready_jobs select turn, priority, seq, job_id, user_id, fence from upload_jobs where state = 'queued';

-- Which jobs a worker's session took, one row per claim, so that a dead worker's jobs are found. What such a row names may
-- have ended since or be another's by now; the job says. The rescue removes rows whose jobs have all gone on.
create table session_claims (
  claim_id bigint generated always as identity primary key,
  session_id uuid not null,
  job_ids uuid[] not null
);
-- a thousand ids do not get smaller
alter table session_claims alter column job_ids set storage external;
insert into session_claims (session_id, job_ids)
select lease_session_id, array_agg(job_id) from upload_jobs where state = 'working' group by lease_session_id;

drop index upload_jobs_claimable, upload_jobs_leased, upload_jobs_one_active, upload_jobs_due, upload_jobs_dead;
-- whether the row changes in the index is decided by values: these stay as they are from claim to end
create index upload_jobs_due on upload_jobs (due_at) where due_at is not null;
alter table upload_jobs add column is_dead_letter boolean not null generated always as (state = 'deadletter') stored;
create index upload_jobs_dead on upload_jobs (seq) where is_dead_letter;
-- for lists of everybody's jobs, newest first; it changes as little as upload_jobs_by_user
create index upload_jobs_by_age on upload_jobs (created_at);

create function follow_job() returns trigger
language plpgsql
set search_path from current
as $$
begin
  if tg_op = 'TRUNCATE' then
    delete from ready_jobs;
    delete from session_claims;
    return null;
  end if;
  if tg_op <> 'INSERT' and old.state = 'queued' then
    delete from ready_jobs where turn = old.turn and priority = old.priority and seq = old.seq;
  end if;
  if tg_op <> 'DELETE' and new.state = 'queued' then
    insert into ready_jobs (turn, priority, seq, job_id, user_id, fence)
    values (new.turn, new.priority, new.seq, new.job_id, new.user_id, new.fence)
    -- a row that stands there by mistake must not keep a job from being queued
    on conflict (turn, priority, seq) do update
      set job_id = excluded.job_id, user_id = excluded.user_id, fence = excluded.fence;
  end if;
  if tg_op <> 'DELETE' and new.state = 'working' then
    insert into session_claims (session_id, job_ids) values (new.lease_session_id, array[new.job_id]);
  end if;
  return null;
end
$$;
create trigger upload_jobs_follow_insert after insert on upload_jobs for each row
  when (new.state in ('queued', 'working'))
  execute function follow_job();
create trigger upload_jobs_follow_update after update on upload_jobs for each row
  when (
    (new.state <> old.state or new.fence <> old.fence or new.turn <> old.turn or new.priority <> old.priority)
    and (old.state = 'queued' or new.state in ('queued', 'working'))
    -- the claim sees to its own jobs
    and not (new.state = 'working' and coalesce(current_setting('upload_pipeline.is_claiming', true), '') = 'on')
  )
  execute function follow_job();
create trigger upload_jobs_follow_delete after delete on upload_jobs for each row
  when (old.state = 'queued')
  execute function follow_job();
create trigger upload_jobs_follow_truncate after truncate on upload_jobs for each statement
  execute function follow_job();

-- One job of a document under way. Not a unique index, which every claim and every end of a job would have to write: whoever
-- begins or revives a job locks the document's row here, which makes the second wait and then see the first.
create function refuse_second_job() returns trigger
language plpgsql
set search_path from current
as $$
begin
  perform from documents where document_id = new.document_id for no key update;
  if exists (
    select from upload_jobs
    where document_id = new.document_id and job_id <> new.job_id and state not in ('done', 'deadletter', 'cancelled')
  ) then
    raise exception 'document % has a job under way', new.document_id
      using errcode = 'unique_violation', table = 'upload_jobs', constraint = 'upload_jobs_one_active';
  end if;
  return null;
end
$$;
create trigger upload_jobs_one_active_insert after insert on upload_jobs for each row
  when (new.state not in ('done', 'deadletter', 'cancelled'))
  execute function refuse_second_job();
create trigger upload_jobs_one_active_update after update on upload_jobs for each row
  when (old.state in ('done', 'deadletter', 'cancelled') and new.state not in ('done', 'deadletter', 'cancelled'))
  execute function refuse_second_job();

-- The two statements of the hot path are functions, so that each connection plans them once, through a pooler in transaction
-- mode too: planning was 0.4 of 1.4 ms of a lone checkpoint and half of a lone claim. The plan is pinned, because one that is
-- kept must be right however the tables grow: rows are looked up one by one, by index. (A hash join would read a whole table,
-- and a sequential scan that cannot be avoided counts as so expensive that it would be compiled.)

-- Moves each job one status on, with its event and the document's status; reaching 'complete' ends the job. The arrays are
-- parallel, one element per job, sorted by job; lease_mss is null where no stage follows. Answers the jobs whose fence and
-- status still matched.
create function advance_jobs(
  job_ids uuid[], fences bigint[], from_statuses text[], to_statuses text[], lease_mss integer[], progresses jsonb[],
  details jsonb[]
) returns setof uuid
language plpgsql
set search_path from current
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set jit = off
as $$
begin
  return query
  with moved as (
    update upload_jobs j
    set status = step.to_status,
        progress = case when step.progress is null then j.progress else j.progress || step.progress end,
        state = case step.to_status when 'complete' then 'done' else 'working' end,
        finished_at = case step.to_status when 'complete' then now() end,
        lease_session_id = case step.to_status when 'complete' then null else j.lease_session_id end,
        lease_expires_at = now() + step.lease_ms * interval '1 ms',
        retry_count = 0, crash_count = 0, last_error = null, updated_at = now()
    from unnest(job_ids, fences, from_statuses, to_statuses, lease_mss, progresses, details)
      as step (job_id, fence, from_status, to_status, lease_ms, progress, detail)
    where j.job_id = step.job_id and j.fence = step.fence and j.status = step.from_status and j.state = 'working'
    returning j.job_id, j.document_id, j.status, j.state, j.fence, step.detail
  ), followed as (
    update documents d
    set processing_status = m.status, updated_at = now()
    from moved m where d.document_id = m.document_id
  ), told as (
    insert into events (job_id, type, status, state, fence, detail)
    select m.job_id, 'status', m.status, m.state, m.fence, m.detail from moved m
  )
  select m.job_id from moved m;
end
$$;

-- Takes up to how_many queued jobs in fair order for a live session and raises their fences, unless claiming is paused. Only
-- turns from from_turn on are looked at, and with max_per_user only what leaves every user within it, counting what all
-- workers have in hand; lease_ms is status -> milliseconds that the stage starting there may hold the job.
--
-- Jobs are locked before anything is done about their row in ready_jobs, as by everybody else. That row is the current one of
-- the job if fence and place agree, so nobody else may remove it until this statement is committed.
create function claim_jobs(
  for_session uuid, how_many integer, lease_ms jsonb, from_turn bigint, max_per_user integer
) returns table (
  job_id uuid, document_id uuid, user_id uuid, correlation_id text, status text, fence bigint, generation integer,
  retry_count integer, age_seconds float8, upload_is_expired boolean, turn bigint, priority integer, seq bigint,
  filename text, mime text, bytes_len bigint, file_sha256 text, raw_path text, title text
)
language plpgsql
set search_path from current
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set jit = off
as $$
#variable_conflict use_column
begin
  -- follow_job leaves the claim's own jobs to the claim; a setting of the function would need a superuser to create it
  perform set_config('upload_pipeline.is_claiming', 'on', true);
  return query
  with alive as materialized (
    select from worker_sessions s
    where s.session_id = for_session and s.ended_at is null and s.expires_at > now()
      and not exists (select from queue_control where paused_at is not null)
  ), held as materialized (
    -- a job that was given back and claimed again can be on two lists
    select distinct j.job_id, j.user_id, j.crash_count, c.session_id
    from session_claims c cross join lateral unnest(c.job_ids) as listed (job_id)
    cross join lateral (
      select j.job_id, j.user_id, j.crash_count from upload_jobs j
      where j.job_id = listed.job_id and j.state = 'working' and j.lease_session_id = c.session_id
      offset 0
    ) j
  ), in_hand as materialized (
    select coalesce(max(h.crash_count), 0) as crashes from held h where h.session_id = for_session
  ), shares as materialized (
    select h.user_id, count(*) as held_count from held h where max_per_user is not null group by h.user_id
  ), next as materialized (
    select r.ctid as row_id, r.turn, r.priority, r.seq, r.job_id, r.fence, r.user_id
    from ready_jobs r
    where r.turn >= from_turn and (max_per_user is null
      or not exists (select from shares s where s.user_id = r.user_id and s.held_count >= max_per_user))
    order by r.turn, r.priority, r.seq
    -- Most of these are looked at only where others are claiming them too. Without a limit the planner would sort the
    -- whole queue. A hundred users at their cap, or a thousand suspects, hide nobody.
    limit 2000 + 2 * how_many
  ), ready as materialized (
    select n.row_id, n.turn, n.priority, n.seq, n.job_id, n.fence from next n where max_per_user is null
    union all
    (select n.row_id, n.turn, n.priority, n.seq, n.job_id, n.fence from (
       select n.*, row_number() over (partition by n.user_id order by n.turn, n.priority, n.seq) as nth
       from next n where max_per_user is not null
     ) n left join shares s on s.user_id = n.user_id
     where n.nth + coalesce(s.held_count, 0) <= max_per_user
     order by n.turn, n.priority, n.seq)
  ), found as materialized (
    -- Suspects: of the jobs that a worker had in hand when it died, one may have killed it, and those that are claimed
    -- together with that one again would die with it until they count as poison too. So a suspect waits for a session
    -- without another; 1.5 s for company with one crash more, in time for the promised 20 s, it is taken beside one, but
    -- never two that lost two workers each.
    select r.row_id, r.turn, r.priority, r.seq, j.job_id, j.crash_count, j.updated_at
    from ready r cross join lateral (
      select j.job_id, j.crash_count, j.updated_at
      from upload_jobs j
      where j.job_id = r.job_id and j.state = 'queued' and j.fence = r.fence and j.turn = r.turn
        and j.priority = r.priority and (j.crash_count = 0 or (select crashes from in_hand) = 0
          or (j.crash_count + (select crashes from in_hand) <= 3 and j.updated_at
            <= now() - (j.crash_count + (select crashes from in_hand) - 1) * interval '1.5 seconds'))
      for no key update skip locked
    ) j
    where exists (select from alive)
    limit how_many
  ), worst as materialized (
    select f.seq, f.crash_count from found f
    where f.crash_count > 0 order by f.crash_count desc, f.turn, f.priority, f.seq limit 1
  ), taken as materialized (
    select f.row_id, f.job_id from found f
    where f.crash_count = 0 or f.seq = (select w.seq from worst w)
      or (f.crash_count + (select w.crash_count from worst w) <= 3 and f.updated_at
        <= now() - (f.crash_count + (select w.crash_count from worst w) - 1) * interval '1.5 seconds')
  ), claimed as (
    update upload_jobs j
    set state = 'working', fence = j.fence + 1, lease_session_id = for_session,
        lease_expires_at = now() + (lease_ms ->> j.status)::integer * interval '1 ms', updated_at = now()
    where j.job_id = any (array(select t.job_id from taken t))
    returning j.job_id, j.document_id, j.user_id, j.correlation_id, j.status, j.fence, j.generation, j.retry_count,
      extract(epoch from now() - j.created_at)::float8 as age_seconds,
      j.upload_expires_at <= now() as upload_is_expired, j.turn, j.priority, j.seq
  ), removed as (
    delete from ready_jobs r where r.ctid = any (array(select t.row_id from taken t))
  ), listed as (
    insert into session_claims (session_id, job_ids)
    select for_session, array_agg(t.job_id) from taken t having count(*) > 0
  ), served as materialized (
    select setval('served_turn', max(c.turn)) from claimed c
    having max(c.turn) > (select last_value from served_turn)
  )
  select c.job_id, c.document_id, c.user_id, c.correlation_id, c.status, c.fence, c.generation, c.retry_count,
    c.age_seconds, c.upload_is_expired, c.turn, c.priority, c.seq,
    d.filename, d.mime, d.bytes_len, d.file_sha256, d.raw_path, d.title
  from claimed c join documents d on d.document_id = c.document_id
  left join served on true
  order by c.turn, c.priority, c.seq;
end
$$;

update architecture_notes
set note = 'What changes from the claim of a job to its end stays out of every index and index predicate of upload_jobs.'
where note_key = 'hot';
insert into architecture_notes (note_key, note) values
  ('ready', 'ready_jobs holds the queued jobs in claim order; triggers on upload_jobs keep it so, the claim removes its own.');
