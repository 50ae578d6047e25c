"""What Kafka, and the way to it, can do to stop progress, and what the operator is told (see hindrances.py)."""
import json
import subprocess
from contextlib import contextmanager

from conftest import migrated, prepared
from hindrances import alarms, judge_all, table
from load import Load, judge

from tests.support.kafka_cluster import Cluster, SecuredKafka
from tests.support.servers import KAFKA_VERSION, Daemon, EmbeddedBroker, Kafka, Postgres, listens, wait_for

ROWS, hindrance = table()
LOCK_HOLDER = r"backend \d+, user postgres, psql"
END_IT = r"End that transaction, or the session: select pg_terminate_backend\(\d+\), but never one that waits for SyncRep: .*"
OURS = r"What the text names is missing from schema ratchet, or was changed: put back what `ratchetd migrate` made there\."
WAITING = r"events wait and none is published: "


# ---- the relay cannot get, read or move the outbox -------------------------------------------------------------------


def on(make, postgres, **changes):
    """A daemon at level 3 that has published one event."""
    broker = make(EmbeddedBroker, "orders")
    daemon = migrated(make(Daemon, postgres.dsn("app"), broker.bootstrap, **changes), postgres).start().wait_level(3)
    post(daemon, "before")
    wait_for("published", lambda: postgres.sql("select unpublished_rows from ratchet.outbox_stats()") == "0")
    wait_for("the relay leads", lambda: daemon.metric("ratchet_relay_leads") == 1)
    return daemon


def serving(make, **changes):
    postgres = prepared(make(Postgres).start())
    return postgres, on(make, postgres, **changes)


def post(daemon, customer):
    status, _, body = daemon.post("/events/orders", {"customer": customer})
    assert status == 202, (status, body)


