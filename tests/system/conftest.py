"""Fixtures: one PostgreSQL and one Kafka for tests that leave them whole (session), own ones for tests that break them."""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.support.servers import Daemon, Kafka, Postgres  # noqa: E402


def prepared(server):
    """A database with a login for the daemon and one for its owner."""
    server.sql("create role app login", db="postgres")
    server.sql("create database app", db="postgres")
    return server


@pytest.fixture(scope="session")
def session_postgres():
    server = prepared(Postgres().start())
    yield server
    server.remove()


@pytest.fixture(scope="session")
def session_kafka():
    broker = Kafka().start()
    yield broker
    broker.remove()


@pytest.fixture
def make(request):
    """make(Class, ...) builds it and removes it at the end of the test, whatever happens."""
    made = []

    def build(what, *args, **kwargs):
        made.append(what(*args, **kwargs))
        return made[-1]

    yield build
    for thing in reversed(made):
        if isinstance(thing, Daemon) and request.node.rep_failed:
            print(f"--- log of {thing.config['instance']}\n{thing.log_text()[-8000:]}")
        thing.remove()


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when == "call" or not hasattr(item, "rep_failed"):
        item.rep_failed = report.failed


@pytest.fixture
def postgres(make):
    return prepared(make(Postgres).start())


@pytest.fixture
def kafka(make):
    return make(Kafka).start(topics=["orders"])


def migrated(daemon, postgres):
    daemon.migrate(postgres.dsn())
    postgres.sql("grant ratchet_run to app")
    return daemon


@pytest.fixture
def daemon(make, postgres, kafka):
    """At level 3 on servers of its own."""
    d = make(Daemon, postgres.dsn("app"), kafka.bootstrap)
    return migrated(d, postgres).start().wait_level(3)
