"""A real PgBouncer before a PostgreSQL, told to ignore the startup parameter it does not know, as its manual says."""
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from tests.support.servers import free_ports, listens, wait_for


class PgBouncer:
    def __init__(self, postgres, mode="session", **settings):
        self.dir = Path(tempfile.mkdtemp(prefix="ratchet-pgb-"))
        self.port, self.process, self.as_user = free_ports(1)[0], None, postgres.as_user
        self.postgres = postgres
        (self.dir / "users").write_text('"app" ""\n')
        self.configure(mode, **settings)
        self.dir.chmod(0o755)

    def configure(self, mode, **settings):
        lines = {"listen_addr": "127.0.0.1", "listen_port": self.port, "unix_socket_dir": "", "auth_type": "trust", "auth_file": self.dir / "users",
                 "pool_mode": mode, "ignore_startup_parameters": "options", **settings}
        (self.dir / "ini").write_text(f"[databases]\napp = host=127.0.0.1 port={self.postgres.port} dbname=app\n[pgbouncer]\n"
                                      + "".join(f"{k} = {v}\n" for k, v in lines.items()))

    def reload(self, mode, **settings):
        self.configure(mode, **settings)
        self.process.send_signal(signal.SIGHUP)

    def dsn(self):
        return f"host=127.0.0.1 port={self.port} dbname=app user=app"

    def start(self):
        program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/sbin:/bin")
        self.process = subprocess.Popen(self.as_user(program, "-q", self.dir / "ini"), cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("PgBouncer listens", lambda: listens(self.port))
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def remove(self):
        if self.process and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)
