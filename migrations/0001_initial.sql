-- The pipeline's tables. The runner creates the schema and sets the search path to it (then public, extensions), so
-- that names stay plain here and one file serves every DATABASE_SCHEMA.

-- One file of one user. processing_status follows the newest job in the same transaction.
create table documents (
  document_id uuid primary key,
  user_id uuid not null,
  filename text not null,
  mime text not null,
  bytes_len bigint not null check (bytes_len >= 0),
  file_sha256 text not null,
  raw_path text not null,
  processing_status text not null default 'uploaded' constraint documents_status check (processing_status in (
    'uploaded', 'parsing', 'parsed', 'parse_validated', 'chunking', 'chunks_stored',
    'embedding_queued', 'embedding_in_progress', 'embeddings_stored', 'complete')),
  title text,
  page_count integer check (page_count >= 0),
  metadata jsonb not null default '{}',
  -- the generation that search sees; null until one is complete
  live_generation integer,
  -- how many generations were begun; each job builds one
  generation_count integer not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint documents_one_per_file unique (user_id, file_sha256)
) with (fillfactor = 70);

create index documents_by_user on documents (user_id, created_at desc, document_id);

-- One attempt to take a document from uploaded to complete. Neither status, progress nor any other column that a
-- checkpoint changes may appear in an index or an index predicate: checkpoints stay HOT that way.
create table upload_jobs (
  job_id uuid primary key default gen_random_uuid(),
  document_id uuid not null references documents on delete cascade,
  user_id uuid not null,
  correlation_id text not null,
  status text not null default 'uploaded' constraint upload_jobs_status check (status in (
    'uploaded', 'parsing', 'parsed', 'parse_validated', 'chunking', 'chunks_stored',
    'embedding_queued', 'embedding_in_progress', 'embeddings_stored', 'complete')),
  state text not null default 'queued' constraint upload_jobs_state check (state in (
    'queued', 'working', 'waiting', 'retryable', 'done', 'deadletter', 'cancelled')),
  -- the generation of chunks that this job builds
  generation integer not null,
  -- place in the fair order between users, smaller first; priority decides within a turn, smaller first
  turn bigint not null,
  priority integer not null default 100,
  seq bigint generated always as identity,
  progress jsonb not null default '{}',
  -- failed attempts of the running stage, and workers that died on it; both start again at the next status
  retry_count integer not null default 0 check (retry_count >= 0),
  crash_count integer not null default 0 check (crash_count >= 0),
  last_error jsonb,
  -- raised by every claim, never lowered; every write of a claim names it
  fence bigint not null default 0,
  lease_session_id uuid,
  -- when the running stage is over its deadline, however alive its worker is
  lease_expires_at timestamptz,
  waiting_for text constraint upload_jobs_waiting_for check (waiting_for in ('upload', 'parser')),
  due_at timestamptz,
  upload_expires_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  finished_at timestamptz,
  constraint upload_jobs_lease check (
    (state = 'working') = (lease_session_id is not null) and (state = 'working') = (lease_expires_at is not null)),
  constraint upload_jobs_due check ((state in ('waiting', 'retryable')) = (due_at is not null)),
  constraint upload_jobs_waiting check ((state = 'waiting') = (waiting_for is not null)),
  constraint upload_jobs_done check ((state = 'done') = (status = 'complete')),
  constraint upload_jobs_finished check ((state in ('done', 'deadletter', 'cancelled')) = (finished_at is not null)),
  constraint upload_jobs_reason check (state not in ('retryable', 'deadletter') or last_error is not null)
) with (fillfactor = 70);

-- exactly the claim's order, claimable rows only
create index upload_jobs_claimable on upload_jobs (turn, priority, seq) where state = 'queued';
create index upload_jobs_due on upload_jobs (due_at) where state in ('waiting', 'retryable');
create index upload_jobs_leased on upload_jobs (lease_session_id) where state = 'working';
create unique index upload_jobs_one_active on upload_jobs (document_id)
  where state not in ('done', 'deadletter', 'cancelled');
create unique index upload_jobs_generation on upload_jobs (document_id, generation);
create index upload_jobs_by_user on upload_jobs (user_id, created_at desc, job_id);

-- The history. No foreign key: its check would lock the job row at every checkpoint; deleting a document deletes them.
create table events (
  event_id bigint generated always as identity primary key,
  job_id uuid not null,
  type text not null constraint events_type check (type in (
    'created', 'upload_confirmed', 'upload_renewed', 'status', 'waiting', 'retry_scheduled', 'released', 'rescued',
    'deadlettered', 'cancelled', 'redriven')),
  status text not null,
  state text not null,
  fence bigint not null,
  code text,
  detail jsonb,
  -- only where it differs from the job's: a later request that acted on the job
  correlation_id text,
  created_at timestamptz not null default now()
);
create index events_by_job on events (job_id, event_id);

-- Text of a generation, page by page.
create table document_pages (
  document_id uuid not null references documents on delete cascade,
  generation integer not null,
  page_number integer not null check (page_number >= 1),
  text text not null,
  primary key (document_id, generation, page_number)
);

