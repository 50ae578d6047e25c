"""Every known cause, provoked on real servers: the alarm says the cause and what to do, and the log, the history and
`ratchetctl status` say the same. The daemons of one test run side by side: an alarm takes 15 s."""
import json
import os
import re
import shutil
import socket
import subprocess

import pytest
from conftest import migrated, prepared

from tests.support.faults import Disk, Net, missing_for_disks, missing_for_networks, with_resolver
from tests.support.servers import Daemon, Kafka, Postgres, free_ports, wait_for


def not_said(d, alarm, kind, text):
    """What is missing of: the alarm, with its cause and its runbook line, in all the places where one looks; None: nothing."""
    def found():
        _, _, body = d.get("/alarms")
        return next((a for a in (json.loads(body) if body else []) if a["id"] == alarm and re.fullmatch(text, a["text"])), None)
    try:
        told = wait_for(f"alarm {alarm}", found, 60)
    except AssertionError:
        return f"no alarm {alarm} of that text in {d.get('/alarms')[2].decode()}; levels: {d.levels()}\n{d.log_text()[-1500:]}"
    cause = told["text"]
    if len(told["runbook"]) < 20 or told["runbook"] == cause:
        return f"runbook line: {told['runbook']!r}"
    if kind and not (d.metric("ratchet_faults_total", kind=kind) or 0) >= 1:
        return f"no fault of kind {kind} counted"
    quoted = cause.replace("\\", "\\\\").replace('"', '\\"')  # as the log writes it
    for place, said in {"log": d.log_text(), "ratchetctl status": d.ctl("status").stdout}.items():
        if cause not in said and quoted not in said:
            return f"{cause!r} not in {place}:\n{said[-1500:]}"
    if kind and cause not in [entry["text"] for entry in json.loads(d.get("/history")[2])]:
        return "not in the history"
    return None


def all_said(cases):
    """cases: name -> (daemon, alarm id, kind, text). All of them, so that one missing does not hide the next."""
    missing = {name: not_said(*case) for name, case in cases.items()}
    missing = {name: what for name, what in missing.items() if what}
    assert not missing, "\n".join(f"--- {name}: {what}" for name, what in missing.items())


def certificate(folder, name):
    key, cert = folder / f"{name}.key", folder / f"{name}.crt"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(cert)],
                   check=True, capture_output=True)
    return key, cert


def guarded_postgres(make, tmp_path):
    """Asks one login for a password, speaks TLS, and has databases with every kind of schema."""
    postgres = make(Postgres)
    key, cert = certificate(tmp_path, "server.test")
    for file in (key, cert):
        inside = postgres.data / file.name
        shutil.copy(file, inside)
        inside.chmod(0o600)
        if os.getuid() == 0:
            shutil.chown(inside, "postgres")
    with open(postgres.data / "postgresql.conf", "a") as f:
        f.write(f"ssl = on\nssl_key_file = '{key.name}'\nssl_cert_file = '{cert.name}'\n")
    (postgres.data / "pg_hba.conf").write_text("local all all trust\nhost all locked 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n")
    prepared(postgres.start())
    for sql in ("create role locked login password 'right'", "create role stranger login", "create role capped login connection limit 0",
                "create role reader login", "alter role reader set default_transaction_read_only = on"):
        postgres.sql(sql, db="postgres")
    migrated(make(Daemon, postgres.dsn(), "127.0.0.1:1"), postgres)
    for name in ("older", "newer"):
        postgres.sql(f"create database {name} template app", db="postgres")
    postgres.sql("create database bare", db="postgres")
    postgres.sql("delete from ratchet.migration where version > 3", db="older")
    postgres.sql("insert into ratchet.migration(version, name, checksum) values (99, 'later', '')", db="newer")
    postgres.sql("grant ratchet_run to capped, reader, locked", db="postgres")
    return postgres


