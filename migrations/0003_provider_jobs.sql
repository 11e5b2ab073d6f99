-- Parsing at a provider: what was sent there, so that no document is sent twice, forgotten or paid for in vain, and which
-- parser made the pages of a generation.

-- One submission of a job's document. Its id is stored before anything is sent; the provider keeps it as a label, by which
-- its job is found again should its answer be lost. Neither a foreign key to upload_jobs, which would be asked about at
-- every change of a job, nor an end with the job: a submission that is still open is withdrawn first.
create table provider_jobs (
  submission_id uuid primary key,
  job_id uuid not null,
  provider text not null,
  tier text not null,
  version text not null,
  -- signs the provider's callbacks; verifying them needs the secret itself
  webhook_secret text not null,
  created_at timestamptz not null default now(),
  -- when sending began last; null: nothing has been sent, or the answer said that it failed
  attempted_at timestamptz,
  -- until when what was sent last may still show up as the provider's job; null: none can come of it
  settles_at timestamptz,
  -- the provider's id, and when it became known
  provider_job_id text,
  submitted_at timestamptz,
  -- since when the provider does not know its own job any more; null: it does
  missed_at timestamptz,
  -- faults of the provider in a row, and how often it was asked in all
  fault_count integer not null default 0,
  poll_count integer not null default 0,
  polled_at timestamptz,
  callback_count integer not null default 0,
  ended_at timestamptz,
  outcome text constraint provider_jobs_outcome check (outcome in (
    'completed', 'failed', 'lost', 'timed_out', 'replaced', 'withdrawn')),
  code text,
  page_count integer,
  -- what it cost, in the provider's unit; an estimate until billing has settled
  credits double precision,
  is_credits_estimate boolean,
  -- when to tell the provider next that nobody waits any more, and when that was done
  cancel_due_at timestamptz,
  cancel_count integer not null default 0,
  cancelled_at timestamptz,
  constraint provider_jobs_attempt check (attempted_at is null or settles_at is not null),
  constraint provider_jobs_known check ((provider_job_id is null) = (submitted_at is null)),
  constraint provider_jobs_ended check ((ended_at is null) = (outcome is null)),
  constraint provider_jobs_cancel check (cancel_due_at is null or ended_at is not null)
);
create unique index provider_jobs_one_open on provider_jobs (job_id) where ended_at is null;
create index provider_jobs_by_job on provider_jobs (job_id, created_at desc);
create index provider_jobs_cancel_due on provider_jobs (cancel_due_at) where cancel_due_at is not null;
-- It holds secrets: without a policy nobody but the tables' owner reads or writes it, whatever is granted.
alter table provider_jobs enable row level security;
revoke all on provider_jobs from public;

-- Refused callbacks of the last minute, of which so many of a kind are noted: anybody can send them.
create index webhook_log_refused on webhook_log (code, received_at) where not accepted;

-- Which parser made the pages of a generation.
create table page_sources (
  document_id uuid not null references documents on delete cascade,
  generation integer not null,
  parser text not null,
  parser_version text not null,
  -- of the provider's job, if it was one's work
  submission_id uuid,
  -- why this parser stood in for the configured one
  fallback_code text,
  created_at timestamptz not null default now(),
  primary key (document_id, generation)
);

-- The document's title as this generation has it, on one of its pages. documents.title is what search sees, or, before there
-- is that, what was read last.
alter table document_pages add column title text;
update document_pages p set title = d.title
from documents d where d.document_id = p.document_id and p.page_number = 1 and d.title is not null;

create or replace function forget_jobs() returns trigger
language plpgsql
set search_path from current
as $$
begin
  delete from events e using gone g where e.job_id = g.job_id;
  -- those that the provider must still be told about go when it has been told
  delete from provider_jobs p using gone g
  where p.job_id = g.job_id and p.ended_at is not null and p.cancel_due_at is null;
  return null;
end
$$;

insert into architecture_notes (note_key, note) values
  ('submissions', 'provider_jobs has a row before anything is sent to the provider; a job has one open submission at most.');
