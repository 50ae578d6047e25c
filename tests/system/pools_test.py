"""Several databases: a second one that does not exist yet, that dies and comes back; connections that are replaced."""
import json
import time

from conftest import migrated, prepared
from load import Load, judge

from tests.support.pgbouncer import PgBouncer
from tests.support.servers import Daemon, Postgres, wait_for


def pools(daemon):
    return {p["name"]: p for p in json.loads(daemon.ctl("pools", "--json").stdout)["pools"]}


def two_pools(make, postgres, kafka):
    """Routes to main, to archive (a cluster that is not there), and to either of them. At level 3."""
    archive = make(Postgres)
    routes = [{"kind": "event", "path": f"/events/{name}", "topic": "orders", "key": ":body.customer", "pool": pool}
              for name, pool in (("orders", "main"), ("archive", "archive"), ("either", ["archive", "main"]))]
    d = make(Daemon, postgres.dsn("app"), kafka.bootstrap, routes=routes, database={"pools": {
        "main": {"outbox": True}, "archive": {"dsn": archive.dsn("app"), "required": False, "outbox": True}}})
    d.migrate(postgres.dsn(), pool="main")
    postgres.sql("grant ratchet_run to app")
    return d.start().wait_level(3), archive


def give_birth(d, archive):
    prepared(archive.start())
    d.migrate(archive.dsn(), pool="archive")
    archive.sql("grant ratchet_run to app")


def test_a_pool_configured_before_its_cluster_exists_serves_within_seconds_of_its_birth(make, postgres, kafka):
    d, archive = two_pools(make, postgres, kafka)
    status, headers, body = d.post("/events/archive", {"customer": "c", "n": 1})
    problem = json.loads(body)
    assert status == 503 and problem["type"] == "urn:ratchetd:problem:not-connected", problem
    assert problem["detail"] == "nothing was stored: not connected to pool archive"
    assert 1 <= int(headers["Retry-After"]) <= 3
    assert d.post("/events/either", {"customer": "c", "n": 2})[0] == 202
    assert d.post("/events/orders", {"customer": "c", "n": 3})[0] == 202
    assert postgres.sql("select count(*) from ratchet.outbox") == "2"

    found = pools(d)
    assert found["archive"]["open"] == 0 and not found["archive"]["required"] and found["archive"]["next_attempt"]
    refused = f"database archive: connection refused (127.0.0.1:{archive.port})"
    assert found["archive"]["last_error"]["text"] == refused
    wait_for("main is full", lambda: pools(d)["main"]["open"] == pools(d)["main"]["wanted"] == 8)
    assert refused in d.ctl("pools").stdout
    assert refused in d.levels()["levels"][1]["degraded"]
    wait_for("alarmed", lambda: any(a["id"] == "pool.archive" and refused in a["text"] for a in d.levels()["alarms"]))
    assert d.held() == 3 and d.get("/ready")[0] == 200

    give_birth(d, archive)
    born = time.monotonic()
    wait_for("served by it", lambda: d.post("/events/archive", {"customer": "c", "n": 4})[0] == 202)
    took = time.monotonic() - born
    print(f"served {took:.1f} s after its birth")
    assert took < 20  # 5 s on a machine that has time
    assert d.post("/events/either", {"customer": "c", "n": 5})[0] == 202
    assert archive.sql("select count(*) from ratchet.outbox") == "2"
    numbers = {json.loads(r.value())["n"] for r in kafka.consume("orders", lambda rs: len(rs) >= 4)}
    assert numbers == {2, 3, 4, 5}, "each outbox has its relay"
    assert d.metric("ratchet_relay_leads", pool="main") == d.metric("ratchet_relay_leads", pool="archive") == 1
    wait_for("no alarm after it has settled", lambda: not d.levels()["alarms"])
    assert d.metric("ratchet_level_transitions_total") == 3, "the ladder never moved"


