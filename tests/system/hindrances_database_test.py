"""What PostgreSQL can do to stop progress, and what the operator is told (see hindrances.py)."""
import json
import subprocess
import threading
import uuid

from conftest import migrated, prepared
from hindrances import judge_all, table

from tests.support.faults import Disk, missing_for_disks
from tests.support.pgbouncer import PgBouncer
from tests.support.servers import Daemon, EmbeddedBroker, Postgres, wait_for

ROWS, hindrance = table()


def at_level_3(make, postgres, dsn=None, **changes):
    broker = make(EmbeddedBroker, "orders")
    d = migrated(make(Daemon, dsn or postgres.dsn("app"), broker.bootstrap, **changes), postgres)
    return d.start().wait_level(3)


def kept_out(make, postgres, dsn=None):
    return migrated(make(Daemon, dsn or postgres.dsn("app"), "127.0.0.1:1"), postgres).start()


# ---- connections: fewer than are needed, or not ours -----------------------------------------------------------------

FEW = r"database main: only 2 of the 3 connections that probe, relay and committers need: "


@hindrance(alarm="level.1", level=0, seconds=30, text=FEW + r'FATAL: too many connections for role "app" \(.*\)', remedy=r".*CONNECTION LIMIT.*default_pool_size.*")
def a_role_with_two_connections(make):
    postgres = prepared(make(Postgres).start())
    postgres.sql("alter role app connection limit 2")
    yield kept_out(make, postgres)
    postgres.sql("alter role app connection limit -1")


@hindrance(alarm="level.1", level=0, seconds=60, text=FEW + r'FATAL: too many connections for role "app" \(.*\)', remedy=r".*CONNECTION LIMIT.*")
def a_limit_that_comes_while_it_serves(make):
    postgres = prepared(make(Postgres).start())
    d = at_level_3(make, postgres)
    wait_for("all open", lambda: d.metric("db_client_connection_count") == 8)
    postgres.sql("alter role app connection limit 2")
    postgres.sql("select pg_terminate_backend(pid) from (select pid from pg_stat_activity where usename = 'app' order by pid offset 2) most")
    yield d
    postgres.sql("alter role app connection limit -1")


@hindrance(alarm="level.1", level=0, seconds=60, text=FEW + r"no answer .*", remedy=r".*default_pool_size.*")
def a_pooler_with_two_connections(make):
    postgres = prepared(make(Postgres).start())
    bouncer = make(PgBouncer, postgres, default_pool_size=2).start()
    yield kept_out(make, postgres, bouncer.dsn())
    bouncer.kill()
    bouncer.configure("session")
    bouncer.start()


SHARED = r"database main: a pooler gives each transaction another server session: (two connections shared the backend \d+|one connection was on the backends \d+ and \d+) \(.*\)"


def a_pooler(make, mode, **settings):
    postgres = prepared(make(Postgres).start())
    bouncer = make(PgBouncer, postgres, mode, **settings).start()
    yield kept_out(make, postgres, bouncer.dsn())
    bouncer.kill()
    bouncer.configure("session")
    bouncer.start()


@hindrance(alarm="level.1", level=0, seconds=30, text=SHARED, remedy=r".*`pool_mode = session`.*")
def a_pooler_in_transaction_mode(make):
    yield from a_pooler(make, "transaction")


@hindrance(alarm="level.1", level=0, seconds=30, text=SHARED, remedy=r".*`pool_mode = session`.*")
def a_pooler_in_statement_mode_that_deals_out_in_turn(make):
    yield from a_pooler(make, "statement", server_round_robin=1, min_pool_size=6)


@hindrance(alarm="level.1", level=0, seconds=30, text=SHARED, remedy=r".*`pool_mode = session`.*")
def a_pooler_that_is_shared_with_busy_neighbours(make):
    postgres = prepared(make(Postgres).start())
    bouncer = make(PgBouncer, postgres, "transaction").start()
    busy = [subprocess.Popen(["pgbench", "-n", "-c", "4", "-T", "120", "-f", "/dev/stdin", "-h", "127.0.0.1", "-p", str(bouncer.port), "-U", "app", "app"],
                             stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)]
    busy[0].stdin.write(b"select pg_sleep(0.001);\n")
    busy[0].stdin.close()
    yield kept_out(make, postgres, bouncer.dsn())
    busy[0].kill()
    busy[0].wait()
    bouncer.kill()
    bouncer.configure("session")
    bouncer.start()


