"""How fast each fault is seen (/ready says 503) and how fast level 3 is back once it heals, beside the bound that is
promised; then, what one killed connection of 8 costs under load. Medians. Needs root for the rows with networks.
usage: detect.py [--times 10] [--outage 5] [--only WORD]... | detect.py --quiet MINUTES
--quiet: no fault at all, but a Kafka that closes idle connections after 1.5 s: counts what was seen though nothing was there."""
import argparse
import os
import random
import signal
import socket
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))
from load import Load  # noqa: E402

from tests.bench.ask import ask  # noqa: E402
from tests.support.faults import Gate, Net, missing_for_networks  # noqa: E402
from tests.support.servers import Daemon, Kafka, Postgres, Standby, wait_for  # noqa: E402

SETTLE = 11  # s: a level lost before its time to settle comes back by a longer rest; here each fault is the first one


def until(d, status, since, seconds=60):
    """ms from `since` until /ready says so."""
    while ask(d.ops_port, "/ready") != status:
        if time.monotonic() - since > seconds:
            raise AssertionError(f"/ready never said {status}: {d.levels()}")
        time.sleep(0.0005)
    return (time.monotonic() - since) * 1e3


def accepts(host, port):
    while True:
        try:
            socket.create_connection((host, port), timeout=1).close()
            return time.monotonic()
        except OSError:
            time.sleep(0.002)


class World:
    """The servers, and a daemon per row."""

    def __init__(self):
        self.made = []
        self.pg_net, self.kafka_net = (self.make(Net), self.make(Net)) if not missing_for_networks() else (None, None)
        self.postgres = self.make(Postgres, self.pg_net, wal_keep_size="256MB").start()
        self.kafka = self.make(Kafka, self.kafka_net).start(topics=["orders"])
        for sql in ("create role app login", "create database app"):
            self.postgres.sql(sql, db="postgres")
        self.daemon("").migrate(self.postgres.dsn())
        self.postgres.sql("grant ratchet_run to app")

    def make(self, what, *args, **kwargs):
        self.made.append(what(*args, **kwargs))
        return self.made[-1]

    def daemon(self, dsn):
        return self.make(Daemon, dsn or self.postgres.dsn("app"), self.kafka.bootstrap)

    def done_with(self, thing):
        self.made.remove(thing)
        thing.remove()

    def remove(self):
        for thing in reversed(self.made):
            thing.remove()

    # Each verb returns the moment from which it counts.

    def postgres_killed(self):
        self.postgres.dying = self.postgres.tree()
        now = time.monotonic()
        os.kill(self.postgres.pid, signal.SIGKILL)
        self.postgres.process.wait()
        return now

    def postgres_back(self):
        self.postgres.start()
        return time.monotonic()

    @staticmethod
    def now(verb):
        def timed():
            now = time.monotonic()
            verb()
            return now
        return timed

    @staticmethod
    def then(verb):
        def timed():
            verb()
            return time.monotonic()
        return timed

    def kafka_back(self):
        self.kafka.launch()
        return accepts(self.kafka.host, self.kafka.port)


class Row:
    def __init__(self, name, seen_bound, back_bound, fault, heal, dsn="", after=None):
        self.name, self.bounds, self.fault, self.heal, self.dsn, self.after = name, (seen_bound, back_bound), fault, heal, dsn, after
        self.seen, self.back, self.early = [], [], 0


def measure(world, row, times, outage):
    d = world.daemon(row.dsn).start().wait_level(3)
    for _ in range(times):
        time.sleep(SETTLE)
        fault = row.fault()
        row.seen.append(until(d, 503, fault))
        early = False
        while time.monotonic() < fault + outage:
            early |= ask(d.ops_port, "/ready") == 200
            time.sleep(0.01)
        row.early += early
        row.back.append(until(d, 200, row.heal()))
        if row.after:
            row.after()
            d.wait_level(3)
    d.stop()
    world.done_with(d)


def rows(world):
    pg, kafka = world.postgres, world.kafka
    gate = world.make(Gate, pg.host, pg.port)
    at_gate = f"host=127.0.0.1 port={gate.port} dbname=app user=app"
    yield Row("PostgreSQL killed", 50, 3000, world.postgres_killed, world.postgres_back)
    yield Row("PostgreSQL reset (RST, then refused)", 50, 3000, world.now(gate.reset), world.then(gate.heal), at_gate)
    yield Row("PostgreSQL frozen", 3000, 3000, world.now(pg.freeze), world.then(pg.thaw))
    if world.pg_net:
        yield Row("PostgreSQL's packets dropped", 3000, 3000, world.now(world.pg_net.drop), world.then(world.pg_net.heal))
        yield Row("PostgreSQL's answers dropped", 3000, 3000, world.now(lambda: world.pg_net.drop("out")), world.then(world.pg_net.heal))
    yield from failover_rows(world, pg)
    yield Row("Kafka killed", 4000, 4000, world.now(kafka.kill), world.kafka_back)
    yield Row("Kafka frozen", 5000, 4000, world.now(kafka.freeze), world.then(kafka.thaw))
    if world.kafka_net:
        yield Row("Kafka's packets dropped", 5000, 4000, world.now(world.kafka_net.drop), world.then(world.kafka_net.heal))


