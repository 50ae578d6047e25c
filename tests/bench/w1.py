"""W1: POST 200 bytes of JSON, answered after the commit, at 1, 64 and 256 keep-alive connections. In one run, in turns:
ratchetd with its relay and a real Kafka on the same machine, ratchetd with the relay paused, and the row-per-request service
one would write in an afternoon (Go, pgx, a pool of 32). Then the ceiling: pgbench with the same statement.
Medians of the rounds. usage: w1.py [--seconds 8] [--rounds 3] [--connections 1,64,256]"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.bench.process import cpu_seconds, rss_mib  # noqa: E402
from tests.support.servers import Daemon, Kafka, Postgres, free_ports, wait_for  # noqa: E402

HERE = Path(__file__).parent


def wrk(port, connections, seconds):
    out = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(HERE / "post.lua"), f"http://127.0.0.1:{port}"],
                         check=True, capture_output=True, text=True).stdout
    return json.loads(next(line for line in out.splitlines() if line.startswith("RESULT"))[7:])


class Row:
    """The rival: no relay, no outbox, no idempotency."""

    def __init__(self, binary, postgres):
        self.port = free_ports(1)[0]
        url = f"postgres://app@127.0.0.1:{postgres.port}/rival?sslmode=disable"
        self.process = subprocess.Popen([binary, f"127.0.0.1:{self.port}", url, "32"])
        wait_for("rival", lambda: subprocess.run(["curl", "-s", f"http://127.0.0.1:{self.port}/"], capture_output=True).returncode == 0)
        self.pid = self.process.pid


def measure(name, pid, port, postgres, connections, seconds):
    service, store = cpu_seconds(pid), cpu_seconds(postgres.pid)
    r = wrk(port, connections, seconds)
    n = max(1, r["requests"])
    return {"name": name, "connections": connections, "rps": r["requests"] / r["seconds"], "p50": r["p50"], "p99": r["p99"],
            "service_us": (cpu_seconds(pid) - service) / n * 1e6, "store_us": (cpu_seconds(postgres.pid) - store) / n * 1e6,
            "rss": rss_mib(pid), "bad": r["not_202"] + r["errors"]}


def build_rival(folder):
    if not shutil.which("go"):
        return None, "no Go here"
    built = subprocess.run(["go", "build", "-o", str(folder / "row_per_request"), "."], cwd=HERE / "row_per_request", capture_output=True, text=True)
    return (str(folder / "row_per_request"), "") if built.returncode == 0 else (None, built.stderr.strip()[-300:])


def published(daemon):
    wait_for("the relay has caught up", lambda: daemon.metric("ratchet_outbox_unpublished_rows") == 0, 600)


def ceiling(postgres, seconds):
    """What PostgreSQL itself takes: ratchet.append of 64 rows of 200 bytes per call, one client, and a raw INSERT of the same."""
    postgres.sql("create table raw (topic text, key bytea, headers jsonb, payload bytea, seq bigserial primary key, txid xid8 default pg_current_xact_id()); "
                 "create table batch as select array_agg('orders'::text) t, array_agg('c-1'::bytea) k, "
                 "array_agg(('{\"ce_id\":\"' || gen_random_uuid() || '\",\"ce_source\":\"/ratchetd/events/orders\"}')::jsonb) h, "
                 "array_agg(repeat('x', 200)::bytea) p from generate_series(1, 64)")
    scripts = {"append": "select ratchet.append(null, null, null, t, k, h, p) from batch;",
               "raw insert": "insert into raw(topic, key, headers, payload) select u.* from batch, unnest(t, k, h, p) u;"}
    for name, text in scripts.items():
        file = postgres.dir / "script.sql"
        file.write_text(text)
        out = postgres.run("pgbench", "-h", postgres.dir, "-p", postgres.port, "-U", "postgres", "-n", "-M", "prepared", "-c", 1, "-T", seconds, "-f", file, "app").stdout
        tps = float(next(line for line in out.splitlines() if line.startswith("tps")).split()[2])
        print(f"ceiling, 64 rows of 200 bytes a call, 1 client: {name:10} {tps:8.0f} calls/s {tps * 64:9.0f} rows/s")


def show(rows, rounds):
    print(f"\n{'':24} {'conns':>5} {'req/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'svc us':>7} {'pg us':>7} {'RSS MiB':>8} {'not 202':>8}   (medians of {rounds}; us = CPU per event)")
    medians = {}
    for name, connections in dict.fromkeys((r["name"], r["connections"]) for r in rows):
        mine = [r for r in rows if (r["name"], r["connections"]) == (name, connections)]
        m = {k: statistics.median(r[k] for r in mine) for k in ("rps", "p50", "p99", "service_us", "store_us", "rss")}
        medians[name, connections] = m
        print(f"{name:24} {connections:5} {m['rps']:8.0f} {m['p50']:8.2f} {m['p99']:8.2f} {m['service_us']:7.1f} {m['store_us']:7.1f} {m['rss']:8.1f} {sum(r['bad'] for r in mine):8}")
    for (name, connections), m in medians.items():
        if name != "row per request" and (rival := medians.get(("row per request", connections))):
            print(f"{name} at {connections}: {m['rps'] / rival['rps']:.2f} x the rival's req/s, p50 {m['p50'] / rival['p50']:.2f} x, p99 {m['p99'] / rival['p99']:.2f} x, "
                  f"CPU per event 1/{(rival['service_us'] + rival['store_us']) / (m['service_us'] + m['store_us']):.1f}")


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=int, default=8)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--connections", default="1,64,256")
    options = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ratchet-bench-"))
    postgres, kafka, daemon, rival = Postgres(shared_buffers="256MB", max_wal_size="4GB"), Kafka(), None, None
    try:
        postgres.start()
        for sql in ("create role app login superuser", "create database app", "create database rival"):
            postgres.sql(sql, db="postgres")
        kafka.start()
        kafka.create_topic("orders", partitions=6)
        daemon = Daemon(postgres.dsn("app"), kafka.bootstrap)
        daemon.migrate(postgres.dsn())
        daemon.start().wait_level(3)
        binary, why = build_rival(folder)
        rival = Row(binary, postgres) if binary else print(f"rival skipped: {why}")
        rows = []
        print(f"load average {os.getloadavg()}, {os.cpu_count()} cores; idle RSS at level 3: {daemon.rss_mib():.1f} MiB", flush=True)
        for _ in range(options.rounds):
            for connections in map(int, options.connections.split(",")):
                if rival:
                    rows.append(measure("row per request", rival.pid, rival.port, postgres, connections, options.seconds))
                daemon.ctl("relay", "pause")
                rows.append(measure("ratchetd, relay paused", daemon.process.pid, daemon.http_port, postgres, connections, options.seconds))
                daemon.ctl("relay", "resume")
                published(daemon)
                rows.append(measure("ratchetd + relay + Kafka", daemon.process.pid, daemon.http_port, postgres, connections, options.seconds))
                published(daemon)
        show(rows, options.rounds)
        ceiling(postgres, options.seconds)
    finally:
        for thing in (daemon, kafka, postgres):
            if thing:
                thing.remove()
        if rival:
            rival.process.kill()
            rival.process.wait()
        shutil.rmtree(folder, ignore_errors=True)


main()
