"""Where the broker is, and topics of one test, handled with the client itself."""

from collections.abc import Sequence
from dataclasses import dataclass

import kafka
from kafka.admin import NewPartitions, NewTopic


@dataclass(frozen=True)
class Addresses:
    """Where the broker is: without TLS and SASL, with both, with certificates for clients, with SASL only.

    ca: the broker's authority. client: a client's key, with a password, and its certificate.
    """

    plain: str
    sasl: str
    ssl: str
    sasl_plaintext: str
    ca: str
    client: str


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

    def send_pairs(self, topic: str, pairs: Sequence[tuple[bytes | None, bytes | None]]) -> None:
        """Messages with keys, one after the other, to one partition."""
        with _closing(kafka.KafkaProducer(bootstrap_servers=self.bootstrap)) as producer:
            for key, value in pairs:
                if key is not None or value is not None:
                    producer.send(topic, value, key=key, partition=0)
            producer.flush()

    def grow(self, topic: str, partitions: int) -> None:
        """More partitions."""
        self.admin.create_partitions({topic: NewPartitions(partitions)})

    def transaction(self, topic: str, *values: bytes, commit: bool) -> None:
        """Messages in a transaction that is committed or aborted."""
        producer = kafka.KafkaProducer(bootstrap_servers=self.bootstrap, transactional_id=f"{topic}-tests")
        with _closing(producer):
            producer.init_transactions()
            producer.begin_transaction()
            for value in values:
                producer.send(topic, value)
            producer.flush()
            (producer.commit_transaction if commit else producer.abort_transaction)()

    def read(self, topic: str, isolation: str = "read_committed") -> list[tuple[bytes | None, bytes | None]]:
        """All (key, value) there are, partition by partition."""
        return [pair for _, pairs in sorted(self.partitioned(topic, isolation).items()) for pair in pairs]

    def partitioned(
        self, topic: str, isolation: str = "read_committed"
    ) -> dict[int, list[tuple[bytes | None, bytes | None]]]:
        """All (key, value) there are, of each partition."""
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
        return found


class _closing:
    """`contextlib.closing` for clients."""

    def __init__(self, client: object) -> None:
        self._client = client

    def __enter__(self) -> object:
        return self._client

    def __exit__(self, *_: object) -> None:
        self._client.close()  # type: ignore[attr-defined]
