"""What Kafka, and the way to it, can do to stop progress, and what the operator is told (see hindrances.py)."""
import subprocess
from contextlib import contextmanager

from conftest import migrated, prepared
from hindrances import alarms, judge_all, table

from tests.support.servers import Daemon, EmbeddedBroker, Postgres, wait_for

ROWS, hindrance = table()
LOCK_HOLDER = r"backend \d+, user postgres, psql"
END_IT = r"End that transaction, or the session: select pg_terminate_backend\(\d+\)\."
OURS = r"What the text names is missing from schema ratchet, or was changed: put back what `ratchetd migrate` made there\."
WAITING = r"events wait and none is published: "


# ---- the relay cannot get, read or move the outbox -------------------------------------------------------------------


def on(make, postgres, **changes):
    """A daemon at level 3 that has published one event."""
    broker = make(EmbeddedBroker, "orders")
    daemon = migrated(make(Daemon, postgres.dsn("app"), broker.bootstrap, **changes), postgres).start().wait_level(3)
    post(daemon, "before")
    wait_for("published", lambda: postgres.sql("select unpublished_rows from ratchet.outbox_stats()") == "0")
    wait_for("the relay leads", lambda: daemon.metric("ratchet_relay_leads") == 1)
    return daemon


def serving(make, **changes):
    postgres = prepared(make(Postgres).start())
    return postgres, on(make, postgres, **changes)


def post(daemon, customer):
    status, _, body = daemon.post("/events/orders", {"customer": customer})
    assert status == 202, (status, body)


