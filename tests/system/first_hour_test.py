"""docs/first-hour.md, followed word by word in a fresh root of a Debian release with a real systemd: level 3 behind HAProxy,
and a purge that leaves nothing running. RATCHET_ROOT names that root, RATCHET_DEB the package built for its release
(tests/run.sh --package makes both). Only Kafka is another one than the guide's: the embedded broker, at its own port."""
import os
import re
from pathlib import Path

import pytest

from tests.support import nspawn
from tests.support.embedded_broker import EmbeddedBroker
from tests.support.servers import ROOT, wait_for

DEB, BASE = os.environ.get("RATCHET_DEB"), os.environ.get("RATCHET_ROOT")
BLOCK = re.compile(r"```(json)?\n(.*?)```", re.S)
HAPROXY = "/etc/haproxy/haproxy.cfg"

why_not = nspawn.missing() or (None if DEB and BASE else "RATCHET_DEB and RATCHET_ROOT name no package and no root")
pytestmark = pytest.mark.skipif(why_not is not None, reason=f"the first hour: {why_not}")


@pytest.fixture
def broker():
    b = EmbeddedBroker().start()
    yield b
    b.remove()


@pytest.fixture
def machine():
    m = nspawn.Machine(BASE)
    yield m
    m.remove()


def typed(machine, line, timeout=600):
    print(f"# {line}")
    done = machine.run("env", "-i", "HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive",
                       "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "bash", "-c", f"cd /root && {line}", timeout=timeout)
    print(done.stdout[-2000:])
    return done.stdout


def follow(machine, broker):
    """Every block of the guide, in its order."""
    answers = []
    for kind, text in BLOCK.findall((ROOT / "docs/first-hour.md").read_text()):
        text = text.replace("127.0.0.1:9092", broker.bootstrap)
        if kind == "json":
            machine.write("/etc/ratchetd/ratchetd.json", text)
        elif text.startswith("frontend "):
            machine.write(HAPROXY, (machine.root / HAPROXY.lstrip("/")).read_text() + "\n" + text)
        else:
            answers += [typed(machine, line) for line in text.splitlines() if not line.startswith("kafka-")]
            if "systemctl reload haproxy" in text:  # what was asked before HAProxy had heard of us is asked again
                answers.pop()
                wait_for("an event through HAProxy", lambda: " 202 " in typed(machine, text.splitlines()[-1]), 30)
    return answers


def test_the_guide_leads_behind_haproxy_and_the_purge_back(machine, broker):
    machine.put(DEB, f"/root/{Path(DEB).name}", 0o644)
    typed(machine, "apt-get update -q")
    answers = follow(machine, broker)
    assert any(" 202 " in a for a in answers)
    assert any("level 3 of 3" in a for a in answers)
    typed(machine, "apt-get purge -y ratchetd")
    assert machine.run("pgrep", "-x", "ratchetd", check=False).returncode == 1
    for left in ("etc/ratchetd", "var/lib/ratchetd", "run/ratchetd", "usr/lib/ratchetd"):
        assert not (machine.root / left).exists(), left
    assert machine.run("getent", "passwd", "ratchetd", check=False).returncode != 0
