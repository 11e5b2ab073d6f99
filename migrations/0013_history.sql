-- Workers delete history that is old. Of jobs, only those that ended.
do $$
begin
  execute format('grant delete on events, upload_jobs, worker_sessions to %I', role_of('worker'));
  execute format('create policy ended on upload_jobs as restrictive for delete to %I using (finished_at is not null)',
    role_of('worker'));
end
$$;
