"""What may happen around a server: its network, its disk, its clock. Each thing leaves nothing behind when removed, and
what a killed test run has left is swept away by the next one."""
import asyncio
import glob
import os
import random
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from tests.support.servers import alive


def run(*command, check=True):
    return subprocess.run([str(c) for c in command], check=check, capture_output=True, text=True)


def missing_for_networks():
    """Why no Net can be made here, or None."""
    if os.getuid() != 0:
        return "networks need root"
    for tool in ("ip", "iptables"):
        if not shutil.which(tool):
            return f"{tool} is not installed"
    name = f"ratchet-{os.getpid()}-try"
    tried = run("ip", "netns", "add", name, check=False)
    if tried.returncode == 0:
        tried = run("ip", "netns", "exec", name, "iptables", "-w", "-A", "INPUT", "-j", "DROP", check=False)
    run("ip", "netns", "del", name, check=False)
    return None if tried.returncode == 0 else f"no network namespaces here: {tried.stderr.strip()}"


class Net:
    """A network namespace with one address of its own, joined to ours by a veth pair. A server is put into it with the
    command prefix `inside`; its own loopback is never disturbed."""

    def __init__(self):
        self.sweep()
        for _ in range(100):
            number = random.randrange(1, 16384)  # 10.213.0.0/16 in pieces of four
            self.name, self.near, self.far = f"ratchet-{os.getpid()}-{number}", f"rn{number}", f"rf{number}"
            run("ip", "netns", "add", self.name)
            if run("ip", "link", "add", self.near, "type", "veth", "peer", "name", self.far, "netns", self.name, check=False).returncode == 0:
                break
            run("ip", "netns", "del", self.name)  # another test run has that number
        else:
            raise RuntimeError("no free network")
        at = f"10.213.{number // 64}.{number % 64 * 4}"
        base, last = at.rsplit(".", 1)
        self.address, gateway = f"{base}.{int(last) + 2}", f"{base}.{int(last) + 1}"
        self.inside = ["ip", "netns", "exec", self.name]
        try:
            run("ip", "addr", "add", f"{gateway}/30", "dev", self.near)
            run("ip", "link", "set", self.near, "up")
            run("ip", "-n", self.name, "addr", "add", f"{self.address}/30", "dev", self.far)
            run("ip", "-n", self.name, "link", "set", self.far, "up")
            run("ip", "-n", self.name, "link", "set", "lo", "up")
        except BaseException:
            self.remove()
            raise

    @staticmethod
    def sweep():
        for name in run("ip", "netns", "list").stdout.split():
            owner = re.fullmatch(r"ratchet-(\d+)-\d+", name)
            if owner and not alive(int(owner[1])):
                for pid in run("ip", "netns", "pids", name, check=False).stdout.split():
                    run("kill", "-9", pid, check=False)
                run("ip", "netns", "del", name, check=False)

    def rule(self, chain, *words):
        run(*self.inside, "iptables", "-w", "-A", chain, *words)

    def drop(self, way="both"):
        """Packets vanish: those to the server ("in"), those from it ("out"), or both."""
        if way in ("both", "in"):
            self.rule("INPUT", "-i", self.far, "-j", "DROP")
        if way in ("both", "out"):
            self.rule("OUTPUT", "-o", self.far, "-j", "DROP")

    def heal(self):
        run(*self.inside, "iptables", "-w", "-F")

    def remove(self):
        run("ip", "netns", "del", self.name, check=False)
        run("ip", "link", "del", self.near, check=False)  # where the namespace lives on in a process


