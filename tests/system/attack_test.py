"""What a stranger can send or do to the ports: real attacks on a real daemon. Asserted are answers, counts and bytes, not times;
times are measured by hand (tests/bench)."""
import json
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


# ---- the control socket -------------------------------------------------------------------------------------------

def on_control(path):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(str(path))
    return s


def test_half_open_clients_lock_no_operator_out_of_the_control_socket(make):
    d = make(Daemon, "host=127.0.0.1 port=1 dbname=x", "127.0.0.1:1").start()
    wait_for("the control socket answers", lambda: d.ctl("status", check=False).returncode == 0)
    waits = [on_control(d.socket) for _ in range(40)]
    for s in waits:
        s.sendall(b'{"verb":"wait","level":3,"timeout_ms":60000}\n')
    held = []
    for beginning in (b"", b'{"verb":'):
        for _ in range(16):
            held.append(on_control(d.socket))
            held[-1].sendall(beginning)
        assert d.ctl("status").returncode == 0
        assert d.ctl("hold", 1, "--reason", "a try").returncode == 0
        assert d.ctl("release").returncode == 0
    assert b"others wait" in held[0].recv(65536)  # the oldest, and told so
    for s in waits:  # none of them was given up
        s.setblocking(False)
        with pytest.raises(BlockingIOError):
            s.recv(1)
        s.close()


def test_what_is_no_socket_is_never_deleted_for_the_control_socket(make, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    link = tmp_path / "link"
    link.symlink_to(precious)
    for path, kind in ((precious, "a file"), (link, "a link"), (tmp_path, "a folder")):
        d = make(Daemon, "host=127.0.0.1 port=1 dbname=x", "127.0.0.1:1", ops={"control": str(path)}).start()
        d.socket = path
        def alarm():
            return next((a for a in json.loads(d.get("/alarms")[2] or b"[]") if a["id"] == "control.socket"), None)
        wait_for("named", alarm)
        assert alarm()["text"] == f"control socket: cannot listen on unix:{path}: {path} is {kind}, which is left alone"
        assert "ops.control" in alarm()["runbook"]
        if path == precious:  # it gets its place once that is free
            precious.rename(tmp_path / "moved")
            wait_for("the control socket answers", lambda: d.ctl("status", check=False).returncode == 0)
            wait_for("cleared", lambda: alarm() is None)
            assert d.stop() == 0 and not precious.exists()
            (tmp_path / "moved").rename(precious)
        else:
            assert d.stop() == 0
        assert precious.read_text() == "precious" and link.is_symlink()
