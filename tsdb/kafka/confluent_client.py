"""The interface of `client` over confluent-kafka, the binding of librdkafka: five to twenty times as fast a message.

librdkafka connects when it likes and waits for brokers that are away, so whoever opens a client here asks the broker
first, in short turns, and hears on the way if it was not let in. What it logs goes to the logger `tsdb.kafka`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    TIMESTAMP_CREATE_TIME,
    TIMESTAMP_LOG_APPEND_TIME,
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from tsdb import clock
from tsdb.errors import OperationalError, OptionError
from tsdb.kafka.client import BrokerAway, Fetched, OffsetGone, Partition, SizeLimits, Unreachable
from tsdb.kafka.confluent_producer import ConfluentProducer
from tsdb.kafka.confluent_properties import BOOTSTRAP_MS, configuration
from tsdb.kafka.patience import turns
from tsdb.kafka.reach import NoAnswer, gone, why_away, within
from tsdb.kafka.redaction import quiet_logger
from tsdb.secrets import is_secret

_BOOTSTRAP_MS = 8_000
_TURN_S = 0.5
_ANSWER_S = 3.0
_CLOSE_S = 1.0
_ADMIN_S = 15.0
_TYPES = {TIMESTAMP_CREATE_TIME: 0, TIMESTAMP_LOG_APPEND_TIME: 1}
_COMMON = {
    "reconnect.backoff.ms": "5",  # the first connection waits for half of it, too
    "reconnect.backoff.max.ms": "1000",
    "socket.connection.setup.timeout.ms": "10000",
}
_CONSUMER = {
    "enable.auto.commit": "false",
    "enable.auto.offset.store": "false",
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "enable.partition.eof": "true",
    "max.partition.fetch.bytes": str(8 << 20),
    "fetch.wait.max.ms": "50",
    "allow.auto.create.topics": "false",
}
_BATCH_BYTES = 256 << 10
_PRODUCER = {
    "partitioner": "murmur2_random",  # as Java and kafka-python place keys
    "delivery.report.only.error": True,
    "enable.idempotence": "true",
    "linger.ms": "1",
    "batch.size": str(_BATCH_BYTES),
    "delivery.timeout.ms": "30000",
    "request.timeout.ms": "10000",
    "queue.buffering.max.messages": "200000",
    "queue.buffering.max.kbytes": "2097151",
    "retry.backoff.ms": "10",
}
_PASSING = {
    KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC, KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError._WAIT_COORD,
}  # fmt: skip
_UNTOLD = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED, KafkaError.UNKNOWN_TOPIC_OR_PART,
)  # fmt: skip
_MESSAGE_BYTES = 1_000_000
"""The library's default of 'message.max.bytes'."""

_AGAIN_S = 0.05
_GONE = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._LOG_TRUNCATION}
_REFUSED = {
    KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED, KafkaError._SSL,
}  # fmt: skip


