create table ratchet.relay (                                       -- one row: lease and cursor
  one boolean primary key default true check (one),
  owner text, epoch bigint not null default 0, lease_until timestamptz not null default '-infinity',
  pid int, boot timestamptz,                                       -- the server session that took the lease
  system_id bigint not null, db oid not null,                      -- the world our xids belong to
  snap_from pg_snapshot not null default '1:1:', snap_to pg_snapshot, last_seq bigint not null default -1, hi_seq bigint,
  moved_at timestamptz not null default clock_timestamp()
) with (fillfactor = 10, autovacuum_vacuum_threshold = 50, autovacuum_vacuum_scale_factor = 0);
insert into ratchet.relay (system_id, db)
  select c.system_identifier, d.oid from pg_control_system() c, pg_database d where d.datname = current_database();

create function ratchet.relay_acquire(p_owner text, p_ttl interval)
returns table (epoch bigint, snap_from pg_snapshot, snap_to pg_snapshot, last_seq bigint, hi_seq bigint, republished bigint)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare r ratchet.relay; sys bigint; d oid; n bigint;
begin
  update ratchet.relay set owner = p_owner, epoch = epoch + 1, lease_until = clock_timestamp() + p_ttl,
         pid = pg_backend_pid(), boot = pg_postmaster_start_time()
   where lease_until <= clock_timestamp() or owner = p_owner
      or lease_until > clock_timestamp() + 2 * p_ttl                -- nobody leases for so long: the clock has jumped back since
   returning * into r;
  if not found then return; end if;
  select c.system_identifier, db.oid into sys, d from pg_control_system() c, pg_database db where db.datname = current_database();
  if r.system_id <> sys or r.db <> d or pg_snapshot_xmax(coalesce(r.snap_to, r.snap_from)) > pg_snapshot_xmax(pg_current_snapshot()) then
    update ratchet.outbox set txid = pg_current_xact_id();          -- dump/restore, other cluster: the old xids mean nothing here
    get diagnostics n = row_count;
    update ratchet.relay set system_id = sys, db = d, snap_from = '1:1:', snap_to = null, last_seq = -1, hi_seq = null returning * into r;
  end if;
  return query select r.epoch, r.snap_from, r.snap_to, r.last_seq, r.hi_seq, n;
end $$;

create function ratchet.relay_beat(p_epoch bigint, p_ttl interval) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  update ratchet.relay set lease_until = clock_timestamp() + p_ttl
   where epoch = p_epoch and pid = pg_backend_pid() and boot = pg_postmaster_start_time();
  return found;
end $$;

create function ratchet.relay_release(p_epoch bigint) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  update ratchet.relay set lease_until = '-infinity', owner = null, pid = null where epoch = p_epoch and pid = pg_backend_pid();
  return found;
end $$;

-- Everything before (from, to, last) has been acknowledged by the broker. Also a beat. At most every 100 ms; never when idle.
create function ratchet.relay_advance(p_epoch bigint, p_ttl interval, p_from pg_snapshot, p_to pg_snapshot default null, p_last bigint default -1, p_hi bigint default null) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  if pg_snapshot_xmax(coalesce(p_to, p_from)) > pg_snapshot_xmax(pg_current_snapshot()) then
    raise exception 'ratchet: cursor is from another world' using errcode = '55000';
  end if;
  update ratchet.relay set snap_from = p_from, snap_to = p_to, last_seq = p_last, hi_seq = p_hi,
         moved_at = clock_timestamp(), lease_until = clock_timestamp() + p_ttl
   where epoch = p_epoch and pid = pg_backend_pid() and boot = pg_postmaster_start_time()
     and pg_snapshot_xmax(p_from) >= pg_snapshot_xmax(snap_from);
  return found;
end $$;

-- Next page. p_to null: open a window up to now; then only (from, to) pairs with rows come back. Last row is a trailer: seq null, to, hi, more.
create function ratchet.relay_read(p_from pg_snapshot, p_to pg_snapshot, p_last bigint, p_hi bigint, p_max int)
returns table (seq bigint, topic text, key bytea, headers jsonb, payload bytea, at timestamptz, snap_to pg_snapshot, hi_seq bigint, more boolean)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp 
  -- without these a poll over 1 M published rows costs 13 ms (parallel workers, JIT: the tables have no statistics); with them 0.1 ms
  set enable_seqscan = off set enable_bitmapscan = off set max_parallel_workers_per_gather = 0 set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare late xid8[]; lo xid8 := pg_snapshot_xmax(p_from); hi xid8; n bigint; a bigint; z bigint;
