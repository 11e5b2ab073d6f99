-- Watching: which processes run and whether they fit together, and the alerts with their messages.

-- Since when a job is in hand, so that one that takes too long is seen.
alter table session_claims add column claimed_at timestamptz not null default now();

-- The identity of this schema: processes that tell the same one work on the same rows, whatever their addresses look like.
create table installation (
  only_row boolean primary key default true check (only_row),
  installation_id uuid not null default gen_random_uuid()
);
insert into installation default values;

-- Processes that run, or ran lately, with what all of them must agree on. Like a worker's session each has heartbeats, but
-- nothing hangs on them: they are for people and alerts.
create table service_instances (
  instance_id uuid primary key,
  service text not null constraint service_instances_service check (service in ('api', 'worker')),
  hostname text not null,
  pid integer not null,
  build text not null,
  environment text not null,
  -- of the code, not of the schema
  schema_version integer not null,
  -- where files are: the kind of store and its address, without keys
  storage text not null,
  embed_model text not null,
  -- requests of the last minutes by how long they took, of an API; null: none is served here
  traffic jsonb,
  started_at timestamptz not null default now(),
  heartbeat_at timestamptz not null default now(),
  expires_at timestamptz not null
) with (fillfactor = 50);

-- Which process looks at the alerts. Exactly one row.
create table alert_watch (
  only_row boolean primary key default true check (only_row),
  holder uuid,
  expires_at timestamptz not null default '-infinity',
  evaluated_at timestamptz
) with (fillfactor = 50);
insert into alert_watch default values;

-- Where each alert stands. `pending`: its condition holds, not yet for long enough; `clearing`: it no longer does, not yet for
-- long enough. Both go back if that changes.
create table alerts (
  alert_name text primary key,
  state text not null constraint alerts_state check (state in ('ok', 'pending', 'firing', 'clearing')),
  -- when it came into this state
  state_since timestamptz not null default now(),
  -- when the condition began to hold; null where it does not and nobody was told
  since timestamptz,
  -- null: it could not be found out, or does not apply
  value double precision,
  threshold double precision not null,
  -- when somebody was told last, that it fires
  notified_at timestamptz,
  cleared_at timestamptz,
  constraint alerts_since check ((state = 'ok') = (since is null)),
  constraint alerts_notified check (state not in ('firing', 'clearing') or notified_at is not null)
) with (fillfactor = 50);

-- What is to be told about alerts, in this order, until it was taken or is too old.
create table alert_messages (
  message_id bigint generated always as identity primary key,
  alert_name text not null,
  kind text not null constraint alert_messages_kind check (kind in ('firing', 'reminder', 'cleared')),
  body jsonb not null,
  created_at timestamptz not null default now(),
  due_at timestamptz not null default now(),
  attempt_count integer not null default 0,
  last_failure text,
  ended_at timestamptz,
  outcome text constraint alert_messages_outcome check (outcome in ('sent', 'given_up')),
  constraint alert_messages_ended check ((ended_at is null) = (outcome is null))
);
create index alert_messages_open on alert_messages (message_id) where ended_at is null;

insert into architecture_notes (note_key, note) values
  ('alerts', 'One process at a time looks at the alerts; a change of an alert and the message about it are one transaction.');
