-- The outbox: a fixed ring of 4 tables. Which one is written is read from ratchet.ring; WHERE a row lies never decides whether it is published.
create sequence ratchet.outbox_seq as bigint cache 1;              -- CACHE must stay 1: order per key is the order of seq
create table ratchet.outbox (
  seq bigint not null default nextval('ratchet.outbox_seq'),
  txid xid8 not null default pg_current_xact_id(),                 -- top-level xid, also inside a savepoint
  slot smallint not null,
  topic text not null, key bytea, headers jsonb not null default '{}', payload bytea,
  at timestamptz not null default clock_timestamp()
) partition by list (slot);
create table ratchet.outbox_0 partition of ratchet.outbox for values in (0) with (autovacuum_enabled = off, toast.autovacuum_enabled = off);
create table ratchet.outbox_1 partition of ratchet.outbox for values in (1) with (autovacuum_enabled = off, toast.autovacuum_enabled = off);
create table ratchet.outbox_2 partition of ratchet.outbox for values in (2) with (autovacuum_enabled = off, toast.autovacuum_enabled = off);
create table ratchet.outbox_3 partition of ratchet.outbox for values in (3) with (autovacuum_enabled = off, toast.autovacuum_enabled = off);
create index outbox_txid_seq on ratchet.outbox (txid, seq);        -- finds a window, late transactions included
create index outbox_seq_idx on ratchet.outbox (seq);               -- pages through a large window

create table ratchet.ring (                                        -- one row; changes every few minutes at most
  one boolean primary key default true check (one),
  slot smallint not null default 0, since timestamptz not null default clock_timestamp(),
  idem_width_s double precision not null default 86400, idem_tail_s double precision not null default 3600, idem_bucket int not null default 0);
insert into ratchet.ring default values;
