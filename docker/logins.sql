-- For psql: a login for each service, member of the role that the migrations made for it and of nothing else. May run again,
-- which sets the passwords anew.
\set ON_ERROR_STOP on
\getenv schema DATABASE_SCHEMA
\getenv api_password API_DB_PASSWORD
\getenv worker_password WORKER_DB_PASSWORD

select format('create role %I login', login)
from (values ('pipeline_api'), ('pipeline_worker')) wanted (login)
where not exists (select from pg_roles where rolname = login)
\gexec

select format('alter role %I password %L', login, password), format('grant %I to %I', service, login),
  format('alter role %I set statement_timeout = ''60s''', login)
from (values
  ('pipeline_api', :'api_password', :'schema' || '_api'),
  ('pipeline_worker', :'worker_password', :'schema' || '_worker')
) wanted (login, password, service)
\gexec
