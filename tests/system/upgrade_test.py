"""The Debian package in a real systemd: installed, configured by the first-hour guide's order, upgraded under load, purged.
RATCHET_DEB names a package built for this machine's release (tests/run.sh --package does)."""
import os
import re
import subprocess
from pathlib import Path

import pytest
from conftest import prepared

from tests.support import nspawn
from tests.support.hammer import Hammer
from tests.support.servers import ROOT, Kafka, Postgres, free_ports, wait_for

DEB = os.environ.get("RATCHET_DEB")
UNIT = "ratchetd.service"
UPGRADES = int(os.environ.get("RATCHET_UPGRADES", "2"))

why_not = nspawn.missing() or (None if DEB else "RATCHET_DEB names no package")
pytestmark = pytest.mark.skipif(why_not is not None, reason=f"the package in a real systemd: {why_not}")


def newer(deb, version, folder):
    """The same package, but of that version."""
    subprocess.run(["dpkg-deb", "-R", deb, folder / version], check=True)
    control = folder / version / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {version}", control.read_text()))
    made = folder / f"ratchetd_{version}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", folder / version, made], check=True, capture_output=True)
    return made


@pytest.fixture(scope="module")
def world():
    postgres = prepared(Postgres().start())
    broker = Kafka().start(topics=["orders"])
    machine = nspawn.Machine()
    yield postgres, broker, machine
    machine.remove()
    broker.remove()
    postgres.remove()


def install(machine, deb):
    machine.put(deb, "/root/ratchetd.deb", 0o644)
    return machine.run("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "-i", "/root/ratchetd.deb")


def test_install_configure_upgrade_under_load_purge(world, tmp_path):
    postgres, broker, machine = world
    (machine.root / "usr/sbin/policy-rc.d").unlink(missing_ok=True)  # some builders forbid starting services
    install(machine, DEB)
    # Not configured: not started, not failed.
    assert machine.show(UNIT, "ActiveState") == "inactive" and machine.show(UNIT, "ConditionResult") == "no"
    assert machine.systemctl("is-enabled", UNIT).stdout.strip() == "enabled"

    guide = (ROOT / "docs/first-hour.md").read_text()
    configuration = re.search(r"```json\n(.*?)```", guide, re.S)[1]
    port, ops = free_ports(2)
    configuration = configuration.replace("host=/run/postgresql dbname=app user=ratchetd", postgres.dsn("app")).replace("127.0.0.1:9092", broker.bootstrap)
    configuration = configuration.replace('"service": {', f'"ops": {{ "listen": "127.0.0.1:{ops}" }},\n  "service": {{ "listen": "127.0.0.1:{port}", ')
    machine.write("/etc/ratchetd/ratchetd.json", configuration)
    machine.run("ratchetd", "check")
    machine.run("ratchetd", "migrate", "--dsn", postgres.dsn())
    postgres.sql("grant ratchet_run to app")
    machine.systemctl("start", UNIT)
    machine.run("ratchetctl", "wait", "--level", "3", "--timeout", "60")

    with Hammer(port, fresh=4, keep=4) as load:
        wait_for("load", lambda: load.done > 200)
        for n in range(1, UPGRADES + 1):
            before = machine.show(UNIT, "MainPID")
            install(machine, newer(DEB, f"99.{n}", tmp_path))
            assert machine.show(UNIT, "MainPID") != before
            machine.run("ratchetctl", "wait", "--level", "3", "--timeout", "60")
            done = load.done
            wait_for("served again", lambda: load.done > done + 100)
    print(f"{UPGRADES} upgrades: {load.done} requests, {len(load.failures)} failed, longest {load.longest * 1000:.0f} ms")
    assert load.failures == [], f"{load.failures[:5]}\n{machine.journal(UNIT)[-3000:]}"

    machine.run("dpkg", "--purge", "ratchetd")
    left = machine.run("find", "/etc", "/usr", "/lib/systemd", "/var/lib", "/run", "-xdev", "-name", "*ratchetd*", "-not", "-path", "/usr/share/doc/*",
                       "-not", "-path", "/var/lib/systemd/*").stdout.split()
    assert left == [], left
    assert not any(":0A" in line and f":{port:04X} " in line for line in Path("/proc/net/tcp").read_text().splitlines())
