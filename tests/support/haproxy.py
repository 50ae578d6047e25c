"""A real HAProxy in front of ratchetd: start, reload (which forgets what it was told), restart, its runtime API."""
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from tests.support.servers import free_ports, wait_for

DEFAULTS = """global
  node lb1
  stats socket {dir}/admin.sock mode 600 level admin
  stats socket 127.0.0.1:{admin_port} level admin
  hard-stop-after 3s
defaults
  mode http
  retries 0
  {forwardfor}
  timeout connect 2s
  timeout client 30s
  timeout server 30s
  timeout check 1s
frontend front
  bind 127.0.0.1:{port}
  default_backend app
backend app
  balance roundrobin
"""


class Haproxy:
    """`backend`: the lines of its only backend, "app". No retries, no redispatch: what goes wrong is seen."""

    def __init__(self, backend, forwardfor=True):
        self.forwardfor = "option forwardfor" if forwardfor else ""
        self.dir = Path(tempfile.mkdtemp(prefix="ratchet-lb-"))
        self.port, self.admin_port = free_ports(2)
        self.socket = self.dir / "admin.sock"
        self.process = None
        self.configure(backend)

    def configure(self, backend):
        text = DEFAULTS.format(dir=self.dir, port=self.port, admin_port=self.admin_port, forwardfor=self.forwardfor)
        (self.dir / "haproxy.cfg").write_text(text + "".join(f"  {line}\n" for line in backend))

    def start(self):
        with open(self.dir / "log", "ab") as log:
            self.process = subprocess.Popen(["/usr/sbin/haproxy", "-W", "-db", "-f", str(self.dir / "haproxy.cfg")], stdout=log, stderr=log)
        wait_for("HAProxy answers", lambda: self.runtime("show info"), 30)
        return self

    def runtime(self, command):
        """The reply; None: nobody answers."""
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(10)
                s.connect(str(self.socket))
                s.sendall(command.encode() + b"\n")
                reply = b""
                while part := s.recv(65536):
                    reply += part
                return reply.decode()
        except OSError:
            return None

    def pid(self):
        return next((line.split(": ")[1] for line in (self.runtime("show info") or "").splitlines() if line.startswith("Pid: ")), None)

    def reload(self):
        before = self.pid()
        self.process.send_signal(signal.SIGUSR2)
        wait_for("a new HAProxy worker", lambda: self.pid() not in (None, before), 30)

    def restart(self):
        self.stop()
        self.start()

    def stat(self, server):
        """The columns of one server in "show stat"."""
        lines = (self.runtime("show stat") or "").splitlines()
        names = lines[0].lstrip("# ").split(",") if lines else []
        return next((dict(zip(names, line.split(","))) for line in lines[1:] if line.startswith(f"app,{server},")), {})

    def status(self, server):
        return self.stat(server).get("status", "")

    def wait_status(self, server, wanted, seconds=60):
        wait_for(f"{server} is {wanted} (it is {self.status(server)!r})", lambda: self.status(server).startswith(wanted), seconds)

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)
            self.process = None

    def remove(self):
        if self.process:
            self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)