def test_every_cause_that_keeps_the_database_away_is_named(make, tmp_path):
    postgres = guarded_postgres(make, tmp_path)
    here = rf" \(127\.0\.0\.1:{postgres.port}\)"
    nobody = free_ports(1)[0]
    _, other = certificate(tmp_path, "other.test")
    cases = {}

    def case(name, kind, text, dsn, prefix=(), **changes):
        d = make(Daemon, dsn, "127.0.0.1:1", instance=name, **changes)
        d.prefix = list(prefix)
        cases[name] = (d.start(), "level.1", kind, text)

    case("refused", "refused", rf"database main: connection refused \(127\.0\.0\.1:{nobody}\)", f"host=127.0.0.1 port={nobody} dbname=app user=app")
    case("tls", "tls", rf".*certificate verify failed.*{here}", postgres.dsn("app") + f" sslmode=verify-ca sslrootcert={other}")
    case("auth", "authentication", rf'database main: FATAL: password authentication failed for user "locked"{here}', postgres.dsn("locked"),
         database={"pools": {"main": {"password": {"env": "RATCHET_TEST_WRONG"}}}})
    case("no-database", "authentication", rf'database main: FATAL: database "nowhere" does not exist{here}', postgres.dsn("app", "nowhere"))
    case("no-right", "authorisation", r"database main: no right to use schema ratchet.*grant ratchet_run to .*stranger.*", postgres.dsn("stranger"))
    case("missing", "schema_missing", r"database main: schema ratchet is missing: run `ratchetd migrate`", postgres.dsn("app", "bare"))
    case("older", "schema_older", r"database main: schema ratchet has version 3, this program needs \d+: run `ratchetd migrate`", postgres.dsn("app", "older"))
    case("newer", "schema_newer", r"database main: schema ratchet has version 99, this program needs at most \d+: install a newer ratchetd",
         postgres.dsn("app", "newer"))
    case("read-only", "read_only", rf"database main: the server is read-only .*{here}", postgres.dsn("reader"))
    case("too-many", "too_many_connections", rf'database main: FATAL: too many connections for role "capped"{here}', postgres.dsn("capped"))
    if not missing_for_networks():
        away, resolver = make(Net), make(Net)
        away.drop()
        resolver.drop()
        case("timed-out", "timed_out", rf"database main: no answer within 2\d\d\d ms \({away.address}:5432\)", f"host={away.address} port=5432 dbname=app user=app")
        case("dns", "name_resolution", r"database main: no answer in time from the name resolver for db\.ratchet\.test",
             "host=db.ratchet.test dbname=app user=app", with_resolver(tmp_path / "resolv.conf", resolver.address))
    all_said(cases)


@pytest.fixture(autouse=True)
def a_wrong_password(monkeypatch):
    monkeypatch.setenv("RATCHET_TEST_WRONG", "wrong")


def acl(kafka, *words):
    kafka.java("kafka.admin.AclCommand", "--bootstrap-server", kafka.bootstrap, *words)


def test_every_cause_that_keeps_the_broker_away_is_named(make, postgres, tmp_path):
    plain = {"listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"}
    kafka = make(Kafka, **plain, **{"authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer", "allow.everyone.if.no.acl.found": "true"})
    kafka.start(topics=["orders", "secret"])
    acl(kafka, "--add", "--deny-principal", "User:ANONYMOUS", "--operation", "Describe", "--operation", "Write", "--topic", "secret", "--force")
    nobody = free_ports(1)[0]
    migrated(make(Daemon, postgres.dsn(), kafka.bootstrap), postgres)
    cases = {}

    def case(name, kind, text, bootstrap=kafka.bootstrap, topic="orders", prefix=(), **changes):
        d = make(Daemon, postgres.dsn("app"), bootstrap, [{"kind": "event", "path": "/e", "topic": topic}], instance=name, **changes)
        d.prefix = list(prefix)
        cases[name] = (d.start(), "level.2", kind, text)

    case("refused", "refused", rf"broker: 127\.0\.0\.1:{nobody}: connection refused", f"127.0.0.1:{nobody}")
    case("topic-missing", "topic_missing", r'broker: topic "nowhere" does not exist: create it', topic="nowhere")
    case("not-authorised", "authorisation", r'broker: topic "secret" not allowed: .*', topic="secret")
    case("tls", "tls", rf"broker: .*127\.0\.0\.1:{kafka.port}.*SSL.*", broker={"properties": {"security.protocol": "ssl"}})
    if not missing_for_networks():
        away, resolver = make(Net), make(Net)
        away.drop()
        resolver.drop()
        case("timed-out", None, rf"broker: {away.address}:9092: .*timed out.*", f"{away.address}:9092")
        case("dns", "name_resolution", r"broker: kafka\.ratchet\.test:9092: failed to resolve .*", "kafka.ratchet.test:9092",
             prefix=with_resolver(tmp_path / "resolv.conf", resolver.address, "options timeout:1 attempts:1"))
    all_said(cases)


