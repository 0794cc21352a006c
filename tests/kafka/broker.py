"""Real Kafka brokers on this machine, started and stopped by us: one KRaft node, or several, each with its own folder.

`python tests/kafka/broker.py` starts one, prints its address and cleans up on Ctrl-C. The jars come from `pom.xml`
beside this file (`make .cache/kafka/.installed`). With `auth` there is a second listener with TLS and SASL.
"""

import argparse
import base64
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
JARS = ROOT / ".cache" / "kafka"
START_S = 90
USERS = {"PLAIN": ("alice", "alice-pw"), "SCRAM-SHA-256": ("bob", "bob-pw"), "SCRAM-SHA-512": ("bob", "bob-pw")}
KEY_PASSWORD = "key-pw"
_JVM = ["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
_PROPERTIES = """
process.roles={roles}
node.id={node}
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners={listeners}{own}
advertised.listeners={listeners}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
num.partitions=1
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
log.cleaner.dedupe.buffer.size=16777216
"""
_COPIED = """
default.replication.factor={count}
offsets.topic.replication.factor={count}
transaction.state.log.replication.factor={count}
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
replica.lag.time.max.ms=3000
"""
_AUTH = """
ssl.keystore.type=PEM
ssl.keystore.location={pem}
ssl.truststore.type=PEM
ssl.truststore.location={ca}
listener.name.ssl.ssl.client.auth=required
listener.name.sasl_plaintext.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_plaintext.plain.sasl.jaas.config={package}.plain.PlainLoginModule required user_alice="alice-pw";
listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config={package}.scram.ScramLoginModule required;
listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config={package}.scram.ScramLoginModule required;
listener.name.sasl_ssl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config={package}.plain.PlainLoginModule required user_alice="alice-pw";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={package}.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={package}.scram.ScramLoginModule required;
"""


def missing() -> str:
    """Why no broker can be started, or ''."""
    if not shutil.which("java"):
        return "java is not installed"
    return "" if list(JARS.glob("kafka_2*.jar")) else "Kafka is not in .cache (run `make .cache/kafka/.installed`)"


class Broker:
    """One broker; `start` after `stop` or `kill` goes on with the same data at the same address."""

    def __init__(
        self,
        folder: Path,
        *,
        auth: bool = False,
        properties: Sequence[str] = (),
        node: int = 1,
        joins: "Broker | None" = None,
    ) -> None:
        """folder: for everything it writes. properties: more lines for server.properties.

        node: its number. joins: the broker that is the controller; None: it is that itself.
        """
        self._folder = folder
        self._auth = auth
        self._node = node
        self._joins = joins
        self.cluster: str = _cluster_id() if joins is None else joins.cluster
        self._properties = properties
        self._process: subprocess.Popen[bytes] | None = None
        ports = _free_ports(5)
        self.bootstrap = f"127.0.0.1:{ports[0]}"
        self.bootstrap_sasl = f"127.0.0.1:{ports[2]}" if auth else ""
        self.bootstrap_ssl = f"127.0.0.1:{ports[3]}" if auth else ""
        self.bootstrap_sasl_plaintext = f"127.0.0.1:{ports[4]}" if auth else ""
        self.ca = str(folder / "ca.pem") if auth else ""
        self._config = folder / "server.properties"
        self.controller: int = ports[1] if joins is None else joins.controller

    @property
    def pid(self) -> int:
        """The process id of the JVM."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> "Broker":
        """Start it and wait until it serves."""
        if not self._config.exists():
            self._format()
        log = self._folder / "server.log"
        with log.open("wb") as out:
            command = _java("kafka.Kafka", str(self._config))
            self._process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_S
        while b"Kafka Server started" not in log.read_bytes():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError("the broker did not start:\n" + "\n".join(log.read_text().splitlines()[-20:]))
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        """End it in order; with force when that takes long."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it answer nothing, as a machine that hangs: its connections stay open."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self.resume()  # one that is paused takes no other signal
        self._process.send_signal(how)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _format(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        listeners = f"PLAINTEXT://{self.bootstrap}"
        users: list[str] = []
        text = ""
        if self._auth:
            listeners += f",SASL_SSL://{self.bootstrap_sasl},SSL://{self.bootstrap_ssl}"
            listeners += f",SASL_PLAINTEXT://{self.bootstrap_sasl_plaintext}"
            text = _AUTH.format(pem=_certificate(self._folder), ca=self.ca, package="org.apache.kafka.common.security")
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
                name, password = USERS[mechanism]
                users += ["--add-scram", f"{mechanism}=[name={name},password={password}]"]
        values = {"controller": self.controller, "listeners": listeners, "data": self._folder / "data"}
        leads = self._joins is None
        values |= {"node": self._node, "roles": "broker,controller" if leads else "broker"}
        values["own"] = f",CONTROLLER://127.0.0.1:{self.controller}" if leads else ""
        self._config.write_text("\n".join([_PROPERTIES.format(**values), text, *self._properties, ""]))
        command = _java("kafka.tools.StorageTool", "format", "-t", self.cluster, "-c", str(self._config), *users)
        subprocess.run(command, check=True, capture_output=True)


class Cluster:
    """Several brokers, numbered from 1. The first is the controller, too, and has to live; others may be killed."""

    def __init__(self, folder: Path, count: int = 2) -> None:
        """folder: for everything they write. What the brokers keep for groups and transactions is on each of them."""
        more = _COPIED.format(count=count).splitlines()
        first = Broker(folder / "1", properties=more)
        others = [Broker(folder / str(n), properties=more, node=n, joins=first) for n in range(2, count + 1)]
        self.brokers = [first, *others]
        self.bootstrap = ",".join(broker.bootstrap for broker in self.brokers)

    def start(self) -> "Cluster":
        """Start them, and wait until all serve."""
        for broker in self.brokers:
            broker.start()
        return self

    def kill(self) -> None:
        """End them at once."""
        for broker in reversed(self.brokers):
            broker.kill()


def _java(*arguments: str) -> list[str]:
    return ["java", *_JVM, "-cp", f"{JARS}/*", *arguments]


def _cluster_id() -> str:
    return "A" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]


def _free_ports(count: int) -> list[int]:
    """Below the ephemeral range: an outgoing connection could otherwise take one before the broker does."""
    sockets: list[socket.socket] = []
    try:
        while len(sockets) < count:
            candidate = socket.socket()
            try:
                candidate.bind(("127.0.0.1", random.randint(20_000, 32_000)))
                sockets.append(candidate)
            except OSError:
                candidate.close()
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def _certificate(folder: Path) -> Path:
    """A CA of our own in ca.pem, a key with a certificate for this machine, and one for a client with a password."""
    (folder / "ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for arguments in (
        "req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=test-ca -keyout ca.key -out ca.pem",
        "req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile ext -out server.crt",
        "pkcs8 -topk8 -nocrypt -in server.key -out server.p8",
        "req -newkey rsa:2048 -nodes -subj /CN=client -keyout client.key -out client.csr",
        "x509 -req -in client.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out client.crt",
        f"pkcs8 -topk8 -in client.key -out client.p8 -passout pass:{KEY_PASSWORD}",
    ):
        subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True)
    (folder / "client.pem").write_text((folder / "client.p8").read_text() + (folder / "client.crt").read_text())
    pem = folder / "server.pem"
    pem.write_text((folder / "server.p8").read_text() + (folder / "server.crt").read_text())
    return pem


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def main() -> None:
    """Run one broker until Ctrl-C, SIGTERM, or the end of another process."""
    parser = argparse.ArgumentParser(description="Start a Kafka broker; it and its data are gone when this ends.")
    parser.add_argument("--auth", action="store_true", help="with a listener for TLS and SASL, too")
    parser.add_argument("--while-pid", type=int, help="end when this process ends")
    parser.add_argument("--address-file", type=Path, help="where the addresses are written as JSON when it serves")
    options = parser.parse_args()
    if reason := missing():
        sys.exit(reason)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    folder = Path(tempfile.mkdtemp(prefix="tsdb-kafka-"))
    broker = Broker(folder, auth=options.auth)
    try:
        broker.start()
        print(f"Kafka is at {broker.bootstrap} (Ctrl-C ends it and removes its data)", flush=True)
        if options.auth:
            print(f"with SASL_SSL at {broker.bootstrap_sasl}, certificate {broker.ca}", flush=True)
        if options.address_file:
            addresses = {
                "plain": broker.bootstrap,
                "sasl": broker.bootstrap_sasl,
                "ssl": broker.bootstrap_ssl,
                "sasl_plaintext": broker.bootstrap_sasl_plaintext,
                "ca": broker.ca,
                "client": str(folder / "client.pem"),
            }
            draft = options.address_file.with_suffix(".draft")
            draft.write_text(json.dumps(addresses))
            draft.rename(options.address_file)
        while options.while_pid is None or _is_alive(options.while_pid):
            time.sleep(0.5)
    except KeyboardInterrupt:
        print()
    finally:
        broker.kill()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
