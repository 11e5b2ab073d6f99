-- What one user may ask for, counted here so that it holds whatever number of processes serve.

-- Uploads of a user: one row, locked by whoever adds to it, so that limits hold exactly.
create table upload_counts (
  user_id uuid primary key,
  -- UTC
  day date not null,
  -- jobs that uploads made on that day; those of documents deleted since count as well
  day_count integer not null check (day_count >= 0),
  -- at least as many as the user's jobs that are not at their end: raised when one begins or is revived, but not lowered at
  -- its end, which would cost every job one more write. Counted anew when it reaches the limit.
  active_at_most integer not null check (active_at_most >= 0),
  -- none of the user's jobs made before is under way: where counting begins. As exact as created_at.
  active_since timestamptz(3) not null
) with (fillfactor = 50);
insert into upload_counts (user_id, day, day_count, active_at_most, active_since)
select user_id, (now() at time zone 'utc')::date,
  count(*) filter (where created_at >= date_trunc('day', now(), 'utc')),
  count(*) filter (where state not in ('done', 'deadletter', 'cancelled')),
  coalesce(min(created_at) filter (where state not in ('done', 'deadletter', 'cancelled')), now())
from upload_jobs group by user_id;

-- Requests of a minute, by user or address. What a crash loses was about to be forgotten, so nothing of it is logged.
create unlogged table request_counts (
  subject text not null,
  minute_at timestamptz not null,
  request_count integer not null,
  primary key (subject, minute_at)
) with (fillfactor = 50);

-- Answers to requests that may be repeated under the same key. They hold no links, which are signed anew for each repetition.
create table idempotency_keys (
  user_id uuid not null,
  -- digests of the key and of what was asked with it
  key_digest text not null,
  request_digest text not null,
  created_at timestamptz not null default now(),
  -- null: under way. Should its process have died, another request may take over from lease_expires_at on.
  answered_at timestamptz,
  lease_expires_at timestamptz not null,
  status_code integer,
  location text,
  body jsonb,
  primary key (user_id, key_digest),
  constraint idempotency_keys_answered check ((answered_at is null) = (status_code is null))
) with (fillfactor = 70);
create index idempotency_keys_by_age on idempotency_keys (created_at);

select
  open_to_services('upload_counts', 'select, insert, update', 'select'),
  open_to_services('request_counts', 'select, insert, update, delete', ''),
  open_to_services('idempotency_keys', 'select, insert, update, delete', 'select, delete');

-- Uploads are counted by the statement that makes their jobs, all others here.
create function count_job() returns trigger
language plpgsql
security definer
set search_path from current
as $$
begin
  insert into upload_counts as c (user_id, day, day_count, active_at_most, active_since)
  values (new.user_id, (now() at time zone 'utc')::date, 0, 1, new.created_at)
  on conflict (user_id) do update
    set active_at_most = c.active_at_most + 1, active_since = least(c.active_since, excluded.active_since);
  return null;
end
$$;
create trigger upload_jobs_count_insert after insert on upload_jobs for each row
  when (new.state <> 'waiting' and new.state not in ('done', 'deadletter', 'cancelled'))
  execute function count_job();
create trigger upload_jobs_count_update after update on upload_jobs for each row
  when (old.state in ('done', 'deadletter', 'cancelled') and new.state not in ('done', 'deadletter', 'cancelled'))
  execute function count_job();

-- Ends a statement that would go past a limit; `which` says past which.
create function refuse_upload(which text) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception '%', which using errcode = 'UP003';
end
$$;

do $$
begin
  execute format('alter function count_job() set search_path = %I, pg_temp', current_schema());
  revoke all on function count_job(), refuse_upload(text) from public;
  execute format('grant execute on function refuse_upload(text) to %I', role_of('api'));
end
$$;

insert into architecture_notes (note_key, note) values
  ('limits', 'upload_counts holds a user''s uploads of the day, and an upper bound of those under way that is counted anew at the limit.');