class ConfluentClient:
    """See `tsdb.kafka.client.Client`."""

    name = "confluent-kafka"

    def __init__(self, properties: Mapping[str, str]) -> None:
        self._configuration = configuration(properties)
        self._bootstrap_s = int(properties.get(BOOTSTRAP_MS, _BOOTSTRAP_MS)) / 1000
        servers = self._configuration.get("bootstrap.servers", "")
        self._servers = [server.strip() for server in servers.split(",") if server.strip()]
        if not self._servers:
            raise OptionError("a Kafka table needs the option 'properties.bootstrap.servers'")
        self.servers = ", ".join(self._servers)
        self._logger = quiet_logger("tsdb.kafka", [v for k, v in self._configuration.items() if is_secret(k)])

    def consumer(self, group: str | None = None, *, times: bool = True) -> "ConfluentConsumer":
        """See `Client`."""
        # librdkafka wants a group also where none is used: nothing is committed to it
        inner = self._open(Consumer, {**_CONSUMER, "group.id": group or "tsdb"})
        return ConfluentConsumer(inner, self.servers, times=times)

    def producer(self, transactional_id: str | None = None, *, batch_bytes_max: int | None = None) -> ConfluentProducer:
        """See `Client`."""
        more = {"transactional.id": transactional_id} if transactional_id else {}
        if batch_bytes_max is not None:
            more["batch.size"] = str(min(batch_bytes_max, _BATCH_BYTES))
        failures: list[str] = []
        report = {"on_delivery": lambda err, _: failures.append(err) if err is not None else None}
        inner = self._open(Producer, {**_PRODUCER, **more}, report)
        producer = ConfluentProducer(inner, self.servers, failures, self._group_metadata)
        if transactional_id:
            try:
                producer.take_over(transactional_id)
            except BaseException:
                producer.close()
                raise
        return producer

    def create_topic(self, topic: str, partitions: int, configs: Mapping[str, str]) -> None:
        """See `Client`."""
        with self._asked(
            f"topic '{topic}' cannot be created at {self.servers}", KafkaError.TOPIC_ALREADY_EXISTS
        ) as admin:
            new = NewTopic(topic, num_partitions=partitions, replication_factor=-1, config=dict(configs))
            (future,) = admin.create_topics([new], request_timeout=_ADMIN_S).values()
            future.result(2 * _ADMIN_S)

    def delete_topic(self, topic: str) -> None:
        """See `Client`."""
        with self._asked(
            f"topic '{topic}' cannot be deleted at {self.servers}", KafkaError.UNKNOWN_TOPIC_OR_PART
        ) as admin:
            (future,) = admin.delete_topics([topic], request_timeout=_ADMIN_S).values()
            future.result(2 * _ADMIN_S)

    def size_limits(self, topic: str) -> SizeLimits:
        """See `Client`."""
        client = int(self._configuration.get("message.max.bytes", _MESSAGE_BYTES))
        if self._configuration.get("compression.type", "none") != "none":
            return SizeLimits(None, client)
        with self._asked(f"the settings of topic '{topic}' cannot be read at {self.servers}", *_UNTOLD) as admin:
            asked = [ConfigResource(ResourceType.TOPIC, topic)]
            (future,) = admin.describe_configs(asked, request_timeout=_ADMIN_S).values()
            said = future.result(2 * _ADMIN_S).get("max.message.bytes")
            return SizeLimits(None if said is None else int(said.value), client)
        return SizeLimits(None, client)

    def topic_id(self, topic: str) -> str | None:
        """See `Client`."""
        with self._asked(
            f"topic '{topic}' cannot be looked up at {self.servers}", KafkaError.UNKNOWN_TOPIC_OR_PART
        ) as admin:
            (future,) = admin.describe_topics(TopicCollection([topic]), request_timeout=_ADMIN_S).values()
            return str(future.result(2 * _ADMIN_S).topic_id)
        return None

    @contextmanager
    def _asked(self, what: str, *quiet: int) -> Iterator[Any]:
        """An admin client, which has to live until its answers are here. quiet: the errors that are none."""
        admin = self._open(AdminClient, {})
        try:
            yield admin
        except KafkaException as err:
            if err.args[0].code() not in quiet:
                raise OperationalError(f"{what}: {err.args[0].str()}") from err

    def _group_metadata(self, group: str) -> Any:
        """What names a group in a transaction; only a consumer of it makes that."""
        own = {"group.id": group, "logger": self._logger, "enable.auto.commit": "false"}
        consumer = Consumer({**_COMMON, **self._configuration, **own})
        try:
            return consumer.consumer_group_metadata()
        finally:
            consumer.close()

    def _open(self, kind: Any, own: Mapping[str, Any], callbacks: Mapping[str, Any] | None = None) -> Any:
        """A client of the library that has had an answer. own: our defaults, which the user's properties overrule."""
        refusals: list[str] = []

        def on_error(err: Any) -> None:
            if err.code() in _REFUSED:
                refusals.append(err.str())

        chosen = {**_COMMON, **own, **self._configuration, **(callbacks or {})}
        try:
            inner = kind({**chosen, "error_cb": on_error, "logger": self._logger})
        except (KafkaException, ValueError, TypeError) as err:
            text = err.args[0].str() if isinstance(err, KafkaException) else str(err)
            raise OperationalError(f"Kafka at {self.servers}: {text}") from err
        try:
            for _ in turns(f"Kafka at {self.servers}", self._bootstrap_s):
                try:
                    inner.list_topics(topic="", timeout=min(_TURN_S, self._bootstrap_s))
                    return inner
                except KafkaException:
                    inner.poll(0)
                    if refusals:
                        break
            raise self._away(refusals)
        except BaseException:
            _let_go(inner)
            raise

    def _away(self, refusals: list[str]) -> OperationalError:
        why = why_away(self._servers, self._bootstrap_s)
        return BrokerAway(f"{why} ({refusals[-1]})" if refusals else why)