class Gate:
    """A TCP relay on a free port of ours: cuts connections with RST, delays, leads to another server."""

    def __init__(self, host, port):
        self.target, self.delay_s = (host, port), 0.0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.writers, self.server = set(), None
        self.port = self.do(self.open(0))

    def do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    async def open(self, port):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", port)
        return self.server.sockets[0].getsockname()[1]

    async def cut(self, close):
        if close and self.server:
            self.server.close()
            self.server = None
        for writer in list(self.writers):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    def reset(self):
        """RST to everybody, and nobody listens until heal()."""
        self.do(self.cut(True))

    def heal(self):
        self.do(self.open(self.port))

    def lead_to(self, host, port):
        """As an address that moves: RST to everybody, the next connection is another server's."""
        self.target = (host, port)
        self.do(self.cut(False))

    async def serve(self, reader, writer):
        self.writers.add(writer)
        onward = None
        try:
            from_server, onward = await asyncio.open_connection(*self.target)
            self.writers.add(onward)
            await asyncio.gather(self.carry(reader, onward), self.carry(from_server, writer))
        except OSError:  # one side has gone: so has the other
            pass
        finally:
            for w in (writer, onward):
                if w:
                    self.writers.discard(w)
                    w.transport.abort()

    async def carry(self, reader, writer):
        waiting = asyncio.Queue(1024)

        async def send():
            while True:
                due, data = await waiting.get()
                if due > time.monotonic():
                    await asyncio.sleep(due - time.monotonic())
                if not data:
                    writer.write_eof()
                    return
                writer.write(data)
                await writer.drain()

        async def receive():
            data = True
            while data:
                data = await reader.read(65536)
                await waiting.put((time.monotonic() + self.delay_s, data))

        await asyncio.gather(send(), receive())

    def remove(self):
        async def end():
            await self.cut(True)
            mine = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for t in mine:
                t.cancel()
            await asyncio.gather(*mine, return_exceptions=True)
        self.do(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(20)
        self.loop.close()


def missing_for_disks():
    """Why no Disk can be made here, or None."""
    if os.getuid() != 0:
        return "mounting needs root"
    try:
        Disk(mib=8).remove()
    except subprocess.CalledProcessError as e:
        return f"no loop device can be mounted here: {e.stderr.strip()}"
    return None


class Disk:
    """A file system on a loop device, for a server's data."""

    def __init__(self, mib=512):
        self.sweep()
        self.dir = Path(tempfile.mkdtemp(prefix=f"ratchet-disk-{os.getpid()}-"))
        self.dir.chmod(0o755)
        self.path = self.dir / "mounted"
        self.path.mkdir()
        image = self.dir / "image"
        try:
            with open(image, "wb") as f:
                f.truncate(mib * 2**20)
            run("mkfs.ext4", "-q", "-m", "0", image)
            run("mount", "-o", "loop", image, self.path)  # the loop device goes with the mount
        except BaseException:
            shutil.rmtree(self.dir, ignore_errors=True)
            raise
        os.chmod(self.path, 0o777)
        self.thawing = None

    @staticmethod
    def sweep():
        for left in Path(tempfile.gettempdir()).glob("ratchet-disk-*-*"):
            if not alive(int(left.name.split("-")[2])):
                run("umount", "--lazy", left / "mounted", check=False)
                shutil.rmtree(left, ignore_errors=True)

    def freeze(self, seconds):
        """Every write waits. Thawed by a process of its own session, even when the test has died meanwhile."""
        words = f"fsfreeze -f '{self.path}' && sleep {seconds}; fsfreeze -u '{self.path}'"
        self.thawing = subprocess.Popen(["sh", "-c", words], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def thawed(self):
        if self.thawing:
            self.thawing.wait()
            self.thawing = None

    def remove(self):
        self.thawed()
        run("umount", "--lazy", self.path, check=False)
        shutil.rmtree(self.dir, ignore_errors=True)


class Clock:
    """The wall clock of a server's processes, moved by jumps. Give `env` to the server."""

    def __init__(self):
        libraries = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
        if not libraries:
            raise RuntimeError("faketime is not installed")
        self.dir = Path(tempfile.mkdtemp(prefix="ratchet-clock-"))
        self.dir.chmod(0o755)
        self.file = self.dir / "offset"
        self.jump(0)
        self.env = {"LD_PRELOAD": libraries[0], "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_CACHE_DURATION": "1",
                    "DONT_FAKE_MONOTONIC": "1"}

    def jump(self, seconds):
        """So far from the true time, from now on."""
        new = self.dir / "new"
        new.write_text(f"{seconds:+d}\n")
        new.chmod(0o644)
        new.replace(self.file)

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)
        for left in Path("/dev/shm").glob("*faketime_s*_*"):  # of processes that were killed
            if not alive(int(left.name.rsplit("_", 1)[1])):
                left.unlink(missing_ok=True)


def seeded():
    """Chance that can be repeated: RATCHET_SEED=N runs N again."""
    seed = int(os.environ.get("RATCHET_SEED") or random.SystemRandom().randrange(2**31))
    print(f"RATCHET_SEED={seed}", flush=True)
    return random.Random(seed)


def with_resolver(file, address, *lines):
    """A command prefix: the process asks this name server, and nobody else's names are touched."""
    file.write_text("\n".join([f"nameserver {address}", *lines, ""]))
    return ["unshare", "-m", "sh", "-c", f"mount --bind '{file}' /etc/resolv.conf && exec \"$0\" \"$@\""]
