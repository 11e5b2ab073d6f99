-- Who may do what. The services need not own the tables: each has a role with the privileges that it uses and no others.
-- Clients that reach the tables directly (Supabase's anon and authenticated) are held by row-level security: they read what
-- is the user's own, who is named by request.jwt.claims, and write nothing.

-- Named after the schema, so that staging beside production has roles of its own.
create function role_of(service text) returns name
language sql stable
set search_path from current
as $$ select (left(current_schema(), 62 - length(service)) || '_' || service)::name $$;

-- Roles belong to the server, not to the database: they may be there, and others may be making them now.
do $$
declare
  wanted name;
begin
  foreach wanted in array array[role_of('api'), role_of('worker')] loop
    begin
      if not exists (select from pg_roles where rolname = wanted) then
        execute format('create role %I nologin', wanted);
      end if;
    exception
      when duplicate_object or unique_violation then
        null;
      when insufficient_privilege then
        raise exception 'This user may not create roles. Have an administrator run: create role % nologin; create role % nologin;',
          quote_ident(role_of('api')), quote_ident(role_of('worker')) using errcode = 'UP002';
    end;
  end loop;
end
$$;

-- Every table needs this, those of later migrations too: closes it to everybody, then grants the services what they use,
-- for example open_to_services('events', 'select, insert', 'select').
create function open_to_services(table_name text, for_api text, for_worker text) returns void
language plpgsql
set search_path from current
as $$
declare
  outsider text;
begin
  execute format('alter table %I enable row level security', table_name);
  for outsider in
    select 'public' union all
    select quote_ident(rolname) from pg_roles where rolname in ('anon', 'authenticated', 'service_role')
  loop
    execute format('revoke all on %I from %s', table_name, outsider);
  end loop;
  -- a condition that is always true costs nothing: the planner drops it
  execute format('create policy services on %I to %I, %I using (true) with check (true)',
    table_name, role_of('api'), role_of('worker'));
  if for_api <> '' then
    execute format('grant %s on %I to %I', for_api, table_name, role_of('api'));
  end if;
  if for_worker <> '' then
    execute format('grant %s on %I to %I', for_worker, table_name, role_of('worker'));
  end if;
end
$$;

-- What the API may change of a job ends, revives or prolongs it; no status is reached and nothing is published by the API.
-- The passages that it adds are copies, for reprocessing.
select
  open_to_services('documents',
    'select, insert, delete, update (filename, mime, bytes_len, raw_path, metadata, processing_status, generation_count, updated_at)',
    'select, update (processing_status, live_generation, page_count, title, updated_at)'),
  open_to_services('upload_jobs',
    'select, insert, update (state, waiting_for, due_at, upload_expires_at, turn, fence, lease_session_id, lease_expires_at,
      retry_count, crash_count, last_error, finished_at, updated_at)',
    'select, update (status, state, waiting_for, due_at, turn, fence, lease_session_id, lease_expires_at,
      retry_count, crash_count, last_error, progress, finished_at, updated_at)'),
  open_to_services('events', 'select, insert', 'select, insert'),
  open_to_services('document_pages', 'select, insert', 'select, insert, update, delete'),
  open_to_services('document_chunks', 'select, insert', 'select, insert, update, delete'),
  open_to_services('page_sources', 'select, insert', 'select, insert, update, delete'),
  open_to_services('worker_sessions', 'select', 'select, insert, update'),
  open_to_services('queue_control', 'select, update', 'select'),
  open_to_services('user_turns', '', ''),
  open_to_services('ready_jobs', 'select', 'select, delete'),
  open_to_services('session_claims', 'select', 'select, insert, update, delete'),
  open_to_services('webhook_log', 'select, insert', 'select, delete'),
  open_to_services('provider_jobs', 'select, update (callback_count, polled_at)', 'select, insert, update, delete'),
  open_to_services('provider_limits', 'select', 'select, insert, update'),
  open_to_services('provider_circuits', 'select', 'select, insert, update'),
  open_to_services('spending', 'select', 'select, insert, update'),
  open_to_services('spending_days', 'select', 'select, insert, update'),
  open_to_services('spending_reservations', 'select', 'select, insert, update, delete'),
  open_to_services('removals', 'select, insert, update', 'select, insert, update, delete'),
  open_to_services('installation', 'select', 'select'),
  open_to_services('service_instances', 'select, insert, update, delete', 'select, insert, update, delete'),
  open_to_services('alert_watch', 'select, update', 'select, update'),
  open_to_services('alerts', 'select, insert, update, delete', 'select, insert, update, delete'),
  open_to_services('alert_messages', 'select, insert, update, delete', 'select, insert, update, delete'),
  open_to_services('architecture_notes', 'select', 'select'),
  open_to_services('schema_migrations', 'select', 'select');