@hindrance(alarm="level.1", level=0, seconds=60, text=SHARED, remedy=r".*`pool_mode = session`.*")
def a_pooler_whose_mode_changes_while_it_serves(make):
    postgres = prepared(make(Postgres).start())
    bouncer = make(PgBouncer, postgres).start()
    d = at_level_3(make, postgres, bouncer.dsn())
    bouncer.kill()
    bouncer.configure("transaction")
    bouncer.start()
    yield d
    bouncer.kill()
    bouncer.configure("session")
    bouncer.start()


# ---- rights, functions and settings that are taken away ----------------------------------------------------------------

def taken_away(make, take, give):
    """While it serves, and without a request: the relay's own statements tell."""
    postgres = prepared(make(Postgres).start())
    d = at_level_3(make, postgres)
    postgres.sql(take)
    yield d
    postgres.sql(give)


@hindrance(alarm="level.1", level=0, seconds=30, text=r'database main: no right to execute ratchet\..*relay_read.*: grant ratchet_run to "app"', remedy=r".*grant ratchet_run to USER.*")
def a_role_taken_away(make):
    postgres = prepared(make(Postgres).start())
    d = at_level_3(make, postgres)
    postgres.sql("revoke execute on all functions in schema ratchet from ratchet_run")
    yield d
    postgres.sql("grant execute on all functions in schema ratchet to ratchet_run")


@hindrance(alarm="level.1", level=0, seconds=30, text=r'database main: no right to use schema ratchet: grant ratchet_run to "app"', remedy=r".*grant ratchet_run to USER.*")
def a_schema_closed(make):
    yield from taken_away(make, "revoke usage on schema ratchet from ratchet_run", "grant usage on schema ratchet to ratchet_run")


@hindrance(alarm="level.1", level=0, seconds=30, text=r"database main: schema ratchet is incomplete: there is no function relay_read, .*", remedy=r".*migrate.*")
def a_function_gone(make):
    yield from taken_away(make, "alter function ratchet.relay_read rename to gone", "alter function ratchet.gone rename to relay_read")


def with_posts(make, take, give):
    """While it serves, and seen by requests only."""
    postgres = prepared(make(Postgres).start())
    d = at_level_3(make, postgres)
    assert d.post("/events/orders", {"customer": "c"})[0] == 202
    postgres.sql(take)
    wait_for("no event is taken", lambda: d.post("/events/orders", {"customer": "c"})[0] in (503, 0))
    yield d
    postgres.sql(give)


@hindrance(alarm="level.1", level=0, seconds=30, text=r'database main: no right to execute ratchet\.append: grant ratchet_run to "app"', remedy=r".*grant ratchet_run to USER.*")
def the_right_to_store_taken_away(make):
    yield from with_posts(make, "revoke execute on function ratchet.append from ratchet_run", "grant execute on function ratchet.append to ratchet_run")


@hindrance(alarm="level.1", level=0, seconds=30, text=r"database main: ratchet\.append does not work: permission denied for .*", remedy=r".*right is missing.*")
def the_owners_right_taken_away(make):
    yield from with_posts(make, "create role poor; grant usage on schema ratchet to poor; alter function ratchet.append owner to poor",
                          "alter function ratchet.append owner to postgres")


# ---- nothing is stored, whoever asks ------------------------------------------------------------------------------------

class Sender:
    """Posts, with a key each, until it is stopped; keeps the answers."""

    def __init__(self, daemon):
        self.daemon, self.answers, self.stopping = daemon, [], threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stopping.is_set():
            status, _, body = self.daemon.post("/events/orders", {"customer": "c"}, {"Idempotency-Key": uuid.uuid4().hex})
            self.answers.append((status, json.loads(body).get("type") if body else None))
            self.stopping.wait(0.1)

    def stop(self):
        self.stopping.set()
        self.thread.join()
        return set(self.answers)


@hindrance(alarm="commits.stuck.main", level=3, seconds=30, text=r"database main: no event can be stored: canceling statement due to lock timeout", remedy=r".*holds a lock.*pg_locks.*")
def the_keys_table_locked(make):
    postgres = prepared(make(Postgres).start())
    d = at_level_3(make, postgres)
    holder = subprocess.Popen([str(postgres.bin / "psql"), "-X", "-q", "-h", str(postgres.dir), "-p", str(postgres.port), "-U", "postgres", "app"], stdin=subprocess.PIPE, text=True)
    holder.stdin.write("begin; lock table ratchet.idem_0, ratchet.idem_1, ratchet.idem_2;\n")
    holder.stdin.flush()
    wait_for("locked", lambda: postgres.sql("select count(*) from pg_locks where relation = 'ratchet.idem_2'::regclass and granted and mode = 'AccessExclusiveLock'") == "1")
    sender = Sender(d)
    yield d
    holder.communicate("rollback;\n")
    wait_for("taken again", lambda: (202, None) in sender.answers)
    assert sender.stop() == {(503, "urn:ratchetd:problem:nothing-stored"), (202, None)}


