"""SIGTERM at any moment, whatever hangs: the daemon is gone within its budget and two seconds."""
import os
import threading
import time

import pytest
from conftest import migrated, prepared
from load import Load

from tests.support.faults import Net, missing_for_networks, seeded, with_resolver
from tests.support.servers import SLOW, Daemon, Kafka, Postgres

EXITS = int(os.environ.get("RATCHET_EXITS", "20"))  # 500 by hand
SIDE_BY_SIDE = 4
TOTAL = 1.0  # s, drain.total_ms of these daemons


class World:
    def __init__(self, make):
        self.make = make
        self.pg_net, self.kafka_net, self.dns = make(Net), make(Net), make(Net)
        self.dns.drop()  # a resolver that never answers
        self.postgres = prepared(make(Postgres, self.pg_net).start())
        self.kafka = make(Kafka, self.kafka_net).start(topics=["orders"])
        migrated(make(Daemon, self.postgres.dsn(), self.kafka.bootstrap), self.postgres)

    def daemon(self, number, named):
        """`named`: which server's address must be asked of the resolver."""
        dsn, bootstrap = self.postgres.dsn("app"), self.kafka.bootstrap
        if named == "database":
            dsn = dsn.replace(self.postgres.host, "db.ratchet.test")
        if named == "broker":
            bootstrap = bootstrap.replace(self.kafka.host, "kafka.ratchet.test")
        d = Daemon(dsn, bootstrap, instance=f"exit-{number}",
                   service={"drain": {"total_ms": int(TOTAL * 1000), "lb_wait": "none", "late_ms": 100, "requests_ms": 500, "flush_ms": 400}})
        if named:
            d.prefix = with_resolver(d.dir / "resolv.conf", self.dns.address)
        return d

    HANGS = {"PostgreSQL frozen": ("postgres", "freeze", "thaw"), "PostgreSQL's packets dropped": ("pg_net", "drop", "heal"),
             "Kafka frozen": ("kafka", "freeze", "thaw"), "Kafka's packets dropped": ("kafka_net", "drop", "heal"),
             "nothing but names": None}

    def hang(self, what, begin):
        if self.HANGS[what]:
            who, on, off = self.HANGS[what]
            getattr(getattr(self, who), on if begin else off)()


class Leaver(threading.Thread):
    """Starts a daemon with clients, and tells it to stop at its moment."""

    def __init__(self, d, after):
        super().__init__(daemon=True)
        self.d, self.after, self.took, self.code = d, after, None, None

    def run(self):
        load = Load(self.d.http_port, threads=2, pause_s=0.01).start()
        time.sleep(self.after)
        self.d.terminate()
        begun = time.monotonic()
        self.code = self.d.process.wait()
        self.took = time.monotonic() - begun
        load.stop()


def one_round(world, chance, what, number):
    names = [chance.choice(["", "", "database", "broker"]) for _ in range(SIDE_BY_SIDE)]
    if what == "nothing but names":
        names = [chance.choice(["database", "broker"]) for _ in names]
    fault_at = chance.choice([0.0, chance.uniform(0, 1), chance.uniform(1, 4)])
    daemons = [world.daemon(f"{number}-{i}", named) for i, named in enumerate(names)]
    leavers = [Leaver(d, chance.uniform(0, 0.3) if chance.random() < 0.25 else fault_at + chance.uniform(0, 5)) for d in daemons]
    try:
        for d, leaver in zip(daemons, leavers):
            d.start()
            leaver.start()
        time.sleep(fault_at)
        world.hang(what, True)
        for leaver in leavers:
            leaver.join(60 * SLOW)
        for leaver, named in zip(leavers, names):
            d = leaver.d
            case = f"{what} at {fault_at:.2f} s, names asked: {named or 'none'}, SIGTERM at {leaver.after:.2f} s"
            log = d.log_text()
            assert leaver.took is not None, f"{case}: still there\n{log}"
            assert leaver.took <= (TOTAL + 2) * SLOW, f"{case}: left after {leaver.took:.2f} s\n{log}"
            if leaver.code == -15:
                assert "starting" not in log, f"{case}: killed by a signal it should have taken\n{log}"
            else:
                assert leaver.code == 0 or (leaver.code == 1 and "overrun" in log), f"{case}: exit {leaver.code}\n{log}"
                if leaver.code == 1:
                    print(f"{case}: cut off\n{log}")
    finally:
        world.hang(what, False)
        for d in daemons:
            d.remove()
    return [(leaver.took, leaver.code) for leaver in leavers]


def test_sigterm_at_any_moment_ends_within_its_budget_whatever_hangs(make):
    if why := missing_for_networks():
        pytest.skip(why)
    chance, world, seen = seeded(), World(make), {}
    kinds = list(World.HANGS)
    for number in range(-(-EXITS // SIDE_BY_SIDE)):
        what = kinds[number % len(kinds)]
        seen.setdefault(what, []).extend(one_round(world, chance, what, number))
    for what, exits in seen.items():
        codes = {code: sum(c == code for _, c in exits) for _, code in exits}
        print(f"{what:32} {len(exits):4} exits, longest {max(t for t, _ in exits):.2f} s of {TOTAL + 2:.0f}, codes {codes}")