begin
  if current_setting('transaction_isolation') <> 'read committed' then raise exception 'ratchet: relay_read needs READ COMMITTED' using errcode = '25001'; end if;
  if p_to is null then
    p_to := pg_current_snapshot(); hi := pg_snapshot_xmax(p_to); p_max := least(p_max, 20000);
    late := array(select x from pg_snapshot_xip(p_from) x where pg_visible_in_snapshot(x, p_to));
    select count(*), min(q.seq), max(q.seq) into n, a, z from (
      (select o.seq from ratchet.outbox o where o.txid >= lo and o.txid < hi and pg_visible_in_snapshot(o.txid, p_to) limit 50000)
      union all (select o.seq from ratchet.outbox o where o.txid = any (late) limit 50000)) q;
    if n = 0 then return; end if;
    if n <= p_max then
      return query select q.seq, q.topic, q.key, q.headers, q.payload, q.at, null::pg_snapshot, null::bigint, null::boolean from (
        select o.seq, o.topic, o.key, o.headers, o.payload, o.at from ratchet.outbox o where o.txid >= lo and o.txid < hi and pg_visible_in_snapshot(o.txid, p_to)
        union all select o.seq, o.topic, o.key, o.headers, o.payload, o.at from ratchet.outbox o where o.txid = any (late)) q order by q.seq;
      return query select null::bigint, null::text, null::bytea, null::jsonb, null::bytea, null::timestamptz, p_to, null::bigint, false;
      return;
    end if;
    if n < 50000 then p_last := a - 1; p_hi := z;                   -- exact; a larger window is not counted (cold, 5 M rows would outlast the lease):
    else p_last := -1; select max(o.seq) into p_hi from ratchet.outbox o; end if;   -- its first page walks past what the ring still holds of published rows
  end if;
  return query select o.seq, o.topic, o.key, o.headers, o.payload, o.at, null::pg_snapshot, null::bigint, null::boolean from ratchet.outbox o
    where o.seq > p_last and o.seq <= p_hi and pg_visible_in_snapshot(o.txid, p_to) and not pg_visible_in_snapshot(o.txid, p_from)
    order by o.seq limit p_max;
  get diagnostics n = row_count;
  return query select null::bigint, null::text, null::bytea, null::jsonb, null::bytea, null::timestamptz, p_to, p_hi, n = p_max;
end $$;

-- Reclaim, by the relay, every few seconds. Exact: under the lock no row of the slot may lie ahead of the cursor, whoever wrote it and whenever.
create function ratchet.outbox_reclaim(p_epoch bigint, p_bytes bigint default 268435456, p_age interval default '5 min') returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '50ms' as $$
declare c ratchet.relay; r ratchet.ring; s int; x boolean; said text := ''; t regclass;
begin
  select * into c from ratchet.relay where epoch = p_epoch and pid = pg_backend_pid() and boot = pg_postmaster_start_time() for update;
  if not found then return 'not mine'; end if;
  select * into strict r from ratchet.ring;
  for s in 0..3 loop
    t := format('ratchet.outbox_%s', s)::regclass;
    continue when s = r.slot or pg_relation_size(t) = 0;
    execute format('select exists (select from %s where txid >= $1) or exists (select from %s where txid = any (array(select pg_snapshot_xip($2))))', t, t)
      into x using pg_snapshot_xmax(c.snap_from), c.snap_from;
    continue when x;                                                -- cheap look first: no lock while it cannot succeed
    begin
      execute format('lock table %s in access exclusive mode nowait', t);
      execute format('select exists (select from %s where txid >= $1) or exists (select from %s where txid = any (array(select pg_snapshot_xip($2))))', t, t)
        into x using pg_snapshot_xmax(c.snap_from), c.snap_from;
      if not x then execute format('truncate %s', t); said := said || format('truncated %s ', s); end if;
    exception when lock_not_available then said := said || format('busy %s ', s);
    end;
  end loop;
  t := format('ratchet.outbox_%s', r.slot)::regclass;
  if (pg_table_size(t) >= p_bytes or r.since < clock_timestamp() - p_age) and pg_relation_size(t) > 0
     and pg_relation_size(format('ratchet.outbox_%s', (r.slot + 1) % 4)::regclass) = 0 then
    update ratchet.ring set slot = (slot + 1) % 4, since = clock_timestamp();
    said := said || format('writing %s', (r.slot + 1) % 4);
  end if;
  return said;
end $$;

revoke all on all functions in schema ratchet from public;
grant execute on function ratchet.relay_acquire, ratchet.relay_beat, ratchet.relay_release, ratchet.relay_advance, ratchet.relay_read, ratchet.outbox_reclaim to ratchet_run;
