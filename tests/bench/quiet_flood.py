"""How health and events are answered while one attacker opens connections that never send a byte, as fast as it can, on both
ports. Prints; asserts nothing. usage: RATCHET_BUILD=build/release tests/bench/quiet_flood.py [seconds for each port]"""
import os
import socket
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))
from conftest import migrated, prepared  # noqa: E402

from tests.support.servers import Daemon, EmbeddedBroker, Postgres  # noqa: E402

HELD = 1500


class Flood(threading.Thread):
    def __init__(self, *ports):
        super().__init__(daemon=True)
        self.ports, self.opened, self.ending = ports, 0, False

    def run(self):
        held = []
        while not self.ending:
            for port in self.ports:
                try:
                    held.append(socket.create_connection(("127.0.0.1", port), timeout=5))
                    self.opened += 1
                except OSError:
                    pass
            while len(held) > HELD:
                held.pop(0).close()


def asked(daemon, port, seconds):
    took, failed, end = [], 0, time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.monotonic()
        failed += daemon.get("/ready", port)[0] != 200
        took.append((time.monotonic() - start) * 1e3)
    took.sort()
    return f"{len(took)} asked, {failed} not 200, p50 {took[len(took) // 2]:.1f} ms, p99 {took[int(len(took) * 0.99)]:.1f} ms"


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 8
    postgres, broker = prepared(Postgres().start()), EmbeddedBroker("orders")
    daemon = Daemon(postgres.dsn("app"), broker.bootstrap, service={"limits": {"connections": 500}})
    try:
        migrated(daemon, postgres).start().wait_level(3)
        before = daemon.rss_mib()
        print(f"files at level 3: {len(os.listdir(f'/proc/{daemon.process.pid}/fd'))}")
        flood = Flood(daemon.http_port, daemon.ops_port)
        flood.start()
        print(f"/ready, service port: {asked(daemon, daemon.http_port, seconds)}")
        print(f"/ready, ops port: {asked(daemon, daemon.ops_port, seconds)}")
        answers = [daemon.post("/events/orders", {"customer": "c"})[0] for _ in range(200)]
        print(f"posts: { {a: answers.count(a) for a in answers} }; {flood.opened} connections opened; RSS {before:.1f} -> {daemon.rss_mib():.1f} MiB")
        flood.ending = True
    finally:
        daemon.remove()
        broker.remove()
        postgres.remove()


main()
