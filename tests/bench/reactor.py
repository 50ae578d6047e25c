"""The reactor beside nginx, cpp-httplib and Boost.Beast: requests per second and p99 with 64 connections, in turns so that what else
the machine does hits all of them; then idle connections, overload, a flood of new connections. See reactor.sh."""
import argparse
import re
import resource
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.bench.process import rss_mib  # noqa: E402
from tests.support.nginx import Nginx  # noqa: E402
from tests.support.servers import BUILD, free_ports, listens, wait_for  # noqa: E402

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Peer:
    def __init__(self, program):
        [self.port] = free_ports(1)
        self.process = subprocess.Popen([str(BUILD / "tests/bench" / program), str(self.port)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        wait_for(f"{program} listens", lambda: listens(self.port))

    def remove(self):
        self.process.kill()
        self.process.wait()


def wrk(port, path, connections, seconds):
    return subprocess.Popen(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", f"http://127.0.0.1:{port}{path}"], stdout=subprocess.PIPE, text=True)


def result(process):
    """(requests per second, p99 in ms, share answered outside 2xx and 3xx)"""
    text = process.communicate()[0]
    unit = {"us": 0.001, "ms": 1, "s": 1000}
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    total = int(re.search(r"(\d+) requests in", text)[1])
    other = int((re.search(r"Non-2xx or 3xx responses: (\d+)", text) or [0, "0"])[1])
    return float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]), float(p99[1]) * unit[p99[2]], other / max(total, 1)


def throughput(servers, rounds, seconds):
    found = {name: [] for name, _, _ in servers}
    for _ in range(rounds):
        for name, port, path in servers:
            found[name].append(result(wrk(port, path, 64, seconds)))
    for name, _, _ in servers:
        rates, p99s = [f[0] for f in found[name]], [f[1] for f in found[name]]
        print(f"  {name:28} {statistics.median(rates):9.0f} req/s   p99 {statistics.median(p99s):7.2f} ms   ({min(rates):.0f}..{max(rates):.0f})")
    return {name: (statistics.median(f[0] for f in rows), statistics.median(f[1] for f in rows)) for name, rows in found.items()}


def idle(reactor, count=10_000):
    before, open_ones = rss_mib(reactor.process.pid), []
    for _ in range(count):
        s = socket.create_connection(("127.0.0.1", reactor.port))
        s.sendall(REQUEST)
        open_ones.append(s)
    for s in open_ones:
        assert s.recv(4096).startswith(b"HTTP/1.1 202")
    print(f"idle: {count} connections, each after one request: {before:.1f} -> {rss_mib(reactor.process.pid):.1f} MiB")
    for s in open_ones:
        s.close()


def flood(reactor, count=1000):
    """ms from the first connect() to the last, and to the last answer of one request on each. A handshake ends in the kernel: so the
    connections stand in the queue as fast as one client can make them."""
    began, made = time.monotonic(), [socket.socket() for _ in range(count)]
    for s in made:
        s.connect(("127.0.0.1", reactor.port))
    connected = time.monotonic()
    for s in made:
        s.sendall(REQUEST)
    for s in made:
        assert s.recv(4096).startswith(b"HTTP/1.1 202")
    answered = time.monotonic()
    for s in made:
        s.close()
    return (connected - began) * 1000, (answered - began) * 1000


def overload(reactor, seconds):
    """What is served at its capacity, alone and while three times as many ask: the rest is told 503."""
    alone, _, refused = result(wrk(reactor.port, "/work", 64, seconds))
    rate, _, share = result(wrk(reactor.port, "/work", 256, seconds))
    print(f"overload: served {alone * (1 - refused):.0f}/s alone, {rate * (1 - share):.0f}/s beside {rate * share:.0f}/s told 503 "
          f"({100 * (rate * (1 - share) / (alone * (1 - refused)) - 1):+.1f} %)")


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=2)
    chosen = options.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    made = []
    try:
        for program in ("reactor_bench", "bench_beast", "bench_httplib"):
            made.append(Peer(program))
        made.append(Nginx("location = / { return 204; } location = /busy { return 503; }"))
        reactor, beast, httplib, nginx = made
        nginx.start()
        print("64 connections, one thread each (httplib: 64), wrk -t1")
        rate = throughput([("ratchetd's reactor", reactor.port, "/"), ("Boost.Beast async", beast.port, "/"), ("cpp-httplib, 64 threads", httplib.port, "/"),
                           ("nginx return 204", nginx.port, "/")], chosen.rounds, chosen.seconds)
        ours, p99 = rate["ratchetd's reactor"]
        print(f"  ratios: {ours / rate['cpp-httplib, 64 threads'][0]:.2f} x httplib, {ours / rate['Boost.Beast async'][0]:.2f} x Beast, "
              f"{ours / rate['nginx return 204'][0]:.2f} x nginx; p99 {p99 / rate['nginx return 204'][1]:.2f} x nginx's")
        print("503")
        rate = throughput([("ratchetd's reactor, 503", reactor.port, "/busy"), ("nginx return 503", nginx.port, "/busy")], chosen.rounds, chosen.seconds)
        (ours, _), (theirs, _) = rate.values()
        print(f"  ratio: {ours / theirs:.2f} x nginx")
        overload(reactor, chosen.seconds)
        floods = [flood(reactor) for _ in range(5)]
        print("flood: 1,000 connections: connect() " + ", ".join(f"{c:.0f}" for c, _ in floods) + " ms, all answered after " + ", ".join(f"{a:.0f}" for _, a in floods) + " ms")
        idle(reactor)
    finally:
        for one in made:
            one.remove()


if __name__ == "__main__":
    main()
