-- Under a cap on jobs in hand per user, users whose backlogs lagged behind take turns with the others and with each other, and no claim
-- reads through a backlog.

-- The turn that counts for what each user was served last under a cap, where that is not behind the turn now served. Claims
-- under a cap write it, which take turns themselves.
create table capped_turns (
  user_id uuid primary key,
  last_turn bigint not null
);
select open_to_services('capped_turns', '', 'select, insert, update, delete');

-- Where the session's last claim under a cap stopped walking through the users who have something queued; null: at their end.
alter table worker_sessions add column walked_to uuid;

-- Up to how_many users who have something queued, none of but_not among them, from the one after walked_to on and round.
create function walk_users(walked_to uuid, how_many integer, but_not uuid[]) returns uuid[]
language sql stable
set search_path from current
set enable_seqscan = off
as $$
  with recursive later as (
    (select r.user_id, (r.user_id <> all (but_not))::integer as nth
     from ready_jobs r where r.user_id > walked_to order by r.user_id limit 1)
    union all
    select n.user_id, w.nth + (n.user_id <> all (but_not))::integer from later w cross join lateral (
      select r.user_id from ready_jobs r where r.user_id > w.user_id order by r.user_id limit 1) n
    where w.nth < how_many
  ), found_later as materialized (
    select count(*) as users from later l where l.user_id <> all (but_not)
  ), earlier as (
    (select r.user_id, (r.user_id <> all (but_not))::integer as nth from ready_jobs r
     where r.user_id <= walked_to and (select f.users from found_later f) < how_many order by r.user_id limit 1)
    union all
    select n.user_id, w.nth + (n.user_id <> all (but_not))::integer from earlier w cross join lateral (
      select r.user_id from ready_jobs r where r.user_id > w.user_id and r.user_id <= walked_to order by r.user_id limit 1) n
    where w.nth + (select f.users from found_later f) < how_many
  )
  select array(select l.user_id from later l where l.user_id <> all (but_not) order by l.user_id)
    || array(select e.user_id from earlier e where e.user_id <> all (but_not) order by e.user_id)
$$;

-- The rows of the queue that a claim under a cap may take, in its order: each user's in the queue's order, no more than the user
-- has room for, the nth of them in the place of its turn, but no earlier than the one now served, nor than those after the turn at
-- which the user was last served. So a user whose turns fell behind is level with newcomers once, and then takes turns.
--
-- The first rows of the walked users are looked up. Where the walk was cut short, what stands at the turn now served is read
-- besides. holders and held_counts say what users have in hand in all workers; jobs in but_not are passed over.
create function capped_order(
  walked uuid[], is_cut boolean, how_many integer, max_per_user integer, holders uuid[], held_counts bigint[], but_not uuid[]
) returns table (row_id tid, turn bigint, priority integer, seq bigint, job_id uuid, fence bigint, user_id uuid, place bigint)
language plpgsql stable
set search_path from current
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set jit = off
as $$
#variable_conflict use_column
declare
  served bigint;
  -- of each user, a few more than are wanted, as some may be others' or wait for something
  most_of_one integer := how_many + 16;
  fewer integer := 4 + 2 * ceil(how_many::float8 / greatest(cardinality(walked), 1))::integer;
begin
  select s.last_value into served from served_turn s;
  if fewer < most_of_one and how_many <= (
    select count(*) from unnest(walked) as w (user_id) cross join lateral (
      select from ready_jobs r where r.user_id = w.user_id and r.job_id <> all (but_not)
      limit greatest(0, least(fewer, max_per_user - coalesce(held_counts[array_position(holders, w.user_id)], 0)))) r)
  then
    most_of_one := fewer;
  end if;
  return query
  with first_rows as (
    select r.ctid as row_id, r.turn, r.priority, r.seq, r.job_id, r.fence, w.user_id
    from unnest(walked) as w (user_id) cross join lateral (
      select q.ctid, q.turn, q.priority, q.seq, q.job_id, q.fence from ready_jobs q
      where q.user_id = w.user_id and q.job_id <> all (but_not)
      order by q.turn, q.priority, q.seq
      limit greatest(0, least(most_of_one, max_per_user - coalesce(held_counts[array_position(holders, w.user_id)], 0)))
    ) r
  ), now_served as (
    select r.ctid as row_id, r.turn, r.priority, r.seq, r.job_id, r.fence, r.user_id
    from ready_jobs r where is_cut and r.turn >= served
    order by r.turn, r.priority, r.seq
    limit 500 + 2 * how_many
  ), candidates as (
    select f.* from first_rows f
    union all
    select n.* from now_served n where n.job_id <> all (but_not) and n.user_id <> all (walked)
  ), ranked as (
    select c.*, row_number() over (partition by c.user_id order by c.turn, c.priority, c.seq) as nth from candidates c
  ), placed as (
    select k.*, greatest(k.turn, k.nth - 1 + greatest(served,
      coalesce((select t.last_turn + 1 from capped_turns t where t.user_id = k.user_id), 0))) as place
    from ranked k
    where k.nth + coalesce(held_counts[array_position(holders, k.user_id)], 0) <= max_per_user
  )
  select p.row_id, p.turn, p.priority, p.seq, p.job_id, p.fence, p.user_id, p.place
  from placed p order by p.place, p.priority, p.seq;
