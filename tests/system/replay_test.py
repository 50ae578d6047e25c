"""What is the same event again, and what is the key of its record: told by what Kafka got, and by who was refused."""
import json
import socket

import pytest
from conftest import migrated

from tests.support.servers import Daemon

JSON = "Content-Type: application/json"
CLOUD = [JSON, "ce-specversion: 1.0", "ce-source: /s", "ce-type: t"]
ROUTES = [
    {"kind": "event", "path": "/events/nokey", "topic": "nokey"},
    {"kind": "event", "path": "/events/lax", "topic": "nokey", "idempotency": {"ignore": ["sentat", "datacontenttype"]}},
    {"kind": "event", "path": "/events/plain", "topic": "plain", "key": ":query.k"},
    {"kind": "event", "path": "/events/part", "topic": "part", "key": ":header.ce-partitionkey"},
    {"kind": "event", "path": "/events/tenant", "topic": "nokey", "key": ":header.x-tenant"},
]


@pytest.fixture(scope="module")
def daemon(session_postgres, session_kafka):
    for topic in ("nokey", "plain", "part"):
        session_kafka.create_topic(topic, partitions=1)
    d = Daemon(session_postgres.dsn("app"), session_kafka.bootstrap, routes=ROUTES)
    migrated(d, session_postgres).start().wait_level(3)
    yield d
    d.remove()


def send(daemon, target, lines, body='{"amount":100}'):
    """(status, replayed, problem or body), with header lines as they are: also twice, also bytes that are not ASCII."""
    text = "\r\n".join([f"POST {target} HTTP/1.1", "Host: a", "Connection: close", f"Content-Length: {len(body)}", *lines, "", body])
    with socket.create_connection(("127.0.0.1", daemon.http_port), timeout=60) as s:
        s.sendall(text.encode())
        data = b""
        while got := s.recv(65536):
            data += got
    head, _, rest = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), b"idempotency-replayed: true" in head.lower(), json.loads(rest)


