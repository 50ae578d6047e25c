"""More of a real Kafka than one open broker: three brokers, and one that asks for passwords, certificates and rights."""
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.servers import Kafka, free_ports, kafka_jars, wait_for


class Node(Kafka):
    """One broker of a Cluster."""

    def __init__(self, number, port, controllers, jars, settings):  # noqa: not Kafka's: what is shared comes from the cluster
        self.number, self.port, self.jars = number, port, jars
        self.net, self.host, self.process = None, "127.0.0.1", None
        self.dir = Path(tempfile.mkdtemp(prefix=f"ratchet-kafka-{number}-"))
        listeners, roles = f"PLAINTEXT://127.0.0.1:{port}", "broker"
        if number in controllers:
            listeners, roles = f"{listeners},CONTROLLER://127.0.0.1:{controllers[number]}", "broker,controller"
        properties = {
            "process.roles": roles, "node.id": number, "controller.quorum.voters": ",".join(f"{n}@127.0.0.1:{p}" for n, p in controllers.items()),
            "listeners": listeners, "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}", "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT", "log.dirs": self.dir / "logs", "auto.create.topics.enable": "false",
            "num.network.threads": 2, "num.io.threads": 2, "log.cleaner.dedupe.buffer.size": 4000000, **settings}
        self.config = self.dir / "server.properties"
        self.config.write_text("".join(f"{k}={v}\n" for k, v in properties.items()))
        self.java("kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", self.config)

    def launch(self):
        self.log = open(self.dir / "log", "ab")
        self.process = subprocess.Popen(["java", "-Xms96m", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                                         "-cp", f"{self.jars}/*", "kafka.Kafka", str(self.config)], stdout=self.log, stderr=self.log)

    def running(self):
        return self.process is not None and self.process.poll() is None


class Cluster(Kafka):
    """Three brokers. `controllers`: on so many of them (the first ones) the quorum lives; with 1 it outlives the death of both others."""

    def __init__(self, brokers=3, controllers=3, **settings):  # noqa: as above
        self.jars = kafka_jars()
        ports = free_ports(brokers + controllers)
        quorum = {n + 1: ports[brokers + n] for n in range(controllers)}
        self.nodes = []
        for n in range(brokers):
            self.nodes.append(Node(n + 1, ports[n], quorum, self.jars, {"offsets.topic.replication.factor": 1, **settings}))
        self.replicas = brokers

    def node(self, number):
        return self.nodes[number - 1]

    @property
    def bootstrap(self):
        return ",".join(node.bootstrap for node in self.nodes)

    @property
    def endpoints(self):
        return [node.bootstrap for node in self.nodes]

    def start(self, topics=()):
        for node in self.nodes:
            node.launch()
        wait_for("all brokers are there", lambda: self.brokers() == len(self.nodes), 180)
        for topic in topics:
            self.create_topic(topic)
        return self

    def brokers(self):
        admin = self.admin()
        try:
            return len(admin.list_topics(timeout=2).brokers)
        except Exception:  # not there yet: the caller waits
            return 0

    def partitions(self, topic):
        """By partition: (leader, in-sync replicas), as somebody who asks anew is told."""
        try:
            told = self.admin().list_topics(topic, timeout=5).topics[topic].partitions
        except Exception:  # nobody answers just now: the caller waits
            return {}
        return {number: (p.leader, set(p.isrs)) for number, p in told.items()}

    def whole(self, topic):
        parts = self.partitions(topic)
        return bool(parts) and all(leader >= 0 and len(isr) == self.replicas for leader, isr in parts.values())

    def remove(self):
        for node in self.nodes:
            node.remove()


class SecuredKafka(Kafka):
    """One broker with three listeners: open to the tests (who may do everything), SASL/PLAIN with the user `app`, and TLS with a
    certificate of `ca`. Rights by StandardAuthorizer: `app` and the TLS client have what grant() gave them."""

    def __init__(self, **settings):
        self.sasl_port, self.tls_port = free_ports(2)
        self.pki = Path(tempfile.mkdtemp(prefix="ratchet-pki-"))
        self.ca = self.authority("ca")
        self.other_ca = self.authority("other")
        keystore = self.server_certificate()
        login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        super().__init__(**{
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users": "User:ANONYMOUS",
            "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN", "listener.name.sasl.plain.sasl.jaas.config": f'{login} user_app="right";',
            "listener.name.tls.ssl.keystore.type": "PEM", "listener.name.tls.ssl.keystore.location": keystore, **settings})
        text = self.config.read_text()
        for key, more in (("listeners", f",SASL://127.0.0.1:{self.sasl_port},TLS://127.0.0.1:{self.tls_port}"),
                          ("advertised.listeners", f",SASL://127.0.0.1:{self.sasl_port},TLS://127.0.0.1:{self.tls_port}"),
                          ("listener.security.protocol.map", ",SASL:SASL_PLAINTEXT,TLS:SSL")):
            line = next(x for x in text.splitlines() if x.startswith(f"{key}="))
            text = text.replace(line + "\n", line + more + "\n", 1)
        self.config.write_text(text + "inter.broker.listener.name=PLAINTEXT\n")

    def openssl(self, *args):
        subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, cwd=self.pki)

    def authority(self, name):
        self.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")
        return self.pki / f"{name}.pem"

    def server_certificate(self):
        self.openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=broker", "-keyout", "broker.key", "-out", "broker.csr")
        (self.pki / "names").write_text("subjectAltName=IP:127.0.0.1\n")
        self.openssl("x509", "-req", "-in", "broker.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", "broker.pem")
        keystore = self.pki / "keystore.pem"
        keystore.write_text((self.pki / "broker.key").read_text() + (self.pki / "broker.pem").read_text())
        return keystore

    def rights(self, verb, *operations, topic="orders", user="app"):
        """verb: --add or --remove."""
        words = [w for o in operations for w in ("--operation", o)]
        self.java("kafka.admin.AclCommand", "--bootstrap-server", self.bootstrap, verb, *(["--force"] if verb == "--remove" else []), "--allow-principal",
                  f"User:{user}", *words, "--topic", topic)

    def sasl(self, password="right"):
        return {"bootstrap": [f"127.0.0.1:{self.sasl_port}"], "properties": {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "app",
                                                                            "sasl.password": password}}

    def tls(self, ca):
        return {"bootstrap": [f"127.0.0.1:{self.tls_port}"], "properties": {"security.protocol": "SSL", "ssl.ca.location": str(ca)}}

    def remove(self):
        super().remove()
        shutil.rmtree(self.pki, ignore_errors=True)
