"""Stops seen from afar: 20 ms of round-trip time and clients that hammer to the end. What is on its way when the port
closes must not be lost. RATCHET_FAR_STOPS=200: the long shape."""
import json
import os
import subprocess
import sys
import time

import pytest
from conftest import migrated

from tests.support.embedded_broker import EmbeddedBroker
from tests.support.faults import Net, missing_for_networks
from tests.support.servers import BUILD, ROOT, Daemon, wait_for

STOPS = int(os.environ.get("RATCHET_FAR_STOPS", "10"))
missing = missing_for_networks() or (None if os.path.exists("/dev/net/tun") else "no /dev/net/tun")
pytestmark = pytest.mark.skipif(missing is not None, reason=str(missing))


class FarAway:
    """A network whose every packet takes 10 ms to us, and as long back."""

    def __init__(self):
        self.net = Net()
        a, b, c, last = self.net.address.split(".")
        self.ours, self.theirs = f"10.214.{c}.{int(last) - 1}", f"10.214.{c}.{last}"
        self.link = subprocess.Popen([str(BUILD / "tests/support/delay_link"), self.net.name, self.ours, self.theirs, "10"],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.link.stdout.readline() == "up\n"

    def remove(self):
        self.link.stdin.close()
        self.link.wait(30)
        self.net.remove()


def test_stops_at_20_ms_lose_nothing(make, session_postgres):
    broker = make(EmbeddedBroker).start()
    far = make(FarAway)
    d = make(Daemon, session_postgres.dsn("app"), broker.bootstrap)
    d.config["service"].update(listen=f"{far.ours}:{d.http_port}", drain={"lb_wait": "none"})  # the port closes at once
    migrated(d, session_postgres)
    answered, failed, took = {}, {}, []
    for _ in range(STOPS):
        d.start().wait_level(3)
        hammer = subprocess.Popen([*far.net.inside, sys.executable, str(ROOT / "tests/support/far_hammer.py"), far.ours, str(d.http_port), "64"],
                                  stdout=subprocess.PIPE, text=True)
        wait_for("requests", lambda: (d.metric("http_server_request_duration_seconds_count") or 0) > 150)
        began = time.monotonic()
        d.terminate()
        books = json.loads(hammer.communicate(timeout=60)[0])
        assert d.wait() == 0
        took.append(time.monotonic() - began)
        for total, part in ((answered, books["answered"]), (failed, books["failed"])):
            for what, n in part.items():
                total[what] = total.get(what, 0) + n
    print(f"{STOPS} stops: answered {answered}, failed {failed}, longest stop {max(took):.2f} s")
    print("\n".join(line[-300:] for line in d.log_text().splitlines() if "level 3 drained" in line))
    assert not failed and set(answered) == {"202"}, (answered, failed)
