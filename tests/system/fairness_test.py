"""Health answers while everybody is busy. RATCHET_BUSY: how many connections (CI 600; 9900 is the long shape, under the limit of 10,000)."""
import os
import resource
import selectors
import socket
import threading
import time
import urllib.request

from tests.support.servers import SLOW, wait_for

BUSY = int(os.environ.get("RATCHET_BUSY", "600"))
ROUNDS = 25
NOBODY = b"GET /nobody HTTP/1.1\r\nHost: a\r\n\r\n"
HALF = b"POST /events/orders HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n{"


class Crowd:
    """Half of its connections ask without a pause, the other half are in the middle of a body that grows."""

    def __init__(self, port, size):
        self.asking, self.stopping = selectors.DefaultSelector(), threading.Event()
        self.halves, self.answers = [], 0
        for i in range(size):
            s = socket.create_connection(("127.0.0.1", port), timeout=20 * SLOW)
            if i % 2:
                s.sendall(NOBODY)
                self.asking.register(s, selectors.EVENT_READ)
            else:
                s.sendall(HALF)
                self.halves.append(s)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stopping.is_set():
            for key, _ in self.asking.select(0.1):
                if key.fileobj.recv(65536):
                    self.answers += 1
                    key.fileobj.sendall(NOBODY)
                else:
                    self.asking.unregister(key.fileobj)
            for s in self.halves[:: max(1, len(self.halves) // 50)]:
                s.send(b" ")

    def remove(self):
        self.stopping.set()
        self.thread.join(20)
        for s in self.halves + [key.fileobj for key in list(self.asking.get_map().values())]:
            s.close()


def test_health_answers_on_both_ports_while_all_connections_are_busy(make, daemon):
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    daemon.stop()
    daemon.merge(daemon.config, {"service": {"limits": {"body_wait_ms": 600_000, "request_ms": 600_000}}})
    daemon.start().wait_level(3)
    crowd = make(Crowd, daemon.http_port, BUSY)
    wait_for("the crowd is served", lambda: crowd.answers > BUSY)
    worst = {}
    for _ in range(ROUNDS):
        for port in (daemon.http_port, daemon.ops_port):
            for page in ("/live", "/ready"):
                began = time.monotonic()
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}", timeout=20 * SLOW) as answer:
                    assert answer.status == 200
                place = f"{'service' if port == daemon.http_port else 'ops'}{page}"
                worst[place] = max(worst.get(place, 0), time.monotonic() - began)
    before = crowd.answers
    wait_for("the crowd is still served", lambda: crowd.answers > before + BUSY)
    print(f"{BUSY} busy connections, {crowd.answers} answers; slowest " + ", ".join(f"{k} {v * 1000:.1f} ms" for k, v in sorted(worst.items())))
    assert daemon.held() == 3
