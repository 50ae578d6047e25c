"""Nothing acknowledged is lost, whatever is killed; and nobody notices that we leave. By hand: RATCHET_LOAD_S=60 for so many
seconds of load at least, RATCHET_ROUNDS=10 for so many SIGTERMs."""
import os
import time

import pytest
from conftest import migrated
from load import Load, judge

from tests.support.servers import Daemon

LOAD_S = float(os.environ.get("RATCHET_LOAD_S", "0"))
ROUNDS = int(os.environ.get("RATCHET_ROUNDS", "3"))


def everything(kafka, *loads):
    """All records once every acknowledged id is there (or the time is over: then judge() names the missing)."""
    def enough(records):
        return len(records) >= sum(len(load.acknowledged) for load in loads) and not judge(records, *loads)[0]
    return kafka.consume("orders", enough, 60)


@pytest.mark.sanitized
def test_every_acknowledged_event_arrives_in_order_whatever_is_killed(make, daemon, postgres, kafka):
    """PostgreSQL crashed, Kafka crashed, Kafka frozen, the daemon killed by kill -9: under load, one after the other."""
    load = Load(daemon.http_port, threads=16).start()

    def recovers():
        daemon.wait_level(3, 120)
        before = len(load.acknowledged)
        end = time.monotonic() + 60
        while len(load.acknowledged) < before + 500 and time.monotonic() < end:
            time.sleep(0.05)
        assert len(load.acknowledged) >= before + 500, daemon.levels()
        time.sleep(LOAD_S / 5)  # no synchronisation: only more load between the five faults

    recovers()
    postgres.kill()
    daemon.wait_level(0)
    postgres.start()
    recovers()
    kafka.kill()
    daemon.wait_level(1)
    kafka.start()
    recovers()
    kafka.freeze()
    daemon.wait_level(1)
    kafka.thaw()
    recovers()
    daemon.kill()
    daemon.start()
    recovers()
    load.stop()
    records = everything(kafka, load)
    missing, inversions, duplicates = judge(records, load)
    print(f"acknowledged {len(load.acknowledged)}, in Kafka {len(records)}, missing {len(missing)}, inversions {inversions}, duplicates {duplicates}, "
          f"outcome unknown to the client {len(load.unknown)}, answers {load.statuses}")
    assert not missing and inversions == 0
    assert set(load.statuses) <= {202, 503}
    assert daemon.stop() == 0


@pytest.mark.sanitized
@pytest.mark.parametrize("clients", [64])
def test_sigterm_under_load_fails_no_request(make, postgres, kafka, clients):
    """Keep-alive clients that honour `Connection: close` never lose a request, whenever SIGTERM comes; exit 0; one summary line."""
    loads = []
    for round_ in range(ROUNDS):
        d = make(Daemon, postgres.dsn("app"), kafka.bootstrap, service={"drain": {"lb_wait": "none"}})
        migrated(d, postgres).start().wait_level(3)
        load = Load(d.http_port, threads=clients, name=f"round-{round_}").start()
        loads.append(load)
        while len(load.acknowledged) < 500 + 100 * (round_ % 5):
            time.sleep(0.01)
        d.terminate()
        assert d.wait() == 0
        load.stop()
        assert load.lost == [], load.lost[:5]
        assert set(load.statuses) == {202}, load.statuses
        assert d.log_text().count("notice stopped ") == 1, d.log_text()[-2000:]
    make(Daemon, postgres.dsn("app"), kafka.bootstrap).start().wait_level(3)  # carries on what was committed and not yet published
    missing, inversions, _ = judge(everything(kafka, *loads), *loads)
    assert not missing and inversions == 0


def test_a_second_sigterm_skips_the_waits(daemon):
    load = Load(daemon.http_port, threads=4).start()
    while len(load.acknowledged) < 50:
        time.sleep(0.01)
    daemon.get("/ready", port=daemon.http_port)  # a balancer has been seen: the drain would wait for it
    daemon.terminate()
    time.sleep(0.2)  # not a synchronisation: whenever the second one comes, the same must hold
    daemon.terminate()
    assert daemon.wait(20) == 0
    load.stop()
    assert load.lost == []