FIRST = ("/events/plain?k=alice", [*CLOUD, "ce-id: 1", "ce-subject: u", "ce-x: 1"])
SAME = {
    "itself": FIRST,
    "another id": (FIRST[0], [*CLOUD, "ce-id: 2", "ce-subject: u", "ce-x: 1"]),
    "another time": (FIRST[0], [*FIRST[1], "ce-time: 2026-11-21T12:00:00Z"]),
    "another trace": (FIRST[0], [*FIRST[1], "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate: a=1"]),
    "another trace of its own": (FIRST[0], [*FIRST[1], "ce-traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]),
    "other spelling": ("/events/plain?z=1&k=%61lice", ["content-type: Application/JSON", *CLOUD[1:], "CE-ID: 1", "ce-X: %31", "ce-subject: \"u\""]),
}
ANOTHER = {
    "record key": ("/events/plain?k=mallory", FIRST[1]),
    "empty record key": ("/events/plain?k=", FIRST[1]),
    "type": (FIRST[0], [*FIRST[1][:3], "ce-type: T", *FIRST[1][4:]]),
    "subject": (FIRST[0], [*CLOUD, "ce-id: 1", "ce-subject: v", "ce-x: 1"]),
    "no subject": (FIRST[0], [*CLOUD, "ce-id: 1", "ce-x: 1"]),
    "extension": (FIRST[0], [*CLOUD, "ce-id: 1", "ce-subject: u", "ce-x: 2"]),
    "one extension more": (FIRST[0], [*FIRST[1], "ce-y: 1"]),
    "dataschema": (FIRST[0], [*FIRST[1], "ce-dataschema: /s"]),
    "content type": (FIRST[0], [JSON + "; charset=utf-8", *FIRST[1][1:]]),
}


@pytest.mark.parametrize("what", [*SAME, *ANOTHER])
@pytest.mark.sanitized
def test_a_key_that_comes_again_with_another_record_is_422_and_with_the_same_one_replayed(daemon, what):
    key = f"Idempotency-Key: {what.replace(' ', '-')}"
    status, replayed, first = send(daemon, FIRST[0], [*FIRST[1], key])
    assert (status, replayed) == (202, False)
    target, lines = (SAME | ANOTHER)[what]
    status, replayed, answer = send(daemon, target, [*lines, key])
    if what in SAME:
        assert (status, replayed, answer) == (202, True, first)
    else:
        assert status == 422 and answer["type"].endswith("idempotency-key-reused"), answer


def test_plain_events_are_compared_by_the_key_of_their_record_too(daemon):
    """As in the requests of a sender whose key was reused for another account."""
    key = "Idempotency-Key: q1"
    assert send(daemon, "/events/plain?k=alice", [JSON, key])[:2] == (202, False)
    assert send(daemon, "/events/plain?k=mallory", [JSON, key])[0] == 422
    assert send(daemon, "/events/plain?k=alice", [JSON, key])[:2] == (202, True)
    assert send(daemon, "/events/tenant", [JSON, key, "x-tenant: 1"])[:2] == (202, False)  # keys of another route are others
    assert send(daemon, "/events/tenant", [JSON, key, "x-tenant: 2"])[0] == 422


def test_a_route_says_what_its_senders_make_anew(daemon):
    lines = [*CLOUD, "ce-id: 9", "Idempotency-Key: lax"]
    assert send(daemon, "/events/lax", [*lines, "ce-sentat: 1"])[:2] == (202, False)
    assert send(daemon, "/events/lax", [*lines, "ce-sentat: 2"])[:2] == (202, True)
    assert send(daemon, "/events/lax", lines)[:2] == (202, True)
    assert send(daemon, "/events/lax", [*lines, "ce-other: 2"])[0] == 422
    assert send(daemon, "/events/nokey", [*lines, "ce-sentat: 1"])[:2] == (202, False)
    assert send(daemon, "/events/nokey", [*lines, "ce-sentat: 2"])[0] == 422


def test_a_fingerprint_of_another_version_lets_the_key_decide(daemon, session_postgres):
    """A sender that tries again over an upgrade is no liar."""
    lines = [JSON, "Idempotency-Key: upgrade"]
    status, _, first = send(daemon, "/events/plain?k=a", lines)
    assert status == 202 and send(daemon, "/events/plain?k=b", lines)[0] == 422
    for table in range(3):
        session_postgres.sql(f"update ratchet.idem_{table} set fp = set_byte(fp, 0, 99) where convert_from(reply, 'UTF8') like '%{first['id']}%'")
    assert send(daemon, "/events/plain?k=a", lines) == (202, True, first)


def test_an_attribute_is_one_kafka_key_however_it_is_spelled(daemon, session_kafka):
    spelled = ["café", "caf%C3%A9", "caf%c3%a9", '"café"', "%63af%C3%A9"]
    for n, value in enumerate(spelled):
        assert send(daemon, "/events/part", [*CLOUD, f"ce-id: k{n}", f"CE-PartitionKey: {value}"])[0] == 202
    records = session_kafka.consume("part", lambda r: len(r) >= len(spelled))
    assert [r.key().decode() for r in records] == ["café"] * len(spelled)


TWICE = {
    "query": ("/events/plain?k=1&k=2", [JSON], ":query.k"),
    "query, the same": ("/events/plain?k=1&k=1", [JSON], ":query.k"),
    "query, encoded": ("/events/plain?k=1&%6B=1", [JSON], ":query.k"),
    "header": ("/events/tenant", [JSON, "X-Tenant: 1", "x-tenant: 2"], ":header.x-tenant"),
    "attribute": ("/events/part", [*CLOUD, "ce-id: t", "ce-partitionkey: 1", "ce-partitionkey: 1"], "ce-partitionkey"),
    "id": ("/events/nokey", [*CLOUD, "ce-id: t", "Ce-Id: t"], "ce-id"),
    "idempotency key": ("/events/nokey", [JSON, "Idempotency-Key: 1", "idempotency-key: 1"], "Idempotency-Key"),
    "content type": ("/events/nokey", [JSON, JSON], "Content-Type"),
    "traceparent": ("/events/nokey", [JSON, "traceparent: x", "Traceparent: x"], "traceparent"),
}


@pytest.mark.parametrize("what", TWICE)
@pytest.mark.sanitized
def test_what_counts_once_is_refused_when_it_comes_twice_and_named(daemon, what):
    target, lines, name = TWICE[what]
    status, _, problem = send(daemon, target, lines)
    assert status == 400 and name in problem["detail"] and "twice" in problem["detail"], problem


@pytest.mark.parametrize("value", ["%zz", "%", "a%4", "%4x1"])
def test_a_malformed_key_is_not_a_missing_one(daemon, value):
    status, _, problem = send(daemon, f"/events/plain?k={value}", [JSON])
    assert status == 400 and "malformed" in problem["detail"] and ":query.k" in problem["detail"], problem
    status, _, problem = send(daemon, "/events/plain?x=1", [JSON])
    assert status == 422 and "missing" in problem["detail"]
