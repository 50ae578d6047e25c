"""Instances come and go behind a real balancer, under load, and nobody may notice. Every failed request is counted by
its cause; the balancer repeats nothing, so nothing is hidden."""
import collections
import http.client
import itertools
import random
import statistics
import threading
import time
from pathlib import Path

from load import Clients

from tests.support.haproxy import Haproxy
from tests.support.nginx import Nginx
from tests.support.servers import Daemon, free_ports, wait_for

ROOT = Path(__file__).resolve().parents[2]


class Traffic(Clients):
    """Clients that ask one request after the other: keep-alive or fresh connections, GET and POST. A request that is not
    answered as it should be is a failure, whatever the reason; no client repeats anything. A kept connection that was
    closed with `Connection: close`, or by its idle end before the request was written, is made anew."""

    def __init__(self, port, keep=4, fresh=2, pause_s=0.01, get=("/live", 200)):
        self.port, self.pause_s, self.get = port, pause_s, get
        self.failed, self.ok, self.slowest = collections.Counter(), 0, 0.0
        self.mutex, self.stopping = threading.Lock(), threading.Event()
        kinds = [(True, i % 2 == 0) for i in range(keep)] + [(False, i % 2 == 0) for i in range(fresh)]
        self.threads = [threading.Thread(target=self.client, args=kind, daemon=True) for kind in kinds]

    def client(self, keep, post):
        connection = None
        while not self.stopping.is_set():
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            began = time.monotonic()
            try:
                why, close = self.ask(connection, post)
            except (OSError, http.client.HTTPException) as e:
                why, close = type(e).__name__, True
            took = time.monotonic() - began
            with self.mutex:
                self.slowest = max(self.slowest, took)
                if why is None:
                    self.ok += 1
                else:
                    self.failed[f"{'POST' if post else 'GET'} {'kept' if keep else 'fresh'}: {why}"] += 1
            if close or not keep:
                connection.close()
                connection = None
            time.sleep(self.pause_s)
        if connection:
            connection.close()

    def ask(self, connection, post):
        if post:
            connection.request("POST", "/events/orders", b'{"customer":"c"}', {"Content-Type": "application/json"})
        else:
            connection.request("GET", self.get[0])
        response = connection.getresponse()
        body = response.read()
        wanted = 202 if post else self.get[1]
        why = None if response.status == wanted else f"{response.status} {body[:80]!r}"
        return why, response.will_close


class Forger(Clients):
    """A stranger who says, through the balancer, what only a balancer may say: that it sends no more (`gone`), in its own name; or
    that it does (`busy`), each time in the name of another one that there is not."""
    WORDS = {"gone": "NOLB; name=app/{server}; node=lb1; weight=1/1; scur=0/0; qcur=0", "busy": "UP; name=app/{server}; node=evil-{n}; weight=1/1; scur=5/5; qcur=0"}

    def __init__(self, port, word, servers, pause_s=0.005):
        self.port, self.pause_s, self.sent = port, pause_s, 0
        self.word, self.servers = self.WORDS[word], servers
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.client, args=(i,), daemon=True) for i in range(2)]

    def client(self, first):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        for n in itertools.count(first):
            if self.stopping.is_set():
                return connection.close()
            try:
                word = self.word.format(server=self.servers[n % len(self.servers)], n=n)
                connection.request("GET", "/ready", headers={"X-HAProxy-Server-State": word})
                connection.getresponse().read()
                self.sent += 1
            except (OSError, http.client.HTTPException):  # its own loss: nobody else's is hidden by it
                connection.close()
            time.sleep(self.pause_s)


# How HAProxy is told, and how the daemon tells it: (lines for all servers, words of each server, daemon's drain, its
# registrars). {agent}: the port of that server's agent.
MECHANISMS = {
    "503": (["option httpchk GET /ready", "http-check send-state"], "check inter 1s fall 3 rise 1", {}, None),
    "404": (["option httpchk GET /ready", "http-check disable-on-404", "http-check send-state"], "check inter 1s fall 3 rise 1", {"code": 404}, None),
    "404 quick": (["option httpchk GET /ready", "http-check disable-on-404", "http-check send-state"], "check inter 300ms fall 3 rise 1", {"code": 404}, None),
    "secret": (["option httpchk", "http-check disable-on-404", "http-check send-state",
                "http-check send meth GET uri /ready hdr X-Ratchetd-Probe open-sesame"],
               "check inter 300ms fall 3 rise 1", {"code": 404}, None),
    "no-state": (["option httpchk GET /ready"], "check inter 500ms fall 3 rise 1", {}, None),
    "agent": ([], "agent-check agent-port {agent} agent-inter 500ms", {},
              lambda lb, i, agent: [{"type": "haproxy-agent", "listen": f"127.0.0.1:{agent}"}]),
    "runtime": ([], "disabled", {},
                lambda lb, i, agent: [{"type": "haproxy-runtime", "sockets": [str(lb.socket)], "server": f"app/s{i}", "heartbeat_ms": 2000}]),
}