@contextmanager
def transaction(postgres, *statements):
    """Open in a psql of its own until the block ends."""
    psql = subprocess.Popen(postgres.as_user(postgres.bin / "psql", "-X", "-q", "-A", "-t", "-h", postgres.dir, "-p", postgres.port, "-U", "postgres", "-d", "app"),
                            cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        psql.stdin.write("".join(f"{s};\n" for s in ("begin", *statements, "select 'open'")))
        psql.stdin.flush()
        assert any(line == "open\n" for line in psql.stdout), "psql has ended"
        yield
    finally:
        psql.stdin.close()  # it ends, and the transaction with it
        psql.wait()


@contextmanager
def replaced(postgres, function, body):
    """A function of ours does something else until the block ends; `body`: after `as`."""
    signature = postgres.sql(f"select oid::regprocedure from pg_proc where proname = '{function}'")
    before = postgres.sql(f"select pg_get_functiondef('{signature}'::regprocedure)")
    head = before[:before.index("AS $function$")]
    postgres.sql(f"{head} as {body}")
    try:
        yield
    finally:
        postgres.sql(before)


@hindrance(alarm="relay.stuck.main", level=3, seconds=30, text=WAITING + r".*; it waits for a lock that " + LOCK_HOLDER + " holds", remedy=END_IT)
def lease_row_is_locked(make):
    postgres, daemon = serving(make)
    with transaction(postgres, "select from ratchet.relay for update"):
        post(daemon, "waits")
        yield daemon


@hindrance(alarm="relay.stuck.main", level=3, seconds=30,
           text=r"no event is published, and how many wait is not known: .*; it waits for a lock that " + LOCK_HOLDER + " holds", remedy=END_IT)
def lease_table_is_locked(make):
    postgres, daemon = serving(make)
    with transaction(postgres, "lock table ratchet.relay"):
        post(daemon, "waits")
        yield daemon


@hindrance(alarm="outbox.unknown.main", level=3, seconds=30, text=r"how many events wait is not known: measuring it: .*lock timeout", remedy=r"Look for the transaction .*")
def dead_letters_are_locked(make):
    """Only what is measured waits for it."""
    postgres, daemon = serving(make, outbox={"max_age_s": 30})
    with transaction(postgres, "lock table ratchet.dead_letter_count"):
        yield daemon
        post(daemon, "goes on")
        wait_for("its gauges are gone", lambda: daemon.metric("ratchet_outbox_unpublished_rows") is None)
        assert daemon.metric("ratchet_dead_letters") is None and daemon.metric("ratchet_outbox_oldest_seconds") is None
        wait_for("unknown for too long, no event is taken", lambda: daemon.post("/events/orders", {"customer": "x"})[0] == 503)
        assert b"outbox-budget" in daemon.post("/events/orders", {"customer": "x"})[2]
        assert "outbox.behind.main" in alarms(daemon)
    wait_for("events are taken again", lambda: daemon.post("/events/orders", {"customer": "x"})[0] == 202, 15)


@hindrance(alarm="relay.stuck.main", level=None, seconds=30, text=r".*none is published.*|no event is published.*", remedy=r".{20,}")
def outbox_is_locked(make):
    postgres, daemon = serving(make)
    with transaction(postgres, "lock table ratchet.outbox"):
        yield daemon


@hindrance(alarm="level.1", level=0, seconds=30, text=r'database main: no right to execute ratchet\.relay_read: grant ratchet_run to "app"', remedy=r".*grant ratchet_run to USER.*")
def right_to_read_is_revoked(make):
    postgres, daemon = serving(make)
    postgres.sql("revoke execute on function ratchet.relay_read from ratchet_run")
    yield daemon
    postgres.sql("grant execute on function ratchet.relay_read to ratchet_run")


@hindrance(alarm="level.1", level=0, seconds=30, text=r'database main: no right to execute ratchet\.relay_acquire: grant ratchet_run to "app"', remedy=r".*grant ratchet_run to USER.*")
def right_to_lead_is_revoked(make):
    postgres, daemon = serving(make)
    postgres.sql("revoke execute on function ratchet.relay_acquire from ratchet_run")
    postgres.sql("select pg_terminate_backend(pid) from ratchet.relay")
    yield daemon
    postgres.sql("grant execute on function ratchet.relay_acquire to ratchet_run")


@hindrance(alarm="level.1", level=0, seconds=30, text=r'database main: no right to execute ratchet\.outbox_stats: grant ratchet_run to "app"', remedy=r".*grant ratchet_run to USER.*")
def right_to_measure_is_revoked(make):
    postgres, daemon = serving(make)
    postgres.sql("revoke execute on function ratchet.outbox_stats from ratchet_run")
    yield daemon
    postgres.sql("grant execute on function ratchet.outbox_stats to ratchet_run")


@hindrance(alarm="level.1", level=0, seconds=30, text=r"database main: schema ratchet is incomplete: there is no function relay_beat, .*", remedy=r".*migrate.*")
def function_is_dropped(make):
    postgres, daemon = serving(make)
    before = postgres.sql("select pg_get_functiondef('ratchet.relay_beat'::regproc)")
    postgres.sql("drop function ratchet.relay_beat")
    postgres.sql("select pg_terminate_backend(pid) from ratchet.relay")
    yield daemon
    postgres.sql(before)
    postgres.sql("grant execute on function ratchet.relay_beat to ratchet_run")


@hindrance(alarm="relay.stuck.main", level=3, seconds=30, text=WAITING + r"reading the outbox: division by zero", remedy=OURS)
def reading_fails(make):
    postgres, daemon = serving(make)
    with replaced(postgres, "relay_read", "$$ begin perform 1 / 0; end $$"):
        post(daemon, "waits")
        yield daemon


@hindrance(alarm="relay.stuck.main", level=3, seconds=30, text=WAITING + r"reading the outbox finds none of them", remedy=OURS)
def reading_finds_nothing(make):
    postgres, daemon = serving(make)
    with replaced(postgres, "relay_read", "$$ begin return; end $$"):
        post(daemon, "waits")
        yield daemon


@hindrance(alarm="relay.stuck.main", level=3, seconds=30, text=WAITING + r"its lease was taken away", remedy=r".*ratchet\.relay, or its functions were changed.*")
def cursor_does_not_move(make):
    postgres, daemon = serving(make)
    with replaced(postgres, "relay_advance", "$$ begin return false; end $$"):
        post(daemon, "is published again and again")
        yield daemon


@hindrance(alarm="relay.stuck.main", level=3, seconds=30, text=WAITING + r"another instance has the lease and does not move", remedy=r"Look at the alarms of the instance that leads.*")
def lease_is_in_dead_hands(make):
    """Nobody leads, and nobody can."""
    postgres, daemon = serving(make)
    with replaced(postgres, "relay_acquire", "$$ begin return; end $$"):
        postgres.sql("select pg_terminate_backend(pid) from ratchet.relay")
        post(daemon, "waits")
        yield daemon


@hindrance(alarm="relay.paused", level=3, seconds=30, text=r"the relay is paused.*", remedy=r"An operator paused it: .*")
def paused(make):
    postgres, daemon = serving(make)
    daemon.ctl("relay", "pause")
    post(daemon, "waits")
    yield daemon
    daemon.ctl("relay", "resume")


@hindrance(alarm="relay.stuck.main", level=3, seconds=40, text=WAITING + r"another instance has the lease and does not move", remedy=r"Look at the alarms of the instance that leads.*")
def paused_on_another_instance(make):
    postgres, leader = serving(make)
    leader.ctl("relay", "pause")
    standby = make(Daemon, postgres.dsn("app"), leader.config["broker"]["bootstrap"][0], instance="test-2").start().wait_level(3)
    post(standby, "waits")
    yield standby
    assert leader.metric("ratchet_alarms", id="relay.stuck.main") in (None, 0)
    leader.ctl("relay", "resume")


# ---- a topic that only an SQL writer named ---------------------------------------------------------------------------


def emit(postgres, topic, key, many=1):
    """As an SQL writer does, in one transaction."""
    postgres.sql(f"select count(ratchet.emit('{topic}', {key}, 'x')) from generate_series(1, {many})")


def dead(postgres):
    return postgres.sql("select coalesce(string_agg(distinct topic, ' '), ''), count(*) from ratchet.dead_letter")


def never_fell(daemon):
    return daemon.metric("ratchet_level_transitions_total", to="1") == 1


def discard(postgres):
    postgres.sql("select ratchet.dead_discard(array(select id from ratchet.dead_letter))")


@hindrance(alarm="dead-letters.main", level=3, seconds=40, text=r"\d+ events could not be published, the latest: topic \"lost\": partition 0 has no leader",
           remedy=r".*ratchet\.dead_letter.*")
def topic_without_leader(make):
    """Its second partition, and every other topic, goes on; its records after the first wait for nothing, until it has a leader."""
    from confluent_kafka.admin import NewTopic
    cluster = make(Cluster, brokers=2, controllers=1, **{"broker.session.timeout.ms": 3000, "broker.heartbeat.interval.ms": 500}).start()
    admin = cluster.admin()
    topics = [NewTopic("orders", 1, replica_assignment=[[1]]), NewTopic("lost", 2, replica_assignment=[[2], [1]])]
    for future in admin.create_topics(topics, operation_timeout=30).values():
        future.result(60)
    wait_for("leaders", lambda: cluster.partitions("lost").get(0, (-1,))[0] == 2 and cluster.partitions("orders").get(0, (-1,))[0] == 1)
    postgres = prepared(make(Postgres).start())
    daemon = migrated(make(Daemon, postgres.dsn("app"), cluster.node(1).bootstrap), postgres).start().wait_level(3)
    cluster.node(2).kill()
    wait_for("no leader", lambda: cluster.partitions("lost").get(0, (0,))[0] == -1)
    # murmur2: "b" goes to partition 0 of 2, "d" to 1.
    emit(postgres, "lost", "'b'")
    yield daemon
    emit(postgres, "lost", "'b'", 300)
    emit(postgres, "lost", "'d'", 5)
    post(daemon, "goes on")
    wait_for("all the same ones, at once", lambda: dead(postgres) == "lost|301", 20)
    wait_for("the others published", lambda: postgres.sql("select unpublished_rows from ratchet.outbox_stats()") == "0")
    assert never_fell(daemon)
    cluster.node(2).launch()
    wait_for("a leader", lambda: cluster.partitions("lost").get(0, (-1,))[0] == 2, 90)
    wait_for("it is heard of", lambda: emit(postgres, "lost", "'b'") or "a topic takes records again" in daemon.log_text())
    assert never_fell(daemon)
    discard(postgres)


@hindrance(alarm="dead-letters.main", level=3, seconds=40, text=r"5 events could not be published, the latest: topic \"orders\": the headers are not a JSON object", remedy=r".*ratchet\.dead_letter.*")
def topics_that_are_none(make):
    """Unknown, no name, not allowed, deleted while it was written to."""
    kafka = make(SecuredKafka).start(topics=["orders", "secret", "short-lived"])
    kafka.rights("--add", "Write", "Describe", "DescribeConfigs")
    kafka.rights("--add", "Write", "Describe", topic="short-lived")
    postgres = prepared(make(Postgres).start())
    daemon = migrated(make(Daemon, postgres.dsn("app"), "", broker=kafka.sasl()), postgres).start().wait_level(3)
    emit(postgres, "short-lived", "'k'")
    wait_for("published", lambda: postgres.sql("select unpublished_rows from ratchet.outbox_stats()") == "0")
    admin = kafka.admin()  # must outlive its futures
    for future in admin.delete_topics(["short-lived"], operation_timeout=30).values():
        future.result(60)
    for topic in ("unknown", "not a name/", "secret", "short-lived"):
        emit(postgres, topic, "'k'")
    post(daemon, "goes on")
    postgres.sql("select ratchet.emit('orders', 'k', 'x', '[1]')")
    yield daemon
    assert dead(postgres) == "not a name/ orders secret short-lived unknown|5"
    assert never_fell(daemon)
    discard(postgres)


def daemon_on(make, kafka, **changes):
    postgres = prepared(make(Postgres).start())
    bootstrap = getattr(kafka, "endpoints", [kafka.bootstrap])
    return migrated(make(Daemon, postgres.dsn("app"), "", broker={"bootstrap": bootstrap}, **changes), postgres)


# ---- leaders that cannot be reached ----------------------------------------------------------------------------------

def advertise(broker, address):
    """The broker starts again, and says that it is at `address`."""
    if broker.process and broker.process.poll() is None:
        broker.kill()
    line = next(x for x in broker.config.read_text().splitlines() if x.startswith("advertised.listeners="))
    broker.config.write_text(broker.config.read_text().replace(line, f"advertised.listeners=PLAINTEXT://{address}"))
    broker.launch()
    wait_for("the broker listens", lambda: listens(broker.port), 120)


def silent(broker, address, why):
    return rf'(broker: )?broker {broker} leads topic "orders", but cannot be reached at {address}, the address it advertises: {why}'


@hindrance(alarm="level.2", level=1, seconds=30, text=silent(1, r"kafka-7\.invalid:9092", "failed to resolve 'kafka-7.invalid:9092': .*"),
           remedy=".*advertised.listeners.*")
def a_name_that_nobody_knows_is_advertised(make):
    kafka = make(Kafka).start(topics=["orders"])
    advertise(kafka, "kafka-7.invalid:9092")
    daemon = daemon_on(make, kafka).start()
    yield daemon
    advertise(kafka, kafka.bootstrap)
    daemon.wait_level(3)


@hindrance(alarm="level.2", level=1, seconds=30, text=silent(1, "127.0.0.1:1", "connect to ipv4#127.0.0.1:1 failed: connection refused|.*connection refused"),
           remedy=".*advertised.listeners.*")
def a_port_where_nobody_listens_is_advertised(make):
    kafka = make(Kafka).start(topics=["orders"])
    advertise(kafka, "127.0.0.1:1")
    daemon = daemon_on(make, kafka).start()
    yield daemon
    advertise(kafka, kafka.bootstrap)
    daemon.wait_level(3)


@hindrance(alarm="broker.leader.main", level=None, seconds=30, text=silent(3, r"127\.0\.0\.1:\d+", ".+"), remedy=".*advertised.listeners.*")
def one_leader_of_three_is_frozen_and_kafka_does_not_notice(make):
    cluster = make(Cluster, controllers=1, **{"broker.session.timeout.ms": 90000})
    cluster.replicas = 1  # of the topic: nobody else may lead its partitions
    cluster.start(topics=["orders"])
    daemon = daemon_on(make, cluster).start().wait_level(3)
    cluster.node(3).freeze()
    yield daemon
    wait_for("level 2 is let go", lambda: daemon.held() == 1, 60)
    cluster.node(3).thaw()
    daemon.wait_level(3)


# ---- quotas ----------------------------------------------------------------------------------------------------------

def configure(kafka, entity, what):
    kafka.java("kafka.admin.ConfigCommand", "--bootstrap-server", kafka.bootstrap, "--alter", *entity, *what)


def published(daemon):
    return daemon.metric("ratchet_relay_published_total") or 0


def held_back(make, setting):
    """Under a load that the quota does not grant, nothing falls, and what was taken is published once."""
    kafka = make(Kafka).start(topics=["orders"])
    configure(kafka, ["--entity-type", "clients", "--entity-default"], ["--add-config", setting])
    daemon = daemon_on(make, kafka).start().wait_level(3)
    load = Load(daemon.http_port, threads=4, pause_s=0.01).start()
    try:
        yield daemon
        before = published(daemon)
        wait_for("the relay goes on", lambda: published(daemon) >= before + 30, 60)
        assert daemon.metric("ratchet_level_transitions_total", to="1") == 1, "a level fell"
    finally:
        load.stop()
    configure(kafka, ["--entity-type", "clients", "--entity-default"], ["--delete-config", setting.split("=")[0]])
    wait_for("all published", lambda: published(daemon) >= len(load.acknowledged), 90)
    missing, inversions, duplicates = judge(kafka.consume("orders", lambda got: len(got) >= len(load.acknowledged)), load)
    assert (missing, inversions, duplicates) == ([], 0, 0)
    assert set(load.statuses) == {202}
    assert daemon.metric("ratchet_level_transitions_total", to="1") == 1, "a level fell"


QUOTA = r"a quota of Kafka holds us back \(client id ratchetd-test-1 or its user\): broker 1 lets us wait for up to \d+ ms, about \d+ bytes/s are granted"


@hindrance(alarm="broker.quota.main", level=3, seconds=30, text=QUOTA, remedy=".*producer_byte_rate.*kafka-configs.*")
def a_quota_of_bytes(make):
    yield from held_back(make, "producer_byte_rate=30000")


@hindrance(alarm="broker.quota.main", level=3, seconds=30, text=QUOTA, remedy=".*request_percentage.*kafka-configs.*")
def a_quota_of_time(make):
    yield from held_back(make, "request_percentage=1")


# ---- replicas --------------------------------------------------------------------------------------------------------

TAKES_FEWER_REPLICAS = tuple(int(n) for n in KAFKA_VERSION.split(".")[:2]) >= (3, 7)  # than min.insync.replicas asks for


@hindrance(alarm="broker.replicas.main", level=3 if TAKES_FEWER_REPLICAS else 1, seconds=30, text='topic "orders" has 1 replica, but its min.insync.replicas is 2',
           remedy=".*min.insync.replicas.*")
def more_replicas_are_asked_for_than_there_are(make):
    kafka = make(Kafka).start()
    kafka.create_topic("orders", min_insync_replicas=2)
    daemon = daemon_on(make, kafka).start().wait_level(3)
    assert daemon.post("/events/orders", {"customer": "a", "number": 1})[0] == 202
    if TAKES_FEWER_REPLICAS:
        wait_for("published all the same", lambda: published(daemon) == 1)
    yield daemon
    if not TAKES_FEWER_REPLICAS:
        wait_for("its refusals are the fault", lambda: alarms(daemon).get("level.2", {}).get("text", "").startswith(
            'broker: topic "orders" has 1 replica, but its min.insync.replicas is 2 (no acknowledgement'), 60)
    configure(kafka, ["--entity-type", "topics", "--entity-name", "orders"], ["--add-config", "min.insync.replicas=1"])
    daemon.wait_level(3)
    wait_for("published", lambda: published(daemon) >= 1)


# ---- record limits ---------------------------------------------------------------------------------------------------

@hindrance(alarm="dead-letters.main", level=3, seconds=30, text=r'\d+ events could not be published, the latest: topic "orders": Broker: Message size too large',
           remedy="Kafka refused them.*", heals=False)
def a_record_limit_is_lowered_then_raised(make):
    """One record is a dead letter; from then on the port knows."""
    kafka = make(Kafka).start(topics=["orders"])
    daemon = daemon_on(make, kafka).start().wait_level(3)

    def answer(size):
        status, _, body = daemon.post("/events/orders", {"customer": "a", "pad": "x" * size})
        return status, json.loads(body).get("limit") if status == 413 else None

    assert answer(20000) == (202, None)
    wait_for("published", lambda: published(daemon) == 1)
    configure(kafka, ["--entity-type", "topics", "--entity-name", "orders"], ["--add-config", "max.message.bytes=10000"])
    assert answer(20000) == (202, None)
    wait_for("the port says 413", lambda: answer(20000) == (413, 10000 - 128), 30)
    assert answer(5000) == (202, None)
    wait_for("what fits is published", lambda: published(daemon) == 2)
    yield daemon
    configure(kafka, ["--entity-type", "topics", "--entity-name", "orders"], ["--delete-config", "max.message.bytes"])
    wait_for("the port takes it again", lambda: answer(20000)[0] == 202, 90)
    wait_for("published", lambda: published(daemon) == 3)
    assert daemon.metric("ratchet_level_transitions_total", to="1") == 1, "a level fell"


def test_everything_in_kafka_that_makes_no_progress_is_alarmed(make):
    judge_all(ROWS, make)
