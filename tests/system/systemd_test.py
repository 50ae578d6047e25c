"""Restart, stop, crash and freeze inside a real systemd (PID 1 in a container), under load. The short shape; by hand:
RATCHET_RESTARTS=20 for the long one."""
import os
import signal
import time
from pathlib import Path

import pytest
from conftest import prepared

from tests.support import nspawn
from tests.support.hammer import Hammer
from tests.support.servers import BUILD, Daemon, Kafka, Postgres, wait_for

RESTARTS = int(os.environ.get("RATCHET_RESTARTS", "3"))
UNIT = "ratchetd.service"

why_not = nspawn.missing()
pytestmark = pytest.mark.skipif(why_not is not None, reason=f"a real systemd: {why_not}")


class Service(Daemon):
    """The same daemon, but systemd runs it."""

    def __init__(self, machine, dsn, bootstrap):
        super().__init__(dsn, bootstrap, ops={"control": "/run/ratchetd/control.sock"})
        self.machine = machine

    def systemctl(self, verb):
        began = time.monotonic()
        self.machine.systemctl(verb, UNIT)
        return time.monotonic() - began

    def log_text(self):
        return self.machine.journal(UNIT)

    def main_pid(self):
        """As seen from out here; 0: none."""
        inside = int(self.machine.show(UNIT, "MainPID"))
        if inside == 0:
            return 0
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                text = status.read_text()
            except OSError:
                continue
            if f"\t{inside}\n" in text.split("NSpid:")[1] and text.startswith("Name:\tratchetd\n"):
                return int(status.parent.name)
        return 0

    def listening(self):
        wanted = f":{self.http_port:04X} "
        return [line for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if wanted in line.split(None, 2)[1] + " " and line.split()[3] in ("0A", "03")]


@pytest.fixture(scope="module")
def service():
    postgres = prepared(Postgres().start())
    broker = Kafka().start(topics=["orders"])
    machine = nspawn.Machine()
    made = Service(machine, postgres.dsn("app"), broker.bootstrap)
    try:
        made.migrate(postgres.dsn())
        postgres.sql("grant ratchet_run to app")
        machine.install(BUILD)
        machine.write("/etc/ratchetd/ratchetd.json", made.config_file.read_text())
        machine.write(f"/etc/systemd/system/{UNIT}.d/test.conf", "[Service]\nWatchdogSec=3\n")
        machine.systemctl("daemon-reload")
        yield made
    finally:
        made.remove()
        machine.remove()
        broker.remove()
        postgres.remove()


@pytest.fixture
def started(service):
    service.systemctl("start")
    service.wait_level(3)
    return service


def test_a_start_is_ready_and_says_what_it_does(started):
    assert started.machine.show(UNIT, "ActiveState") == "active"
    wait_for("status", lambda: started.machine.show(UNIT, "StatusText").startswith("level 3: serving"))
    assert started.machine.show(UNIT, "NFileDescriptorStore") == "1"


def test_restarts_under_load_fail_nobody(started, record_property):
    stops = []
    with Hammer(started.http_port, fresh=4, keep=4) as load:
        wait_for("load", lambda: load.done > 200)
        for _ in range(RESTARTS):
            stops.append(started.systemctl("restart"))
            started.wait_level(3)
            before = load.done
            wait_for("served again", lambda: load.done > before + 100)
    text = f"{RESTARTS} restarts: {load.done} requests, {len(load.failures)} failed, longest {load.longest * 1000:.0f} ms, systemctl restart {max(stops) * 1000:.0f} ms at most"
    print(text)
    record_property("figures", text)
    assert load.failures == [], f"{load.failures[:5]}\n{started.log_text()[-3000:]}"
    assert started.log_text().count("the port was kept over a restart") >= RESTARTS
    assert started.machine.show(UNIT, "NRestarts") == "0"


def test_ratchetctl_restarts_the_unit_it_talks_to(started):
    old = started.main_pid()
    started.machine.run("ratchetctl", "restart")
    back(started, old)
    told = started.machine.run("setpriv", "--reuid=ratchetd", "--regid=ratchetd", "--clear-groups", "ratchetctl", "restart", check=False)
    assert told.returncode == 1 and f"systemctl restart {UNIT}" in told.stderr


def test_a_stop_leaves_nothing_listening(started):
    with Hammer(started.http_port, keep=2):
        took = started.systemctl("stop")
        print(f"stop {took * 1000:.0f} ms")
        assert started.listening() == []
    assert started.machine.show(UNIT, "Result") == "success"
    assert started.machine.show(UNIT, "NFileDescriptorStore") == "0"
    assert "level 3 drained" in started.log_text()


def back(service, old):
    wait_for("a new process", lambda: service.main_pid() not in (0, old))
    service.wait_level(3)


def test_kill_9_costs_only_what_was_in_flight(started):
    old = started.main_pid()
    with Hammer(started.http_port, fresh=4, keep=4) as load:
        wait_for("load", lambda: load.done > 200)
        os.kill(old, signal.SIGKILL)
        back(started, old)
        before = load.done
        wait_for("served again", lambda: load.done > before + 100)
    print(f"kill -9: {load.done} requests, {len(load.failures)} failed, longest {load.longest * 1000:.0f} ms")
    assert len(load.failures) <= 8, load.failures  # one for each client at most
    assert not any("refused" in what.lower() for _, what in load.failures), load.failures
    wait_for("evidence", lambda: list((started.machine.root / "var/lib/ratchetd-evidence").glob("*/journal")))


def test_a_frozen_daemon_is_killed_and_back(started):
    old = started.main_pid()
    os.kill(old, signal.SIGSTOP)
    back(started, old)
    assert "Watchdog timeout" in started.log_text()


def test_no_start_limit_is_hit(started):
    for _ in range(8):
        started.systemctl("restart")
    started.wait_level(3)
    assert "start-limit" not in started.log_text()
