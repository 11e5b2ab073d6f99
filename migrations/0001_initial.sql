-- The pipeline's tables. The runner creates the schema and sets the search path to it (then public, extensions), so
-- that names stay plain here and one file serves every DATABASE_SCHEMA.

-- One file of one user. processing_status follows the newest job in the same transaction.
create table documents (
  document_id uuid primary key,
  user_id uuid not null,
  -- whole milliseconds, as cursors carry them
  created_at timestamptz(3) not null default now(),
  -- up to what a JavaScript number holds exactly
  bytes_len bigint not null check (bytes_len between 0 and 9007199254740991),
  -- the generation that search sees; null until one is complete
  live_generation integer,
  -- how many generations were begun; each job builds one
  generation_count integer not null default 0,
  page_count integer check (page_count >= 0),
  filename text not null,
  mime text not null,
  file_sha256 text not null,
  raw_path text not null,
  title text,
  metadata jsonb not null default '{}',
  processing_status text not null default 'uploaded' constraint documents_status check (processing_status in (
    'uploaded', 'parsing', 'parsed', 'parse_validated', 'chunking', 'chunks_stored',
    'embedding_queued', 'embedding_in_progress', 'embeddings_stored', 'complete')),
  updated_at timestamptz not null default now(),
  constraint documents_one_per_file unique (user_id, file_sha256)
) with (fillfactor = 45);

create index documents_by_user on documents (user_id, created_at desc, document_id);

-- One attempt to take a document from uploaded to complete. Neither status, progress nor any other column that a
-- checkpoint changes may appear in an index or an index predicate: checkpoints stay HOT that way. What never changes stands
-- first and what a checkpoint changes stands together, because the log holds a row from its first to its last changed byte.
-- A batch changes every row of a page at once, so less than half of a page is filled.
create table upload_jobs (
  job_id uuid primary key default gen_random_uuid(),
  document_id uuid not null references documents on delete cascade,
  user_id uuid not null,
  seq bigint generated always as identity,
  -- place in the fair order between users, smaller first, given when the job is first queued and 0 until then;
  -- priority decides within a turn, smaller first
  turn bigint not null default 0,
  created_at timestamptz(3) not null default now(),
  upload_expires_at timestamptz,
  -- the generation of chunks that this job builds
  generation integer not null,
  priority integer not null default 100,
  correlation_id text not null,
  lease_session_id uuid,
  waiting_for text constraint upload_jobs_waiting_for check (waiting_for in ('upload', 'parser')),
  due_at timestamptz,
  -- raised by every claim, never lowered; every write of a claim names it
  fence bigint not null default 0,
  state text not null default 'queued' constraint upload_jobs_state check (state in (
    'queued', 'working', 'waiting', 'retryable', 'done', 'deadletter', 'cancelled')),
  status text not null default 'uploaded' constraint upload_jobs_status check (status in (
    'uploaded', 'parsing', 'parsed', 'parse_validated', 'chunking', 'chunks_stored',
    'embedding_queued', 'embedding_in_progress', 'embeddings_stored', 'complete')),
  -- when the running stage is over its deadline, however alive its worker is
  lease_expires_at timestamptz,
  updated_at timestamptz not null default now(),
  finished_at timestamptz,
  -- failed attempts of the running stage, and workers that died on it; both start again at the next status
  retry_count integer not null default 0 check (retry_count >= 0),
  crash_count integer not null default 0 check (crash_count >= 0),
  last_error jsonb,
  progress jsonb not null default '{}',
  constraint upload_jobs_lease check (
    (state = 'working') = (lease_session_id is not null) and (state = 'working') = (lease_expires_at is not null)),
  constraint upload_jobs_due check ((state in ('waiting', 'retryable')) = (due_at is not null)),
  constraint upload_jobs_waiting check ((state = 'waiting') = (waiting_for is not null)),
  constraint upload_jobs_done check ((state = 'done') = (status = 'complete')),
  constraint upload_jobs_finished check ((state in ('done', 'deadletter', 'cancelled')) = (finished_at is not null)),
  constraint upload_jobs_reason check (state not in ('retryable', 'deadletter') or last_error is not null),
  constraint upload_jobs_turn check (turn > 0 or state in ('waiting', 'cancelled'))
) with (fillfactor = 45);

-- exactly the claim's order, claimable rows only
create index upload_jobs_claimable on upload_jobs (turn, priority, seq) where state = 'queued';
create index upload_jobs_due on upload_jobs (due_at) where state in ('waiting', 'retryable');
create index upload_jobs_leased on upload_jobs (lease_session_id) where state = 'working';
-- oldest first, for redrives; seq never changes
create index upload_jobs_dead on upload_jobs (seq) where state = 'deadletter';
create unique index upload_jobs_one_active on upload_jobs (document_id)
  where state not in ('done', 'deadletter', 'cancelled');
create unique index upload_jobs_generation on upload_jobs (document_id, generation);
create index upload_jobs_by_user on upload_jobs (user_id, created_at desc, job_id);

