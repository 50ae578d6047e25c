"""Every way in which a real Kafka fails: seen, named, survived; nothing acknowledged is lost."""
import json
import time

import pytest
from conftest import migrated
from load import Load, judge

from tests.support.kafka_cluster import Cluster, SecuredKafka
from tests.support.servers import Daemon, Kafka, wait_for


def level_2(daemon):
    levels = daemon.levels()["levels"]
    return levels[2] if levels else {"last_fault": None, "degraded": None}  # nobody answers yet


def wait_fault(daemon, kind, *words, seconds=60):
    """The last fault of level 2 is of that kind and says these words."""
    def said():
        fault = level_2(daemon)["last_fault"]
        return fault and fault["kind"] == kind and all(w in fault["text"] for w in words)
    try:
        wait_for(f"{kind} {words}", said, seconds)
    except AssertionError:
        raise AssertionError(f"no {kind} {words}: {level_2(daemon)}\n{daemon.log_text()[-3000:]}")


def nothing_lost(kafka, *loads):
    def enough(records):
        return len(records) >= sum(len(load.acknowledged) for load in loads) and not judge(records, *loads)[0]
    missing, inversions, duplicates = judge(kafka.consume("orders", enough, 60), *loads)
    print(f"acknowledged {[len(load.acknowledged) for load in loads]}, duplicates {duplicates}")
    assert not missing and inversions == 0


def goes_on(load, more=200):
    before = len(load.acknowledged)
    wait_for("events are taken", lambda: len(load.acknowledged) >= before + more, 60)


def published(postgres):
    return postgres.sql("select unpublished_rows from ratchet.outbox_stats()") == "0"


def falls(daemon):
    return daemon.metric("ratchet_level_transitions_total", to="1") - 1  # the first one was the way up


def on_cluster(make, postgres, cluster):
    d = make(Daemon, postgres.dsn("app"), "", broker={"bootstrap": cluster.endpoints})
    return migrated(d, postgres).start().wait_level(3)


@pytest.mark.parametrize("verb", ["kill", "freeze"])
def test_one_broker_of_three_dies_or_freezes_and_nobody_notices(make, postgres, verb):
    """Its partitions get other leaders; level 3 stays, nothing is lost, and it may come back whenever it likes (but for what is said
    at the end)."""
    cluster = make(Cluster, **{"broker.session.timeout.ms": 3000, "broker.heartbeat.interval.ms": 500}).start()
    cluster.create_topic("orders", 6, min_insync_replicas=2)
    daemon = on_cluster(make, postgres, cluster)
    load = Load(daemon.http_port, threads=4, pause_s=0.01).start()
    for victim in (2, 3):
        goes_on(load)
        getattr(cluster.node(victim), verb)()
        wait_for("other leaders", lambda: all(leader not in (-1, victim) for leader, _ in cluster.partitions("orders").values()), 60)
        goes_on(load)
        wait_for("all published", lambda: (age := daemon.metric("ratchet_outbox_oldest_seconds")) is not None and age < 1, 60)
        cluster.node(victim).launch() if verb == "kill" else cluster.node(victim).thaw()
        wait_for("whole again", lambda: cluster.whole("orders"), 120)
    load.stop()
    wait_for("level 3 in the end", lambda: daemon.held() == 3)
    # A broker that thaws may still believe that it leads, and answer a sequence it does not know: librdkafka's FATAL,
    # which takes the level down at once. Nothing else may.
    desynchronised = daemon.log_text().count("warning level lost level=2 name=broker kind=broker_fatal") if verb == "freeze" else 0
    assert falls(daemon) == desynchronised <= 2, daemon.log_text()[-3000:]
    if desynchronised == 0:
        assert set(load.statuses) == {202}
    nothing_lost(cluster, load)


def test_too_few_replicas_are_named_and_everything_arrives_once_they_are_back(make, postgres):
    cluster = make(Cluster, controllers=1, **{"broker.session.timeout.ms": 3000, "broker.heartbeat.interval.ms": 500}).start()
    cluster.create_topic("orders", 3, min_insync_replicas=2)
    daemon = on_cluster(make, postgres, cluster)
    load = Load(daemon.http_port, threads=4, pause_s=0.01).start()
    goes_on(load)
    cluster.node(2).kill()
    cluster.node(3).kill()
    wait_fault(daemon, "not_enough_replicas", "orders", "1 of the 2 in-sync replicas", "min.insync.replicas", seconds=90)
    wait_for("level 2 is let go", lambda: daemon.held() <= 1)
    cluster.node(2).launch()
    cluster.node(3).launch()
    daemon.wait_level(3, 120)
    goes_on(load)
    load.stop()
    wait_for("all published", lambda: published(postgres))
    nothing_lost(cluster, load)


