"""What must not be let in: each shape gets the right status, a problem+json body, a counter, a closed connection; in bounded memory."""
import json
import socket

import pytest
from conftest import migrated

from tests.support.servers import Daemon, wait_for

HOST = b"Host: a\r\n"
POST = b"POST /events/orders HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
GOOD = b'{"customer":"c"}'


@pytest.fixture(scope="module")
def daemon(session_postgres, session_kafka):
    session_kafka.create_topic("orders")
    session_kafka.create_topic("small", max_message_bytes=2000)
    d = Daemon(session_postgres.dsn("app"), session_kafka.bootstrap, service={"limits": {"header_wait_ms": 1500, "body_wait_ms": 1500}},
               routes=[{"kind": "event", "path": "/events/orders", "topic": "orders", "key": ":body.customer"}, {"kind": "event", "path": "/small", "topic": "small"}])
    migrated(d, session_postgres).start().wait_level(3)
    yield d
    d.remove()


def exchange(port, data, half_close=False, timeout=20):
    """(status, head, body, closed by the server) of the first answer to raw bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as s:
        try:
            s.sendall(data)
        except OSError:
            pass  # refused before all of it was sent: the answer is still to be read
        if half_close:
            s.shutdown(socket.SHUT_WR)
        answer, closed = b"", False
        while b"\r\n\r\n" not in answer:
            got = s.recv(65536)
            if not got:
                return 0, b"", b"", True
            answer += got
        head, _, body = answer.partition(b"\r\n\r\n")
        length = int(next((h.split(b":")[1] for h in head.split(b"\r\n") if h.lower().startswith(b"content-length:")), b"0"))
        while len(body) < length:
            body += s.recv(65536)
        if b"connection: close" in head.lower():
            try:
                closed = s.recv(1) == b""
            except ConnectionResetError:
                closed = True
        return int(head.split()[1]), head, body, closed


SHAPES = {
    "header line without end": (b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000, 431),
    "too many headers": (b"GET / HTTP/1.1\r\n" + HOST + b"".join(b"X-%d: 1\r\n" % i for i in range(500)) + b"\r\n", 431),
    "request line too long": (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    "malformed chunk": (POST + b"Transfer-Encoding: chunked\r\n\r\n-2\r\nhello\r\n0\r\n\r\n", 400),
    "chunked over the limit": (POST + b"Transfer-Encoding: chunked\r\n\r\n4000000\r\n", 413),
    "another transfer coding": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "compressed body": (POST + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd", 415),
    "body over the limit": (POST + b"Content-Length: 104857600\r\n\r\n", 413),
    "negative length": (POST + b"Content-Length: -5\r\n\r\n", 400),
    "length not a number": (POST + b"Content-Length: abc\r\n\r\n", 400),
    "two lengths": (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400),
    "length and chunked": (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "GET with a body": (b"GET /live HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello", 400),
    "bare LF": (b"GET /live HTTP/1.1\n" + b"Host: a\n\n", 400),
    "folded header": (b"GET /live HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n", 400),
    "space before colon": (b"GET /live HTTP/1.1\r\n" + HOST + b"X : a\r\n\r\n", 400),
    "NUL in a header": (b"GET /live HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n", 400),
    "no host": (b"GET /live HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET /live HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
    "malformed": (b"hello\r\n\r\n", 400),
    "other version": (b"GET /live HTTP/3.0\r\n" + HOST + b"\r\n", 505),
    "other expectation": (POST + b"Expect: tea\r\nContent-Length: 5\r\n\r\n", 417),
    "header trickled": (b"GET /live HTTP/1.1\r\nHost", 408),
    "body trickled": (POST + b"Content-Length: 100\r\n\r\n{", 408),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.sanitized
def test_a_refused_shape_is_answered_counted_and_closed(daemon, shape):
    data, wanted = SHAPES[shape]
    status, head, body, closed = exchange(daemon.http_port, data)
    assert status == wanted, (head, body)
    assert closed and b"application/problem+json" in head
    problem = json.loads(body)
    assert problem["status"] == wanted and problem["type"] and problem["title"]
    assert daemon.metric("ratchet_rejected_total") >= 1


EVENTS = {
    "bad JSON": (b'{"customer": "c", }', {}, 400),
    "duplicate key": (b'{"customer": "c", "customer": "d"}', {}, 400),
    "too deep": (b'{"customer": "c", "a": ' + b"[" * 100 + b"]" * 100 + b"}", {}, 400),
    "not UTF-8": (b'{"customer": "\xff"}', {}, 400),
    "key missing": (b'{"total": 1}', {}, 422),
    "key null": (b'{"customer": null}', {}, 422),
    "key an object": (b'{"customer": {}}', {}, 422),
    "not JSON": (b"hello", {"Content-Type": "text/plain"}, 415),
    "CloudEvents batch": (b"[]", {"Content-Type": "application/cloudevents-batch+json"}, 415),
    "ce-id missing": (GOOD, {"ce-specversion": "1.0", "ce-source": "/s", "ce-type": "t"}, 400),
    "key too long": (GOOD, {"Idempotency-Key": "k" * 300}, 400),
    "empty body": (b"", {}, 400),
}


@pytest.mark.parametrize("shape", EVENTS)
@pytest.mark.sanitized
def test_a_bad_event_is_refused_with_the_reason(daemon, shape):
    body, headers, wanted = EVENTS[shape]
    status, answered, answer = daemon.post("/events/orders", body, headers)
    problem = json.loads(answer)
    assert status == wanted, problem
    assert answered["Content-Type"] == "application/problem+json" and problem["detail"]
    if shape == "bad JSON":
        assert "18" in problem["detail"], "the byte offset"
    if shape == "key missing":
        assert "customer" in problem["detail"]


def test_a_record_larger_than_its_topic_takes_is_refused(daemon):
    status, _, answer = daemon.post("/small", {"x": "y" * 5000})
    problem = json.loads(answer)
    assert status == 413 and problem["limit"] <= 2000 and problem["found"] > 5000
    assert daemon.post("/small", {"x": "y"})[0] == 202


def test_unknown_paths_and_methods(daemon):
    assert daemon.post("/nowhere", GOOD)[0] == 404
    status, headers, _ = daemon.get("/events/orders", port=daemon.http_port)
    assert status == 405 and "POST" in headers["Allow"]


def test_idempotency(daemon):
    key = {"Idempotency-Key": '"key-1"'}
    first = daemon.post("/events/orders", GOOD, key)
    again = daemon.post("/events/orders", GOOD, key)
    assert first[0] == again[0] == 202 and first[2] == again[2]
    assert again[1]["Idempotency-Replayed"] == "true" and first[1]["Idempotency-Replayed"] is None
    assert daemon.post("/events/orders", b'{"customer":"other"}', key)[0] == 422
    cloud = {"ce-specversion": "1.0", "ce-id": "e-1", "ce-source": "/s", "ce-type": "t"}
    assert json.loads(daemon.post("/events/orders", GOOD, cloud)[2])["id"] == "e-1"
    assert daemon.post("/events/orders", GOOD, cloud)[1]["Idempotency-Replayed"] == "true"


def test_pipelined_split_and_half_closed_requests_are_answered(daemon):
    one = POST + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD
    with socket.create_connection(("127.0.0.1", daemon.http_port), timeout=20) as s:
        s.sendall(one * 5)
        data = b""
        while data.count(b"HTTP/1.1 202") < 5:
            got = s.recv(65536)
            assert got, data
            data += got
        for i in range(len(one)):
            s.sendall(one[i:i + 1])
        while data.count(b"HTTP/1.1 202") < 6:
            data += s.recv(65536)
    assert exchange(daemon.http_port, one, half_close=True)[0] == 202


def test_memory_stays_bounded_under_refused_floods(daemon):
    before = daemon.rss_mib()
    for _ in range(20):
        for name in ("header line without end", "body over the limit", "too many headers"):
            exchange(daemon.http_port, SHAPES[name][0])
    assert daemon.rss_mib() - before < 20


def test_ops_pages(daemon):
    for page in ("/levels", "/alarms", "/history", "/info"):
        status, _, body = daemon.get(page)
        assert status == 200 and json.loads(body) is not None, page
    levels = daemon.levels()
    assert [entry["level"] for entry in levels["levels"]] == [0, 1, 2, 3] and levels["held"] == levels["ceiling"] == 3 and levels["doing"] == "serving"
    assert daemon.post("/events/orders", GOOD)[0] == 202
    wait_for("it is published", lambda: daemon.metric("ratchet_relay_last_publish_timestamp_seconds"))  # what was not measured is absent
    for name in ("ratchet_level", "ratchet_level_transitions_total", "ratchet_outbox_unpublished_rows", "ratchet_outbox_oldest_seconds",
                 "ratchet_relay_last_publish_timestamp_seconds", "ratchet_relay_published_total", "ratchet_dead_letters", "http_server_active_requests"):
        assert daemon.metric(name) is not None, name
    assert daemon.get("/health")[0] == 200
    wait_for("no alarm", lambda: not daemon.levels()["alarms"])