end
$$;

-- As before, in the order of capped_order under a cap, for 256 users at once; and a job that two workers died on is looked up by its
-- own row.
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
  -- who is behind the turn now served is level with it
  if max_per_user is not null then
    delete from capped_turns c where c.last_turn < (select s.last_value from served_turn s);
  end if;
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
    select j.job_id, j.turn, j.priority, j.seq, j.updated_at from upload_jobs j
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
  ), put_off as materialized (
    -- until an idle worker takes them alone, and not for long; and where something suspect is in hand it refuses them anyway
    select t.job_id from twice_lost t
    where t.updated_at > now() - interval '5 seconds' or (select i.crashes from in_hand i) > 0
  ), walk as materialized (
    -- from nobody's id on
    select walk_users(coalesce(
        (select s.walked_to from worker_sessions s where s.session_id = for_session), '00000000-0000-0000-0000-000000000000'),
      256, array(select s.user_id from shares s where s.held_count >= max_per_user)) as users
    where max_per_user is not null and (select mode from mode) <> 'alone'
  ), moved_on as (
    update worker_sessions s set walked_to = case when cardinality(w.users) = 256 then w.users[256] end
    from walk w
    where s.session_id = for_session and (s.walked_to is not null or cardinality(w.users) = 256)
  ), next as materialized (
    (select r.ctid as row_id, r.turn, r.priority, r.seq, r.job_id, r.fence, r.user_id, r.turn as place
     from ready_jobs r
     where max_per_user is null and (select mode from mode) <> 'alone' and r.turn >= from_turn
       and ((select mode from mode) = 'all' or r.job_id <> all (array(select p.job_id from put_off p)))
     order by r.turn, r.priority, r.seq
     -- Most of these are looked at only where others are claiming them too. Without a limit the planner would sort the
     -- whole queue. A thousand suspects hide nobody.
     limit 2000 + 2 * how_many)
    union all
    (select c.row_id, c.turn, c.priority, c.seq, c.job_id, c.fence, c.user_id, c.place
     from walk w cross join lateral capped_order(w.users, cardinality(w.users) = 256, how_many, max_per_user,
       array(select s.user_id from shares s order by s.user_id),
       array(select s.held_count from shares s order by s.user_id), array(select p.job_id from put_off p)) c)
    union all
    (select r.ctid, r.turn, r.priority, r.seq, r.job_id, r.fence, r.user_id, r.turn
     from twice_lost t join ready_jobs r on r.turn = t.turn and r.priority = t.priority and r.seq = t.seq
     where (select mode from mode) = 'alone'
     order by r.turn, r.priority, r.seq)
  ), found as materialized (
    -- Suspects: of the jobs that a worker had in hand when it died, one may have killed it, and those that are claimed
    -- together with that one again would die with it. So a suspect waits for a session without another, 1.5 s for each
    -- crash of that one. One that two workers died on waits up to 5 s for a worker that has nothing in hand: whatever else is
    -- there may be what kills, though it has not killed yet. All of this is within the promised 20 s.
    select r.row_id, r.turn, r.priority, r.seq, r.user_id, r.place, j.job_id, j.crash_count, j.updated_at
    from next r cross join lateral (
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
    select f.row_id, f.job_id, f.user_id, f.place from found f
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
    select setval('served_turn', max(t.place)) from taken t
    having max(t.place) > (select last_value from served_turn)
  ), counted as (
    insert into capped_turns as c (user_id, last_turn)
    select t.user_id, max(t.place) from taken t where max_per_user is not null group by t.user_id
    on conflict (user_id) do update set last_turn = greatest(c.last_turn, excluded.last_turn)
  )
  select c.job_id, c.document_id, c.user_id, c.correlation_id, c.status, c.fence, c.generation, c.retry_count,
    c.age_seconds, c.upload_is_expired, c.turn, c.priority, c.seq,
    d.filename, d.mime, d.bytes_len, d.file_sha256, d.raw_path, d.title
  from claimed c join documents d on d.document_id = c.document_id
  left join served on true
  order by c.turn, c.priority, c.seq;
end
$$;

do $$
declare
  function_name text;
begin
  foreach function_name in array array['walk_users', 'capped_order'] loop
    execute format('revoke all on function %I from public', function_name);
    execute format('grant execute on function %I to %I', function_name, role_of('worker'));
  end loop;
end
$$;

insert into architecture_notes (note_key, note) values
  ('caps', 'Under a cap on jobs in hand per user, claims take capped_order: who lagged behind is level with newcomers once, and then takes turns.');