-- Whose request it is. Null where nobody is named or what stands there is malformed: then no row is anybody's.
create function requesting_user() returns uuid
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid;
exception
  when data_exception then
    return null;
end
$$;

-- In a subquery the function is called once for a statement, not for every row.
create policy owner on documents for select using (user_id = (select requesting_user()));
create policy owner on upload_jobs for select using (user_id = (select requesting_user()));
create policy owner on document_chunks for select using (user_id = (select requesting_user()));
create policy owner on document_pages for select using (
  exists (select from documents d where d.document_id = document_pages.document_id and d.user_id = (select requesting_user())));
create policy owner on events for select using (
  exists (select from upload_jobs j where j.job_id = events.job_id and j.user_id = (select requesting_user())));

-- The queue's own tables are kept by triggers and this function with their owner's rights, whoever changes a job. Such a
-- function must find its tables and no others of the same name.
do $$
declare
  routine text;
  outsiders text := 'public' || (
    select coalesce(string_agg(', ' || quote_ident(rolname), ''), '')
    from pg_roles where rolname in ('anon', 'authenticated', 'service_role'));
begin
  foreach routine in array array['follow_job()', 'forget_jobs()', 'next_turns(uuid, bigint)'] loop
    execute format('alter function %s security definer', routine);
    execute format('alter function %s set search_path = %I, pg_temp', routine, current_schema());
  end loop;
  execute format('revoke all on all functions in schema %I from %s', current_schema(), outsiders);
  execute format('revoke all on all sequences in schema %I from %s', current_schema(), outsiders);
  execute format('revoke all on schema %I from %s', current_schema(), outsiders);
  execute format('grant usage on schema %I to %I, %I', current_schema(), role_of('api'), role_of('worker'));
  execute format('grant execute on function next_turns(uuid, bigint), requesting_user() to %I, %I',
    role_of('api'), role_of('worker'));
  execute format('grant execute on function claim_jobs(uuid, integer, jsonb, bigint, integer),
    advance_jobs(uuid[], bigint[], text[], text[], integer[], jsonb[], jsonb[]) to %I', role_of('worker'));
  execute format('grant select on sequence served_turn to %I', role_of('api'));
  execute format('grant select, update on sequence served_turn to %I', role_of('worker'));
end
$$;

-- Lets the clients of a Supabase project in, where their roles exist. Call it again should they be made later.
create function open_to_clients() returns void
language plpgsql
set search_path from current
as $$
begin
  if exists (select from pg_roles where rolname = 'authenticated') then
    execute format('grant usage on schema %I to authenticated', current_schema());
    grant execute on function requesting_user() to authenticated;
    grant select on documents, upload_jobs, document_chunks, document_pages, events to authenticated;
  end if;
end
$$;
revoke all on function open_to_clients() from public;
select open_to_clients();

insert into architecture_notes (note_key, note) values
  ('roles', 'The services run as <schema>_api and <schema>_worker; every table is opened to them by open_to_services().');
