"""Registrars against the real thing: HAProxy's agent-check and runtime API, a registry by HTTP and HTTPS, programs."""
import http.server
import json
import ssl
import subprocess
import threading
import time

import pytest
from conftest import migrated

from tests.support.embedded_broker import EmbeddedBroker
from tests.support.haproxy import Haproxy
from tests.support.servers import Daemon, free_ports, wait_for

pytestmark = pytest.mark.sanitized  # threads of its own for each registrar


@pytest.fixture(scope="module")
def broker():
    b = EmbeddedBroker().start()
    yield b
    b.remove()


@pytest.fixture
def serving(make, session_postgres, broker):
    """serving(registrars..., key=value of service): a daemon at level 3 with those registrars."""
    def start(*registrars, **service):
        d = make(Daemon, session_postgres.dsn("app"), broker.bootstrap, service={"registrars": list(registrars), **service})
        return migrated(d, session_postgres).start().wait_level(3)
    return start


def alarm(daemon, name):
    return next((a["text"] for a in daemon.levels()["alarms"] if a["id"] == f"registrar.{name}"), None)


def test_haproxy_agent(make, serving):
    """Up when we serve, drained and back by drain and release, an operator's own drain is left alone."""
    agent, = free_ports(1)
    d = serving({"type": "haproxy-agent", "listen": f"127.0.0.1:{agent}"})
    lb = make(Haproxy, [f"server s1 127.0.0.1:{d.http_port} agent-check agent-port {agent} agent-inter 100ms"]).start()
    wait_for("served through HAProxy", lambda: d.get("/live", lb.port)[0] == 200)
    d.ctl("drain", "--reason", "test")
    lb.wait_status("s1", "DRAIN")
    d.wait_level(2)
    d.ctl("release")
    d.wait_level(3)
    wait_for("served again", lambda: "DRAIN" not in lb.status("s1") and d.get("/live", lb.port)[0] == 200)
    # Later than the first polls after a change, `ready` is not said any more: the operator's word stands.
    time.sleep(1)  # ten polls: nothing that could be waited for happens
    lb.runtime("set server app/s1 state drain")
    time.sleep(1)
    assert "DRAIN" in lb.status("s1")


def test_haproxy_runtime_through_reload_and_restart(make, serving):
    """HAProxy begins with our server in maintenance; it is told again after it has forgotten."""
    port, = free_ports(1)
    lb = make(Haproxy, [f"server s1 127.0.0.1:{port} disabled"])
    lb.start()
    d = serving({"type": "haproxy-runtime", "name": "lb", "sockets": [str(lb.socket), f"127.0.0.1:{lb.admin_port}"], "server": "app/s1", "heartbeat_ms": 500},
                listen=f"127.0.0.1:{port}")
    served = lambda: d.get("/live", lb.port)[0] == 200  # noqa: E731
    wait_for("registered", served)
    lb.reload()
    wait_for("registered again after a reload", served, 30)
    lb.stop()
    wait_for("an alarm while nobody answers", lambda: alarm(d, "lb"), 30)
    lb.start()
    wait_for("registered again after a restart", served, 30)
    wait_for("no alarm", lambda: alarm(d, "lb") is None, 30)
    # An operator's own drain is left alone by the heartbeat.
    lb.runtime("set server app/s1 state drain")
    beats = d.log_text().count("registered")
    time.sleep(1.5)  # three heartbeats
    assert "DRAIN" in lb.status("s1") and d.log_text().count("registered") == beats
    d.ctl("drain", "--reason", "test")
    lb.wait_status("s1", "MAINT")
    d.wait_level(2)
    d.ctl("release")
    wait_for("served after release", served)
    assert d.stop() == 0
    lb.wait_status("s1", "MAINT")
    assert "lb: left after" in d.log_text()


def test_a_server_that_haproxy_does_not_know_is_alarmed_and_served_all_the_same(make, serving):
    lb = make(Haproxy, ["server s1 127.0.0.1:1 disabled"]).start()
    d = serving({"type": "haproxy-runtime", "name": "lb", "sockets": [str(lb.socket)], "server": "app/s9"})
    assert "No such server." in wait_for("the alarm", lambda: alarm(d, "lb"), 30)
    assert d.held() == 3 and d.post("/events/orders", {"customer": "c"})[0] == 202
    assert d.stop() == 0


class Registry(http.server.ThreadingHTTPServer):
    """Writes down what it is asked: (method, path, token, body)."""

    def __init__(self, tls=None):
        self.seen, self.status = [], 200
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                registry.seen.append((self.command, self.path, self.headers.get("X-Consul-Token"), body))
                self.send_response(registry.status)
                self.send_header("Content-Length", "0")
                self.end_headers()
            do_GET = do_PUT = do_POST = do_DELETE = any

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):  # a client that refuses our certificate
        pass

    def remove(self):
        self.shutdown()
        self.server_close()


