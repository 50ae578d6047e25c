"""See fleet.py. RATCHET_FLEET_ROUNDS=30: the long shape."""
import os
import time

import pytest
from conftest import migrated
from fleet import Fleet, Traffic, rounds_of

from tests.support.embedded_broker import EmbeddedBroker
from tests.support.haproxy import Haproxy
from tests.support.servers import Daemon, wait_for

ROUNDS = int(os.environ.get("RATCHET_FLEET_ROUNDS", "0"))


@pytest.fixture(scope="module")
def broker():
    b = EmbeddedBroker().start()
    yield b
    b.remove()


def run(make, postgres, broker, mechanism, rounds, rest_s=0.3):
    fleet = Fleet(make, postgres, broker, mechanism, size=6 if ROUNDS else 4).start()
    traffic = Traffic(fleet.lb.port).start()
    try:
        rounds_of(fleet, traffic, ROUNDS or rounds, rest_s)
    finally:
        traffic.stop()
    print(fleet.report(traffic))
    for line in fleet.summaries():
        print(line[-400:])
    assert not traffic.failed, fleet.report(traffic)
    assert traffic.ok > 100
    return fleet


@pytest.mark.parametrize("mechanism", ["404", "agent", "runtime", "no-state"])
def test_nobody_notices(make, session_postgres, broker, mechanism):
    run(make, session_postgres, broker, mechanism, 3)


def test_nobody_notices_503(make, session_postgres, broker):
    run(make, session_postgres, broker, "503", 2)


def test_nobody_notices_at_the_pace_of_nginx(make, session_postgres, broker):
    """Whom nginx has found closed it leaves alone for fail_timeout (2 s): removals further apart than that."""
    run(make, session_postgres, broker, "nginx", 2, rest_s=2.5)


def test_a_kill_loses_what_was_in_flight_and_nothing_once_haproxy_knows(make, session_postgres, broker):
    """Until HAProxy has seen it, without retries, it says 503 for connections that are refused: nothing was sent."""
    fleet = Fleet(make, session_postgres, broker, "503").start()
    traffic = Traffic(fleet.lb.port).start()
    kills = max(1, ROUNDS // 10)
    for n in range(kills):
        i = n % len(fleet.daemons)
        before = sum(traffic.failed.values())
        fleet.daemons[i].kill()
        fleet.lb.wait_status(f"s{i}", "DOWN")
        lost = sum(traffic.failed.values()) - before
        fleet.add(i)
        time.sleep(0.3)
        settled = sum(traffic.failed.values())
        time.sleep(1)
        assert sum(traffic.failed.values()) == settled, (lost, traffic.failed)
    traffic.stop()
    print(f"kills {kills}: {fleet.report(traffic)}")
    in_flight = sum(n for why, n in traffic.failed.items() if ": 503 " not in why)
    assert in_flight <= kills * len(traffic.threads), traffic.failed


def test_an_idle_stop_waits_for_nobody(make, session_postgres, broker):
    d = make(Daemon, session_postgres.dsn("app"), broker.bootstrap)
    migrated(d, session_postgres)
    took = []
    for _ in range(3):
        d.start().wait_level(3)
        began = time.monotonic()
        assert d.stop() == 0
        took.append(time.monotonic() - began)
    print(f"idle stops: {', '.join(f'{t:.3f}' for t in took)} s")
    assert d.log_text().count("(nobody probes)") == d.log_text().count("late 0 ms (no connection)") == 3


def test_a_stop_says_once_what_it_waits_for_and_a_second_signal_ends_it(make, session_postgres, broker):
    d = migrated(make(Daemon, session_postgres.dsn("app"), broker.bootstrap), session_postgres).start().wait_level(3)
    assert d.get("/ready", d.http_port)[0] == 200
    said = lambda: [line for line in d.log_text().splitlines() if "leaving level 3 takes a while" in line]  # noqa: E731
    d.terminate()
    wait_for("it says what it waits for", said)
    assert "127.0.0.1 asks /ready" in said()[0] and "at_most_ms=" in said()[0] and "a second SIGTERM or Ctrl-C" in said()[0]
    d.terminate()
    assert d.wait() == 0
    assert len(said()) == 1 and "(out of patience)" in d.log_text()


def test_a_haproxy_that_is_not_listed_is_waited_for_by_its_pace_and_one_notice_says_so(make, session_postgres, broker):
    d = make(Daemon, session_postgres.dsn("app"), broker.bootstrap, service={"balancers": ["192.0.2.1"]})
    migrated(d, session_postgres).start().wait_level(3)
    make(Haproxy, ["option httpchk GET /ready", "http-check send-state", f"server s1 127.0.0.1:{d.http_port} check inter 100ms"]).start()
    said = lambda: [line for line in d.log_text().splitlines() if "word is not heard" in line]  # noqa: E731
    wait_for("the notice", said)
    assert "address=127.0.0.1" in said()[0] and "key=service.balancers" in said()[0]
    assert d.stop() == 0
    assert len(said()) == 1 and "(4 probe intervals)" in d.log_text()


def test_a_probe_secret_that_cannot_be_had_is_alarmed_and_then_heard_with(make, session_postgres, broker, tmp_path):
    file = tmp_path / "probe"
    d = make(Daemon, session_postgres.dsn("app"), broker.bootstrap, service={"probe_secret": {"file": str(file)}})
    migrated(d, session_postgres).start().wait_level(3)
    lb = make(Haproxy, ["option httpchk", "http-check send-state", "http-check disable-on-404", "http-check send meth GET uri /ready hdr X-Ratchetd-Probe sesame",
                        f"server s1 127.0.0.1:{d.http_port} check inter 100ms"], forwardfor=False).start()
    alarm = lambda: next((a["text"] for a in d.levels()["alarms"] if a["id"] == "service.probe-secret"), None)  # noqa: E731
    assert "No such file" in wait_for("the alarm", alarm)
    wait_for("the notice", lambda: "key=service.probe_secret" in d.log_text())
    file.write_text("sesame\n")
    wait_for("the alarm is gone", lambda: alarm() is None)
    wait_for("HAProxy sends", lambda: lb.status("s1") == "UP")
    assert d.stop() == 0
    assert "1 node stopped and idle" in d.log_text() and "sesame" not in d.log_text()
