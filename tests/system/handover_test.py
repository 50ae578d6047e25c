"""The port kept over a restart, without a systemd: its side (the fd store, LISTEN_FDS) is played by the test."""
import os
import shutil
import signal
import socket
import threading

import pytest
from conftest import prepared

from tests.support.hammer import Hammer
from tests.support.servers import Daemon, EmbeddedBroker, Postgres, wait_for

pytestmark = pytest.mark.sanitized

TAKE = r'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=http eval "exec \"\$@\" 3<&$KEPT_FD $KEPT_FD<&-"'


class Manager:
    """systemd's end of NOTIFY_SOCKET."""

    def __init__(self, path):
        self.path, self.store, self.told = str(path), {}, []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            message, fds, _, _ = socket.recv_fds(self.socket, 4096, 4)
            text = message.decode()
            if text == "end":
                return
            fields = dict(line.split("=", 1) for line in text.splitlines())
            if "FDSTORE" in fields:
                self.store.setdefault(fields["FDNAME"], []).extend(fds)
                fds = []
            if "FDSTOREREMOVE" in fields:
                fds += self.store.pop(fields["FDNAME"], [])
            for fd in fds:  # a barrier's, too: closing it is the answer
                os.close(fd)
            self.told.append(text)

    def remove(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(b"end", self.path)
        self.thread.join()
        self.socket.close()
        for fds in self.store.values():
            for fd in fds:
                os.close(fd)


@pytest.fixture(scope="module")
def servers():
    postgres = prepared(Postgres().start())
    broker = EmbeddedBroker("orders")
    yield postgres, broker
    broker.remove()
    postgres.remove()


@pytest.fixture
def manager(make, tmp_path):
    return make(Manager, tmp_path / "notify")


@pytest.fixture
def kept(make, servers, manager):
    """At level 3, its port in the store."""
    postgres, broker = servers
    d = make(Daemon, postgres.dsn("app"), broker.bootstrap)
    d.migrate(postgres.dsn())
    postgres.sql("grant ratchet_run to app")
    d.start(env={"NOTIFY_SOCKET": manager.path}).wait_level(3)
    assert list(manager.store) == ["http"]
    return d


def start_again(daemon, manager):
    daemon.prefix = ["bash", "-c", TAKE, "bash"]
    fd = manager.store["http"][0]
    return daemon.start(env={"NOTIFY_SOCKET": manager.path, "KEPT_FD": str(fd)}, fds=[fd])


def refused(daemon):
    try:
        socket.create_connection(("127.0.0.1", daemon.http_port), 5).close()
        return False
    except ConnectionRefusedError:
        return True


def test_a_restart_refuses_nobody(kept, manager):
    with Hammer(kept.http_port, fresh=2, keep=2) as load:
        wait_for("load", lambda: load.done > 50)
        kept.process.send_signal(signal.SIGUSR1)
        kept.terminate()
        assert kept.wait() == 0
        assert "http" in manager.store and not refused(kept)
        start_again(kept, manager).wait_level(3)
        before = load.done
        wait_for("served again", lambda: load.done > before + 50)
    assert load.failures == []
    assert "left to the next process" in kept.log_text()


def test_without_systemd_nothing_is_restarted(kept):
    told = kept.ctl("restart", check=False)
    assert told.returncode == 1 and "systemd does not run" in told.stderr


def test_a_stop_leaves_nothing(kept, manager):
    assert kept.stop() == 0
    assert manager.store == {} and refused(kept)


def test_a_restart_announced_but_then_a_hold_closes_the_port(kept, manager):
    kept.process.send_signal(signal.SIGUSR1)
    kept.ctl("hold", "2")
    kept.wait_level(2)
    assert manager.store == {} and refused(kept)
    kept.ctl("release")
    kept.wait_level(3)
    assert list(manager.store) == ["http"] and not refused(kept)


def test_a_crash_keeps_the_port_and_level_3_takes_it(kept, manager):
    kept.kill()
    assert not refused(kept)
    start_again(kept, manager).wait_level(3)
    assert kept.post("/events/orders", {"customer": "c"})[0] == 202


def test_a_fall_removes_the_port(kept, manager, servers):
    postgres, _ = servers
    postgres.kill()
    wait_for("removed", lambda: manager.store == {})
    wait_for("closed", lambda: refused(kept))
    postgres.start()
    kept.wait_level(3)
    assert list(manager.store) == ["http"]


def test_what_waits_without_level_3_is_told_and_the_port_closed(kept, manager, servers):
    postgres, _ = servers
    kept.kill()
    kept.config["service"]["hold_ms"] = 500
    postgres.freeze()
    try:
        start_again(kept, manager)
        status, headers, _ = kept.post("/events/orders", {"customer": "c"}, timeout=30)
        assert status == 503 and int(headers["Retry-After"]) >= 1
        wait_for("closed", lambda: refused(kept))
        assert manager.store == {}
    finally:
        postgres.thaw()
    kept.wait_level(3)
    assert list(manager.store) == ["http"]


def test_a_port_of_another_address_is_given_back(kept, manager):
    kept.kill()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        kept.http_port = other.getsockname()[1]
    kept.config["service"]["listen"] = f"127.0.0.1:{kept.http_port}"
    start_again(kept, manager).wait_level(3)
    assert "is not service.listen" in kept.log_text()
    assert kept.post("/events/orders", {"customer": "c"})[0] == 202
    assert len(manager.store["http"]) == 1


def test_a_socket_from_systemd_socket_activate_is_used(make, servers):
    if shutil.which("systemd-socket-activate") is None:
        pytest.skip("needs systemd-socket-activate")
    postgres, broker = servers
    d = make(Daemon, postgres.dsn("app"), broker.bootstrap)
    d.prefix = ["systemd-socket-activate", "-l", f"127.0.0.1:{d.http_port}", "--fdname=http"]
    d.migrate(postgres.dsn())
    postgres.sql("grant ratchet_run to app")
    d.start()
    wait_for("it listens", lambda: not refused(d))
    d.wait_level(3)
    assert d.post("/events/orders", {"customer": "c"})[0] == 202
    assert "the port was kept over a restart" in d.log_text()