def failover_rows(world, pg):
    """The address moves to a standby that is promoted only when the outage ends; and a server made read-only in place."""
    gate = world.make(Gate, pg.host, pg.port)
    standbys = []

    def move():
        standbys.append(world.make(Standby, pg, net=pg.net).start())
        return move_to(standbys[-1])

    def move_to(server):
        now = time.monotonic()
        gate.lead_to(server.host, server.port)
        return now

    def promote():
        standbys[-1].promote()
        return time.monotonic()

    def go_home():
        gate.lead_to(pg.host, pg.port)
        world.done_with(standbys.pop())

    def read_only(value):
        def change():
            pg.sql(f"alter system set default_transaction_read_only = {value}", db="postgres")
            pg.sql("select pg_reload_conf()", db="postgres")
        return change

    at_gate = f"host=127.0.0.1 port={gate.port} dbname=app user=app"
    yield Row("failover: the address leads to a standby", 1500, 2000, move, promote, at_gate, go_home)
    yield Row("PostgreSQL made read-only in place", 1500, 2000, world.then(read_only("on")), world.then(read_only("off")))


def show(done):
    print(f"\n{'fault':42} {'seen ms':>9} {'bound':>7} {'worst':>8}   {'back ms':>9} {'bound':>7} {'worst':>8}")
    for row in done:
        cells = []
        for values, bound in zip((row.seen, row.back), row.bounds):
            middle = statistics.median(values)
            cells.append(f"{middle:9.1f} {bound:7d} {max(values):8.1f}{' ' if middle <= bound else '!'}")
        early = f"  ! ready again before it healed: {row.early} of {len(row.seen)}" if row.early else ""
        print(f"{row.name:42} {'  '.join(cells)}{early}")


def one_of_eight(world, times):
    """Under load one of the pool's connections is killed, again and again."""
    d = world.daemon("").start().wait_level(3)
    wait_for("pool filled", lambda: d.metric("db_client_connection_count") == 8)
    load = Load(d.http_port, threads=8).start()
    started, kinds = d.metric("ratchet_level_transitions_total"), {}
    mine = f"application_name like 'ratchetd {d.config['instance']}%' and backend_type = 'client backend'"
    for _ in range(times):
        time.sleep(1)
        pids = [int(p) for p in world.postgres.sql(f"select pid from pg_stat_activity where {mine}").split()]
        victim = random.choice(pids)
        what = world.postgres.sql(f"select case when query like '%append%' then 'committer' when query like '%relay%' or query like '%read%' "
                                  f"then 'relay' else 'idle' end from pg_stat_activity where pid = {victim}")
        failed = sum(n for status, n in load.statuses.items() if status != 202)
        world.postgres.sql(f"select pg_terminate_backend({victim})")
        wait_for("pool filled again", lambda: d.metric("db_client_connection_count") == 8)
        kinds.setdefault(what, []).append(sum(n for status, n in load.statuses.items() if status != 202) - failed)
    load.stop()
    print(f"\none of 8 connections killed {times} times under load: acknowledged {len(load.acknowledged)}, "
          f"transitions {d.metric('ratchet_level_transitions_total') - started:.0f}, held {d.held()}")
    print(f"requests not answered 202, by what the connection was for: {kinds}; without any answer: {len(load.lost)}, refused: {load.refused}")
    d.stop()


def quiet(minutes):
    made = []

    def make(what, *args, **kwargs):
        made.append(what(*args, **kwargs))
        return made[-1]
    try:
        postgres = make(Postgres).start()
        kafka = make(Kafka, **{"connections.max.idle.ms": 1500}).start(topics=["orders"])
        for sql in ("create role app login", "create database app"):
            postgres.sql(sql, db="postgres")
        d = make(Daemon, postgres.dsn("app"), kafka.bootstrap)
        d.migrate(postgres.dsn())
        postgres.sql("grant ratchet_run to app")
        d.start().wait_level(3)
        before = d.metric("ratchet_level_transitions_total")
        time.sleep(minutes * 60)
        faults = d.metric("ratchet_faults_total") or 0
        print(f"{minutes:g} minutes beside a Kafka that closes idle connections after 1.5 s: transitions {d.metric('ratchet_level_transitions_total') - before:.0f}, "
              f"faults {faults:.0f}, alarms {d.levels()['alarms']}, held {d.held()}")
    finally:
        for thing in reversed(made):
            thing.remove()


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--times", type=int, default=10)
    options.add_argument("--outage", type=float, default=5)
    options.add_argument("--only", action="append", default=[], help="only rows that have this word in their name")
    options.add_argument("--quiet", type=float, metavar="MINUTES")
    options = options.parse_args()
    if options.quiet:
        return quiet(options.quiet)
    world, done = None, []
    if why := missing_for_networks():
        print(f"rows with dropped packets are left out: {why}")
    try:
        world = World()
        for row in rows(world):
            if not options.only or any(word in row.name for word in options.only):
                measure(world, row, options.times, options.outage)
                done.append(row)
                print(f"{row.name}: seen {[round(v, 1) for v in row.seen]} back {[round(v) for v in row.back]}", flush=True)
        show(done)
        if not options.only or "one" in options.only:
            one_of_eight(world, options.times)
    finally:
        if world:
            world.remove()


main()