def test_a_topic_deleted_and_created_again_is_carried_on_with(make, daemon, postgres, kafka):
    assert daemon.post("/events/orders", {"customer": "a", "number": 1})[0] == 202
    wait_for("published", lambda: published(postgres))
    admin = kafka.admin()
    for future in admin.delete_topics(["orders"], operation_timeout=30).values():
        future.result(60)
    wait_fault(daemon, "topic_missing", 'topic "orders" does not exist: create it')
    daemon.wait_level(1)
    # What was committed meanwhile, by somebody who writes SQL.
    postgres.sql("""select ratchet.emit('orders', 'a', '{"customer": "a", "number": 2}', '{"ce_id": "two"}')""")
    assert not published(postgres)
    kafka.create_topic("orders")
    daemon.wait_level(3)
    assert daemon.post("/events/orders", {"customer": "a", "number": 3})[0] == 202
    records = kafka.consume("orders", lambda r: len(r) >= 2)
    assert [json.loads(r.value())["number"] for r in records] == [2, 3]


def test_a_record_too_large_for_its_topic_goes_to_the_dead_letters_and_the_rest_arrives(daemon, postgres, kafka):
    load = Load(daemon.http_port, threads=2, pause_s=0.01).start()
    goes_on(load, 50)
    # Made by SQL: an event of this size would not pass our own port.
    postgres.sql("select ratchet.emit('orders', 'big', convert_to(repeat('x', 3000000), 'UTF8'), '{\"ce_id\": \"big\"}')")
    wait_for("buried", lambda: daemon.metric("ratchet_dead_letters") == 1)
    goes_on(load, 50)
    load.stop()
    wait_for("published", lambda: published(postgres))
    wait_for("the alarm", lambda: "could not be published" in json.dumps(daemon.levels()["alarms"]))
    assert falls(daemon) == 0
    nothing_lost(kafka, load)


# ---- passwords, certificates, rights -----------------------------------------------------------------------------

@pytest.fixture(scope="module")
def secured():
    broker = SecuredKafka().start(topics=["orders"])
    broker.rights("--add", "Write", "Describe", "DescribeConfigs")
    broker.rights("--add", "Write", "Describe", user="ANONYMOUS")
    yield broker
    broker.remove()


def test_good_passwords_and_certificates_are_taken_and_bad_ones_are_named(make, session_postgres, secured):
    """One daemon for each cause, all at once: each says what to do about it, in /levels, in its alarm, in ratchetctl status."""
    plain = secured.bootstrap
    causes = {
        "sasl": (secured.sasl(), None),
        "tls": (secured.tls(secured.ca), None),
        "wrong password": (secured.sasl("wrong"), ("authentication", "invalid username or password")),
        "unknown authority": (secured.tls(secured.other_ca), ("tls", "certificate verify failed")),
        "no such name": ({"bootstrap": ["kafka.invalid:9092"]}, ("name_resolution", "kafka.invalid:9092")),
        "nobody there": ({"bootstrap": ["127.0.0.1:1"]}, ("refused", "127.0.0.1:1: connection refused")),
        "no topic": ({"bootstrap": [plain]}, ("topic_missing", 'topic "payments" does not exist: create it')),
        "no right": (secured.sasl(), ("authorisation", 'topic "secrets"', "grant this user Describe and Write")),
    }
    secured.create_topic("secrets")
    daemons = {}
    for name, (broker, _) in causes.items():
        topic = {"no topic": "payments", "no right": "secrets"}.get(name, "orders")
        d = make(Daemon, session_postgres.dsn("app"), "", routes=[{"kind": "event", "path": "/events/orders", "topic": topic}], broker=broker, instance=name.replace(" ", "-"))
        daemons[name] = migrated(d, session_postgres).start()
    for name, (_, fault) in causes.items():
        daemon = daemons[name]
        if fault is None:
            daemon.wait_level(3)
            assert daemon.post("/events/orders", b'"x"')[0] == 202
            continue
        kind, *words = fault
        wait_fault(daemon, kind, *words)
        alarm = wait_for(f"an alarm for {name}", lambda d=daemon: [a for a in d.levels()["alarms"] if "level" in a["id"]])
        print(f"{name}: {alarm[0]['text']}")
        assert all(w in alarm[0]["text"] for w in words), alarm
        assert all(w in daemon.ctl("status").stdout for w in words)
    for daemon in daemons.values():
        assert daemon.stop() == 0