class ConfluentConsumer:
    """See `tsdb.kafka.client.Consumer`."""

    def __init__(self, inner: Any, servers: str, *, times: bool = True) -> None:
        self._inner = inner
        self._servers = servers
        self._times = times
        self._next: dict[Partition, int] = {}
        self._failure: Any = None

    def partitions(self, topics: Iterable[str]) -> list[Partition]:
        """See `Consumer`."""
        there = self._metadata().topics
        found = {topic: there[topic].partitions for topic in topics if topic in there}
        return sorted((topic, number) for topic, numbers in found.items() for number in numbers)

    def topics(self) -> list[str]:
        """See `Consumer`."""
        return sorted(name for name in self._metadata().topics if not name.startswith("__"))

    def assign(self, positions: Mapping[Partition, int]) -> None:
        """See `Consumer`."""
        self._next, self._failure = dict(positions), None
        with self._answer():
            self._inner.assign([TopicPartition(*partition, offset) for partition, offset in positions.items()])

    def poll(self, rows_max: int, timeout_ms: int) -> list[Fetched]:
        """See `Consumer`."""
        self._fail()
        with self._answer():
            messages = self._inner.consume(rows_max, 0)
            if not messages and timeout_ms:  # `consume` would wait for all of them
                first = self._inner.poll(timeout_ms / 1000)
                messages = [] if first is None else [first, *self._inner.consume(rows_max, 0)]
        groups = self._grouped([message for message in messages if message.error() is None])
        for message in messages if sum(map(len, groups.values())) < len(messages) else ():
            if message.error() is not None:
                self._event(message)
        if not groups:
            self._fail()
        found = []
        for partition, those in groups.items():
            if partition in self._next:
                found.append(_columns(partition, those, self._times))
                self._next[partition] = max(self._next[partition], found[-1].offsets[-1] + 1)
        return found

    def _grouped(self, messages: list[Any]) -> dict[Partition, list[Any]]:
        if not messages:
            return {}
        ends = {(message.topic(), message.partition()) for message in (messages[0], messages[-1])}
        if len(self._next) == 1 and ends == self._next.keys():
            return dict.fromkeys(ends, messages)
        groups: dict[Partition, list[Any]] = {}
        for message in messages:
            groups.setdefault((message.topic(), message.partition()), []).append(message)
        return groups

    def _event(self, message: Any) -> None:
        """What comes among the messages and is none; a failure waits until they are handed over."""
        code = message.error().code()
        partition = (message.topic(), message.partition())
        if code == KafkaError._PARTITION_EOF:
            if partition in self._next:
                self._next[partition] = max(self._next[partition], message.offset())
        else:
            self._failure = message.error()

    def positions(self) -> dict[Partition, int]:
        """See `Consumer`."""
        return dict(self._next)

    def beginnings(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """See `Consumer`."""
        return self._looked_up(partitions, OFFSET_BEGINNING)

    def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """See `Consumer`."""
        return self._looked_up(partitions, OFFSET_END)

    def at_time(self, partitions: Iterable[Partition], time_ms: int) -> dict[Partition, int | None]:
        """See `Consumer`."""
        found = self._looked_up(partitions, time_ms)
        return {partition: offset if offset >= 0 else None for partition, offset in found.items()}

    def committed(self, partitions: Iterable[Partition]) -> dict[Partition, int | None]:
        """See `Consumer`."""
        wanted = _theirs(partitions, 0)
        found = self._settled(lambda: self._inner.committed(wanted, timeout=_ANSWER_S))
        return {(p.topic, p.partition): p.offset if p.offset >= 0 else None for p in found}

    def commit(self, positions: Mapping[Partition, int]) -> None:
        """See `Consumer`."""
        offsets = [TopicPartition(*partition, offset) for partition, offset in positions.items()]
        with suppress(KafkaException):
            self._inner.commit(offsets=offsets, asynchronous=True)

    def close(self) -> None:
        """See `Consumer`."""
        with suppress(KafkaException, NoAnswer, RuntimeError):
            within(_CLOSE_S, f"Kafka at {self._servers} to let go", self._inner.close)

    def _looked_up(self, partitions: Iterable[Partition], time_ms: int) -> dict[Partition, int]:
        """Offsets by time; the beginning and the end are times to the library, too: one request a broker."""
        wanted = _theirs(partitions, time_ms)
        if not wanted:
            return {}
        found = self._settled(lambda: self._inner.offsets_for_times(wanted, timeout=_ANSWER_S))
        return {(p.topic, p.partition): p.offset for p in found}

    def _metadata(self) -> Any:
        with self._answer():
            return self._inner.list_topics(timeout=_ANSWER_S)

    def _settled(self, call: Callable[[], list[Any]]) -> list[Any]:
        """The answer about partitions, asked for again while the cluster is still making up its mind."""
        end_s = clock.current().monotonic_s() + _ANSWER_S
        while True:
            try:
                found = call()
                error = next((partition.error for partition in found if partition.error is not None), None)
            except KafkaException as err:
                error = err.args[0]
            if error is None:
                return found
            if error.code() not in _PASSING or clock.current().monotonic_s() > end_s:
                self._raise(error)
            clock.current().sleep(_AGAIN_S)

    def _fail(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            self._raise(failure)

    def _raise(self, error: Any) -> NoReturn:
        code, text = error.code(), error.str()
        if code in _GONE:
            raise OffsetGone(self._gone(text))
        if code in _REFUSED or error.fatal():
            raise OperationalError(f"Kafka at {self._servers}: {text}")
        raise Unreachable(f"Kafka at {self._servers}: {text}")

    @contextmanager
    def _answer(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as err:
            self._raise(err.args[0])

    def _gone(self, text: str) -> str:
        """Which partition stands where there are no records any more (or not yet, in a topic that was made anew)."""
        first, last = self.beginnings(self._next), self.ends(self._next)
        for (topic, number), offset in self._next.items():
            begin, end = first[(topic, number)], last[(topic, number)]
            if not begin <= offset <= end:
                return gone(topic, number, offset, begin, end)
        return f"Kafka at {self._servers}: the topic was cut off or made anew: {text}"


def _columns(partition: Partition, messages: list[Any], with_times: bool) -> Fetched:
    times = [m.timestamp() for m in messages] if with_times else [(-1, -1)] * len(messages)
    epochs = [m.leader_epoch() for m in messages]
    nothing: list[Any] = []  # one for all: many small ones keep the garbage collector busy
    return Fetched(
        partition,
        [m.offset() for m in messages],
        [m.key() for m in messages],
        [m.value() for m in messages],
        [at for _, at in times],
        [_TYPES.get(kind, -1) for kind, _ in times],
        [-1 if epoch is None else epoch for epoch in epochs],
        [m.headers() or nothing for m in messages],
    )


def _theirs(partitions: Iterable[Partition], offset: int) -> list[Any]:
    return [TopicPartition(*partition, offset) for partition in partitions]


def _let_go(inner: Any) -> None:
    if hasattr(inner, "close"):
        with suppress(KafkaException, NoAnswer):
            within(_CLOSE_S, "a client to close", inner.close)