@hindrance(alarm="commits.stuck.main", level=3, seconds=30, text=r"database main: no event can be stored: the server crashes", remedy=r".*trigger or a constraint.*")
def a_trigger_that_refuses_everything(make):
    postgres = prepared(make(Postgres).start())
    d = at_level_3(make, postgres)
    postgres.sql("create function public.no() returns trigger language plpgsql as $$ begin raise exception 'the server crashes' using errcode = '57P02'; end $$;"
                 "create trigger no before insert on ratchet.outbox for each row execute function public.no()")
    sender = Sender(d)
    yield d
    postgres.sql("drop trigger no on ratchet.outbox")
    wait_for("taken again", lambda: (202, None) in sender.answers)
    assert sender.stop() == {(500, "urn:ratchetd:problem:database-refused"), (202, None)}


@hindrance(alarm="level.1", level=0, seconds=30, text=r"database main: session_replication_role is replica for this login: .*", remedy=r".*alter role \.\.\. reset NAME.*")
def triggers_switched_off(make):
    postgres = prepared(make(Postgres).start())
    postgres.sql("alter role app set session_replication_role = replica")
    yield kept_out(make, postgres)
    postgres.sql("alter role app reset session_replication_role")


@hindrance(alarm="level.1.flapping", level=None, seconds=10, text=r"database: lost [3-9] times within five minutes, the last time by: database main: .+",
           remedy=r"It comes back each time and is lost again; /history has each fall\. .+", heals=False)
def a_server_that_comes_and_goes(make):
    """Each fall is mended in seconds, so the level is never missed for as long as its own alarm takes."""
    postgres, broker = prepared(make(Postgres).start()), make(EmbeddedBroker, "orders")
    d = migrated(make(Daemon, postgres.dsn("app"), broker.bootstrap), postgres).start()
    for _ in range(3):
        d.wait_level(3)
        postgres.kill()
        wait_for("level 1 lost", lambda: d.held() == 0)
        postgres.start()
    yield d


def served(make, postgres, **pool):
    """A daemon at level 3 on this server, with a broker in memory."""
    broker = make(EmbeddedBroker, "orders")
    d = make(Daemon, postgres.dsn("app"), broker.bootstrap, database={"pools": {"main": {"statement_timeout_ms": 1000, **pool}}})
    return migrated(d, postgres).start().wait_level(3)


def posted(d):
    """An event on its way; gives its answer when called."""
    answers = []
    post = threading.Thread(target=lambda: answers.append(d.post("/events/orders", {"customer": "c"})))
    post.start()
    return lambda: (post.join(), answers[0])[1]


@hindrance(alarm="pool.main.hung", level=0, seconds=30,
           text=r"database main: a commit hangs in the server, which waits for a synchronous standby \(SyncRep\) in backend \d+ \(.*\)",
           remedy=r"Bring the synchronous standby back, or .* Do not cancel or terminate .*")
def the_synchronous_standby_is_away(make):
    postgres = prepared(make(Postgres).start())
    d = served(make, postgres)
    postgres.sql("alter system set synchronous_standby_names = 'nobody'")
    postgres.sql("select pg_reload_conf()")
    answer = posted(d)
    yield d
    assert answer()[0] == 503
    postgres.sql("alter system reset synchronous_standby_names")
    postgres.sql("select pg_reload_conf()")
    d.wait_level(3)


if not missing_for_disks():
    @hindrance(alarm="pool.main.hung", level=0, seconds=30,
               text=r"database main: (a commit hangs|\d commits hang) in the server, which waits for its disk \(\w+\) in backend \d+ \(.*\)",
               remedy=r"The server's disk does not finish a write or fsync: .*")
    def a_write_to_the_disk_does_not_end(make):
        disk = make(Disk)
        d = served(make, prepared(make(Postgres, disk=disk.path).start()))
        disk.freeze(30)
        answer = posted(d)
        yield d
        answer()
        disk.thawed()
        d.wait_level(3)


def test_everything_in_postgresql_that_makes_no_progress_is_alarmed(make):
    judge_all(ROWS, make)
