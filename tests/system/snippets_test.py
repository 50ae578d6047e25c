"""packaging/haproxy/haproxy.cfg and packaging/nginx/nginx.conf, as they are, in the real programs before real daemons."""
import subprocess

import pytest
from conftest import migrated
from fleet import Traffic

from tests.support.embedded_broker import EmbeddedBroker
from tests.support.servers import ROOT, Daemon, free_ports, wait_for


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
        wait_for("answers", lambda: first.get("/live", self.front)[0] == 200, 30)
        traffic = Traffic(self.front).start()
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
