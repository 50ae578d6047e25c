-- One call per batch, one transaction. Returns ONLY the rows that were duplicates, with what was stored for the first one.
create function ratchet.append(p_k uuid[], p_fp bytea[], p_reply bytea[], p_topic text[], p_key bytea[], p_headers jsonb[], p_payload bytea[])
returns table (ord bigint, fp bytea, reply bytea)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  r ratchet.ring; t0 timestamptz := clock_timestamp(); b int; tail boolean; won bigint[]; n bigint; keyed bigint;
begin
  select * into strict r from ratchet.ring;
  if p_k is null then
    insert into ratchet.outbox (slot, topic, key, headers, payload)
    select r.slot, u.topic, u.key, coalesce(u.headers, '{}'), u.payload
    from unnest(p_topic, p_key, p_headers, p_payload) with ordinality u(topic, key, headers, payload, o) order by u.o;
    return;
  end if;
  b := ratchet.idem_bucket(r, t0);
  tail := extract(epoch from t0) >= (b + 1) * r.idem_width_s - r.idem_tail_s;
  case b % 3 when 0 then won := ratchet.idem_take_0(b, tail, p_k, p_fp, p_reply);
             when 1 then won := ratchet.idem_take_1(b, tail, p_k, p_fp, p_reply);
             else        won := ratchet.idem_take_2(b, tail, p_k, p_fp, p_reply); end case;
  insert into ratchet.outbox (slot, topic, key, headers, payload)
  select r.slot, u.topic, u.key, coalesce(u.headers, '{}'), u.payload
  from unnest(p_k, p_topic, p_key, p_headers, p_payload) with ordinality u(k, topic, key, headers, payload, o)
  where u.k is null or u.o = any (won) order by u.o;
  keyed := cardinality(p_k) - cardinality(array_positions(p_k, null));
  if cardinality(won) < keyed then
    return query execute format($q$
      select u.o, y.fp, y.reply from unnest($1) with ordinality u(k, o)
      cross join lateral (select y.fp, y.reply from ratchet.idem_%s y where y.bucket = $3 - 1 and y.k = u.k
                          union all select y.fp, y.reply from ratchet.idem_%s y where y.bucket = $3 and y.k = u.k limit 1) y
      where u.k is not null and not u.o = any ($2) order by u.o $q$, (b + 2) % 3, b % 3) using p_k, won, b;
    get diagnostics n = row_count;
    if n + cardinality(won) < keyed then raise exception 'ratchet: stored reply has gone' using errcode = '40001'; end if;
  end if;
  if not tail and clock_timestamp() > t0 + make_interval(secs => r.idem_tail_s / 2) then
    raise exception 'ratchet: batch slower than half the tail of a bucket' using errcode = '40001';
  end if;
end $$;

-- Any SQL writer: one event, in the caller's transaction. Emit AFTER the statement that locks the business row.
create function ratchet.emit(p_topic text, p_key bytea, p_payload bytea, p_headers jsonb default '{}') returns bigint
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  insert into ratchet.outbox (slot, topic, key, headers, payload) select slot, p_topic, p_key, p_headers, p_payload from ratchet.ring returning seq $$;

-- Optional wake-up, its own statement AFTER the commit (never inside it: NOTIFY in a transaction holds a database-wide lock over the fsync).
-- A relay about to wait for LISTEN ratchet takes pg_advisory_lock(7236423), reads once more, waits, unlocks. Lock taken = it sleeps.
create function ratchet.nudge() returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  if pg_try_advisory_xact_lock_shared(7236423) then return false; end if;
  perform pg_notify('ratchet', ''); return true;
end $$;

-- Command routes: claim first (never waits), the user's SQL, settle last. READ COMMITTED only. The advisory lock covers the whole transaction,
-- so no tail and no bound on its length is needed here. A key's scope names its route: event and command keys never meet.
create function ratchet.claim(p_k uuid) returns table (state text, fp bytea, reply bytea)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare r ratchet.ring; b int; n int;
begin
  if current_setting('transaction_isolation') <> 'read committed' then raise exception 'ratchet: claim needs READ COMMITTED' using errcode = '25001'; end if;
  if not pg_try_advisory_xact_lock(hashtextextended(p_k::text, 7236421)) then return query select 'running', null::bytea, null::bytea; return; end if;
  select * into strict r from ratchet.ring; b := ratchet.idem_bucket(r, clock_timestamp());
  return query execute format('select $t$done$t$, y.fp, y.reply from ratchet.idem_%s y where y.bucket = $2 - 1 and y.k = $1
     union all select $t$done$t$, y.fp, y.reply from ratchet.idem_%s y where y.bucket = $2 and y.k = $1 limit 1', (b + 2) % 3, b % 3) using p_k, b;  -- a new statement: a new snapshot, taken after the lock
  get diagnostics n = row_count;
  if n = 0 then return query select 'new', null::bytea, null::bytea; end if;
end $$;
create function ratchet.settle(p_k uuid, p_fp bytea, p_reply bytea) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare r ratchet.ring; b int;
begin
  select * into strict r from ratchet.ring; b := ratchet.idem_bucket(r, clock_timestamp());
  execute format('insert into ratchet.idem_%s values ($1, $2, $3, $4)', b % 3) using b, p_k, p_fp, p_reply;
end $$;

revoke all on all functions in schema ratchet from public;
grant execute on function ratchet.append, ratchet.emit, ratchet.nudge, ratchet.claim, ratchet.settle to ratchet_run;
