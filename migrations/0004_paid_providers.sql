-- What all workers know together about the providers that they pay: how fast requests may go out, whether a provider is
-- out of order, what was spent, and what may still be.

-- How fast requests may go out, one row per provider and model: two buckets, of requests and of tokens, that refill steadily.
create table provider_limits (
  provider text not null,
  model text not null,
  -- what the buckets held at refilled_at, capped when read; below zero: promised to requests that go out later
  request_level double precision not null default 'infinity',
  token_level double precision not null default 'infinity',
  refilled_at timestamptz not null default now(),
  -- the provider asked to wait
  paused_until timestamptz,
  -- requests in a row that it refused for coming too fast
  refusal_count integer not null default 0 check (refusal_count >= 0),
  -- what its answers say that it allows
  told_requests_per_minute double precision check (told_requests_per_minute > 0),
  told_tokens_per_minute double precision check (told_tokens_per_minute > 0),
  -- requests under way: lease → when it ends by itself, in seconds since 1970
  leases jsonb not null default '{}',
  primary key (provider, model)
) with (fillfactor = 50);

-- Whether a provider is out of order. No row: it never was. Open: nobody sends; once open_until has passed, one probes.
create table provider_circuits (
  provider text primary key,
  -- faults in a row
  failure_count integer not null default 0 check (failure_count >= 0),
  -- how often in a row it opened, which makes it stay open for longer
  open_count integer not null default 0 check (open_count >= 0),
  -- null: closed
  opened_at timestamptz,
  open_until timestamptz,
  -- why it is open
  code text,
  message text,
  -- the one request that tries whether the provider works again, and when another may
  probe_id uuid,
  probe_until timestamptz,
  constraint provider_circuits_open check (
    (opened_at is null) = (open_until is null) and (opened_at is null) = (code is null)
    and (opened_at is null) = (message is null)),
  constraint provider_circuits_probe check (
    (probe_id is null) = (probe_until is null) and (probe_id is null or opened_at is not null))
) with (fillfactor = 50);

-- What was paid, by day (UTC) and user. Written in the transaction that stores what was paid for.
create table spending (
  day date not null,
  user_id uuid not null,
  provider text not null,
  model text not null,
  request_count bigint not null default 0,
  token_count bigint not null default 0,
  page_count bigint not null default 0,
  cost_usd numeric(20, 10) not null default 0,
  -- requests whose answer was not stored: it never came, or the job was another's by then. They may be billed, and count
  -- by what they were expected to cost.
  lost_request_count bigint not null default 0,
  lost_usd numeric(20, 10) not null default 0,
  primary key (day, user_id, provider, model)
) with (fillfactor = 70);

-- The sums that budgets are compared with: of one user, or of everybody.
create table spending_days (
  day date not null,
  -- a user's id, or 'everybody'
  scope text not null,
  -- paid or perhaps paid, as in spending
  spent_usd numeric(20, 10) not null default 0,
  -- expected for requests that are not accounted for yet. Those of a worker that died stay: nobody knows what was billed.
  reserved_usd numeric(20, 10) not null default 0 check (reserved_usd >= 0),
  -- the budget of which most was gone when that was last said
  warned_budget_usd numeric(20, 10),
  primary key (day, scope)
) with (fillfactor = 50);

-- Requests that are not accounted for yet. Closing one moves its amount, once, however often it is tried.
create table spending_reservations (
  reservation_id uuid primary key,
  day date not null,
  user_id uuid not null,
  provider text not null,
  model text not null,
  cost_usd numeric(20, 10) not null check (cost_usd >= 0),
  created_at timestamptz not null default now()
);

insert into architecture_notes (note_key, note) values
  ('spending', 'A reservation is made before a paid request and closed in the transaction that stores what was paid for.');
