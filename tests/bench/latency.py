"""POST -> visible to a Kafka consumer: an open-loop generator at a fixed rate (it does not wait for answers before sending the
next), the age of each event when a consumer in the same process sees it. usage: latency.py [--rate N] [--seconds N]"""
import argparse
import asyncio
import json
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.support.servers import Daemon, Kafka, Postgres  # noqa: E402


def consume(bootstrap, seen, ready, stop):
    from confluent_kafka import Consumer, TopicPartition
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench", "enable.auto.commit": False, "auto.offset.reset": "earliest",
                         "fetch.wait.max.ms": 10, "fetch.min.bytes": 1})
    consumer.assign([TopicPartition("orders", p, 0) for p in range(6)])
    ready.set()
    while not stop.is_set():
        m = consumer.poll(0.05)  # one by one: consume(n) would wait for n of them
        if m is not None and m.error() is None:
            seen.append((time.monotonic(), json.loads(m.value())["sent"]))
    consumer.close()


async def one_connection(port, every, until, offset, sent):
    """Sends on its schedule, pipelined where an answer is late: an open loop."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def drain_answers():
        while await reader.read(65536):
            pass
    reading = asyncio.create_task(drain_answers())
    at = time.monotonic() + offset
    while at < until:
        await asyncio.sleep(max(0, at - time.monotonic()))
        body = json.dumps({"customer": f"c-{sent[0] % 997}", "sent": time.monotonic(), "note": "x" * 130}).encode()
        writer.write(b"POST /events/orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        sent[0] += 1
        at += every
    await asyncio.sleep(1)
    writer.close()
    reading.cancel()


async def generate(port, rate, seconds, connections=16):
    sent, until = [0], time.monotonic() + seconds
    await asyncio.gather(*(one_connection(port, connections / rate, until, i / rate, sent) for i in range(connections)))
    return sent[0]


def percentile(values, p):
    return sorted(values)[min(len(values) - 1, int(len(values) * p / 100))]


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rate", type=float, default=4000, help="events a second; about half of what W1 reaches with this generator beside it")
    options.add_argument("--seconds", type=float, default=10)
    options = options.parse_args()
    postgres, kafka, daemon = Postgres(shared_buffers="256MB"), Kafka(), None
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
        asyncio.run(generate(daemon.http_port, 200, 2))   # warm
        seen.clear()
        sent = asyncio.run(generate(daemon.http_port, options.rate, options.seconds))
        end = time.monotonic() + 20
        while len(seen) < sent and time.monotonic() < end:
            time.sleep(0.05)
        stop.set()
        consumer.join()
        ages = [(a - b) * 1e3 for a, b in seen]
        print(f"POST -> consumer at {options.rate:.0f}/s: sent {sent}, seen {len(ages)}, age ms p50 {percentile(ages, 50):.1f} p90 {percentile(ages, 90):.1f} "
              f"p99 {percentile(ages, 99):.1f} max {max(ages):.1f}")
    finally:
        for thing in (daemon, kafka, postgres):
            if thing:
                thing.remove()


main()
