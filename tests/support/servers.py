"""Real servers for the system tests: PostgreSQL, Apache Kafka, ratchetd. Each in its own temp folder, on free ports,
gone when stopped. Fault verbs: kill (kill -9), freeze (SIGSTOP), thaw (SIGCONT), start again on the same port."""
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("RATCHET_BUILD", ROOT / "build" / "dev"))
RATCHETD = BUILD / "ratchetd"
RATCHETCTL = BUILD / "ratchetctl"
SLOW = float(os.environ.get("RATCHET_SLOW", "1"))  # sanitizer builds are slower: deadlines are multiplied


def free_ports(n):
    held = [socket.socket() for _ in range(n)]
    for s in held:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


def listens(port):
    """Somebody takes connections at 127.0.0.1:port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def wait_for(what, condition, seconds=60):
    """Waits for a state, not for a time: the deadline is only there so that a broken test ends."""
    end = time.monotonic() + seconds * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds * SLOW:.0f} s: {what}")
        time.sleep(0.02)


def children(pid):
    try:
        return [int(p) for task in Path(f"/proc/{pid}/task").iterdir() for p in (task / "children").read_text().split()]
    except OSError:  # it has gone
        return []


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def send_tree(pid, sig):
    for child in children(pid):
        send_tree(child, sig)
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        pass


class Postgres:
    """`net`: in a network of its own (see faults.py). `env`: of the server's processes. `disk`: a folder for its data."""

    def __init__(self, net=None, env=None, disk=None, **settings):
        bins = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: float(p.parts[-3]))
        self.bin = bins[-1].parent
        self.dir = Path(tempfile.mkdtemp(prefix="ratchet-pg-"))
        self.port, self.net, self.env = free_ports(1)[0], net, env
        self.host = net.address if net else "127.0.0.1"
        self.user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        if os.getuid() == 0:
            shutil.chown(self.dir, "postgres")
        self.dir.chmod(0o755)
        self.data = (disk or self.dir) / "data"
        self.pid, self.dying = None, []
        self.make_data()
        lines = {"port": self.port, "listen_addresses": f"'{self.host}'", "unix_socket_directories": f"'{self.dir}'", "max_connections": 100,
                 "max_prepared_transactions": 20, "log_min_messages": "fatal", **settings}
        with open(self.data / "postgresql.conf", "a") as f:
            f.writelines(f"{k} = {v}\n" for k, v in lines.items())

    def make_data(self):
        self.run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
        if self.net:
            with open(self.data / "pg_hba.conf", "a") as f:
                f.write("host all all all trust\nhost replication all all trust\n")

    def as_user(self, *command):
        if os.getuid() == 0:
            return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *map(str, command)]
        return [str(c) for c in command]

    def run(self, program, *args, check=True):
        return subprocess.run(self.as_user(self.bin / program, *args), cwd="/", check=check, capture_output=True, text=True)

    def start(self):
        wait_for("the crashed server's processes gone", lambda: not any(alive(pid) for pid in self.dying))
        with open(self.dir / "log", "ab") as log:
            # Our own child, so that a killed one is reaped: a zombie's postmaster.pid would stop the next one.
            own = [f"{k}={v}" for k, v in (self.env or {}).items()]  # set as its user: what it preloads must not begin as root
            command = [*(self.net.inside if self.net else []), *self.as_user("env", *own, self.bin / "postgres", "-D", self.data)]
            self.process = subprocess.Popen(command, cwd="/", stdout=log, stderr=log)
        self.pid = self.process.pid
        wait_for("PostgreSQL answers", lambda: self.run("pg_isready", "-q", "-h", self.dir, "-p", self.port, check=False).returncode == 0)
        return self

    def dsn(self, user="postgres", db="app"):
        return f"host={self.host} port={self.port} dbname={db} user={user}"

    def sql(self, text, db="app"):
        out = self.run("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.dir, "-p", self.port, "-U", "postgres", "-d", db, "-c", text)
        return out.stdout.strip()

    def kill(self):  # a crash: postmaster first, so that nobody cleans up; its children see that and go
        self.dying = self.tree()
        self.process.kill()
        self.process.wait()

    def tree(self):
        return [self.pid, *children(self.pid)]

    def freeze(self):
        send_tree(self.pid, signal.SIGSTOP)

    def thaw(self):
        send_tree(self.pid, signal.SIGCONT)

    def stop(self):
        if self.pid:
            self.thaw()
            self.process.send_signal(signal.SIGQUIT)  # immediate shutdown
            self.process.wait()
            self.pid = None

    def remove(self):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)