@contextmanager
def transaction(postgres, *statements):
    """Open in a psql of its own until the block ends."""
    psql = subprocess.Popen(postgres.as_user(postgres.bin / "psql", "-X", "-q", "-A", "-t", "-h", postgres.dir, "-p", postgres.port, "-U", "postgres", "-d", "app"),
                            cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        psql.stdin.write("".join(f"{s};\n" for s in ("begin", *statements, "select 'open'")))
        psql.stdin.flush()
        assert any(line == "open\n" for line in psql.stdout), "psql has ended"
        yield
    finally:
        psql.stdin.close()  # it ends, and the transaction with it
        psql.wait()


@contextmanager
def replaced(postgres, function, body):
    """A function of ours does something else until the block ends; `body`: after `as`."""
    signature = postgres.sql(f"select oid::regprocedure from pg_proc where proname = '{function}'")
    before = postgres.sql(f"select pg_get_functiondef('{signature}'::regprocedure)")
    head = before[:before.index("AS $function$")]
    postgres.sql(f"{head} as {body}")
    try:
        yield
    finally:
        postgres.sql(before)


@hindrance(alarm="relay.stuck.main", level=3, seconds=30, text=WAITING + r".*; it waits for a lock that " + LOCK_HOLDER + " holds", remedy=END_IT)
def lease_row_is_locked(make):
    postgres, daemon = serving(make)
    with transaction(postgres, "select from ratchet.relay for update"):
        post(daemon, "waits")
        yield daemon


@hindrance(alarm="relay.stuck.main", level=3, seconds=30,
           text=r"no event is published, and how many wait is not known: .*; it waits for a lock that " + LOCK_HOLDER + " holds", remedy=END_IT)
def lease_table_is_locked(make):
    postgres, daemon = serving(make)
    with transaction(postgres, "lock table ratchet.relay"):
        post(daemon, "waits")
        yield daemon


@hindrance(alarm="outbox.unknown.main", level=3, seconds=30, text=r"how many events wait is not known: measuring it: .*lock timeout", remedy=r"Look for the transaction .*")
def dead_letters_are_locked(make):
    """Only what is measured waits for it."""
    postgres, daemon = serving(make, outbox={"max_age_s": 30})
    with transaction(postgres, "lock table ratchet.dead_letter_count"):
        yield daemon
        post(daemon, "goes on")
        wait_for("its gauges are gone", lambda: daemon.metric("ratchet_outbox_unpublished_rows") is None)
        assert daemon.metric("ratchet_dead_letters") is None and daemon.metric("ratchet_outbox_oldest_seconds") is None
        wait_for("unknown for too long, no event is taken", lambda: daemon.post("/events/orders", {"customer": "x"})[0] == 503)
        assert b"outbox-budget" in daemon.post("/events/orders", {"customer": "x"})[2]
        assert "outbox.behind.main" in alarms(daemon)
    wait_for("events are taken again", lambda: daemon.post("/events/orders", {"customer": "x"})[0] == 202, 15)


@hindrance(alarm="relay.stuck.main", level=None, seconds=30, text=r".*none is published.*|no event is published.*", remedy=r".{20,}")
def outbox_is_locked(make):
    postgres, daemon = serving(make)
    with transaction(postgres, "lock table ratchet.outbox"):
        yield daemon


@hindrance(alarm="relay.stuck.main", level=3, seconds=30, text=WAITING + r"reading the outbox: permission denied for function relay_read", remedy=r"A right is missing: .*")
def right_to_read_is_revoked(make):
    postgres, daemon = serving(make)
    postgres.sql("revoke execute on function ratchet.relay_read from ratchet_run")
    post(daemon, "waits")
    yield daemon
    postgres.sql("grant execute on function ratchet.relay_read to ratchet_run")


@hindrance(alarm="relay.stuck.main", level=3, seconds=30, text=WAITING + r"getting the lease: permission denied for function relay_acquire", remedy=r"A right is missing: .*")
def right_to_lead_is_revoked(make):
    postgres, daemon = serving(make)
    postgres.sql("revoke execute on function ratchet.relay_acquire from ratchet_run")
    postgres.sql("select pg_terminate_backend(pid) from ratchet.relay")
    post(daemon, "waits")
    yield daemon
    postgres.sql("grant execute on function ratchet.relay_acquire to ratchet_run")


@hindrance(alarm="outbox.unknown.main", level=3, seconds=30, text=r"how many events wait is not known: measuring it: permission denied for function outbox_stats",
           remedy=r"A right is missing: .*")
def right_to_measure_is_revoked(make):
    postgres, daemon = serving(make)
    postgres.sql("revoke execute on function ratchet.outbox_stats from ratchet_run")
    yield daemon
    postgres.sql("grant execute on function ratchet.outbox_stats to ratchet_run")


@hindrance(alarm="relay.stuck.main", level=3, seconds=30, text=WAITING + r"preparing its statements: function ratchet.relay_beat.* does not exist", remedy=OURS)
def function_is_dropped(make):
    postgres, daemon = serving(make)
    before = postgres.sql("select pg_get_functiondef('ratchet.relay_beat'::regproc)")
    postgres.sql("drop function ratchet.relay_beat")
    postgres.sql("select pg_terminate_backend(pid) from ratchet.relay")
    post(daemon, "waits")
    yield daemon
    postgres.sql(before)
    postgres.sql("grant execute on function ratchet.relay_beat to ratchet_run")


@hindrance(alarm="relay.stuck.main", level=3, seconds=30, text=WAITING + r"reading the outbox: division by zero", remedy=OURS)
def reading_fails(make):
    postgres, daemon = serving(make)
    with replaced(postgres, "relay_read", "$$ begin perform 1 / 0; end $$"):
        post(daemon, "waits")
        yield daemon


@hindrance(alarm="relay.stuck.main", level=3, seconds=30, text=WAITING + r"reading the outbox finds none of them", remedy=OURS)
def reading_finds_nothing(make):
    postgres, daemon = serving(make)
    with replaced(postgres, "relay_read", "$$ begin return; end $$"):
        post(daemon, "waits")
        yield daemon


@hindrance(alarm="relay.stuck.main", level=3, seconds=30, text=WAITING + r"its lease was taken away", remedy=r".*ratchet\.relay, or its functions were changed.*")
def cursor_does_not_move(make):
    postgres, daemon = serving(make)
    with replaced(postgres, "relay_advance", "$$ begin return false; end $$"):
        post(daemon, "is published again and again")
        yield daemon


@hindrance(alarm="relay.stuck.main", level=3, seconds=30, text=WAITING + r"another instance has the lease and does not move", remedy=r"Look at the alarms of the instance that leads.*")
def lease_is_in_dead_hands(make):
    """Nobody leads, and nobody can."""
    postgres, daemon = serving(make)
    with replaced(postgres, "relay_acquire", "$$ begin return; end $$"):
        postgres.sql("select pg_terminate_backend(pid) from ratchet.relay")
        post(daemon, "waits")
        yield daemon


@hindrance(alarm="relay.paused", level=3, seconds=30, text=r"the relay is paused.*", remedy=r"An operator paused it: .*")
def paused(make):
    postgres, daemon = serving(make)
    daemon.ctl("relay", "pause")
    post(daemon, "waits")
    yield daemon
    daemon.ctl("relay", "resume")


@hindrance(alarm="relay.stuck.main", level=3, seconds=40, text=WAITING + r"another instance has the lease and does not move", remedy=r"Look at the alarms of the instance that leads.*")
def paused_on_another_instance(make):
    postgres, leader = serving(make)
    leader.ctl("relay", "pause")
    standby = make(Daemon, postgres.dsn("app"), leader.config["broker"]["bootstrap"][0], instance="test-2").start().wait_level(3)
    post(standby, "waits")
    yield standby
    assert leader.metric("ratchet_alarms", id="relay.stuck.main") in (None, 0)
    leader.ctl("relay", "resume")


def test_everything_in_kafka_that_makes_no_progress_is_alarmed(make):
    judge_all(ROWS, make)
