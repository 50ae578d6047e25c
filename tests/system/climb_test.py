"""Climbing from nothing, losing each server, coming back: all by itself."""
import json

import pytest
from conftest import migrated

from tests.support.servers import Daemon, Kafka, Postgres, wait_for


@pytest.mark.sanitized
def test_climbs_by_itself_as_its_servers_appear(make):
    """Started with neither server it holds level 0; each server that appears is one level more."""
    postgres, kafka = make(Postgres), make(Kafka)
    d = make(Daemon, postgres.dsn("app"), kafka.bootstrap).start()
    wait_for("live", lambda: d.get("/live")[0] == 200)
    status, headers, _ = d.get("/ready")
    assert status == 503 and int(headers["Retry-After"]) >= 1
    assert d.held() == 0
    assert d.get("/ready", port=d.http_port)[0] == 0, "the service port is closed below level 3"

    postgres.start()
    postgres.sql("create role app login", db="postgres")
    postgres.sql("create database app", db="postgres")
    migrated(d, postgres)
    d.wait_level(1)
    kafka.start(topics=["orders"])
    d.wait_level(3)
    assert d.get("/ready")[0] == 200
    assert d.get("/ready", port=d.http_port)[0] == 200
    assert d.stop() == 0


def carried(d, kafka, number):
    status, _, body = d.post("/events/orders", {"customer": "c", "number": number})
    assert status == 202, body
    identity = json.loads(body)["id"].encode()
    assert kafka.consume("orders", lambda rs: any(dict(r.headers())["ce_id"] == identity for r in rs))


@pytest.mark.sanitized
def test_an_event_arrives_with_its_headers(daemon, kafka):
    body = b'{"customer": "c-1",  "total": 1.0}'
    status, _, answer = daemon.post("/events/orders", body)
    assert status == 202
    (record,) = kafka.consume("orders", lambda rs: len(rs) >= 1)
    headers = {k: v.decode() for k, v in record.headers()}
    assert record.key() == b"c-1" and record.value() == body, "bytes in = bytes out"
    assert headers["ce_id"] == json.loads(answer)["id"] and headers["ce_specversion"] == "1.0"
    assert headers["ce_source"] == "/ratchetd/events/orders" and headers["ce_type"] == "orders"
    assert headers["content-type"] == "application/json" and headers["traceparent"].startswith("00-") and headers["ce_time"]


@pytest.mark.parametrize("server,level", [("postgres", 0), ("kafka", 1)])
@pytest.mark.parametrize("how", ["crash", "freeze"])
def test_a_lost_server_is_seen_and_comes_back(daemon, postgres, kafka, server, level, how):
    victim = {"postgres": postgres, "kafka": kafka}[server]
    carried(daemon, kafka, 1)
    victim.kill() if how == "crash" else victim.freeze()
    wait_for("not ready", lambda: daemon.get("/ready")[0] == 503)
    daemon.wait_level(level)
    wait_for("its port is closed", lambda: daemon.get("/ready", port=daemon.http_port)[0] == 0)
    name = ["baseline", "database", "broker"][level + 1]
    fault = daemon.levels()["levels"][level + 1]["last_fault"]
    assert fault and fault["text"], f"{name} says why"
    victim.start() if how == "crash" else victim.thaw()
    daemon.wait_level(3, 120)
    carried(daemon, kafka, 2)


def test_what_a_person_must_mend_is_said_and_never_exits(make, postgres, kafka):
    """No schema, then no such topic, then the port taken: it stays at its level, says why, and goes on when mended."""
    import socket
    d = make(Daemon, postgres.dsn("app"), kafka.bootstrap, routes=[{"kind": "event", "path": "/events/orders", "topic": "not-there"}])
    taken = socket.socket()
    taken.bind(("127.0.0.1", d.http_port))
    taken.listen()
    d.start()

    def reason(level):
        levels = d.levels()["levels"]
        return levels and (levels[level]["last_fault"] or {}).get("text", "")

    wait_for("schema named", lambda: "migrate" in (reason(1) or ""))
    migrated(d, postgres)
    wait_for("topic named", lambda: "not-there" in (reason(2) or ""))
    assert "not-there" not in kafka.topics(), "a topic is never created by asking for it"
    assert d.held() == 1
    kafka.create_topic("not-there")
    wait_for("port named", lambda: str(d.http_port) in (reason(3) or ""))
    assert d.held() == 2
    status, headers, _ = d.get("/ready")
    assert status == 503 and int(headers["Retry-After"]) >= 1
    wait_for("alarmed after 15 s", lambda: any(a["id"] == "level.3" or "3" in a["id"] for a in d.levels()["alarms"]))
    assert d.levels()["levels"][3]["attempts"] > 1
    assert d.log_text().count("raise failed level=3 ") == 1, "logged once per change, not once per attempt"
    taken.close()
    d.wait_level(3)
    assert d.process.poll() is None


def test_a_wrong_password_is_said_and_tried_slowly(make, kafka):
    postgres = make(Postgres)
    hba = postgres.data / "pg_hba.conf"
    hba.write_text("local all all trust\nhost all app 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n")
    postgres.start()
    postgres.sql("create role app login password 'right'", db="postgres")
    postgres.sql("create database app", db="postgres")
    secret = postgres.dir / "secret"
    secret.write_text("wrong\n")
    d = make(Daemon, postgres.dsn("app"), kafka.bootstrap, database={"pools": {"main": {"password": {"file": str(secret)}}}})
    migrated(d, postgres).start()
    wait_for("password named", lambda: "password authentication failed" in json.dumps(d.levels()))
    assert d.held() == 0 and "wrong" not in d.log_text()
    secret.write_text("right\n")
    d.wait_level(3)


def test_the_ops_port_taken_is_no_reason_to_stay_down(make, postgres, kafka):
    import socket
    d = make(Daemon, postgres.dsn("app"), kafka.bootstrap)
    taken = socket.socket()
    taken.bind(("127.0.0.1", d.ops_port))
    taken.listen()
    migrated(d, postgres).start()
    assert d.ctl("wait", "--level", 3, "--timeout", 60).returncode == 0
    assert "ops.port" in d.ctl("status").stdout
    taken.close()
    wait_for("ops answers", lambda: d.get("/live")[0] == 200)


def test_two_daemons_share_one_database(make, postgres, kafka):
    """One relay leads, the other stands by and takes over at once when the first leaves."""
    first = migrated(make(Daemon, postgres.dsn("app"), kafka.bootstrap), postgres).start().wait_level(3)
    second = make(Daemon, postgres.dsn("app"), kafka.bootstrap, instance="test-2").start().wait_level(3)
    wait_for("first leads", lambda: first.metric("ratchet_relay_leads") == 1)
    assert second.metric("ratchet_relay_leads") == 0
    carried(second, kafka, 1)
    assert first.stop() == 0
    wait_for("second leads", lambda: second.metric("ratchet_relay_leads") == 1)
    carried(second, kafka, 2)