create table document_chunks (
  chunk_id uuid primary key,
  document_id uuid not null references documents on delete cascade,
  user_id uuid not null,
  generation integer not null,
  ordinal integer not null check (ordinal >= 0),
  text text not null,
  token_count integer not null check (token_count > 0),
  page_start integer not null check (page_start >= 1),
  page_end integer not null,
  -- offsets into the pages' texts joined by a blank line, in UTF-16 code units
  char_start integer not null check (char_start >= 0),
  char_end integer not null,
  section_path text[] not null default '{}',
  chunker_name text not null,
  chunker_version text not null,
  -- null until real: never a placeholder
  embedding vector(1536),
  embed_model text,
  embed_version text,
  embedded_at timestamptz,
  search_text tsvector not null generated always as (to_tsvector('english', text)) stored,
  created_at timestamptz not null default now(),
  constraint document_chunks_place unique (document_id, generation, ordinal),
  constraint document_chunks_range check (page_end >= page_start and char_end > char_start),
  constraint document_chunks_embedded check (
    (embedding is null) = (embed_model is null) and (embedding is null) = (embed_version is null)
    and (embedding is null) = (embedded_at is null))
);
-- Search is exact over one user's chunks, so this is the only index it needs.
create index document_chunks_by_user on document_chunks (user_id, document_id, generation);

-- One row per run of a worker process. A session that expired never lives again: the process opens a new one.
create table worker_sessions (
  session_id uuid primary key default gen_random_uuid(),
  worker_name text not null,
  hostname text not null,
  pid integer not null,
  started_at timestamptz not null default now(),
  heartbeat_at timestamptz not null default now(),
  expires_at timestamptz not null,
  ended_at timestamptz
) with (fillfactor = 70);

-- The last turn given to each user, so that a user's files take turns with other users' files.
create table user_turns (
  user_id uuid primary key,
  last_turn bigint not null
) with (fillfactor = 70);

-- Every callback received, accepted or refused, so that none is handled twice.
create table webhook_log (
  webhook_id bigint generated always as identity primary key,
  provider text not null,
  event_key text not null,
  job_id uuid,
  accepted boolean not null,
  code text,
  received_at timestamptz not null default now(),
  constraint webhook_log_once unique (provider, event_key)
);

-- Decisions that whoever opens the database should know.
create table architecture_notes (
  note_key text primary key,
  note text not null,
  created_at timestamptz not null default now()
);
insert into architecture_notes (note_key, note) values
  ('claims', 'A job is changed only by the claim whose fence it carries; the fence never falls.'),
  ('hot', 'Columns that a checkpoint changes stay out of every index and index predicate of upload_jobs.'),
  ('generations', 'Each job builds one generation of pages and chunks; documents.live_generation is what search sees.');

-- The next turn of a user: behind the user's own files, level with the turn now served to others.
create function next_turn(for_user uuid) returns bigint
language sql volatile
set search_path from current
as $$
  insert into user_turns as u (user_id, last_turn)
  values (for_user, coalesce((select j.turn from upload_jobs j where j.state = 'queued' order by j.turn, j.priority, j.seq limit 1), 1))
  on conflict (user_id) do update set last_turn = greatest(u.last_turn + 1, excluded.last_turn)
  returning last_turn
$$;

-- Rows inserted by hand lack what the API fills in: take it from the document, and record the birth like any other.
create function adopt_job() returns trigger
language plpgsql
set search_path from current
as $$
begin
  update documents d set generation_count = d.generation_count + 1, updated_at = now()
    where d.document_id = new.document_id
    returning d.user_id, d.generation_count into new.user_id, new.generation;
  new.correlation_id := coalesce(new.correlation_id, gen_random_uuid()::text);
  new.turn := next_turn(new.user_id);
  insert into events (job_id, type, status, state, fence) values (new.job_id, 'created', new.status, new.state, new.fence);
  return new;
end
$$;
create trigger upload_jobs_adopt before insert on upload_jobs
  for each row when (new.user_id is null) execute function adopt_job();

-- Refuses illegal changes whoever makes them. The lists equal packages/db/src/pipeline.ts; a test compares them.
create function guard_job() returns trigger
language plpgsql
as $$
declare
  statuses constant text[] := array['uploaded', 'parsing', 'parsed', 'parse_validated', 'chunking', 'chunks_stored',
    'embedding_queued', 'embedding_in_progress', 'embeddings_stored', 'complete'];
  terminal constant text[] := array['done', 'deadletter', 'cancelled'];
begin
  if new.fence < old.fence then
    raise exception 'the fence of job % may not fall', old.job_id using errcode = 'UP001';
  end if;
  if new.state = old.state and old.state = any (terminal) then
    raise exception 'job % is % and final', old.job_id, old.state using errcode = 'UP001';
  end if;
  if new.state <> old.state and not (case old.state
      when 'queued' then new.state in ('working', 'cancelled')
      when 'working' then new.state in ('queued', 'waiting', 'retryable', 'done', 'deadletter', 'cancelled')
      when 'waiting' then new.state in ('queued', 'cancelled')
      when 'retryable' then new.state in ('queued', 'cancelled')
      when 'deadletter' then new.state = 'queued'
      when 'cancelled' then new.state = 'queued'
      else false end) then
    raise exception 'job % may not go from % to %', old.job_id, old.state, new.state using errcode = 'UP001';
  end if;
  if new.state = 'working' and old.state <> 'working' and new.fence = old.fence then
    raise exception 'a claim of job % must raise its fence', old.job_id using errcode = 'UP001';
  end if;
  if new.status <> old.status and (old.state <> 'working'
      or array_position(statuses, new.status) <> array_position(statuses, old.status) + 1) then
    raise exception 'job % may not go from % to %', old.job_id, old.status, new.status using errcode = 'UP001';
  end if;
  return new;
end
$$;
create trigger upload_jobs_guard before update on upload_jobs for each row execute function guard_job();
