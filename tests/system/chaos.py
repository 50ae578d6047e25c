"""Chaos on real servers under load: three lanes of random faults (PostgreSQL, Kafka, the daemon itself) at the same time,
then a calm in which level 3 must come back by itself; again and again. Judged: nothing acknowledged is missing, no key out
of order, every transition is what the ladder allows and every fall has a cause that was really there, nothing leaks.
By hand: RATCHET_BUILD=build/release python3 tests/system/chaos.py --minutes 30 [--seed N]. The seed repeats the plan."""
import argparse
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timezone
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from ladder_watch import LadderWatch  # noqa: E402
from load import Load, judge  # noqa: E402

from tests.support.faults import Clock, Disk, Gate, Net, missing_for_disks, missing_for_networks  # noqa: E402
from tests.support.servers import SLOW, Daemon, Kafka, Postgres, wait_for  # noqa: E402

STORM_S = 30      # of faults between two calms
CALM_S = 90       # within which level 3 must be back
TOTAL_S = 6.0     # drain.total_ms of the daemon
AFTERMATH_S = 15  # so long after a fault has healed a fall may still be its doing


class World:
    """Servers that can be hurt in every way this machine allows; what it does not allow is said."""

    def __init__(self):
        self.made = []
        try:
            self.build()
        except BaseException:
            self.remove()
            raise

    def make(self, what, *args, **kwargs):
        self.made.append(what(*args, **kwargs))
        return self.made[-1]

    def build(self):
        no_net, no_disk = missing_for_networks(), missing_for_disks()
        for what, why in (("packets", no_net), ("slow disk", no_disk)):
            if why:
                print(f"left out, {what}: {why}")
        self.pg_net, self.kafka_net = (None, None) if no_net else (self.make(Net), self.make(Net))
        self.disk = None if no_disk else self.make(Disk, mib=2048)
        try:
            self.clock = self.make(Clock)
        except RuntimeError as why:
            self.clock = None
            print(f"left out, clock jumps: {why}")
        self.postgres = self.make(Postgres, self.pg_net, env=self.clock and self.clock.env, disk=self.disk and self.disk.path, max_wal_size="256MB").start()
        self.kafka = self.make(Kafka, self.kafka_net).start(topics=["orders"])
        self.gate = self.make(Gate, self.postgres.host, self.postgres.port)
        for sql in ("create role app login", "create database app"):
            self.postgres.sql(sql, db="postgres")
        dsn = f"host=127.0.0.1 port={self.gate.port} dbname=app user=app"
        drain = {"total_ms": int(TOTAL_S * 1000), "lb_wait": "none", "late_ms": 300, "requests_ms": 2000, "flush_ms": 2000}
        self.daemon = self.make(Daemon, dsn, self.kafka.bootstrap, instance="chaos", service={"drain": drain})
        self.daemon.migrate(self.postgres.dsn())
        self.postgres.sql("grant ratchet_run to app")

    def remove(self):
        for thing in reversed(self.made):
            thing.remove()
        self.made = []


class Lane:
    """One fault at a time. A fault: name -> (levels whose fall it explains, do(seconds, chance), which heals before it returns)."""

    def __init__(self, name, faults, chance, told):
        self.name, self.faults, self.chance, self.told, self.error = name, faults, chance, told, None
        self.deck, self.left_out = [], set()

    def draw(self):
        """Every fault comes before one comes again."""
        while True:
            if not self.deck:
                self.deck = sorted(self.faults)
                self.chance.shuffle(self.deck)
            if self.deck[-1] not in self.left_out:
                return self.deck.pop()
            self.deck.pop()

    def storm(self, until):
        try:
            while True:
                pause = self.chance.uniform(0.5, 6)
                seconds = self.chance.choice([self.chance.uniform(0.05, 1), self.chance.uniform(1, 7)])
                if time.monotonic() + pause + seconds > until:
                    return
                time.sleep(pause)
                what = self.draw()
                levels, do = self.faults[what]
                note = self.told.begin(self.name, what, levels)
                do(seconds, self.chance)
                self.told.end(note)
        except Exception as e:  # told by the storm's end, where it is raised again
            self.error = e


class Told:
    """What was done, and when: the story a fall is held against."""

    def __init__(self):
        self.notes, self.mutex = [], threading.Lock()

    def begin(self, lane, what, levels):
        with self.mutex:
            self.notes.append({"lane": lane, "what": what, "levels": levels, "from": time.time(), "to": None})
            return self.notes[-1]

    def end(self, note):
        note["to"] = time.time()

    def explains(self, at, level):
        return [n["what"] for n in self.notes if level in n["levels"] and n["from"] - 0.1 <= at <= (n["to"] or at) + AFTERMATH_S * SLOW]

    def counts(self):
        out = {}
        for n in self.notes:
            out[n["what"]] = out.get(n["what"], 0) + 1
        return dict(sorted(out.items()))


