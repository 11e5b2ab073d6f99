-- What one user can make the service keep and pay for is bounded: rows of generations that lead nowhere go before more are
-- made, files that a later upload replaced are known until they are removed, and searches are paid within the budgets.

-- Files of earlier uploads of a document that search sees. They stay until the newest upload is complete, and are known
-- here because the jobs that brought them may be pruned before.
alter table documents add column old_paths text[] not null default '{}';
-- The newest of old_paths that was verified, with what was promised of it: {raw_path, mime, bytes_len}. Should the upload that
-- raw_path is for never come, reprocessing goes on with it.
alter table documents add column verified_file jsonb;

-- A generation that is neither live nor the source of the next job is nobody's: jobs older than the newest are not revived.
create function drop_generations(for_document uuid, source integer) returns void
language sql volatile security definer
set search_path from current
as $$
  delete from document_chunks c where c.document_id = for_document and c.generation is distinct from source
    and c.generation is distinct from (select d.live_generation from documents d where d.document_id = for_document);
  delete from document_pages p where p.document_id = for_document and p.generation is distinct from source
    and p.generation is distinct from (select d.live_generation from documents d where d.document_id = for_document);
$$;

-- The extension may be in a schema that the services' logins neither search nor may use, as in a Supabase project. What
-- statements name of it has therefore a name here as well, which needs no setting of a connection.
create domain embedding as vector(1536);
create operator <=> (leftarg = vector, rightarg = vector, function = cosine_distance);

do $$
begin
  execute format('alter function drop_generations(uuid, integer) set search_path = %I, pg_temp', current_schema());
  revoke all on function drop_generations(uuid, integer) from public;
  execute format('grant execute on function drop_generations(uuid, integer) to %I', role_of('api'));
  execute format('grant update (old_paths, verified_file) on documents to %I, %I', role_of('api'), role_of('worker'));
  execute format('grant insert, update on spending, spending_days to %I', role_of('api'));
  execute format('grant insert, delete on spending_reservations to %I', role_of('api'));
end
$$;

insert into architecture_notes (note_key, note) values
  ('generations_left', 'Reprocessing first drops generations that are neither live nor its source, so that a document has two at most beside the new one.'),
  ('vector_names', 'Statements name the vector type and its distance by the schema''s own embedding and <=>.');