-- The history. No foreign key: its check would lock the job row at every checkpoint. A trigger on upload_jobs deletes the
-- events of jobs that are deleted.
create table events (
  event_id bigint generated always as identity,
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
  created_at timestamptz not null default now(),
  primary key (job_id, event_id)
);

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
    and (embedding is null) = (embedded_at is null)),
  -- the zero vector has no direction: its cosine to anything is NaN, which sorts above every real similarity
  constraint document_chunks_direction check (vector_norm(embedding) > 0)
);
-- Search reads every vector of a user. Beside its row a vector costs one page, in the TOAST table an index lookup and four
-- pieces: 20,000 chunks of one user took 430 ms that way and take 310 so, 330 and 70 where no word matches. The other
-- columns make room by moving out themselves.
alter table document_chunks alter column embedding set storage plain;
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

-- Whether claiming is paused, for all workers at once. Exactly one row.
create table queue_control (
  only_row boolean primary key default true check (only_row),
  -- null: workers claim
  paused_at timestamptz,
  paused_by text,
  reason text,
  constraint queue_control_paused check (paused_at is not null or (paused_by is null and reason is null))
);
insert into queue_control default values;

-- The turn now being served: claims raise it to the highest turn they took. A sequence, so that claims neither wait for
-- each other nor leave dead rows; where two claims race it may lag by what they have in hand.
create sequence served_turn;

-- The last turn given to each user, so that a user's files take turns with other users' files.
create table user_turns (
  user_id uuid primary key,
  last_turn bigint not null
) with (fillfactor = 70);

-- Every callback received, accepted or refused. Only accepted ones are unique: a forged one must not block the real one.
create table webhook_log (
  webhook_id bigint generated always as identity primary key,
  provider text not null,
  event_key text not null,
  job_id uuid,
  accepted boolean not null,
  code text,
  received_at timestamptz not null default now()
);
create unique index webhook_log_once on webhook_log (provider, event_key) where accepted;

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

-- The first of `how_many` turns in a row for a user: behind the user's own files, level with the turn now served, so that
-- neither yesterday's files count against a user nor promises made long ago for one. Callers lock documents, then jobs,
-- then this.
create function next_turns(for_user uuid, how_many bigint) returns bigint
language sql volatile
set search_path from current
as $$
  insert into user_turns as u (user_id, last_turn)
  select for_user, served_turn.last_value + how_many - 1 from served_turn
  on conflict (user_id) do update set last_turn = greatest(u.last_turn + how_many, excluded.last_turn)
  returning last_turn - how_many + 1
$$;

-- Rows inserted by hand lack what the API fills in: take it from the document, and record the birth like any other.
create function adopt_job() returns trigger
language plpgsql
set search_path from current
as $$
begin
  update documents d
    set generation_count = d.generation_count + 1, processing_status = new.status, updated_at = now()
    where d.document_id = new.document_id
    returning d.user_id, d.generation_count into new.user_id, new.generation;
  new.correlation_id := coalesce(new.correlation_id, gen_random_uuid()::text);
  new.turn := next_turns(new.user_id, 1);
  insert into events (job_id, type, status, state, fence) values (new.job_id, 'created', new.status, new.state, new.fence);
  return new;
end
$$;
create trigger upload_jobs_adopt before insert on upload_jobs
  for each row when (new.user_id is null) execute function adopt_job();

-- Refuses illegal changes whoever makes them. The condition stands in WHEN, so that legal changes call no function, and the
-- trigger is AFTER, because BEFORE would lock (and log) every row first. The lists equal packages/db/src/pipeline.ts; a
-- test compares them.
create function refuse_change() returns trigger
language plpgsql
as $$
begin
  raise exception 'job % may not go from %/% fence % to %/% fence %', old.job_id, old.status, old.state, old.fence,
    new.status, new.state, new.fence using errcode = 'UP001';
end
$$;
create trigger upload_jobs_guard after update on upload_jobs for each row
  when (
    new.fence < old.fence
    or (new.state = old.state and old.state in ('done', 'deadletter', 'cancelled'))
    or (new.state <> old.state and (old.state || '>' || new.state) not in (
      'queued>working', 'queued>cancelled',
      'working>queued', 'working>waiting', 'working>retryable', 'working>done', 'working>deadletter', 'working>cancelled',
      'waiting>queued', 'waiting>cancelled', 'retryable>queued', 'retryable>cancelled',
      'deadletter>queued', 'cancelled>queued'))
    or (new.state = 'working' and new.fence = old.fence
      and (old.state <> 'working' or new.lease_session_id <> old.lease_session_id))
    or (new.job_id, new.document_id, new.user_id, new.generation)
      <> (old.job_id, old.document_id, old.user_id, old.generation)
    or (new.status <> old.status and (old.state <> 'working' or (old.status || '>' || new.status) not in (
      'uploaded>parsing', 'parsing>parsed', 'parsed>parse_validated', 'parse_validated>chunking',
      'chunking>chunks_stored', 'chunks_stored>embedding_queued', 'embedding_queued>embedding_in_progress',
      'embedding_in_progress>embeddings_stored', 'embeddings_stored>complete')))
  )
  execute function refuse_change();

-- However a job is deleted, alone or with its document, its history goes with it.
create function forget_jobs() returns trigger
language plpgsql
set search_path from current
as $$
begin
  delete from events e using gone g where e.job_id = g.job_id;
  return null;
end
$$;
create trigger upload_jobs_forget after delete on upload_jobs
  referencing old table as gone for each statement execute function forget_jobs();
