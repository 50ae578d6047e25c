"""Boot times, idle cost, idle connections, and how fast a killed PostgreSQL is seen. Medians of 5 where that makes sense."""
import resource
import socket
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.bench.ask import ask  # noqa: E402
from tests.bench.process import cpu_seconds  # noqa: E402
from tests.support.servers import Daemon, Kafka, Postgres, wait_for  # noqa: E402


def until(port, path, status):
    start = time.monotonic()
    while ask(port, path) != status:
        if time.monotonic() - start > 30:
            raise AssertionError(f"{path} never said {status}")
        time.sleep(0.0005)
    return (time.monotonic() - start) * 1e3


def boot(make_daemon, path, times=5):
    took = []
    for _ in range(times):
        d = make_daemon()
        start = time.monotonic()
        d.start()
        until(d.ops_port, path, 200)
        took.append((time.monotonic() - start) * 1e3)
        d.kill()
        d.remove()
    return statistics.median(took)


def idle_connections(d, n):
    resource.setrlimit(resource.RLIMIT_NOFILE, (n + 200, max(n + 200, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    before = d.rss_mib()
    held = []
    for _ in range(n):
        s = socket.create_connection(("127.0.0.1", d.http_port))
        s.sendall(b"GET /live HTTP/1.1\r\nHost: a\r\n\r\n")
        s.recv(4096)
        held.append(s)
    after = d.rss_mib()
    for s in held:
        s.close()
    return after - before


def seen_killed(postgres, d, times=5):
    took = []
    for _ in range(times):
        d.wait_level(3)
        ask(d.ops_port, "/ready")
        start = time.monotonic()
        postgres.kill()
        until(d.ops_port, "/ready", 503)
        took.append((time.monotonic() - start) * 1e3)
        postgres.start()
    return statistics.median(took)


def main():
    postgres, kafka, daemon = Postgres(), Kafka(), None
    try:
        print(f"boot to /live with nothing reachable: {boot(lambda: Daemon('host=127.0.0.1 port=1 dbname=x user=x', '127.0.0.1:1'), '/live'):.0f} ms")
        postgres.start()
        for sql in ("create role app login superuser", "create database app"):
            postgres.sql(sql, db="postgres")
        kafka.start(topics=["orders"])
        daemon = Daemon(postgres.dsn("app"), kafka.bootstrap)
        daemon.migrate(postgres.dsn())
        print(f"boot to level 3 with everything there: {boot(lambda: Daemon(postgres.dsn('app'), kafka.bootstrap), '/ready'):.0f} ms")
        daemon.start().wait_level(3)
        wait_for("pool filled", lambda: daemon.metric("db_client_connection_count") == 8)
        used = cpu_seconds(daemon.process.pid)
        time.sleep(10)
        print(f"idle at level 3: RSS {daemon.rss_mib():.1f} MiB, CPU {(cpu_seconds(daemon.process.pid) - used) * 10:.2f} %")
        print(f"10,000 idle connections: {idle_connections(daemon, 9900) / 0.99:.1f} MiB")
        print(f"killed PostgreSQL: /ready is 503 after {seen_killed(postgres, daemon):.1f} ms")
    finally:
        for thing in (daemon, kafka, postgres):
            if thing:
                thing.remove()


main()
