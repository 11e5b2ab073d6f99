-- A job that two workers died on is taken alone where a worker is idle, so that its third and last loss is its own. And uploads
-- are planned once per connection.

-- Almost always empty; what changes from claim to end leaves a row where it is in it, or outside.
create index upload_jobs_suspects on upload_jobs (job_id) where crash_count >= 2;
-- The session claims nothing beside this job until the job is past its stage, or until then.
alter table worker_sessions add column alone_with uuid, add column alone_until timestamptz;

-- Takes up to how_many queued jobs in fair order for a live session and raises their fences, unless claiming is paused. Only
-- turns from from_turn on are looked at, and with max_per_user only what leaves every user within it, counting what all
-- workers have in hand; lease_ms is status -> milliseconds that the stage starting there may hold the job.
--
-- Jobs are locked before anything is done about their row in ready_jobs, as by everybody else. That row is the current one of
-- the job if fence and place agree, so nobody else may remove it until this statement is committed.
create or replace function claim_jobs(
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
      and (s.alone_until is null or s.alone_until <= now() or not exists (
        select from upload_jobs j
        where j.job_id = s.alone_with and j.state = 'working' and j.lease_session_id = for_session and j.crash_count >= 2))
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
    -- of the whole process: an older session of it may have jobs as well
    select count(*) as jobs, coalesce(max(h.crash_count), 0) as crashes
    from worker_sessions mine join worker_sessions s on s.hostname = mine.hostname and s.pid = mine.pid
    join held h on h.session_id = s.session_id
    where mine.session_id = for_session and s.ended_at is null and s.expires_at > now()
  ), shares as materialized (
    select h.user_id, count(*) as held_count from held h where max_per_user is not null group by h.user_id
  ), twice_lost as materialized (
    select j.job_id, j.turn, j.updated_at from upload_jobs j
    where j.crash_count >= 2 and j.state = 'queued'
      and not exists (select from shares s where s.user_id = j.user_id and s.held_count >= max_per_user)
  ), lives as materialized (
    select count(*) as living, count(*) filter (where s.alone_until > now() and exists (
      select from upload_jobs j
      where j.job_id = s.alone_with and j.state = 'working' and j.lease_session_id = s.session_id and j.crash_count >= 2
    )) as secluded
    from worker_sessions s where s.ended_at is null and s.expires_at > now()
  ), mode as materialized (
    select case when not exists (select from twice_lost) then 'all'
      -- the others still have half of the workers
      when (select jobs from in_hand) = 0 and (
        select l.secluded = 0 or (l.secluded + 1) * 2 <= l.living from lives l) then 'alone'
      else 'others' end as mode
  ), next as materialized (
    select r.ctid as row_id, r.turn, r.priority, r.seq, r.job_id, r.fence, r.user_id
    from ready_jobs r
    where r.turn >= from_turn and (max_per_user is null
      or not exists (select from shares s where s.user_id = r.user_id and s.held_count >= max_per_user))
      and case (select mode from mode)
        when 'all' then true
        when 'alone' then r.job_id = any (array(select t.job_id from twice_lost t))
        else r.job_id <> all (array(select t.job_id from twice_lost t where t.updated_at > now() - interval '5 seconds'))
      end
      -- not the whole queue, where others have them
      and r.turn <= case (select mode from mode) when 'alone' then (select max(t.turn) from twice_lost t)
        else 9223372036854775807 end
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
    -- together with that one again would die with it. So a suspect waits for a session without another, 1.5 s for each
    -- crash of that one. One that two workers died on waits up to 5 s for a worker that has nothing in hand: whatever else is
    -- there may be what kills, though it has not killed yet. All of this is within the promised 20 s.
    select r.row_id, r.turn, r.priority, r.seq, j.job_id, j.crash_count, j.updated_at
    from ready r cross join lateral (
      select j.job_id, j.crash_count, j.updated_at
      from upload_jobs j
      where j.job_id = r.job_id and j.state = 'queued' and j.fence = r.fence and j.turn = r.turn
        and j.priority = r.priority and case
          when j.crash_count = 0 then true
          when j.crash_count = 1
            then j.updated_at <= now() - (select crashes from in_hand) * interval '1.5 seconds'
          else (select crashes from in_hand) = 0
        end
      for no key update skip locked
    ) j
    where exists (select from alive)
    limit case (select mode from mode) when 'alone' then 1 else how_many end
  ), worst as materialized (
    select f.seq, f.crash_count from found f
    where f.crash_count > 0 order by f.crash_count desc, f.turn, f.priority, f.seq limit 1
  ), taken as materialized (
    select f.row_id, f.job_id from found f
    where f.crash_count = 0 or f.seq = (select w.seq from worst w)
      or ((select w.crash_count from worst w) = 1 and f.updated_at <= now() - interval '1.5 seconds')
  ), claimed as (
    update upload_jobs j
    set state = 'working', fence = j.fence + 1, lease_session_id = for_session,
        lease_expires_at = now() + (lease_ms ->> j.status)::integer * interval '1 ms', updated_at = now()
    where j.job_id = any (array(select t.job_id from taken t))
    returning j.job_id, j.document_id, j.user_id, j.correlation_id, j.status, j.fence, j.generation, j.retry_count,
      extract(epoch from now() - j.created_at)::float8 as age_seconds,
      j.upload_expires_at <= now() as upload_is_expired, j.turn, j.priority, j.seq
  ), secluded as (
    update worker_sessions s set alone_with = t.job_id, alone_until = now() + interval '30 seconds'
    from taken t where s.session_id = for_session and (select mode from mode) = 'alone'
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

-- Counts one more upload of a user, whose row stays locked until the end of the transaction, so that no two pass a limit
-- together; ends the statement where it would go past one.
create function count_upload(for_user uuid, per_day integer, in_flight integer) returns boolean
language plpgsql
set search_path from current
as $$
declare
  counted record;
begin
  insert into upload_counts as c (user_id, day, day_count, active_at_most, active_since)
  values (for_user, (now() at time zone 'utc')::date, 1, 1, now())
  on conflict (user_id) do update set
    -- the clock of a transaction that waited may be of the day before
    day = case when c.day = excluded.day + 1 then c.day else excluded.day end,
    day_count = case when c.day in (excluded.day, excluded.day + 1) then c.day_count + 1 else 1 end,
    active_at_most = c.active_at_most + 1, active_since = least(c.active_since, excluded.active_since)
  returning c.day_count, c.active_at_most into counted;
  if counted.day_count > per_day then return refuse_upload('daily'); end if;
  if counted.active_at_most > in_flight then return refuse_upload('in_flight'); end if;
  return true;
end
$$;

-- The first jobs of documents that make_uploads makes need no look at the documents' other jobs, which was a tenth of what an
-- upload costs.
drop trigger upload_jobs_one_active_insert on upload_jobs;
create trigger upload_jobs_one_active_insert after insert on upload_jobs for each row
  when (new.state not in ('done', 'deadletter', 'cancelled')
    and coalesce(current_setting('upload_pipeline.is_making', true), '') <> 'on')
  execute function refuse_second_job();

-- Makes documents, jobs and events of files that their users never promised before, which is most uploads, many at once, each
-- within what its user may have. The arrays are parallel, one element per upload, no document twice. Answers for each job what
-- came of it: made; known, as there is a document of it; daily or in_flight, the limit that it would pass; busy, where others
-- have the user's count locked. It waits for them, up to 2 s, only if is_patient; for what they have inserted and not
-- committed, 50 ms.
--
-- The user's count is locked before the documents, and what is locked stays so until the end of the transaction.
create function make_uploads(
  new_documents uuid[], for_users uuid[], filenames text[], mimes text[], bytes_lens bigint[], file_sha256s text[],
  raw_paths text[], metadatas text[], new_jobs uuid[], correlation_ids text[], first_probes_ms float8[],
  uploads_seconds integer[], per_day integer, in_flight integer, is_patient boolean
) returns table (job_id uuid, outcome text, status text, state text, upload_expires_at timestamptz)
language plpgsql
set search_path from current
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set jit = off
-- see below; restored at the end
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
  today date := (now() at time zone 'utc')::date;
  users uuid[];
  counted uuid[];
  is_making text;
  waiting text;
begin
  -- A new user's count, or a document, that another transaction has inserted and not committed.
  if not is_patient then waiting := set_config('lock_timeout', '50ms', true); end if;
  select array_agg(distinct u.user_id) into users
  from unnest(for_users, new_documents) as u (user_id, document_id)
  where not exists (select from documents d where d.document_id = u.document_id);
  if users is not null then
    insert into upload_counts (user_id, day, day_count, active_at_most, active_since)
    select u.user_id, today, 0, 0, now() from unnest(users) as u (user_id)
    where not exists (select from upload_counts c where c.user_id = u.user_id)
    on conflict do nothing;
    if is_patient then
      select array_agg(l.user_id) into counted from (
        select c.user_id from upload_counts c where c.user_id = any (users) order by c.user_id for no key update) l;
    else
      select array_agg(l.user_id) into counted from (
        select c.user_id from upload_counts c where c.user_id = any (users) order by c.user_id
        for no key update skip locked) l;
    end if;
  end if;
  is_making := set_config('upload_pipeline.is_making', 'on', true);
  return query
  with given as materialized (
    select u.* from unnest(new_documents, for_users, filenames, mimes, bytes_lens, file_sha256s, raw_paths, metadatas, new_jobs,
      correlation_ids, first_probes_ms, uploads_seconds) with ordinality as u (document_id, user_id, filename, mime,
      bytes_len, file_sha256, raw_path, metadata, job_id, correlation_id, first_probe_ms, upload_seconds, nth)
  ), fresh as materialized (
    select g.*, row_number() over (partition by g.user_id order by g.nth) as place
    from given g
    where g.user_id = any (counted)
      and not exists (select from documents d where d.document_id = g.document_id)
  ), judged as materialized (
    select f.*, case when f.place <= least(r.of_day, r.of_flight) then 'made'
        -- one that was inserted by hand has an id of its own
        when exists (select from documents d where d.user_id = f.user_id and d.file_sha256 = f.file_sha256) then 'known'
        when r.of_day <= r.of_flight then 'daily' else 'in_flight' end as outcome
    from fresh f join upload_counts c on c.user_id = f.user_id
    cross join lateral (
      select per_day - case when c.day in (today, today + 1) then c.day_count else 0 end as of_day,
        in_flight - c.active_at_most as of_flight
    ) r
  ), promised as (
    insert into documents as d
      (document_id, user_id, filename, mime, bytes_len, file_sha256, raw_path, metadata, generation_count)
    select j.document_id, j.user_id, j.filename, j.mime, j.bytes_len, j.file_sha256, j.raw_path, j.metadata::jsonb, 1
    from judged j where j.outcome = 'made'
    -- likewise
    on conflict do nothing
    returning d.document_id
  ), made as materialized (
    select j.* from judged j join promised p on p.document_id = j.document_id
  ), recounted as (
    update upload_counts c
    set day = case when c.day = today + 1 then c.day else today end,
        day_count = case when c.day in (today, today + 1) then c.day_count else 0 end + m.made_count,
        active_at_most = c.active_at_most + m.made_count, active_since = least(c.active_since, now())
    from (select user_id, count(*)::integer as made_count from made group by user_id) m
    where c.user_id = m.user_id
  ), born as (
    insert into upload_jobs as j
      (job_id, document_id, user_id, correlation_id, generation, state, waiting_for, due_at, upload_expires_at)
    select m.job_id, m.document_id, m.user_id, m.correlation_id, 1, 'waiting', 'upload',
      now() + m.first_probe_ms * interval '1 ms', now() + m.upload_seconds * interval '1 second'
    from made m
    returning j.job_id, j.status, j.state, j.fence, j.upload_expires_at
  ), told as (
    insert into events (job_id, type, status, state, fence)
    select b.job_id, 'created', b.status, b.state, b.fence from born b
  )
  select g.job_id, case
      when b.job_id is not null then 'made'
      when j.outcome <> 'made' then j.outcome
      when g.user_id = any (users) and not coalesce(g.user_id = any (counted), false) then 'busy'
      else 'known' end,
    b.status, b.state, b.upload_expires_at
  from given g left join judged j on j.job_id = g.job_id left join born b on b.job_id = g.job_id;
  is_making := set_config('upload_pipeline.is_making', 'off', true);
end
$$;

do $$
declare
  function_name text;
begin
  foreach function_name in array array['count_upload', 'make_uploads'] loop
    execute format('revoke all on function %I from public', function_name);
    execute format('grant execute on function %I to %I', function_name, role_of('api'));
  end loop;
end
$$;

insert into architecture_notes (note_key, note) values
  ('uploads', 'Documents, counts, jobs and events of uploads are made by make_uploads, for whatever uploads come in at once.'),
  ('alone', 'A job that two workers died on waits up to 5 s for an idle worker, which takes it alone, so that the third loss is its own.');
