"""packaging/haproxy/haproxy.cfg and packaging/nginx/nginx.conf, as they are, in the real programs before real daemons; and what
they and the other snippets let through."""
import re
import socket
import subprocess

import pytest
from conftest import migrated
from fleet import Traffic

from tests.support.embedded_broker import EmbeddedBroker
from tests.support.nginx import Recorder
from tests.support.servers import ROOT, Daemon, free_ports, listens, wait_for


@pytest.fixture(scope="module")
def broker():
    b = EmbeddedBroker().start()
    yield b
    b.remove()


class Program:
    """One snippet with its addresses changed to free ones."""

    def __init__(self, make, postgres, broker, snippet, folder, code):
        self.front, *backs = free_ports(3)
        self.daemons = []
        for i, port in enumerate(backs):
            d = make(Daemon, postgres.dsn("app"), broker.bootstrap, instance=f"orders-{i + 1}",
                     service={"listen": f"127.0.0.1:{port}", "drain": {"code": code}})
            self.daemons.append(migrated(d, postgres).start())
        for d in self.daemons:
            d.wait_level(3)
        text = (ROOT / snippet).read_text().replace("/run/haproxy", str(folder))
        for old, new in zip((8000, 8081, 8082), (self.front, *backs)):
            assert f"127.0.0.1:{old}" in text
            text = text.replace(f"127.0.0.1:{old}", f"127.0.0.1:{new}")
        self.text = text

    def nobody_notices(self):
        first = self.daemons[0]
        inside = ("/events/orders", 405)  # health stays inside
        wait_for("answers", lambda: first.get(inside[0], self.front)[0] == inside[1], 30)
        traffic = Traffic(self.front, get=inside).start()
        wait_for("traffic", lambda: traffic.ok > 50, 30)
        assert first.stop() == 0
        first.start().wait_level(3)
        before = traffic.ok
        wait_for("more traffic", lambda: traffic.ok > before + 50, 30)
        traffic.stop()
        assert not traffic.failed, traffic.failed
        return first


def run_and(command, body):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return body()
    finally:
        process.terminate()
        process.wait(30)


def test_haproxy_cfg(make, session_postgres, broker, tmp_path):
    program = Program(make, session_postgres, broker, "packaging/haproxy/haproxy.cfg", tmp_path, 404)
    file = tmp_path / "haproxy.cfg"
    file.write_text(program.text)
    checked = subprocess.run(["/usr/sbin/haproxy", "-c", "-f", file], capture_output=True, text=True)
    assert checked.returncode == 0 and "WARNING" not in checked.stderr + checked.stdout, checked.stderr
    gone = run_and(["/usr/sbin/haproxy", "-db", "-f", str(file)], program.nobody_notices)
    assert "1 node stopped and idle" in gone.log_text()


def test_nginx_conf(make, session_postgres, broker, tmp_path):
    program = Program(make, session_postgres, broker, "packaging/nginx/nginx.conf", tmp_path, 503)
    temp = "".join(f"{kind}_temp_path {tmp_path}/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    file = tmp_path / "nginx.conf"
    file.write_text(f"daemon off; master_process off; pid {tmp_path}/pid; events {{}}\nhttp {{ access_log off; {temp}\n{program.text}\n}}\n")
    command = ["/usr/sbin/nginx", "-c", str(file), "-e", str(tmp_path / "error.log")]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True)
    assert checked.returncode == 0 and "[warn]" not in checked.stderr, checked.stderr
    run_and(command, program.nobody_notices)


# ---- what clients cannot say or ask --------------------------------------------------------------------------------

HEALTH = ("/live", "/ready", "/health")
TIMEOUTS = "defaults\n  timeout connect 1s\n  timeout client 10s\n  timeout server 10s\n"
GUIDE = (ROOT / "docs/first-hour.md").read_text()


def haproxy_with(text, folder):
    file = folder / "haproxy.cfg"
    file.write_text(text.replace("/run/haproxy", str(folder)))
    return ["/usr/sbin/haproxy", "-db", "-f", str(file)]


def nginx_with(text, folder):
    temp = "".join(f"{kind}_temp_path {folder}/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    file = folder / "nginx.conf"
    file.write_text(f"daemon off; master_process off; pid {folder}/pid; events {{}}\nhttp {{ access_log off; {temp}\n{text}\n}}\n")
    return ["/usr/sbin/nginx", "-c", str(file), "-e", str(folder / "error.log")]


# What it is run with, its text, where it listens, and what its servers are called.
SNIPPETS = {
    "haproxy": (haproxy_with, lambda: (ROOT / "packaging/haproxy/haproxy.cfg").read_text(), " 127.0.0.1:8000", r"127\.0\.0\.1:808[12]"),
    "nginx": (nginx_with, lambda: (ROOT / "packaging/nginx/nginx.conf").read_text(), " 127.0.0.1:8000", r"127\.0\.0\.1:808[12]"),
    "compose": (haproxy_with, lambda: re.sub(r" resolvers docker init-addr none|maxconn 10000", "", (ROOT / "packaging/compose/haproxy.cfg").read_text()), " :8080",
                r"ratchetd-[12]:8080"),
    "first hour": (haproxy_with, lambda: TIMEOUTS + re.search(r"```\n(frontend events\n.*?)```", GUIDE, re.S)[1], " 127.0.0.1:8000", r"127\.0\.0\.1:8080"),
}


def said(port, target):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
        s.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-HAProxy-Server-State: NOLB; name=b/s; node=lb1; scur=0\r\n"
                  "x-haproxy-server-state: DOWN; name=b/s; node=lb1; scur=0\r\n\r\n".encode())
        return b"".join(iter(lambda: s.recv(65536), b""))


@pytest.mark.parametrize("name", SNIPPETS)
def test_a_snippet_keeps_health_inside_and_lets_nobody_speak_for_the_balancer(make, name, tmp_path):
    program, text, front, servers = SNIPPETS[name]
    port, backend = free_ports(1)[0], make(Recorder)
    assert front in text() and re.search(servers, text())
    mine = re.sub(servers, f"127.0.0.1:{backend.port}", text().replace(front, f" 127.0.0.1:{port}"))

    def attack():
        wait_for("it listens", lambda: listens(port), 30)
        wait_for("it serves", lambda: said(port, "/events/orders").startswith(b"HTTP/1.1 200"), 30)
        fields = [f for (_, target, _), f in zip(backend.requests, backend.fields) if target == "/events/orders"]
        assert fields
        for one in fields:
            assert "x-haproxy-server-state" not in one, one
            assert one["x-forwarded-for"] == "127.0.0.1"
        own_checks = {f.get("x-haproxy-server-state") is not None for (_, target, _), f in zip(backend.requests, backend.fields) if target == "/ready"}
        assert own_checks <= {True}
        for path in HEALTH:
            for target in (path, path + "?x", "http://a" + path, path.replace("e", "%65"), "/" + path, "/x/.." + path):
                said(port, target)
        asked = [target for (_, target, _), f in zip(backend.requests, backend.fields) if "x-forwarded-for" in f]
        assert [t for t in asked if re.sub(r"^http://[^/]*|\?.*", "", t) in HEALTH] == []

    run_and(program(mine, tmp_path), attack)
