-- Records the broker will never take. They wait here for a person: list, replay, discard. Never dropped by us: at 1,000,000 the
-- table refuses, the relay stands still and says so.
create table ratchet.dead_letter (
  id bigint generated always as identity primary key,
  seq bigint not null, topic text not null, key bytea, headers jsonb not null, payload bytea,
  at timestamptz not null,                                         -- emitted
  code text not null, error text not null,                         -- the broker's own words
  failed_at timestamptz not null default clock_timestamp()
);
create table ratchet.dead_letter_count (                           -- one row: counting a million at each burial would cost too much
  one boolean primary key default true check (one),
  n bigint not null default 0, most bigint not null default 1000000
) with (fillfactor = 10, autovacuum_vacuum_threshold = 50, autovacuum_vacuum_scale_factor = 0);
insert into ratchet.dead_letter_count default values;

-- The count is true whoever writes: it is kept by triggers.
create function ratchet.dead_letter_counted() returns trigger
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare c ratchet.dead_letter_count;
begin
  case tg_op when 'INSERT' then
    update ratchet.dead_letter_count set n = n + (select count(*) from added) returning * into strict c;
    if c.n > c.most then raise exception 'ratchet: dead letters are full (%)', c.most using errcode = '53400'; end if;
  when 'DELETE' then
    update ratchet.dead_letter_count set n = n - (select count(*) from removed);
  else
    update ratchet.dead_letter_count set n = 0;
  end case;
  return null;
end $$;
create trigger added after insert on ratchet.dead_letter referencing new table as added for each statement execute function ratchet.dead_letter_counted();
create trigger removed after delete on ratchet.dead_letter referencing old table as removed for each statement execute function ratchet.dead_letter_counted();
create trigger emptied after truncate on ratchet.dead_letter for each statement execute function ratchet.dead_letter_counted();

-- Moves one row to the dead letters and the cursor past it: both or neither. False: not our lease any more.
create function ratchet.relay_bury(p_epoch bigint, p_ttl interval, p_from pg_snapshot, p_to pg_snapshot, p_last bigint, p_hi bigint,
  p_seq bigint, p_code text, p_error text) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off as $$
declare n bigint;
begin
  if not ratchet.relay_advance(p_epoch, p_ttl, p_from, p_to, p_last, p_hi) then return false; end if;
  insert into ratchet.dead_letter (seq, topic, key, headers, payload, at, code, error)
    select o.seq, o.topic, o.key, o.headers, o.payload, o.at, p_code, p_error from ratchet.outbox o where o.seq = p_seq;
  get diagnostics n = row_count;
  if n <> 1 then raise exception 'ratchet: no outbox row % to bury', p_seq using errcode = '55000'; end if;
  return true;
end $$;

create function ratchet.dead_list(p_after bigint default 0, p_max int default 100)
returns table (id bigint, seq bigint, topic text, key bytea, headers jsonb, payload bytea, at timestamptz, code text, error text, failed_at timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select d.id, d.seq, d.topic, d.key, d.headers, d.payload, d.at, d.code, d.error, d.failed_at
  from ratchet.dead_letter d where d.id > p_after order by d.id limit least(p_max, 1000) $$;

-- Emits them again, in their old order, as new rows: behind whatever their keys have emitted meanwhile. Returns how many.
create function ratchet.dead_replay(p_id bigint[]) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare n bigint;
begin
  with d as (delete from ratchet.dead_letter where id = any (p_id) returning *)
  insert into ratchet.outbox (slot, topic, key, headers, payload)
    select r.slot, s.topic, s.key, s.headers, s.payload from (select * from d order by d.seq) s, ratchet.ring r order by s.seq;
  get diagnostics n = row_count;
  return n;
end $$;

create function ratchet.dead_discard(p_id bigint[]) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare n bigint;
begin
  delete from ratchet.dead_letter where id = any (p_id);
  get diagnostics n = row_count;
  return n;
end $$;

revoke all on all functions in schema ratchet from public;
grant execute on function ratchet.relay_bury, ratchet.dead_list, ratchet.dead_replay, ratchet.dead_discard to ratchet_run;
