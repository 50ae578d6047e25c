"""What a stranger can send or do to the ports: real attacks on a real daemon. Asserted are answers, counts and bytes, not times;
times are measured by hand (tests/bench)."""
import socket
import threading

import pytest
from conftest import migrated

from tests.support.haproxy import Haproxy
from tests.support.nginx import Nginx
from tests.support.servers import Daemon, EmbeddedBroker, SLOW, wait_for

MIB = 1024 * 1024
HEAD = b"POST /events/orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def daemon(session_postgres):
    broker = EmbeddedBroker("orders")
    d = Daemon(session_postgres.dsn("app"), broker.bootstrap)
    migrated(d, session_postgres).start().wait_level(3)
    yield d
    d.remove()
    broker.remove()


def answer_of(s):
    """(status, head, body) of the next answer; status 0: the connection has ended, or was reset."""
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            got = s.recv(65536)
            if not got:
                return 0, data, b""
            data += got
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(next((line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), b"0"))
        while len(body) < length:
            got = s.recv(65536)
            if not got:
                return 0, head, body
            body += got
        return int(head.split()[1]), head, body
    except ConnectionResetError:
        return 0, data, b""


# ---- uploads that are refused --------------------------------------------------------------------------------------

def upload(port, mib, chunked, may_stop):
    """The answer that somebody gets who sends all of it before looking. `may_stop`: a proxy that has the answer may hang up."""
    block = b"x" * MIB
    with socket.create_connection(("127.0.0.1", port), timeout=30 * SLOW) as s:
        try:
            s.sendall(HEAD + (b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"Content-Length: %d\r\n\r\n" % (mib * MIB)))
            for _ in range(mib):
                s.sendall(b"%x\r\n%s\r\n" % (MIB, block) if chunked else block)
            if chunked:
                s.sendall(b"0\r\n\r\n")
        except OSError:
            assert may_stop, "reset before all was sent"
        return answer_of(s)[0]


def proxied(port, *directives):
    return Nginx(f"client_max_body_size 0; {' '.join(directives)} location / {{ proxy_pass http://127.0.0.1:{port}; proxy_http_version 1.1; "
                 "proxy_set_header Connection ''; }")


@pytest.mark.parametrize("front", ["direct", "nginx", "nginx, not buffering", "haproxy"])
def test_a_refused_upload_is_413_whatever_its_size_and_takes_no_instance_out(daemon, make, front):
    port = daemon.http_port
    if front == "haproxy":
        port = make(Haproxy, [f"server s1 127.0.0.1:{port}"]).start().port
    elif front != "direct":
        port = make(proxied, port, "proxy_request_buffering off;" if "not" in front else "").start().port
    for mib in (17, 20, 40, 64):
        for chunked in (False, True):
            assert upload(port, mib, chunked, front != "direct") == 413, (mib, chunked)
    assert daemon.post("/events/orders", {"customer": "c"})[0] == 202