def test_a_right_taken_away_is_named_and_given_back_everything_arrives(make, postgres, secured):
    secured.create_topic("ledger")
    secured.rights("--add", "Write", "Describe", topic="ledger")
    daemon = make(Daemon, postgres.dsn("app"), "", routes=[{"kind": "event", "path": "/events/orders", "topic": "ledger"}], broker=secured.sasl())
    migrated(daemon, postgres).start().wait_level(3)
    assert daemon.post("/events/orders", b'"1"')[0] == 202
    wait_for("published", lambda: published(postgres))
    secured.rights("--remove", "Write", topic="ledger")
    # Seen with the next record, wherever that comes from; nothing is buried for it.
    postgres.sql("select ratchet.emit('ledger', 'k', '\"2\"', '{}')")
    wait_fault(daemon, "authorisation", "ledger")
    assert postgres.sql("select count(*) from ratchet.dead_letter") == "0"
    secured.rights("--add", "Write", topic="ledger")
    wait_for("published", lambda: published(postgres), 90)
    daemon.wait_level(3)
    assert sorted(r.value() for r in secured.consume("ledger", lambda r: len(r) >= 2)) == [b'"1"', b'"2"']


# ---- no false alarm ----------------------------------------------------------------------------------------------

def test_a_broker_that_closes_idle_connections_is_no_fault(make, postgres):
    kafka = make(Kafka, **{"connections.max.idle.ms": 1500}).start(topics=["orders"])
    d = make(Daemon, postgres.dsn("app"), kafka.bootstrap)
    migrated(d, postgres).start().wait_level(3)
    for _ in range(6):
        time.sleep(3)  # idle on purpose: what is tested is what idleness does
        assert d.post("/events/orders", {"customer": "a"})[0] == 202
    assert d.held() == 3 and falls(d) == 0, d.log_text()[-3000:]


# ---- riding ------------------------------------------------------------------------------------------------------

def riding(make, postgres, kafka, **more):
    d = make(Daemon, postgres.dsn("app"), kafka.bootstrap, broker={"on_loss": "ride"}, **more)
    return migrated(d, postgres).start().wait_level(3)


@pytest.mark.parametrize("verb", ["kill", "freeze"])
def test_ride_goes_on_taking_events_without_kafka_and_loses_none(make, postgres, kafka, verb):
    daemon = riding(make, postgres, kafka)
    load = Load(daemon.http_port, threads=4, pause_s=0.01).start()
    goes_on(load)
    for _ in range(2):
        getattr(kafka, verb)()
        wait_for("degraded", lambda: "Kafka is away" in (level_2(daemon)["degraded"] or ""))
        goes_on(load, 500)
        assert daemon.get("/ready")[0] == 200
        status, _, body = daemon.get("/health")
        assert status == 200 and json.loads(body)["status"] == "warn", body
        assert any(a["id"] == "broker.away.main" for a in daemon.levels()["alarms"])
        assert not published(postgres)
        kafka.start() if verb == "kill" else kafka.thaw()
        wait_for("whole again", lambda: level_2(daemon)["degraded"] is None)
        wait_for("all published", lambda: (age := daemon.metric("ratchet_outbox_oldest_seconds")) is not None and age < 1)
        assert not any(a["id"] == "broker.away.main" for a in daemon.levels()["alarms"])
    load.stop()
    assert set(load.statuses) == {202} and falls(daemon) == 0
    wait_for("all published", lambda: published(postgres))
    nothing_lost(kafka, load)
    assert daemon.stop() == 0


def test_ride_ends_with_the_outbox_budget(make, postgres, kafka):
    daemon = riding(make, postgres, kafka, outbox={"max_rows": 1000})
    load = Load(daemon.http_port, threads=4).start()
    goes_on(load)
    kafka.kill()
    wait_fault(daemon, "refused", "outbox is over its budget")
    daemon.wait_level(1)
    assert len(load.acknowledged) > 1000
    kafka.start()
    daemon.wait_level(3)
    goes_on(load)
    load.stop()
    wait_for("all published", lambda: published(postgres))
    nothing_lost(kafka, load)


def test_ride_needs_kafka_to_start(make, postgres, kafka):
    kafka.kill()
    d = make(Daemon, postgres.dsn("app"), kafka.bootstrap, broker={"on_loss": "ride"})
    migrated(d, postgres).start()
    wait_fault(d, "refused")
    assert d.held() == 1
    kafka.start()
    d.wait_level(3)
