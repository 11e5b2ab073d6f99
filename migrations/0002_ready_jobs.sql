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
    -- the claim's own statement sees to its jobs
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

update architecture_notes
set note = 'What changes from the claim of a job to its end stays out of every index and index predicate of upload_jobs.'
where note_key = 'hot';
insert into architecture_notes (note_key, note) values
  ('ready', 'ready_jobs holds the queued jobs in claim order; triggers on upload_jobs keep it so, the claim removes its own.');