def consul(url, **more):
    token = {"X-Consul-Token": "{secret:token}"}
    return {"type": "http", "name": "consul", "heartbeat_ms": 500, "secrets": {"token": {"env": "CONSUL_TOKEN"}}, "requests": {
        "register": {"url": url + "/v1/agent/service/register", "headers": token,
                     "body": '{"ID":"{id}","Name":"orders","Address":"{host}","Port":{port}}'},
        "drain": {"url": url + "/v1/agent/service/maintenance/{id}?enable=true&reason=drain", "headers": token, "done": [404]},
        "deregister": {"url": url + "/v1/agent/service/deregister/{id}", "headers": token, "done": [404]}}, **more}


def test_the_three_calls_of_consul(make, serving, monkeypatch):
    monkeypatch.setenv("CONSUL_TOKEN", "hunter2")
    registry = make(Registry)
    d = serving(consul(f"http://localhost:{registry.port}"))
    register = ("PUT", "/v1/agent/service/register", "hunter2",
                json.dumps({"ID": "test-1", "Name": "orders", "Address": "127.0.0.1", "Port": d.http_port}, separators=(",", ":")))
    wait_for("registered, and again by the heartbeat", lambda: registry.seen.count(register) >= 2, 30)
    assert set(registry.seen) == {register}
    registry.status = 500
    assert "status 500" in wait_for("the alarm", lambda: alarm(d, "consul"), 30)
    assert d.held() == 3
    registry.status = 200
    wait_for("the alarm is gone", lambda: alarm(d, "consul") is None, 30)
    registry.seen.clear()
    assert d.stop() == 0
    left = [one for one in registry.seen if one != register]
    assert [one[:3] for one in left[:2]] == [("PUT", "/v1/agent/service/maintenance/test-1?enable=true&reason=drain", "hunter2"),
                                             ("PUT", "/v1/agent/service/deregister/test-1", "hunter2")]
    assert registry.seen[-1] != register
    assert "hunter2" not in d.log_text()


def certificate(folder, name, host):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}",
                    "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"], check=True, capture_output=True)
    return folder / f"{name}.pem", folder / f"{name}.key"


def test_https_is_verified(make, serving, tmp_path, monkeypatch):
    """The right certificate passes; one by another issuer and one for another name are refused, with the reason."""
    monkeypatch.setenv("CONSUL_TOKEN", "x")
    good, other = certificate(tmp_path, "good", "localhost"), certificate(tmp_path, "other", "elsewhere.example")
    trusted, wrong_name = make(Registry, good), make(Registry, other)

    def registrar(name, registry, ca):
        return {**consul(f"https://localhost:{registry.port}"), "name": name, "ca_file": str(ca)}

    d = serving(registrar("good", trusted, good[0]), registrar("issuer", trusted, other[0]), registrar("name", wrong_name, other[0]),
                {**consul(f"https://localhost:{trusted.port}"), "name": "system"})
    wait_for("registered", lambda: trusted.seen, 30)
    for name in ("issuer", "name", "system"):
        text = wait_for(f"the alarm of {name}", lambda: alarm(d, name), 30)
        assert "certificate" in text or "subject name" in text, text
    assert alarm(d, "good") is None and not wrong_name.seen
    assert d.stop() == 0


def test_a_registry_that_hangs_holds_up_nobody_else(make, serving, monkeypatch):
    """It accepts and never answers: tried for its time, alarmed, and left behind at the end of its time."""
    import socket
    monkeypatch.setenv("CONSUL_TOKEN", "x")
    registry = make(Registry)
    with socket.create_server(("127.0.0.1", 0)) as hole:
        slow = {**consul(f"http://127.0.0.1:{hole.getsockname()[1]}"), "name": "slow", "timeout_ms": 300, "deregister_ms": 1000}
        d = serving(slow, consul(f"http://localhost:{registry.port}"))
        wait_for("the other one", lambda: registry.seen, 30)
        assert "no answer in time" in wait_for("the alarm", lambda: alarm(d, "slow"), 30)
        assert d.stop() == 0
    assert "slow: gave up after" in d.log_text() and "consul: left after" in d.log_text()


def test_programs(serving, tmp_path):
    """Called for each verb; one that fails is alarmed with what it wrote; nothing of them is left."""
    book = tmp_path / "book"
    good = tmp_path / "good"
    good.write_text(f'#!/bin/sh\necho "$RATCHET_VERB $RATCHET_LEVEL" >>{book}\n')
    bad = tmp_path / "bad"
    bad.write_text("#!/bin/sh\nsleep 1000 &\necho 'no such zone'\nexit 1\n")
    for file in (good, bad):
        file.chmod(0o755)
    d = serving({"type": "exec", "name": "good", "argv": [str(good)], "heartbeat_ms": 300},
                {"type": "exec", "name": "bad", "argv": [str(bad)], "deregister_ms": 500})
    wait_for("heartbeats", lambda: book.exists() and book.read_text().count("heartbeat 3") >= 2, 30)
    assert "exit status 1: no such zone" in wait_for("the alarm", lambda: alarm(d, "bad"), 30)
    assert d.stop() == 0
    verbs = [line.split()[0] for line in book.read_text().splitlines()]
    assert verbs[0] == "register" and [v for v in verbs if v not in ("register", "heartbeat")][:3] == ["drain", "status", "deregister"]
    assert "bad: gave up after" in d.log_text()