def test_a_full_disk_is_named(make, kafka):
    if why := missing_for_disks():
        pytest.skip(why)
    disk = make(Disk, mib=192)
    postgres = prepared(make(Postgres, disk=disk.path, max_wal_size="32MB", min_wal_size="32MB").start())
    d = migrated(make(Daemon, postgres.dsn("app"), kafka.bootstrap), postgres).start().wait_level(3)
    filler = disk.path / "filler"
    with open(filler, "wb") as f:
        try:
            while True:
                f.write(b"x" * 2**16)
                f.flush()
        except OSError:  # full, as it shall be
            pass

    def said():
        d.post("/events/orders", {"customer": "c", "note": "x" * 8000})
        return "No space left on device" in d.get("/alarms")[2].decode()
    try:
        wait_for("the full disk named", said, 120)
        wait_for("ratchetctl says it", lambda: "No space left on device" in d.ctl("status").stdout)
        (alarm,) = json.loads(d.get("/alarms")[2])
        assert alarm["id"] == "pool.main.disk-full" and alarm["text"].startswith("database main: ") and len(alarm["runbook"]) > 20
        assert alarm["text"] in d.log_text().replace('\\"', '"')
    finally:
        filler.unlink()
    d.wait_level(3, 120)
    wait_for("takes events again", lambda: d.post("/events/orders", {"customer": "c"})[0] == 202)
    wait_for("no alarm any more", lambda: json.loads(d.get("/alarms")[2]) == [])


def test_every_cause_that_keeps_the_port_closed_is_named(make, postgres, kafka):
    migrated(make(Daemon, postgres.dsn(), kafka.bootstrap), postgres)
    busy = make(Daemon, postgres.dsn("app"), kafka.bootstrap, instance="busy")
    taken = socket.socket()
    taken.bind(("127.0.0.1", busy.http_port))
    taken.listen()
    few = make(Daemon, postgres.dsn("app"), kafka.bootstrap, instance="few", prefix=["prlimit", "--nofile=400:400"]).start()
    none = make(Daemon, postgres.dsn("app"), kafka.bootstrap, instance="none").start().wait_level(3)
    busy.start()
    subprocess.run(["prlimit", "--pid", str(none.process.pid), "--nofile=10:"], check=True)
    postgres.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'ratchetd none'")
    # What it would be asked over needs files, too: it is judged by its log once it can answer again.
    wait_for("no file left, said in the log", lambda: "kind=out_of_files" in none.log_text())
    all_said({
        "port": (busy, "level.3", "address_in_use", rf"service: cannot listen on 127\.0\.0\.1:{busy.http_port}: Address already in use"),
        "few files": (few, "limit.files", None, r"at most 400 open files, \d+ may be needed"),
    })
    wait_for("no file left, alarmed", lambda: re.search(r"alarm set id=level\.1 text=\"database main: .*(no file left|Too many open files)", none.log_text()))
    subprocess.run(["prlimit", "--pid", str(none.process.pid), "--nofile=4096:"], check=True)
    none.wait_level(3)
    assert few.wait_level(3)
    taken.close()
    busy.wait_level(3)
