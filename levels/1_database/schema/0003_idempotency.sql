-- Idempotency: ring of 3 PLAIN tables by server time (a partitioned parent would lock all three on every read, and TRUNCATE would then stall every writer).
-- `bucket` is part of the key, so a table that was not truncated in time does no harm.
create table ratchet.idem_0 (bucket int not null, k uuid not null, fp bytea not null, reply bytea not null, primary key (bucket, k)) with (autovacuum_enabled = off);
create table ratchet.idem_1 (like ratchet.idem_0 including all) with (autovacuum_enabled = off);
create table ratchet.idem_2 (like ratchet.idem_0 including all) with (autovacuum_enabled = off);

-- The bucket now. Never goes back, even when the clock does (idem_rotate stores the highest seen).
create function ratchet.idem_bucket(r ratchet.ring, t timestamptz) returns int
language sql stable set search_path = pg_catalog, pg_temp as $$ select greatest(floor(extract(epoch from t) / r.idem_width_s)::int, r.idem_bucket) $$;

-- Takes what is new of a batch; returns the ordinals it took. One function per place in the ring, so that plans are cached and no other table is locked.
do $do$ begin for c in 0..2 loop execute replace(replace(replace($f$
create function ratchet.idem_take_CUR(p_b int, p_tail boolean, p_k uuid[], p_fp bytea[], p_reply bytea[]) returns bigint[]
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare won bigint[]; n bigint;
begin
  with f as (select u.k, min(u.o) o from unnest(p_k) with ordinality u(k, o) where u.k is not null group by u.k),
  i as (insert into ratchet.idem_CUR as x (bucket, k, fp, reply)
        select p_b, f.k, p_fp[f.o], p_reply[f.o] from f
        where not exists (select from ratchet.idem_PREV y where y.bucket = p_b - 1 and y.k = f.k)
        order by f.k on conflict do nothing returning x.k)          -- sorted: two batches cannot deadlock
  select coalesce(array_agg(f.o), '{}') into won from i join f using (k);
  if p_tail and won <> '{}' then                                    -- near the end of a bucket: also where the next bucket will look
    with i as (insert into ratchet.idem_NEXT (bucket, k, fp, reply)
               select p_b + 1, p_k[w], p_fp[w], p_reply[w] from unnest(won) w order by p_k[w] on conflict do nothing returning 1)
    select count(*) into n from i;
    if n < cardinality(won) then raise exception 'ratchet: key taken on the bucket boundary' using errcode = '40001'; end if;
  end if;
  return won;
end $$ $f$, 'CUR', c::text), 'PREV', ((c + 2) % 3)::text), 'NEXT', ((c + 1) % 3)::text); end loop; end $do$;

-- Any instance, every width/100 or so. Truncates the table the NEXT bucket will use; only between 10 % of this bucket and its tail.
create function ratchet.idem_rotate() returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '50ms' as $$
declare r ratchet.ring; b int; part double precision; s int; x boolean; t regclass;
begin
  if not pg_try_advisory_xact_lock(7236422) then return 'other'; end if;
  select * into strict r from ratchet.ring;
  b := ratchet.idem_bucket(r, clock_timestamp());
  if b > r.idem_bucket then update ratchet.ring set idem_bucket = b where idem_bucket < b; end if;
  part := extract(epoch from clock_timestamp()) / r.idem_width_s - b;
  s := (b + 1) % 3; t := format('ratchet.idem_%s', s)::regclass;
  if part < 0.1 or part > 1 - 1.5 * r.idem_tail_s / r.idem_width_s then return 'not now'; end if;
  if pg_relation_size(t) = 0 then return 'empty'; end if;
  begin
    execute format('lock table %s in access exclusive mode nowait', t);
    execute format('select exists (select from %s where bucket > $1)', t) into x using b - 2;
    if x then return 'in use'; end if;
    execute format('truncate %s', t);
    return format('truncated %s', s);
  exception when lock_not_available then return 'busy';
  end;
end $$;

revoke all on all functions in schema ratchet from public;
grant execute on function ratchet.idem_rotate to ratchet_run;
