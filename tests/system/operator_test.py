"""What an operator does: check, hold, release, drain, pause, signals; and what systemd is told."""
import json
import os
import socket
import subprocess

import pytest
from conftest import migrated

from tests.support.servers import RATCHETCTL, RATCHETD, ROOT, Daemon, wait_for


def run(*args):
    return subprocess.run([str(a) for a in args], capture_output=True, text=True)


def test_five_mistakes_give_five_pointers_at_once(tmp_path):
    config = json.loads((ROOT / "config/smallest.json").read_text())
    config["servise"] = {}
    config["ops"] = {"listen": "nonsense"}
    config["database"]["pools"][next(iter(config["database"]["pools"]))]["size"] = "eight"
    config["routes"].append({"kind": "query", "path": "/x", "sql": "select 1"})
    config["routes"].append({"kind": "event", "path": "/ready", "topic": "t"})
    file = tmp_path / "bad.json"
    file.write_text(json.dumps(config))
    for verb in (["check"], []):
        done = run(RATCHETD, *verb, "--config", file)
        assert done.returncode == 78
        pool = next(iter(config["database"]["pools"]))
        for pointer in ("/servise", "/ops/listen", f"/database/pools/{pool}/size", "/routes/1/kind", "/routes/2/path"):
            assert pointer in done.stderr, done.stderr
        assert "service" in done.stderr and "not supported by this version" in done.stderr


def test_usage():
    assert run(RATCHETD, "--nonsense").returncode == 64
    assert run(RATCHETCTL, "hold", "7").returncode == 64
    assert run(RATCHETD, "--version").stdout.startswith("ratchetd 0.")
    assert run(RATCHETD, "check", "--config", ROOT / "config/ratchetd.json").returncode == 0
    assert run(RATCHETD, "--config", "/nowhere.json").returncode == 78
    assert run(RATCHETCTL, "--socket", "/nowhere.sock", "status").returncode == 69
    assert "service.listen" in run(RATCHETD, "reference").stdout
    import jsonschema
    schema = json.loads(run(RATCHETD, "reference", "--schema").stdout)
    for shipped in ("smallest", "ratchetd"):
        jsonschema.validate(json.loads((ROOT / f"config/{shipped}.json").read_text()), schema)


def test_migrate_is_rerunnable_and_says_when_nobody_is_there(make, postgres):
    d = make(Daemon, postgres.dsn(), "127.0.0.1:1")
    first, again = (run(RATCHETD, "migrate", "--config", d.config_file) for _ in range(2))
    assert first.returncode == again.returncode == 0
    assert run(RATCHETD, "migrate", "--config", d.config_file, "--dsn", "host=127.0.0.1 port=1 dbname=x").returncode == 69


@pytest.mark.sanitized
def test_hold_release_drain_and_relay_pause(daemon, kafka):
    assert daemon.ctl("hold", 1, "--reason", "maintenance of Kafka").returncode == 0
    daemon.wait_level(1)
    status = daemon.ctl("status").stdout
    assert "maintenance of Kafka" in status and "held_back" in status
    _, headers, _ = daemon.get("/ready")
    assert headers["Retry-After"] == "30"
    assert daemon.ctl("wait", "--level", 3, "--timeout", 1, check=False).returncode == 1
    assert daemon.ctl("release").returncode == 0
    assert daemon.ctl("wait", "--level", 3, "--timeout", 60).returncode == 0
    assert daemon.ctl("drain").returncode == 0
    daemon.wait_level(2)
    daemon.ctl("release")
    daemon.wait_level(3)

    daemon.ctl("relay", "pause")
    status, _, body = daemon.post("/events/orders", {"customer": "c"})
    assert status == 202
    wait_for("alarmed", lambda: any("relay" in a["id"] for a in daemon.levels()["alarms"]))
    wait_for("counted", lambda: daemon.metric("ratchet_outbox_unpublished_rows") == 1)
    daemon.ctl("relay", "resume")
    assert kafka.consume("orders", lambda rs: len(rs) == 1)


@pytest.mark.sanitized
def test_a_route_is_switched_off_and_on_while_it_serves(daemon):
    done = daemon.ctl("route", "off", "/events/orders", "--reason", "a loop in the shop")
    assert "is off" in done.stdout
    status, headers, body = daemon.post("/events/orders", {"customer": "c"})
    assert status == 503 and json.loads(body)["type"] == "urn:ratchetd:problem:route-off"
    wait_for("shown", lambda: "route.off./events/orders" in daemon.ctl("status").stdout)
    assert "a loop in the shop" in daemon.ctl("status").stdout
    assert daemon.metric("ratchet_rejected_total", reason="route-off") == 1
    assert daemon.held() == 3 and daemon.get("/ready")[0] == 200
    assert daemon.ctl("route", "on", "/events/orders").returncode == 0
    assert daemon.post("/events/orders", {"customer": "c"})[0] == 202
    wait_for("cleared", lambda: not [a for a in daemon.levels()["alarms"] if a["id"].startswith("route.")])
    wrong = daemon.ctl("route", "off", "/nowhere", check=False)
    assert wrong.returncode == 1 and "/nowhere" in wrong.stderr
    assert daemon.ctl("route", "away", "/events/orders", check=False).returncode == 64


def test_what_is_vital_and_missed_for_its_time_ends_the_process_with_75(make):
    d = make(Daemon, "host=127.0.0.1 port=1 dbname=x", "127.0.0.1:1", database={"pools": {"main": {"vital": {"exit_after_s": 1}}}})
    d.start()
    assert d.wait() == 75
    assert "exit code 75" in d.log_text()


def test_sighup_is_logged_and_changes_nothing(daemon):
    import signal
    daemon.process.send_signal(signal.SIGHUP)
    wait_for("logged", lambda: "SIGHUP" in daemon.log_text())
    assert daemon.held() == 3


def test_a_third_sigterm_leaves_at_once(make, postgres, kafka):
    d = make(Daemon, postgres.dsn("app"), kafka.bootstrap)
    migrated(d, postgres).start().wait_level(3)
    postgres.freeze()  # what hangs must not keep us
    # Signals that come together are one: asked again and again until it has gone.
    wait_for("gone", lambda: d.process.poll() is not None or d.terminate(), 30)
    assert d.wait() in (0, 1)
    postgres.thaw()


def test_systemd_is_told(make, postgres, kafka, tmp_path):
    """READY=1 at level 0 already, STATUS in people's words, WATCHDOG=1 while the loop turns, STOPPING=1 at the end."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(path)
        s.settimeout(30)
        d = make(Daemon, postgres.dsn("app"), kafka.bootstrap)
        d.start(env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1000000"})
        told = []

        def seen(what):
            while not any(what in t for t in told):
                told.append(s.recv(4096).decode())
            return True

        assert seen("READY=1") and d.held() == 0
        assert seen("STATUS=level 0: ") and seen("migrate") and seen("WATCHDOG=1")
        migrated(d, postgres)
        assert seen("STATUS=level 3: serving")
        d.terminate()
        assert seen("STOPPING=1")
        assert d.wait() == 0


def test_no_ipc_is_left_behind(make, postgres, kafka):
    d = make(Daemon, postgres.dsn("app"), kafka.bootstrap)
    migrated(d, postgres).start().wait_level(3)
    assert d.stop() == 0
    assert sorted(os.listdir(d.dir)) in (["control.sock.lock", "log", "ratchetd.json"], ["log", "ratchetd.json"])
