-- How far the relay is behind. Exact while at most 10,000 rows lie ahead of the cursor; beyond that an upper bound from seq (gaps
-- left by rolled back writers count, too), because counting 5 million rows every few seconds would be a load of its own.
-- Rows of transactions still open are not counted.
create function ratchet.outbox_stats() returns table (unpublished_rows bigint, oldest_seconds double precision, bytes bigint, dead_letters bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
  set enable_seqscan = off set enable_bitmapscan = off set max_parallel_workers_per_gather = 0 set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  most constant bigint := 10000; c ratchet.relay; lo xid8; late xid8[]; seen bigint; n bigint; a bigint; born timestamptz;
begin
  select * into strict c from ratchet.relay;
  lo := pg_snapshot_xmax(c.snap_from);
  late := array(select pg_snapshot_xip(c.snap_from));
  select count(*), count(*) filter (where q.ahead), min(q.seq) filter (where q.ahead) into seen, n, a from (
    select s.seq, c.snap_to is null or s.seq > c.last_seq or not pg_visible_in_snapshot(s.txid, c.snap_to) as ahead from (
      (select o.txid, o.seq from ratchet.outbox o where o.txid >= lo order by o.txid, o.seq limit most)
      union all (select o.txid, o.seq from ratchet.outbox o where o.txid = any (late) limit most)) s) q;
  if seen >= most then
    if a is null then select min(o.seq) into a from ratchet.outbox o where o.seq > c.last_seq; end if;
    select greatest(n, max(o.seq) - a + 1, 0) into n from ratchet.outbox o;
  end if;
  if a is not null then select o.at into born from ratchet.outbox o where o.seq = a limit 1; end if;
  return query select n, coalesce(greatest(extract(epoch from clock_timestamp() - born), 0)::double precision, 0),
    (select sum(pg_total_relation_size(format('ratchet.outbox_%s', i)::regclass))::bigint from generate_series(0, 3) i),
    (select d.n from ratchet.dead_letter_count d);
end $$;

revoke all on all functions in schema ratchet from public;
grant execute on function ratchet.outbox_stats to ratchet_run;