def test_an_optional_pool_that_dies_takes_nothing_else_with_it(make, postgres, kafka):
    d, archive = two_pools(make, postgres, kafka)
    give_birth(d, archive)
    wait_for("served by it", lambda: d.post("/events/archive", {"customer": "c", "number": 1})[0] == 202)
    main = Load(d.http_port, threads=4, path="/events/orders", name="main").start()
    either = Load(d.http_port, threads=4, path="/events/either", name="either").start()
    for _ in range(2):
        archive.kill()
        wait_for("refused", lambda: d.post("/events/archive", {"customer": "c", "number": 1})[0] == 503)
        before = len(either.acknowledged)
        wait_for("the other one serves", lambda: len(either.acknowledged) > before + 50)
        archive.start()
        wait_for("served by it again", lambda: d.post("/events/archive", {"customer": "c", "number": 1})[0] == 202)
    archive.freeze()
    wait_for("let go", lambda: pools(d)["archive"]["open"] == 0)
    archive.thaw()
    wait_for("served by it again", lambda: d.post("/events/archive", {"customer": "c", "number": 1})[0] == 202)
    main.stop()
    either.stop()
    assert set(main.statuses) == {202} and not main.lost and not main.refused
    assert not either.lost and not either.refused
    records = kafka.consume("orders", lambda rs: not judge(rs, main, either)[0])
    assert not judge(records, main, either)[0], "acknowledged and missing"
    assert d.metric("ratchet_level_transitions_total") == 3, "the ladder never moved"
    assert d.metric("ratchet_pool_faults_total", pool="archive") >= 3
    archive.freeze()
    assert d.stop(20) == 0, "what hangs does not hold up the end"


def test_pgbouncer_in_session_mode_is_a_server_like_any_other(make, kafka):
    postgres = prepared(make(Postgres, log_statement="'all'", log_min_messages="'log'").start())
    bouncer = make(PgBouncer, postgres).start()
    d = migrated(make(Daemon, bouncer.dsn(), kafka.bootstrap), postgres).start().wait_level(3)
    assert d.post("/events/orders", {"customer": "c", "n": 1})[0] == 202
    assert json.loads(kafka.consume("orders", lambda rs: len(rs) >= 1)[0].value())["n"] == 1
    log = (postgres.dir / "log").read_text()
    assert "set statement_timeout = '5000'" in log, "the session is ours though `options` did not come through"
    wait_for("all open", lambda: pools(d)["main"]["open"] == 8)
    d.ctl("reconnect", "main")
    assert d.post("/events/orders", {"customer": "c", "n": 2})[0] == 202
    bouncer.kill()
    wait_for("fallen", lambda: d.held() == 0)
    bouncer.start()
    d.wait_level(3)
    assert d.post("/events/orders", {"customer": "c", "n": 3})[0] == 202
    assert d.stop() == 0


def test_reconnect_replaces_every_connection_and_nobody_notices(daemon, postgres):
    def sessions():
        return set(postgres.sql("select pid || '@' || backend_start from pg_stat_activity where usename = 'app'").splitlines())
    wait_for("all open", lambda: len(sessions()) == 8)
    before = sessions()
    load = Load(daemon.http_port, threads=8).start()
    assert "8 connections of pool main" in daemon.ctl("reconnect", "main").stdout
    wait_for("all new", lambda: not before & sessions() and len(sessions()) == 8)
    load.stop()
    assert set(load.statuses) == {202} and not load.lost
    assert daemon.held() == 3 and daemon.metric("ratchet_level_transitions_total") == 3
    assert daemon.ctl("reconnect", "nowhere", check=False).returncode == 1


def test_one_of_eight_connections_killed_under_load_fails_only_what_had_been_sent_on_it(daemon, postgres):
    wait_for("all open", lambda: daemon.metric("db_client_connection_count") == 8)
    load = Load(daemon.http_port, threads=16).start()
    killed = 0
    for i in range(24):
        before = len(load.acknowledged)
        killed += postgres.sql(f"select count(pg_terminate_backend(pid)) from (select pid from pg_stat_activity where usename = 'app' order by pid offset {i % 8} limit 1) one") == "1"
        wait_for("serving", lambda: len(load.acknowledged) > before + 20)
        wait_for("all open again", lambda: daemon.metric("db_client_connection_count") == 8)
    load.stop()
    failed = load.statuses.get(503, 0)
    print(f"killed {killed}, answers {load.statuses}, outcome unknown {len(load.unknown)}")
    assert killed >= 20 and not load.lost and not load.refused
    assert set(load.statuses) <= {202, 503} and failed == len(load.unknown), "503 only where it had been sent"
    assert failed <= 16 * killed
    assert daemon.held() == 3 and daemon.metric("ratchet_level_transitions_total") == 3, "level 3 all the time"
    stored = int(postgres.sql("select count(*) from ratchet.outbox"))
    assert len(load.acknowledged) <= stored <= len(load.acknowledged) + failed
