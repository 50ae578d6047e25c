-- The schema, the role whose rights the daemon needs, and what has been applied.
do $$ begin
  if not exists (select from pg_catalog.pg_roles where rolname = 'ratchet_run') then create role ratchet_run nologin; end if;
exception when duplicate_object or unique_violation then null;     -- roles belong to the whole server: made for another database at this moment
end $$;
create schema ratchet;
revoke all on schema ratchet from public;
grant usage on schema ratchet to ratchet_run;

create table ratchet.migration (
  version int primary key,
  name text not null,
  checksum text not null,                                          -- SHA-256 of the SQL, hex
  applied_at timestamptz not null default clock_timestamp()
);

create function ratchet.version() returns int
language sql stable security definer set search_path = pg_catalog, pg_temp as $$ select coalesce(max(version), 0) from ratchet.migration $$;

revoke all on all functions in schema ratchet from public;
grant execute on function ratchet.version to ratchet_run;