class Chaos:
    def __init__(self, world, seed, say=print):
        self.world, self.seed, self.say = world, seed, say
        self.told, self.exits, self.steady, self.back = Told(), [], [], []
        pg, kafka, net, knet = world.postgres, world.kafka, world.pg_net, world.kafka_net
        database = {"PostgreSQL killed": self.during(1, pg.kill, pg.start), "PostgreSQL frozen": self.during(1, pg.freeze, pg.thaw),
                    "PostgreSQL reset": self.during(1, world.gate.reset, world.gate.heal), "connections killed": self.connections_killed,
                    "PostgreSQL slow": self.slow, "commits hang": self.commits_hang, "rights revoked": self.rights_revoked, "few connections": self.few_connections}
        broker = {"Kafka killed": self.during(2, kafka.kill, kafka.start), "Kafka frozen": self.during(2, kafka.freeze, kafka.thaw),
                  "Kafka's advertised name": self.advertised_name}
        for name, way in (("packets dropped", "both"), ("requests lost", "in"), ("answers lost", "out")):
            if net:
                database[f"PostgreSQL's {name}"] = self.during(1, lambda way=way: net.drop(way), net.heal)
                broker[f"Kafka's {name}"] = self.during(2, lambda way=way: knet.drop(way), knet.heal)
        if world.disk:
            database["disk stands still"] = self.disk_stands_still
        if world.clock:
            database["clock jumps"] = self.clock_jumps
        # What was asked, and a new beginning, explain no fault.
        own = {"SIGTERM": (set(), self.sigterm), "SIGTERM again": (set(), self.sigterm), "kill -9": (set(), self.killed_daemon),
               "held back": (set(), self.held_back), "daemon frozen": ({1, 2, 3}, self.frozen_daemon),
               "no more files": ({1, 2, 3}, self.no_more_files), "no more memory": ({1, 2, 3}, self.no_more_memory)}
        # A broker's fall may come from the database: the relay reads from there.
        database = {k: ({1, 2}, v) for k, v in database.items()}
        broker = {k: ({2}, v) for k, v in broker.items()}
        # What makes them slow is no reason to fall.
        database["table locked"] = (set(), self.table_locked)
        broker["Kafka's quota"] = (set(), self.quota)
        self.lanes = [self.lane("database", database, 1), self.lane("broker", broker, 2), self.lane("daemon", own, 3)]

    def lane(self, name, faults, number):
        return Lane(name, faults, random.Random(self.seed * 10 + number), self.told)

    # Faults around it

    def during(self, level, begin, end):
        """Its server is away for so long, and from 3 s on until the daemon has given up `level`, as it must."""
        def do(seconds, chance):
            begin()
            try:
                time.sleep(seconds)
                if seconds >= 3:
                    wait_for(f"level {level} given up while its server is away", lambda: self.world.daemon.held() < level, 30)
            finally:
                end()
        return do

    def connections_killed(self, seconds, chance):
        n = chance.randint(1, 8)
        self.world.postgres.sql(f"select pg_terminate_backend(pid) from (select pid from pg_stat_activity where application_name like 'ratchetd chaos%' "
                                f"order by random() limit {n}) x")

    def slow(self, seconds, chance):
        self.world.gate.delay_s = chance.uniform(0.02, 0.3)
        time.sleep(seconds)
        self.world.gate.delay_s = 0.0

    def disk_stands_still(self, seconds, chance):
        self.world.disk.freeze(min(seconds, 4))
        self.world.disk.thawed()

    def clock_jumps(self, seconds, chance):
        self.world.clock.jump(chance.choice([-1, 1]) * chance.choice([2, 60, 3600, 86400]))
        time.sleep(seconds)

    def setting(self, sql):
        self.world.postgres.sql(f"alter system {sql}", db="postgres")
        self.world.postgres.sql("select pg_reload_conf()", db="postgres")

    def commits_hang(self, seconds, chance):
        """As with the only synchronous standby away: each commit is on disk and waits for a word that does not come."""
        self.setting("set synchronous_standby_names = 'nobody'")
        try:
            time.sleep(seconds)
        finally:
            self.setting("reset synchronous_standby_names")

    def rights_revoked(self, seconds, chance):
        self.world.postgres.sql("revoke ratchet_run from app")
        try:
            time.sleep(seconds)
        finally:
            self.world.postgres.sql("grant ratchet_run to app")

    def few_connections(self, seconds, chance):
        self.world.postgres.sql(f"alter role app connection limit {chance.randint(0, 4)}")
        try:
            self.connections_killed(seconds, chance)
            time.sleep(seconds)
        finally:
            self.world.postgres.sql("alter role app connection limit -1")

    def table_locked(self, seconds, chance):
        """A person's transaction has locked one of ours and stays open."""
        table = chance.choice(self.world.postgres.sql("select oid::regclass from pg_class where relnamespace = 'ratchet'::regnamespace and relkind in ('r', 'p') order by 1").split())
        self.world.postgres.sql(f"begin; lock table {table}; select pg_sleep({seconds}); rollback")

    def quota(self, seconds, chance):
        """The broker takes so many bytes a second from each client and makes those who send more wait."""
        words = ("kafka.admin.ConfigCommand", "--bootstrap-server", self.world.kafka.bootstrap, "--alter", "--entity-type", "clients", "--entity-default")
        self.world.kafka.java(*words, "--add-config", f"producer_byte_rate={chance.choice([5000, 50000])}")
        try:
            time.sleep(seconds)
        finally:
            self.world.kafka.java(*words, "--delete-config", "producer_byte_rate")

    def advertised_name(self, seconds, chance):
        """Started anew under a name that nobody else knows: it answers, but its partitions' leader cannot be reached."""
        kafka, before = self.world.kafka, self.world.kafka.config.read_text()
        kafka.config.write_text(before.replace(f"advertised.listeners=PLAINTEXT://{kafka.host}", "advertised.listeners=PLAINTEXT://kafka.invalid"))
        try:
            kafka.kill()
            kafka.start()
            time.sleep(seconds)
        finally:
            kafka.config.write_text(before)
            kafka.kill()
            kafka.start()

    # Faults of its own

    def sigterm(self, seconds, chance):
        """Asked to leave at any moment of climbing, serving or falling; once or twice; and started again."""
        begun_before = None
        for _ in range(chance.randint(1, 3)):
            d, begun = self.world.daemon, time.monotonic()
            d.terminate()
            if chance.random() < 0.3:
                time.sleep(chance.uniform(0, 1))
                d.terminate()
            code = d.wait(TOTAL_S + 60)
            if code == -signal.SIGTERM and self.beginnings() == begun_before:
                code = 0  # asked before it had begun: nobody took the signal yet
            self.exits.append((code, time.monotonic() - begun))
            begun_before = self.beginnings()
            d.start()
            time.sleep(chance.uniform(0, 2))

    def beginnings(self):
        return self.world.daemon.log_text().count(" notice starting ")

    def killed_daemon(self, seconds, chance):
        self.world.daemon.kill()
        self.world.daemon.start()

    def frozen_daemon(self, seconds, chance):
        pid = self.world.daemon.process.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)

    def limit(self, words, seconds, restore):
        pid = self.world.daemon.process.pid
        subprocess.run(["prlimit", "--pid", str(pid), words], check=True, capture_output=True)
        time.sleep(seconds)
        if self.world.daemon.process.poll() is None:
            subprocess.run(["prlimit", "--pid", str(pid), restore], check=True, capture_output=True)

    def no_more_files(self, seconds, chance):
        self.limit(f"--nofile={chance.choice([10, 40])}:", seconds, "--nofile=4096:")

    def no_more_memory(self, seconds, chance):
        size = self.memory_mib("VmSize")
        if size > 100_000:  # a sanitizer's address space: nothing to limit
            return
        self.limit(f"--as={(size + chance.choice([0, 1, 8])) * 2**20}:", seconds, "--as=unlimited:")
        self.restart_if_gone(-signal.SIGABRT)

    def held_back(self, seconds, chance):
        self.world.daemon.ctl("hold", chance.randint(0, 2), "--reason", "chaos", check=False)
        time.sleep(seconds)
        self.world.daemon.ctl("release", check=False)

    def restart_if_gone(self, *allowed):
        """As systemd would; no other end than these is one."""
        d = self.world.daemon
        if d.process.poll() is None:
            return
        assert d.process.returncode in allowed, f"gone with {d.process.returncode}\n{d.log_text()[-3000:]}"
        self.exits.append(("out of memory", 0))
        d.start()

    def memory_mib(self, what):
        status = Path(f"/proc/{self.world.daemon.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(what)) // 1024

    # The whole

    def calm(self, load):
        d, begun = self.world.daemon, time.monotonic()
        assert d.process.poll() is None, f"gone by itself, exit {d.process.returncode}\n{d.log_text()[-4000:]}"
        d.wait_level(3, CALM_S)
        self.back.append(time.monotonic() - begun)
        before = len(load.acknowledged)
        wait_for("events are taken again", lambda: len(load.acknowledged) > before + 20, CALM_S)
        wait_for("the pool is whole", lambda: d.metric("db_client_connection_count") == 8, CALM_S)
        self.steady.append((d.process.pid, self.memory_mib("VmRSS"), len(os.listdir(f"/proc/{d.process.pid}/fd"))))

    def run(self, seconds):
        world, end = self.world, time.monotonic() + seconds
        world.daemon.start().wait_level(3, CALM_S)
        load = Load(world.daemon.http_port, threads=6, pause_s=0.02, name="chaos").start()
        try:
            self.calm(load)
            while time.monotonic() < end:
                if time.monotonic() > end - seconds / 2:  # one process lives through the rest, and may not leak
                    self.lanes[-1].left_out = {"SIGTERM", "SIGTERM again", "kill -9"}
                self.storm(min(STORM_S, max(10, end - time.monotonic())))
                self.calm(load)
                self.say(f"{len(self.steady) - 1:3}: back after {self.back[-1]:.1f} s, acknowledged {len(load.acknowledged)}, steady {self.steady[-1]}")
        finally:
            load.stop()
        return load

    def storm(self, seconds):
        until = time.monotonic() + seconds
        threads = [threading.Thread(target=lane.storm, args=(until,), daemon=True) for lane in self.lanes]
        for t in threads:
            t.start()
        for t in threads:
            t.join(seconds + 180 * SLOW)
            assert not t.is_alive(), "a lane has not come to its end"
        for lane in self.lanes:
            if lane.error:
                raise lane.error

    def verdict(self, load):
        """Everything that is wrong, as lines; empty: nothing."""
        world, wrong = self.world, []

        def all_there(records):
            return len(records) >= len(load.acknowledged) and not judge(records, load)[0]
        records = world.kafka.consume("orders", all_there, 120)
        missing, inversions, duplicates = judge(records, load, unsure=load.unknown)
        self.say(f"acknowledged {len(load.acknowledged)}, in Kafka {len(records)}, missing {len(missing)}, inversions {inversions}, duplicates {duplicates}, "
                 f"outcome unknown {len(load.unknown)}, no answer {len(load.lost)}, answers {load.statuses}")
        if missing:
            wrong.append(f"acknowledged and missing: {len(missing)}")
        if inversions:
            wrong.append(f"inversions: {inversions}")
        if set(load.statuses) - {202, 503}:
            wrong.append(f"answers {load.statuses}")
        wrong += self.transitions()
        for code, took in self.exits:
            if code not in (0, 1, "out of memory") or took > (TOTAL_S + 2) * SLOW:
                wrong.append(f"SIGTERM: exit {code} after {took:.1f} s")
        return wrong + self.leaks()

    def transitions(self):
        watch = LadderWatch().read(self.world.daemon.log_text().splitlines())
        wrong = [f"{why}: {line}" for line, why in watch.wrong]
        for when, level, kind, cause in watch.faults:
            at = datetime.strptime(when, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc).timestamp()
            if not self.told.explains(at, level):
                wrong.append(f"nothing done explains: {when} level {level} {kind} {cause}")
        kinds = {}
        for _, level, kind, _ in watch.faults:
            kinds[f"{level} {kind}"] = kinds.get(f"{level} {kind}", 0) + 1
        self.say(f"runs {watch.runs}, transitions {watch.transitions}, falls {watch.falls}, faults {dict(sorted(kinds.items()))}")
        codes = {str(code): sum(c == code for c, _ in self.exits) for code, _ in self.exits}
        self.say(f"done {json.dumps(self.told.counts())}")
        self.say(f"exits {codes}, longest {max((t for _, t in self.exits), default=0):.1f} s; longest way back {max(self.back):.1f} s")
        if watch.falls == 0:
            wrong.append("no fall at all: that was no chaos")
        return wrong

    def leaks(self):
        """Of each process that lived through some calms: its last ones against its first."""
        wrong, lives = [], {}
        for pid, rss, fds in self.steady:
            lives.setdefault(pid, []).append((rss, fds))
        for pid, samples in lives.items():
            first, last = samples[:(len(samples) + 1) // 2], samples[len(samples) // 2:]
            if max(fds for _, fds in last) > max(fds for _, fds in first) + 15:
                wrong.append(f"files of {pid}: {samples}")
            if max(rss for rss, _ in last) > max(rss for rss, _ in first) + 40:
                wrong.append(f"memory of {pid}: {samples}")
        return wrong


def run(seed, seconds, say=print):
    """What is wrong, as lines."""
    print(f"RATCHET_SEED={seed}", flush=True)
    world = World()
    try:
        chaos = Chaos(world, seed, say)
        return chaos.verdict(chaos.run(seconds))
    except BaseException:
        print(f"--- log\n{world.daemon.log_text()[-6000:]}")
        raise
    finally:
        world.remove()


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=30)
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    options = options.parse_args()
    wrong = run(options.seed, options.minutes * 60, lambda line: print(line, flush=True))
    print("\n".join(wrong) if wrong else "nothing wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
