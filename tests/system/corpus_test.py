"""The corpus of smuggling and malformed requests against our real port and a real nginx: what we execute is what nginx executes, or
we refuse. Each case says what must become of it:
  execute   the requests that reach the service, in order: [method, path, body]
  refuse    then: the status of the answer that ends the connection
  waits     then: nothing, more bytes are awaited
  nginx     why nginx executes fewer requests of it than we do; without it, what we execute must be the beginning of what nginx executes
RATCHET_CORPUS=all cuts every case at every byte (CI: at some, and at all at once)."""
import json
import os
import re
import socket
from collections import Counter
from pathlib import Path

import pytest
from conftest import migrated

from tests.support.nginx import Nginx, Recorder
from tests.support.servers import SLOW, Daemon, wait_for

FILE = Path(__file__).resolve().parents[1] / "corpus" / "requests.json"
CASES = json.loads(FILE.read_text())
AT_ONCE = 128  # connections
CUTS = 0 if os.environ.get("RATCHET_CORPUS") == "all" else 6


def bytes_of(case):
    return b"".join(p.encode("latin-1") if isinstance(p, str) else p[0].encode("latin-1") * p[1] for p in case["bytes"])


@pytest.fixture(scope="module")
def daemon(session_postgres, session_kafka):
    session_kafka.create_topic("corpus", partitions=1, max_message_bytes=4_000_000)  # no record of it is too large, so bodies are judged by the port alone
    d = Daemon(session_postgres.dsn("app"), session_kafka.bootstrap, routes=[{"kind": "event", "path": "/e", "topic": "corpus"}], log={"access": True})
    migrated(d, session_postgres).start().wait_level(3)
    yield d
    d.remove()


@pytest.fixture(scope="module")
def nginx():
    backend = Recorder()
    server = Nginx(f"client_max_body_size 1m; location / {{ proxy_pass http://127.0.0.1:{backend.port}; proxy_ignore_client_abort on; }}").start()
    yield server, backend
    server.remove()
    backend.remove()


class Run:
    """One connection: its pieces go out one per turn, then it says that no more follow, and takes what comes."""

    def __init__(self, port, pieces):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20 * SLOW)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pieces, self.answer, self.ended = list(pieces), b"", False

    def turn(self):
        if self.pieces:
            try:
                self.socket.sendall(self.pieces.pop(0))
                if not self.pieces:
                    self.socket.shutdown(socket.SHUT_WR)
            except OSError:  # refused before all of it was sent
                self.pieces = []
        return bool(self.pieces)

    def finish(self):
        try:
            while got := self.socket.recv(65536):
                self.answer += got
        except ConnectionResetError:
            pass
        self.socket.close()
        return self.answer


def exchange(port, runs):
    """The bytes that came back on each of many connections at once."""
    answers = []
    for first in range(0, len(runs), AT_ONCE):
        batch = [Run(port, pieces) for pieces in runs[first:first + AT_ONCE]]
        left = batch
        while left:
            left = [run for run in left if run.turn()]
        answers += [run.finish() for run in batch]
    return answers


def statuses(answer, methods):
    """The answers on one connection, 100 Continue left out; those to HEAD have no body."""
    found, methods = [], list(methods)
    while answer:
        head, end, rest = answer.partition(b"\r\n\r\n")
        assert end and head.startswith(b"HTTP/1.1 "), answer[:200]
        status = int(head[9:12])
        if status != 100:
            length = int(re.search(rb"(?i)\r\ncontent-length: (\d+)", head)[1])
            found.append(status)
            rest = rest if methods and methods.pop(0) == "HEAD" else rest[length:]
        answer = rest
    return found


def split(data, cuts):
    edges = [0, *cuts, len(data)]
    return [data[a:b] for a, b in zip(edges, edges[1:])]


class AccessLog:
    """What reached the service: the log is written in order, so whatever was executed stands before a request that is sent afterwards."""

    def __init__(self, daemon):
        self.daemon, self.file = daemon, open(daemon.dir / "log", encoding="latin-1")
        self.marks = 0

    def take(self):
        """[method, path] of the requests since the last call."""
        self.marks += 1
        mark = ["GET", f"/mark-{self.marks}"]
        self.daemon.get(mark[1], port=self.daemon.http_port)
        lines = []

        def marked():
            lines.extend(list(m) for m in re.findall(r"request\b.*?\bmethod=(\S+) path=(\S+)", self.file.read()))
            return mark in lines

        wait_for("the log's line", marked)
        return lines[:-1]


def expected_events(case):
    return [body for method, path, body in case["execute"] if (method, path) == ("POST", "/e") and is_json(body)]


def is_json(text):
    try:
        json.loads(text)
        return True
    except ValueError:
        return False


def judge(case, answer, log):
    expected = [[method, path.split("?")[0]] for method, path, _ in case["execute"]]
    if log is not None and log != expected:
        return f"{case['name']}: executed {log}, not {expected}"
    found = statuses(answer, [e[0] for e in expected])
    refusal = found[len(expected):]
    if refusal != ([case["refuse"]] if "refuse" in case else []):
        return f"{case['name']}: answered {found}, must be {len(expected)} and then {case.get('refuse')}"
    return None


def test_the_corpus_is_executed_as_nginx_does_or_refused(daemon, nginx, session_kafka):
    server, backend = nginx
    assert len(CASES) >= 150
    failures, before, log = [], daemon.rss_mib(), AccessLog(daemon)
    log.take()
    for case in CASES:
        data = bytes_of(case)
        [answer] = exchange(daemon.http_port, [[data]])
        failures.append(judge(case, answer, log.take()))
        exchange(server.port, [[data]])
        theirs = [[m, t.split("?")[0], b] for m, t, b in backend.take()]
        ours = [[m, t.split("?")[0], b] for m, t, b in case["execute"]]
        fewer = len(theirs) < len(ours) and ours[:len(theirs)] == theirs
        if not (fewer if "nginx" in case else theirs[:len(ours)] == ours):
            failures.append(f"{case['name']}: nginx executes {theirs}, we {ours}")
    assert not [f for f in failures if f], "\n".join(f for f in failures if f)
    expected = Counter(body for case in CASES for body in expected_events(case))
    records = session_kafka.consume("corpus", lambda found: len(found) >= expected.total())
    assert Counter(r.value().decode("latin-1") for r in records) == expected
    assert daemon.rss_mib() - before <= 20


def test_a_case_cut_anywhere_gets_the_same_verdict(daemon):
    failures, before, runs = [], daemon.rss_mib(), []
    for case in CASES:
        data = bytes_of(case)
        if len(data) > 2000:
            runs.append((case, split(data, range(1000, len(data), 1000))))
            continue
        step = max(1, len(data) // CUTS) if CUTS else 1
        runs += [(case, split(data, [at])) for at in range(1, len(data), step)]
        runs.append((case, split(data, range(1, len(data)))))
    for (case, pieces), answer in zip(runs, exchange(daemon.http_port, [pieces for _, pieces in runs])):
        if wrong := judge(case, answer, None):
            failures.append(f"{wrong}, in pieces {[len(p) for p in pieces][:4]}")
    print(f"{len(CASES)} cases, {len(runs)} runs in pieces, memory {before:.1f} -> {daemon.rss_mib():.1f} MiB")
    assert not failures, "\n".join(failures[:50])
    assert daemon.rss_mib() - before <= 20
