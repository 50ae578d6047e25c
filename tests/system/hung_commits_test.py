"""Commits that hang: the synchronous standby is away, the disk does not answer. Nothing acknowledged is missing, no connection
is piled up, and the operator is told why. By hand: RATCHET_AWAY_S=120 for so many seconds of posts without the standby."""
import os
import re
import threading
import time

from conftest import migrated
from hindrances import alarms
from load import Load, judge

from tests.support.servers import Daemon, Standby, wait_for

AWAY_S = float(os.environ.get("RATCHET_AWAY_S", "4"))
SIZE = 8
POOL = {"pools": {"main": {"size": SIZE, "statement_timeout_ms": 1000}}}
CAUSE = r"database main: (a commit hangs|\d commits hang) in the server, which waits for a synchronous standby \(SyncRep\) in backend \d+ \(.*\)"


class Watch:
    """Counts the instance's sessions in the server, all the time."""

    def __init__(self, postgres, instance="test-1"):
        self.postgres, self.name, self.most = postgres, f"ratchetd {instance}", 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def count(self, where="true"):
        return int(self.postgres.sql(f"select count(*) from pg_stat_activity where application_name = '{self.name}' and {where}"))

    def hung(self):
        return self.count("wait_event = 'SyncRep'")

    def run(self):
        while not self.stopping.wait(0.1):
            self.most = max(self.most, self.count())

    def stop(self):
        self.stopping.set()
        self.thread.join(60)
        return self.most

    def remove(self):
        self.stop()


def synchronous(postgres, standby):
    postgres.sql("alter system set synchronous_standby_names = '*'")
    postgres.sql("select pg_reload_conf()")
    wait_for("the standby is synchronous", lambda: postgres.sql("select count(*) from pg_stat_replication where sync_state = 'sync'") == "1")


def test_without_its_synchronous_standby_it_says_so_piles_up_nothing_and_is_back_with_it(make, postgres, kafka):
    d = migrated(make(Daemon, postgres.dsn("app"), kafka.bootstrap, database=POOL), postgres)
    standby = make(Standby, postgres).start()
    synchronous(postgres, standby)
    d.start().wait_level(3)
    watch = make(Watch, postgres)
    load = Load(d.http_port, threads=16, pause_s=0.01).start()
    wait_for("events taken", lambda: len(load.acknowledged) > 200)

    standby.freeze()
    wait_for("not ready", lambda: d.get("/ready")[0] == 503)
    wait_for("the alarm", lambda: re.fullmatch(CAUSE, alarms(d).get("pool.main.hung", {"text": ""})["text"]))
    assert "synchronous_standby_names" in alarms(d)["pool.main.hung"]["runbook"]
    d.wait_level(0)
    (one,) = [level for level in d.levels()["levels"] if level["level"] == 1]
    assert one["last_fault"]["kind"] == "standby_away" and re.fullmatch(CAUSE, one["last_fault"]["text"])
    hung = watch.hung()
    assert 1 <= hung <= 2, "what hung when it was found out; nothing is tried since"
    time.sleep(AWAY_S)  # posts without a standby
    assert watch.hung() == hung

    d.kill()  # and the next process finds what this one has left
    d.start()
    wait_for("the alarm of the new process", lambda: re.fullmatch(CAUSE, alarms(d).get("level.1", {"text": ""})["text"]))
    assert d.held() == 0 and watch.hung() == hung
    assert not any(a.startswith("relay") for a in alarms(d)), "the relay has no part in it"

    before = len(load.acknowledged)
    standby.thaw()
    back = time.monotonic()
    wait_for("events taken again", lambda: len(load.acknowledged) > before)
    print(f"serving {time.monotonic() - back:.1f} s after the standby was back; at most {watch.stop()} sessions of {SIZE}")
    assert watch.most <= SIZE
    wait_for("its alarm has ended", lambda: "pool.main.hung" not in alarms(d))
    load.stop()
    records = kafka.consume("orders", lambda rs: len(rs) >= len(load.acknowledged) and not judge(rs, load)[0], 60)
    missing, inversions, _ = judge(records, load)
    print(f"acknowledged {len(load.acknowledged)}, in Kafka {len(records)}, missing {len(missing)}, answers {load.statuses}")
    assert not missing and inversions == 0
    assert postgres.sql("select count(*) from pg_stat_activity where wait_event = 'SyncRep'") == "0"