class Fleet:
    """`size` instances behind a balancer."""

    def __init__(self, make, postgres, broker, mechanism, size=3, **of_service):
        self.mechanism, self.stops = mechanism, []
        self.ports, self.agents = free_ports(size), free_ports(size)
        if mechanism == "nginx":
            servers = "".join(f"server 127.0.0.1:{p} max_fails=1 fail_timeout=2s; " for p in self.ports)
            self.lb = make(UpstreamNginx, servers)
            drain, registrars = {}, None
        else:
            lines, words, drain, registrars = MECHANISMS[mechanism]
            self.lb = make(Haproxy, [*lines, *(f"server s{i} 127.0.0.1:{p} {words.format(agent=a)}"
                                               for i, (p, a) in enumerate(zip(self.ports, self.agents)))],
                           forwardfor=mechanism != "secret")  # then nothing else tells a client's word from HAProxy's
        self.daemons = []
        for i, port in enumerate(self.ports):
            service = {"listen": f"127.0.0.1:{port}", "drain": drain, **of_service}
            if registrars:
                service["registrars"] = registrars(self.lb, i, self.agents[i])
            d = make(Daemon, postgres.dsn("app"), broker.bootstrap, service=service, instance=f"fleet-{i}")
            d.config["database"]["pools"]["main"]["size"] = 4
            self.daemons.append(d)
        self.daemons[0].migrate(postgres.dsn())
        postgres.sql("grant ratchet_run to app")

    def start(self):
        for d in self.daemons:
            d.start()
        for d in self.daemons:
            d.wait_level(3)
        self.lb.start()
        for i in range(len(self.daemons)):
            self.wait_served(i)
        return self

    def wait_served(self, i):
        if self.mechanism != "nginx":
            # HAProxy believes in a server before it has asked: whom it never asked cannot know that it is there.
            if MECHANISMS[self.mechanism][1].startswith("check "):
                wait_for(f"HAProxy has asked s{i}", lambda: self.lb.stat(f"s{i}").get("check_status", "").lstrip("* ") == "L7OK", 60)
            wait_for(f"HAProxy sends to s{i}", lambda: self.lb.status(f"s{i}").split(" ")[0] in ("UP", "no") and "DRAIN" not in self.lb.status(f"s{i}"), 60)

    def remove(self, i):
        began = time.monotonic()
        code = self.daemons[i].stop()
        self.stops.append(time.monotonic() - began)
        assert code == 0

    def add(self, i):
        self.daemons[i].start().wait_level(3)
        self.wait_served(i)

    def summaries(self):
        return [line for d in self.daemons for line in d.log_text().splitlines() if "level 3 drained" in line]

    def report(self, traffic):
        slow = f"slowest {traffic.slowest:.2f} s"
        stops = f"{len(self.stops)} stops, mean {statistics.mean(self.stops):.2f} s, longest {max(self.stops):.2f} s" if self.stops else "no stops"
        return f"{self.mechanism}: {traffic.ok} answered, {sum(traffic.failed.values())} failed {dict(traffic.failed)}, {slow}; {stops}"


class UpstreamNginx(Nginx):
    """nginx as people run it: kept connections to the servers, its own words about the next upstream."""

    def __init__(self, servers):
        super().__init__("location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection \"\"; }")
        file = self.dir / "nginx.conf"
        file.write_text(file.read_text().replace("server { listen", f"upstream app {{ {servers} keepalive 16; }}\nserver {{ listen"))


def rounds_of(fleet, traffic, rounds, rest_s=0.3, seed=1, least=2):
    """So many removals, and additions between them as chance has it: never fewer than `least` instances, and all in the end."""
    chance = random.Random(seed)
    up, gone = list(range(len(fleet.daemons))), []
    removed = 0
    while removed < rounds or gone:
        if removed < rounds and len(up) > least and (not gone or chance.random() < 0.5):
            gone.append(up.pop(chance.randrange(len(up))))
            fleet.remove(gone[-1])
            removed += 1
        else:
            up.append(gone.pop(chance.randrange(len(gone))))
            fleet.add(up[-1])
        time.sleep(rest_s)
    return traffic
