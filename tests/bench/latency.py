"""POST -> visible to a Kafka consumer at half load: an open-loop generator at a fixed rate (it does not wait for answers before
sending the next), and the age of each event, since it was due, when a consumer sees it. Half load is half of what a closed loop
of 64 connections reaches in the same run. usage: latency.py [--rate N] [--seconds N]"""
import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.support.servers import Daemon, Kafka, Postgres, wait_for  # noqa: E402

HERE = Path(__file__).parent
DUE = re.compile(rb'"due":(\d+)')


def consume(bootstrap, seen, ready, stop):
    from confluent_kafka import Consumer, TopicPartition
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench", "enable.auto.commit": False, "auto.offset.reset": "earliest",
                         "fetch.wait.max.ms": 10, "fetch.min.bytes": 1})
    consumer.assign([TopicPartition("orders", p, 0) for p in range(6)])
    ready.set()
    while not stop.is_set():
        m = consumer.poll(0.05)  # one by one: consume(n) would wait for n of them
        if m is not None and m.error() is None:
            if (due := DUE.search(m.value())) is not None:
                seen.append((time.monotonic(), int(due[1]) / 1e9))
    consumer.close()


def build_generator(folder):
    binary = folder / "open_loop"
    subprocess.run(["g++", "-O2", "-std=c++20", "-o", str(binary), str(HERE / "open_loop.cpp")], check=True)
    return binary


def generate(binary, port, rate, seconds, connections=64):
    """Returns how many were sent; each must have been answered 202."""
    out = subprocess.run([binary, str(port), str(rate), str(seconds), str(connections)], check=True, capture_output=True, text=True).stdout
    sent, answered = map(int, out.split())
    assert sent == answered, f"{sent - answered} of {sent} not answered 202"
    return sent


def full_rate(port, seconds=5):
    """Requests a second of a closed loop of 64 connections."""
    out = subprocess.run(["wrk", "-t1", "-c64", f"-d{seconds}s", "-s", str(HERE / "post.lua"), f"http://127.0.0.1:{port}"], check=True, capture_output=True, text=True).stdout
    result = json.loads(next(line for line in out.splitlines() if line.startswith("RESULT"))[7:])
    return result["requests"] / result["seconds"]


def caught_up(daemon):
    wait_for("the relay has caught up", lambda: daemon.metric("ratchet_outbox_unpublished_rows") == 0, 600)


def percentile(values, p):
    return sorted(values)[min(len(values) - 1, int(len(values) * p / 100))]


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rate", type=float, help="events a second; default: half of what 64 connections reach")
    options.add_argument("--seconds", type=float, default=10)
    options = options.parse_args()
    postgres, kafka, daemon = Postgres(shared_buffers="256MB", max_wal_size="4GB"), Kafka(), None
    folder = Path(tempfile.mkdtemp(prefix="ratchet-bench-"))
    try:
        postgres.start()
        postgres.sql("create role app login superuser", db="postgres")
        postgres.sql("create database app", db="postgres")
        kafka.start()
        kafka.create_topic("orders", partitions=6)
        daemon = Daemon(postgres.dsn("app"), kafka.bootstrap)
        daemon.migrate(postgres.dsn())
        daemon.start().wait_level(3)
        seen, ready, stop = [], threading.Event(), threading.Event()
        consumer = threading.Thread(target=consume, args=(kafka.bootstrap, seen, ready, stop))
        consumer.start()
        ready.wait()
        generator = build_generator(folder)
        full = full_rate(daemon.http_port)   # warms, too
        caught_up(daemon)
        rate = options.rate or full / 2
        seen.clear()
        sent = generate(generator, daemon.http_port, rate, options.seconds)
        end = time.monotonic() + 20
        while len(seen) < sent and time.monotonic() < end:
            time.sleep(0.05)
        stop.set()
        consumer.join()
        ages = [(a - b) * 1e3 for a, b in seen]
        print(f"POST -> consumer at {rate:.0f}/s (a closed loop reaches {full:.0f}/s): sent {sent}, seen {len(ages)}, age ms p50 {percentile(ages, 50):.1f} p90 {percentile(ages, 90):.1f} "
              f"p99 {percentile(ages, 99):.1f} max {max(ages):.1f}")
    finally:
        for thing in (daemon, kafka, postgres):
            if thing:
                thing.remove()
        shutil.rmtree(folder, ignore_errors=True)


main()
