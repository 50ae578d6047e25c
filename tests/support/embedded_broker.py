"""The quick start's Kafka broker: librdkafka's mock in a process of its own, for tests that are not about Kafka."""
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.servers import BUILD, free_ports, wait_for


class EmbeddedBroker:
    def __init__(self, topics=("orders",)):
        self.dir = Path(tempfile.mkdtemp(prefix="ratchet-broker-"))
        self.port = free_ports(1)[0]
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.topics = topics
        self.process = None

    def start(self):
        command = [str(BUILD / "ratchet-embedded-broker"), "--port", str(self.port)]
        for topic in self.topics:
            command += ["--topic", topic]
        with open(self.dir / "out", "wb") as out, open(self.dir / "log", "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=log)
        wait_for("the embedded broker", lambda: b"bootstrap.servers=" in (self.dir / "out").read_bytes())
        return self

    def remove(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)
