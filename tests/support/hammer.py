"""Closed-loop clients that never forgive: whatever is not the wanted answer is a failure, also a refused connection."""
import http.client
import threading
import time


class Hammer:
    """`fresh` clients connect for every request; `keep` clients keep their connection until told `Connection: close`."""

    def __init__(self, port, fresh=0, keep=0, path="/events/orders", body=b'{"customer":"c-1"}', wanted=202, pause_s=0.0):
        self.port, self.path, self.body, self.wanted, self.pause_s = port, path, body, wanted, pause_s
        self.done, self.longest, self.failures = 0, 0.0, []
        self.mutex, self.stopping = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self.client, args=(kept,), daemon=True) for kept in [False] * fresh + [True] * keep]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for t in self.threads:
            t.join(60)

    def client(self, kept):
        connection = None
        while not self.stopping.is_set():
            began, what, used = time.monotonic(), None, connection is not None
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
                connection.request("POST", self.path, self.body, {"Content-Type": "application/json", **({} if kept else {"Connection": "close"})})
                answer = connection.getresponse()
                answer.read()
                if answer.status != self.wanted:
                    what = str(answer.status)
                if answer.will_close or not kept:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as e:
                what = f"{'used' if used else 'new'} connection: {e!r}"
                connection = None
            took = time.monotonic() - began
            with self.mutex:
                self.done += 1
                self.longest = max(self.longest, took)
                if what:
                    self.failures.append((round(began, 3), what))
            if what or self.pause_s:
                time.sleep(max(self.pause_s, 0.02 if what else 0))
