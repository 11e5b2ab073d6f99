-- Jobs that come back one after the other, and turns of jobs that were called off, count no more than one file per turn.

-- For what a user's jobs that leave the queue other than by a claim leave behind: the user's last turn.
create index ready_jobs_by_user on ready_jobs (user_id, turn);

-- The last turn at which a job of the user's came back: from a retry, or from waiting for its parser.
alter table user_turns add column last_return bigint not null default 0;

-- The first of `how_many` turns in a row for jobs of a user that come back late: from the one now served on, behind those that
-- came back before, however many calls they come in. Callers lock jobs first, and several users in the order of their ids.
create function return_turns(for_user uuid, how_many bigint) returns bigint
language sql volatile security definer
set search_path from current
as $$
  insert into user_turns as u (user_id, last_turn, last_return)
  select for_user, 0, served_turn.last_value + how_many - 1 from served_turn
  on conflict (user_id) do update set last_return = greatest(u.last_return + how_many, excluded.last_return)
  returning last_return - how_many + 1
$$;

-- As before, and a user whose queued jobs were cancelled or deleted is served next behind those that are left, not behind
-- those that are gone.
create or replace function follow_job() returns trigger
language plpgsql security definer
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
  if tg_op = 'DELETE' or (tg_op = 'UPDATE' and new.state = 'cancelled') then
    update user_turns u set last_turn = left_over.turn
    from (select coalesce(max(r.turn), 0) as turn from ready_jobs r where r.user_id = old.user_id) left_over
    where u.user_id = old.user_id and u.last_turn > left_over.turn;
  end if;
  return null;
end
$$;

do $$
begin
  execute format('alter function return_turns(uuid, bigint) set search_path = %I, pg_temp', current_schema());
  execute format('alter function follow_job() set search_path = %I, pg_temp', current_schema());
  revoke all on function return_turns(uuid, bigint) from public;
  execute format('grant execute on function return_turns(uuid, bigint) to %I, %I', role_of('api'), role_of('worker'));
end
$$;

insert into architecture_notes (note_key, note) values
  ('returns', 'Jobs that come back after their turn take return_turns, one per turn and user, beside the turns of the user''s new files.');