class Standby(Postgres):
    """A streaming replica of a running server."""

    def __init__(self, primary, **settings):
        self.primary = primary
        super().__init__(**settings)

    def make_data(self):
        self.run("pg_basebackup", "-D", self.data, "-R", "-X", "stream", "-c", "fast", "-h", self.primary.dir, "-p", self.primary.port, "-U", "postgres")

    def promote(self):
        self.run("pg_ctl", "promote", "-w", "-D", self.data)


KAFKA_VERSION = os.environ.get("RATCHET_KAFKA", "3.9.1")  # get_kafka.sh reads it, too


def kafka_jars():
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ratchetd-tests" / f"kafka-{KAFKA_VERSION}" / "lib"
    subprocess.run([str(ROOT / "tests/support/get_kafka.sh")], check=True, stdout=subprocess.DEVNULL)
    return cache


class Kafka:
    """One real Apache Kafka broker (KRaft). `net`: in a network of its own (see faults.py)."""
    replicas = 1  # of a topic

    def __init__(self, net=None, **settings):
        self.jars = kafka_jars()
        self.net, self.host = net, net.address if net else "127.0.0.1"
        self.dir = Path(tempfile.mkdtemp(prefix="ratchet-kafka-"))
        self.port, controller = free_ports(2)
        properties = {
            "process.roles": "broker,controller", "node.id": 1, "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://{self.host}:{self.port},CONTROLLER://127.0.0.1:{controller}", "advertised.listeners": f"PLAINTEXT://{self.host}:{self.port}",
            "controller.listener.names": "CONTROLLER", "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": self.dir / "logs", "offsets.topic.replication.factor": 1, "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1, "group.initial.rebalance.delay.ms": 0, "auto.create.topics.enable": "false", **settings}
        self.config = self.dir / "server.properties"
        self.config.write_text("".join(f"{k}={v}\n" for k, v in properties.items()))
        self.java("kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", self.config)
        self.process = None

    def java(self, main, *args):
        return subprocess.run(["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", f"{self.jars}/*", main,
                               *map(str, args)], check=True, capture_output=True, text=True)

    @property
    def bootstrap(self):
        return f"{self.host}:{self.port}"

    def launch(self):
        self.log = open(self.dir / "log", "ab")
        self.process = subprocess.Popen([*(self.net.inside if self.net else []), "java", "-Xms128m", "-Xmx384m", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp",
                                         f"{self.jars}/*", "kafka.Kafka", str(self.config)], stdout=self.log, stderr=self.log)

    def start(self, topics=()):
        self.launch()
        wait_for("Kafka answers", self.answers, 120)
        for topic in topics:
            self.create_topic(topic)
        return self

    def admin(self):
        from confluent_kafka.admin import AdminClient
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def answers(self):
        admin = self.admin()
        try:
            return bool(admin.list_topics(timeout=2).brokers)
        except Exception:  # not there yet: the caller waits
            return False

    def create_topic(self, name, partitions=3, **config):
        from confluent_kafka.admin import NewTopic
        admin = self.admin()  # must outlive its futures
        for future in admin.create_topics([NewTopic(name, partitions, self.replicas, config={k.replace("_", "."): str(v) for k, v in config.items()})], operation_timeout=30).values():
            future.result(60)
        wait_for("topic has leaders", lambda: all(p.leader >= 0 for p in self.admin().list_topics(name, timeout=5).topics[name].partitions.values()))

    def topics(self):
        return set(self.admin().list_topics(timeout=10).topics)

    def consume(self, topic, enough, seconds=60):
        """All records from the beginning, in order per partition, until enough(records) or the time is over."""
        from confluent_kafka import Consumer, TopicPartition
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": uuid.uuid4().hex, "enable.auto.commit": False, "auto.offset.reset": "earliest", "log_level": 0})
        try:
            partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
            consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
            records, end = [], time.monotonic() + seconds * SLOW
            while time.monotonic() < end and not enough(records):
                records += [m for m in consumer.consume(5000, timeout=0.2) if m.error() is None]
            return records
        finally:
            consumer.close()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def remove(self):
        if self.process:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
            self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


class EmbeddedBroker:
    """The quick start's broker in memory: librdkafka's own mock. Up in milliseconds; for tests that are not about Kafka."""

    def __init__(self, topic):
        self.port = free_ports(1)[0]
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.process = subprocess.Popen([str(BUILD / "ratchet-embedded-broker"), "--port", str(self.port), "--topic", topic],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert any("bootstrap.servers=" in line for line in iter(self.process.stdout.readline, "")), "the embedded broker did not start"

    def remove(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Daemon:
    """One ratchetd with a configuration of its own."""

    def __init__(self, dsn, bootstrap, routes=None, prefix=(), **changes):
        self.prefix = list(prefix)  # a command that ends in exec: the process is the daemon's own
        self.dir = Path(tempfile.mkdtemp(prefix="ratchet-d-"))
        self.http_port, self.ops_port = free_ports(2)
        self.socket = self.dir / "control.sock"
        self.config = {
            "instance": "test-1",
            "ops": {"listen": f"127.0.0.1:{self.ops_port}", "control": str(self.socket)},
            "database": {"pools": {"main": {"dsn": dsn}}},
            "broker": {"bootstrap": [bootstrap]},
            "service": {"listen": f"127.0.0.1:{self.http_port}"},
            "routes": routes or [{"kind": "event", "path": "/events/orders", "topic": "orders", "key": ":body.customer"}],
        }
        self.merge(self.config, changes)
        self.process = None

    @staticmethod
    def merge(into, changes):
        for k, v in changes.items():
            if isinstance(v, dict) and isinstance(into.get(k), dict):
                Daemon.merge(into[k], v)
            else:
                into[k] = v

    @property
    def config_file(self):
        path = self.dir / "ratchetd.json"
        path.write_text(json.dumps(self.config, indent=2))
        return path

    def start(self, env=None, fds=()):
        self.log = open(self.dir / "log", "ab")
        self.process = subprocess.Popen([*self.prefix, str(RATCHETD), "--config", str(self.config_file)], stdout=self.log, stderr=self.log, env={**os.environ, **(env or {})}, pass_fds=fds)
        return self

    def migrate(self, owner_dsn, pool=None):
        which = ["--pool", pool] if pool else []
        subprocess.run([str(RATCHETD), "migrate", "--config", str(self.config_file), "--dsn", owner_dsn, *which], check=True, capture_output=True, text=True)

    def log_text(self):
        log = self.dir / "log"
        return log.read_text(errors="replace") if log.exists() else ""  # never started

    def get(self, path, port=None, timeout=10):
        """(status, headers, body); status 0: nobody answered."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port or self.ops_port}{path}", timeout=timeout * SLOW) as r:
                return r.status, r.headers, r.read()
        except urllib.error.HTTPError as e:
            return e.code, e.headers, e.read()
        except OSError:
            return 0, {}, b""

    def post(self, path, body, headers=None, timeout=10):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}{path}", data=body, headers={"Content-Type": "application/json", **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=timeout * SLOW) as r:
                return r.status, r.headers, r.read()
        except urllib.error.HTTPError as e:
            return e.code, e.headers, e.read()
        except OSError:
            return 0, {}, b""

    def levels(self):
        status, _, body = self.get("/levels")
        return json.loads(body) if status == 200 else {"held": -1, "doing": "gone", "levels": [], "alarms": []}

    def held(self):
        return self.levels()["held"]

    def wait_level(self, level, seconds=60):
        try:
            wait_for(f"level {level}", lambda: self.held() == level, seconds)
        except AssertionError:
            raise AssertionError(f"level {level} not reached: {self.levels()}\n{self.log_text()[-3000:]}")
        return self

    def metric(self, name, **labels):
        _, _, body = self.get("/metrics")
        total, found = 0.0, False
        for line in body.decode().splitlines():
            m = re.match(r"([a-zA-Z_:]+)(?:\{(.*)\})? ([-+0-9.eEinfNa]+)$", line)
            if m and m[1] == name and all(f'{k}="{v}"' in (m[2] or "") for k, v in labels.items()):
                total, found = total + float(m[3]), True
        return total if found else None

    def ctl(self, *args, check=True):
        return subprocess.run([str(RATCHETCTL), "--socket", str(self.socket), *map(str, args)], capture_output=True, text=True, check=check, timeout=120 * SLOW)

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds=60):
        return self.process.wait(seconds * SLOW)

    def stop(self, seconds=60):
        if self.process and self.process.poll() is None:
            self.terminate()
        return self.wait(seconds)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def rss_mib(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024

    def remove(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
        if self.process:
            self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)
