"""Who the client is, behind real proxies: HAProxy with the PROXY protocol (1 and 2) over TCP and a unix socket, nginx with X-Forwarded-For."""
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
from conftest import migrated

from tests.support.nginx import Nginx
from tests.support.servers import Daemon, free_ports, wait_for

CLIENT = "127.0.0.77"  # of the loopback, and nobody else's


class Haproxy:
    """One frontend before one server."""

    def __init__(self, server, mode="http"):
        self.dir = Path(tempfile.mkdtemp(prefix="ratchet-haproxy-"))
        [self.port] = free_ports(1)
        (self.dir / "haproxy.cfg").write_text(
            f"defaults\n mode {mode}\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n"
            f"frontend f\n bind 127.0.0.1:{self.port}\n default_backend b\nbackend b\n server s {server}\n")
        self.process = subprocess.Popen(["/usr/sbin/haproxy", "-db", "-f", str(self.dir / "haproxy.cfg")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def remove(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def status_through(port, headers="", target="/who"):
    """0: nobody answered."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(CLIENT, 0)) as s:
            s.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n".encode())
            answer = b"".join(iter(lambda: s.recv(65536), b""))
            return int(answer[9:12] or 0)
    except OSError:
        return 0


def peers(daemon):
    return re.findall(r"request\b.*?\bpath=/who\b.*?\bpeer=(\S+)", daemon.log_text())


@pytest.fixture
def serving(make, session_postgres, session_kafka):
    """A daemon at level 3 whose `service` has these members."""
    if "peers" not in session_kafka.topics():
        session_kafka.create_topic("peers")

    def serve(**service):
        d = make(Daemon, session_postgres.dsn("app"), session_kafka.bootstrap, routes=[{"kind": "event", "path": "/e", "topic": "peers"}], service=service, log={"access": True})
        return migrated(d, session_postgres).start().wait_level(3)

    return serve


@pytest.mark.parametrize("version", ["send-proxy", "send-proxy-v2"])
@pytest.mark.parametrize("through", ["tcp", "unix"])
def test_behind_haproxy_the_proxy_header_names_the_client(make, serving, version, through, tmp_path):
    path = f"{tmp_path}/http.sock"
    daemon = serving(proxy_protocol=True, **({"listen": f"unix:{path}"} if through == "unix" else {}))
    target = f"unix@{path}" if through == "unix" else f"127.0.0.1:{daemon.http_port}"
    proxy = make(Haproxy, f"{target} {version} check inter 200ms")
    wait_for("an answer through HAProxy", lambda: status_through(proxy.port) == 404)
    wait_for("the client's address in the log", lambda: peers(daemon))
    assert set(peers(daemon)) == {CLIENT}
    if through == "tcp":
        assert status_through(daemon.http_port) == 0  # without the header
        wait_for("it is counted", lambda: daemon.metric("ratchet_rejected_total", reason="proxy-protocol"))
    assert daemon.stop() == 0


@pytest.mark.parametrize("mode", ["http", "tcp"])
@pytest.mark.parametrize("version", ["send-proxy", "send-proxy-v2"])
@pytest.mark.parametrize("through", ["tcp", "unix"])
def test_behind_a_proxy_header_haproxys_own_word_is_heard_and_no_clients(make, serving, version, through, mode, tmp_path):
    """Also where HAProxy forwards bytes only, and adds no header: then the PROXY header alone tells a client from HAProxy."""
    path = f"{tmp_path}/http.sock"
    daemon = serving(proxy_protocol=True, **({"listen": f"unix:{path}", "balancers": ["unix:", "127.0.0.1"]} if through == "unix" else {"balancers": ["127.0.0.1"]}))
    target = f"unix@{path}" if through == "unix" else f"127.0.0.1:{daemon.http_port}"
    check = "\n option httpchk GET /ready\n http-check send-state\n"
    proxy = make(Haproxy, f"{target} {version} check inter 200ms{check}", mode)
    wait_for("an answer through HAProxy", lambda: status_through(proxy.port) == 404)
    forged = "X-HAProxy-Server-State: UP; name=b/s; node=evil; weight=1/1; scur=5/5\r\n"
    assert status_through(proxy.port, forged, "/ready") == 200
    wait_for("the forged word was refused", lambda: "X-HAProxy-Server-State is not heard" in daemon.log_text())
    assert daemon.stop() == 0
    assert "1 node stopped and idle" in daemon.log_text()


def test_behind_a_trusted_nginx_the_last_stranger_is_the_client(make, serving):
    daemon = serving(trusted_proxies=["127.0.0.1"])
    proxy = make(Nginx, f"location / {{ proxy_pass http://127.0.0.1:{daemon.http_port}; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }}").start()
    assert status_through(proxy.port, "X-Forwarded-For: 6.6.6.6\r\n") == 404
    assert status_through(daemon.http_port, "X-Forwarded-For: 6.6.6.6\r\n") == 404  # itself no trusted proxy
    wait_for("two lines in the log", lambda: len(peers(daemon)) == 2)
    assert peers(daemon) == [CLIENT, CLIENT]


def test_a_unix_socket_left_by_a_killed_daemon_is_taken_over(make, serving, tmp_path):
    path = tmp_path / "http.sock"
    first = serving(listen=f"unix:{path}")
    assert path.stat().st_mode & 0o777 == 0o660
    first.kill()
    second = serving(listen=f"unix:{path}")
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(path))
        s.sendall(b"GET /ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert s.recv(65536).startswith(b"HTTP/1.1 200")
    assert second.held() == 3


def test_an_ipv6_port_serves_and_names_its_client(serving):
    [port] = free_ports(1)
    daemon = serving(listen=f"[::1]:{port}")
    with socket.create_connection(("::1", port), timeout=20) as s:
        s.sendall(b"GET /who HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n")
        assert s.recv(65536).startswith(b"HTTP/1.1 404")
    wait_for("the client's address in the log", lambda: peers(daemon) == ["::1"])
