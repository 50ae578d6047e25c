"""A real systemd as PID 1, booted by systemd-nspawn on an overlay of this machine's root, in its network: what runs out
here on 127.0.0.1 (PostgreSQL, a broker, a load) reaches it and is reached. Its mounts end with it. Needs root."""
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.servers import ROOT, children, wait_for


def missing():
    """Why it cannot be had here; None when it can."""
    if os.getuid() != 0:
        return "needs root"
    if shutil.which("systemd-nspawn") is None:
        return "needs systemd-nspawn (Debian: systemd-container)"
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        return "this machine allows no mount namespace"
    return None


class Machine:
    """`root`: the root whose overlay is booted; it stays as it is."""

    def __init__(self, root="/"):
        self.dir = Path(tempfile.mkdtemp(prefix="ratchet-ns-"))
        self.log = open(self.dir / "log", "ab")
        script = ('mount -t tmpfs tmpfs "$1"; mkdir "$1/u" "$1/w" "$1/m"; '
                  'mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/u,workdir=$1/w" "$1/m"; '
                  'exec systemd-nspawn -q --register=no --keep-unit --link-journal=no --resolv-conf=off --timezone=off '
                  '-D "$1/m" -b --console=pipe -- systemd.unit=basic.target')
        inside = self.dir / "root"
        inside.mkdir()
        self.process = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-euc", script, "sh", str(inside), root],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.leader = wait_for("systemd is PID 1", self.find_leader, 60)
        wait_for("systemd runs", lambda: self.systemctl("is-system-running", check=False).stdout.strip() in ("running", "degraded"), 60)

    def find_leader(self):
        assert self.process.poll() is None, (self.dir / "log").read_text(errors="replace")
        for pid in children(self.process.pid):
            try:
                if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
                    return pid
            except OSError:  # gone meanwhile
                continue
        return None

    @property
    def root(self):
        return Path(f"/proc/{self.leader}/root")

    def run(self, *command, check=True, timeout=120):
        done = subprocess.run(["nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-n", "-p", "-C", "--", *map(str, command)],
                              capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def systemctl(self, *words, check=True):
        return self.run("systemctl", *words, check=check)

    def show(self, unit, what):
        return self.systemctl("show", "--property", what, "--value", unit).stdout.strip()

    def journal(self, unit):
        return self.run("journalctl", "--no-pager", "-o", "short-precise", "-u", unit, check=False).stdout

    def put(self, source, target, mode=0o755):
        to = self.root / target.lstrip("/")
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, to)
        to.chmod(mode)

    def write(self, target, text, mode=0o644):
        to = self.root / target.lstrip("/")
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(text)
        to.chmod(mode)

    def install(self, build):
        """What the package would install, from this tree."""
        for name, target in (("ratchetd", "/usr/sbin/ratchetd"), ("ratchetctl", "/usr/bin/ratchetctl")):
            self.put(build / name, target)
        for script in (ROOT / "systemd" / "lib").iterdir():
            self.put(script, f"/usr/lib/ratchetd/{script.name}")
        for unit in (ROOT / "systemd").glob("*.service"):
            self.put(unit, f"/usr/lib/systemd/system/{unit.name}", 0o644)
        self.put(ROOT / "packaging/debian/ratchetd.sysusers", "/usr/lib/sysusers.d/ratchetd.conf", 0o644)
        self.put(ROOT / "packaging/debian/ratchetd.tmpfiles", "/usr/lib/tmpfiles.d/ratchetd.conf", 0o644)
        self.run("systemd-sysusers", "/usr/lib/sysusers.d/ratchetd.conf")
        self.run("systemd-tmpfiles", "--create", "/usr/lib/tmpfiles.d/ratchetd.conf")
        self.systemctl("daemon-reload")

    def remove(self):
        if self.process.poll() is None:
            self.systemctl("poweroff", check=False)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)
