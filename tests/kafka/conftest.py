"""One real broker for the whole run, shared by all workers; it ends with the run, however that ends."""

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import broker
import kafka
import pytest
from kafka.admin import NewTopic


@dataclass(frozen=True)
class Addresses:
    """Where the broker is: without and with TLS and SASL, and the certificate for the latter."""

    plain: str
    sasl: str
    ca: str


@pytest.fixture(scope="session")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Addresses:
    """The broker of this run, started by the first worker that wants it."""
    if reason := broker.missing():
        if os.environ.get("TSDB_REQUIRE_SERVERS"):
            pytest.fail(reason)
        pytest.skip(reason)
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if is_worker else base
    file = folder / "kafka-broker.json"
    with (folder / "kafka-broker.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            _launch(file, os.getppid() if is_worker else os.getpid(), folder / "kafka-broker.log")
    return Addresses(**json.loads(file.read_text()))


def _launch(file: Path, run: int, log: Path) -> None:
    """A process that keeps the broker while the test run lives."""
    command = [sys.executable, broker.__file__, "--auth", "--while-pid", str(run), "--address-file", str(file)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
    while not file.exists():
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    process.returncode = 0  # it outlives this process on purpose


@pytest.fixture(scope="session")
def bootstrap(addresses: Addresses) -> str:
    """The plain address."""
    return addresses.plain


@dataclass(frozen=True)
class Topics:
    """Topics of one test, with names of their own."""

    admin: kafka.KafkaAdminClient
    bootstrap: str
    prefix: str

    def create(self, name: str = "t", partitions: int = 1, **configs: str) -> str:
        """The full name of a new topic."""
        topic = f"{self.prefix}-{name}"
        settings = {key.replace("_", "."): value for key, value in configs.items()}
        self.admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=settings)])
        return topic

    def delete(self, topic: str) -> None:
        """Gone."""
        self.admin.delete_topics([topic])

    def send(self, topic: str, *values: bytes | str | None, key: bytes | None = None, partition: int = 0) -> None:
        """Messages, one after the other."""
        with _closing(kafka.KafkaProducer(bootstrap_servers=self.bootstrap)) as producer:
            for value in values:
                body = value.encode() if isinstance(value, str) else value
                producer.send(topic, body, key=key, partition=partition)
            producer.flush()

    def read(self, topic: str, isolation: str = "read_committed") -> list[tuple[bytes | None, bytes | None]]:
        """All (key, value) there are, partition by partition."""
        consumer = kafka.KafkaConsumer(bootstrap_servers=self.bootstrap, isolation_level=isolation)
        with _closing(consumer):
            partitions = [kafka.TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic))]
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
            ends = consumer.end_offsets(partitions)
            found: dict[int, list[tuple[bytes | None, bytes | None]]] = {p.partition: [] for p in partitions}
            while any(consumer.position(p) < ends[p] for p in partitions):
                for partition, records in consumer.poll(200).items():
                    found[partition.partition] += [(r.key, r.value) for r in records]
        return [pair for _, pairs in sorted(found.items()) for pair in pairs]


class _closing:
    """`contextlib.closing` for clients."""

    def __init__(self, client: object) -> None:
        self._client = client

    def __enter__(self) -> object:
        return self._client

    def __exit__(self, *_: object) -> None:
        self._client.close()  # type: ignore[attr-defined]


@pytest.fixture
def topics(bootstrap: str, request: pytest.FixtureRequest) -> Iterator[Topics]:
    """Makes topics for one test and removes them."""
    admin = kafka.KafkaAdminClient(bootstrap_servers=bootstrap)
    prefix = f"{request.node.name[:60].translate(str.maketrans('[]/ ', '----'))}-{os.getpid()}"
    made = Topics(admin, bootstrap, prefix)
    yield made
    mine = [name for name in admin.list_topics() if name.startswith(prefix)]
    if mine:
        admin.delete_topics(mine)
    admin.close()
