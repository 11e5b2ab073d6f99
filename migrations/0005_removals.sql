-- Files of deleted documents that are still to be removed from object storage. A row is written in the transaction that
-- deletes the document, so that no file is forgotten however long storage is away.
create table removals (
  object_key text primary key,
  created_at timestamptz not null default now(),
  -- when to remove it next; whoever takes the row moves this on, so that nobody else tries meanwhile
  due_at timestamptz not null default now(),
  -- until then an upload link of the deleted document can bring the file back; it is removed once more after that
  upload_until timestamptz not null default now(),
  -- tries in a row that storage refused
  failure_count integer not null default 0 check (failure_count >= 0)
);
create index removals_due on removals (due_at);
-- Clients have no business here: without a policy nobody but the table's owner reads or writes it.
alter table removals enable row level security;
revoke all on removals from public;

insert into architecture_notes (note_key, note) values
  ('removals', 'Deleting a document writes its storage keys to removals in the same transaction; workers remove the files.');
