"""The interface of `client` over kafka-python.

The library has a thread of its own for the network, so a consumer fetches ahead between two polls. Its errors become
OperationalError here, or Unreachable where trying again may help.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.serializer import Serializer

from tsdb import clock
from tsdb.errors import OperationalError, OptionError
from tsdb.kafka.client import (
    BrokerAway,
    Fetched,
    MessageTooLarge,
    OffsetGone,
    Outgoing,
    Partition,
    SizeLimits,
    Unreachable,
)
from tsdb.kafka.patience import turns
from tsdb.kafka.properties import arguments
from tsdb.kafka.reach import NoAnswer, gone, too_large, why_away, within
from tsdb.kafka.redaction import quiet_logger
from tsdb.secrets import is_secret

_BOOTSTRAP_MS = 8_000
_ANSWER_MS = 3_000
_GROUP_MS = 1_500
_CLOSE_S = 1.0
_STICKY = 256
_DELIVERY_MS = 30_000
_TRANSACTION_S = 30.0
_IN_TRANSACTION_S = 10.0
"""For messages of a transaction: where its coordinator goes away, the library may send none until it is ended."""

_COMMON = {
    "retry_backoff_ms": 10,
    "reconnect_backoff_max_ms": 1_000,
    "metrics_enabled": False,
    "allow_auto_create_topics": False,
}
_CONSUMER = {
    **_COMMON,
    "enable_auto_commit": False,
    "auto_offset_reset": "none",
    "isolation_level": "read_committed",
    "max_partition_fetch_bytes": 8 << 20,
    "fetch_max_wait_ms": 50,
}
_PRODUCER = {
    **_COMMON,
    "batch_size": 256 << 10,
    "linger_ms": 1,
    "delivery_timeout_ms": _DELIVERY_MS,
    "request_timeout_ms": 10_000,
    "max_block_ms": 10_000,
}
_QUEUED_MAX, _BYTES_MAX, _BLOCK = 100_000, 128 << 20, 10_000
_RETRIED = (kafka_errors.KafkaTimeoutError, kafka_errors.KafkaConnectionError, kafka_errors.RetriableError)


class PythonClient:
    """See `tsdb.kafka.client.Client`."""

    name = "kafka-python"

    def __init__(self, properties: Mapping[str, str]) -> None:
        defaults = {**KafkaAdminClient.DEFAULT_CONFIG, **KafkaProducer.DEFAULT_CONFIG, **KafkaConsumer.DEFAULT_CONFIG}
        self._arguments = {"bootstrap_timeout_ms": _BOOTSTRAP_MS, **arguments(properties, defaults)}
        if not self._arguments.get("bootstrap_servers"):
            raise OptionError("a Kafka table needs the option 'properties.bootstrap.servers'")
        secrets = [value for key, value in self._arguments.items() if is_secret(key) and isinstance(value, str)]
        quiet_logger("kafka", secrets)
        self.servers = ", ".join(self._arguments["bootstrap_servers"])

    def consumer(self, group: str | None = None, *, times: bool = True) -> "PythonConsumer":
        """See `Client`."""
        return PythonConsumer(self._open(KafkaConsumer, {**_CONSUMER, "group_id": group}), self.servers)

    def producer(self, transactional_id: str | None = None, *, batch_bytes_max: int | None = None) -> "PythonProducer":
        """See `Client`."""
        more: dict[str, Any] = {"transactional_id": transactional_id} if transactional_id else {}
        if batch_bytes_max is not None:
            more["batch_size"] = min(batch_bytes_max, _PRODUCER["batch_size"])
        inner = self._open(KafkaProducer, {**_PRODUCER, **more, "value_serializer": _Bodies()})
        if transactional_id:
            try:
                with _wrapped(f"Kafka at {self.servers}: the transaction '{transactional_id}' cannot be begun"):
                    within(_TRANSACTION_S, f"Kafka at {self.servers} to begin a transaction", inner.init_transactions)
            except BaseException:
                inner.close(timeout=0)
                raise
        return PythonProducer(inner, self.servers)

    def create_topic(self, topic: str, partitions: int, configs: Mapping[str, str]) -> None:
        """See `Client`."""
        with self._admin() as admin, _wrapped(f"topic '{topic}' cannot be created at {self.servers}"):
            try:
                admin.create_topics([NewTopic(topic, partitions, -1, topic_configs=dict(configs))])
            except kafka_errors.TopicAlreadyExistsError:
                return

    def delete_topic(self, topic: str) -> None:
        """See `Client`."""
        with self._admin() as admin, _wrapped(f"topic '{topic}' cannot be deleted at {self.servers}"):
            try:
                admin.delete_topics([topic])
            except kafka_errors.UnknownTopicOrPartitionError:
                return

    def size_limits(self, topic: str) -> SizeLimits:
        """See `Client`."""
        client = int(self._arguments.get("max_request_size", KafkaProducer.DEFAULT_CONFIG["max_request_size"]))
        if self._arguments.get("compression_type"):
            return SizeLimits(None, client)
        asked = ConfigResource(ConfigResourceType.TOPIC, topic, ["max.message.bytes"])
        with self._admin() as admin, _wrapped(f"the settings of topic '{topic}' cannot be read at {self.servers}"):
            try:
                (found,) = admin.describe_configs([asked], config_filter="all").values()
            except (kafka_errors.AuthorizationError, kafka_errors.UnknownTopicOrPartitionError):
                return SizeLimits(None, client)
        said = found.get(topic, {}).get("max.message.bytes", {}).get("value")
        return SizeLimits(None if said is None else int(said), client)

    def topic_id(self, topic: str) -> str | None:
        """See `Client`."""
        with self._admin() as admin, _wrapped(f"topic '{topic}' cannot be looked up at {self.servers}"):
            (found,) = admin.describe_topics([topic])
        return None if found["error_code"] else str(found["topic_id"])

    @contextmanager
    def _admin(self) -> Iterator[Any]:
        admin = self._open(KafkaAdminClient, {})
        try:
            yield admin
        finally:
            admin.close()

    def _open(self, kind: Any, own: Mapping[str, Any]) -> Any:
        """A client of the library. own: our defaults, which the user's properties overrule; only what it knows."""
        chosen = {key: value for key, value in {**own, **self._arguments}.items() if key in kind.DEFAULT_CONFIG}
        seconds = self._arguments["bootstrap_timeout_ms"] / 1000
        try:
            return within(
                seconds + _CLOSE_S, f"Kafka at {self.servers}", lambda: kind(**chosen), lambda late: late.close()
            )
        except (kafka_errors.KafkaTimeoutError, NoAnswer) as err:
            raise BrokerAway(why_away(self._arguments["bootstrap_servers"], seconds)) from err
        except (kafka_errors.KafkaError, ValueError, AssertionError, OSError) as err:
            raise OperationalError(f"Kafka at {self.servers}: {_text(err)}") from err


class PythonConsumer:
    """See `tsdb.kafka.client.Consumer`."""

    def __init__(self, inner: Any, servers: str) -> None:
        self._inner = inner
        self._servers = servers
        self._assigned: list[Any] = []

    def partitions(self, topics: Iterable[str]) -> list[Partition]:
        """See `Consumer`."""
        with self._answer():
            self._all_topics()  # asks the broker; else what was known before is given
            found = {topic: self._inner.partitions_for_topic(topic) or () for topic in topics}
        return sorted((topic, number) for topic, numbers in found.items() for number in numbers)

    def topics(self) -> list[str]:
        """See `Consumer`."""
        with self._answer():
            return sorted(self._all_topics())

    def assign(self, positions: Mapping[Partition, int]) -> None:
        """See `Consumer`."""
        self._assigned = [TopicPartition(*partition) for partition in positions]
        self._inner.assign(self._assigned)
        for partition, offset in positions.items():
            self._inner.seek(TopicPartition(*partition), offset)

    def poll(self, rows_max: int, timeout_ms: int) -> list[Fetched]:
        """See `Consumer`."""
        try:
            with self._answer():
                found = self._inner.poll(timeout_ms=timeout_ms, max_records=rows_max)
        except (kafka_errors.OffsetOutOfRangeError, kafka_errors.NoOffsetForPartitionError) as err:
            raise OffsetGone(self._gone()) from err
        return [_columns(partition, records) for partition, records in found.items() if records]

    def positions(self) -> dict[Partition, int]:
        """See `Consumer`."""
        with self._answer():
            return {(p.topic, p.partition): self._inner.position(p) for p in self._assigned}

    def beginnings(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """See `Consumer`."""
        with self._answer():
            return _plain(self._inner.beginning_offsets(_theirs(partitions), timeout_ms=_ANSWER_MS))

    def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """See `Consumer`."""
        with self._answer():
            return _plain(self._inner.end_offsets(_theirs(partitions), timeout_ms=_ANSWER_MS))

    def at_time(self, partitions: Iterable[Partition], time_ms: int) -> dict[Partition, int | None]:
        """See `Consumer`."""
        wanted = dict.fromkeys(_theirs(partitions), time_ms)
        with self._answer():
            found = self._inner.offsets_for_times(wanted, timeout_ms=_ANSWER_MS)
        return {(p.topic, p.partition): None if o is None else o.offset for p, o in found.items()}

    def committed(self, partitions: Iterable[Partition]) -> dict[Partition, int | None]:
        """See `Consumer`."""
        with self._answer():
            return {
                (p.topic, p.partition): self._inner.committed(p, timeout_ms=_ANSWER_MS) for p in _theirs(partitions)
            }

    def commit(self, positions: Mapping[Partition, int]) -> None:
        """See `Consumer`."""
        offsets = {TopicPartition(*p): OffsetAndMetadata(offset, "", -1) for p, offset in positions.items()}
        with suppress(kafka_errors.KafkaError):
            self._inner.commit(offsets, timeout_ms=_GROUP_MS)

    def close(self) -> None:
        """See `Consumer`."""
        with suppress(kafka_errors.KafkaError):
            self._inner.close(autocommit=False, timeout_ms=int(_CLOSE_S * 1000))

    def _all_topics(self) -> set[str]:
        found: set[str] = within(_ANSWER_MS / 1000, f"Kafka at {self._servers}", self._inner.topics)
        return found

    @contextmanager
    def _answer(self) -> Iterator[None]:
        try:
            yield
        except (kafka_errors.OffsetOutOfRangeError, kafka_errors.NoOffsetForPartitionError):
            raise
        except kafka_errors.LogTruncationError as err:
            raise OffsetGone(f"Kafka at {self._servers}: the topic was cut off or made anew: {_text(err)}") from err
        except (*_RETRIED, NoAnswer) as err:
            raise Unreachable(f"Kafka at {self._servers}: {_text(err)}") from err
        except kafka_errors.KafkaError as err:
            raise OperationalError(f"Kafka at {self._servers}: {_text(err)}") from err

    def _gone(self) -> str:
        """Which partition stands where there are no records any more (or not yet, in a topic that was made anew)."""
        wanted = self.positions()
        first, last = self.beginnings(wanted), self.ends(wanted)
        for partition, offset in wanted.items():
            if not first[partition] <= offset <= last[partition]:
                return gone(*partition, offset, first[partition], last[partition])
        return f"Kafka at {self._servers}: an offset is not there any more"


class PythonProducer:
    """See `tsdb.kafka.client.Producer`."""

    def __init__(self, inner: Any, servers: str) -> None:
        self._inner = inner
        self._servers = servers
        self._pending: list[Any] = []
        self._bytes = 0
        self._turn = int(clock.current().jitter() * 1000)
        self._in_transaction = False

    def send(self, messages: Outgoing) -> None:
        """See `Producer`."""
        for begin in range(0, len(messages.values), _BLOCK):
            block = messages.part(begin, begin + _BLOCK)
            self._make_room(sum(len(value or b"") for value in (*block.values, *block.keys)))
            self._send(block)

    def _make_room(self, more: int) -> None:
        """Wait while too much is under way: the library itself queues without a limit."""
        self._pending = [future for future in self._pending if not future.is_done or future.failed()]
        self._bytes += more
        if len(self._pending) > _QUEUED_MAX or self._bytes > _BYTES_MAX:
            with self._delivered("?"):
                self._wait_for_all()
            self._bytes = more

    def _send(self, messages: Outgoing) -> None:
        with self._delivered(messages.topic):
            count = len(messages.values)
            nothing: list[Any] = [None] * count
            numbers = messages.partitions or self._placed(messages) or nothing
            times = messages.timestamps_ms or nothing
            headers = messages.headers or nothing
            send, topic = self._inner.send, messages.topic
            self._pending += [
                send(
                    topic,
                    _NOTHING if value is None else value,
                    key=key,
                    headers=head,
                    partition=number,
                    timestamp_ms=at,
                )
                for key, value, number, at, head in zip(
                    messages.keys, messages.values, numbers, times, headers, strict=True
                )
            ]

    def _placed(self, messages: Outgoing) -> list[int] | None:
        """Partitions by turns for messages without any key, as Java's client does; None: by the keys.

        The library would draw lots for each message, which takes a sixth of the time of sending it.
        """
        if any(key is not None for key in messages.keys):
            return None
        there = sorted(self._inner.partitions_for(messages.topic))
        count = len(messages.values)
        turns_taken = -(-count // _STICKY)
        numbers = [there[(self._turn + n) % len(there)] for n in range(turns_taken) for _ in range(_STICKY)]
        self._turn += turns_taken
        return numbers[:count]

    def flush(self) -> None:
        """See `Producer`."""
        pending, self._pending, self._bytes = self._pending, [], 0
        with self._delivered("?"):
            self._wait_for_all()
        failed = [future for future in pending if future.failed()]
        if failed:
            raise _undelivered(self._servers, failed)
        if not all(future.is_done for future in pending):
            raise OperationalError(f"Kafka at {self._servers}: messages were not acknowledged in time")

    def _wait_for_all(self) -> None:
        seconds = _IN_TRANSACTION_S if self._in_transaction else _DELIVERY_MS / 1000
        for turn in turns(f"Kafka at {self._servers} to acknowledge messages", seconds):
            with suppress(kafka_errors.KafkaTimeoutError):
                self._inner.flush(timeout=turn)
                break

    def begin(self) -> None:
        """See `Producer`."""
        with _wrapped(f"Kafka at {self._servers}: the transaction cannot be begun"):
            self._inner.begin_transaction()
        self._in_transaction = True

    def commit(self, marks: Mapping[Partition, int], group: str) -> None:
        """See `Producer`."""
        offsets = {TopicPartition(*p): OffsetAndMetadata(offset, "", -1) for p, offset in marks.items()}
        what = f"Kafka at {self._servers} to commit a transaction"
        with _wrapped(f"Kafka at {self._servers}: the transaction cannot be committed"):
            if offsets and group:
                within(_TRANSACTION_S, what, lambda: self._inner.send_offsets_to_transaction(offsets, group))
            within(_TRANSACTION_S, what, self._inner.commit_transaction)
        self._in_transaction = False

    def abort(self) -> None:
        """See `Producer`."""
        self._pending = []
        if self._in_transaction:
            self._in_transaction = False
            with suppress(kafka_errors.KafkaError, AssertionError, NoAnswer):
                within(_CLOSE_S, f"Kafka at {self._servers} to abort a transaction", self._inner.abort_transaction)

    def close(self) -> None:
        """See `Producer`."""
        self.abort()
        with suppress(kafka_errors.KafkaError):
            self._inner.close(timeout=_CLOSE_S)

    @contextmanager
    def _delivered(self, topic: str) -> Iterator[None]:
        try:
            yield
        except kafka_errors.MessageSizeTooLargeError as err:
            raise MessageTooLarge(too_large(topic, _text(err))) from err
        except kafka_errors.KafkaError as err:
            raise OperationalError(f"Kafka at {self._servers}, topic '{topic}': {_text(err)}") from err


_NOTHING = object()
"""In the place of a value that is None: the library would refuse it where there is no key either."""


class _Bodies(Serializer):  # type: ignore[misc]  # the library has no types
    def serialize(self, topic: str, headers: Any, data: Any) -> Any:
        return None if data is _NOTHING else data


def _columns(partition: Any, records: list[Any]) -> Fetched:
    return Fetched(
        (partition.topic, partition.partition),
        [r.offset for r in records],
        [r.key for r in records],
        [r.value for r in records],
        [r.timestamp for r in records],
        [r.timestamp_type for r in records],
        [r.leader_epoch for r in records],
        [r.headers for r in records],
    )


def _theirs(partitions: Iterable[Partition]) -> list[Any]:
    return [TopicPartition(*partition) for partition in partitions]


def _plain(offsets: Mapping[Any, int]) -> dict[Partition, int]:
    return {(p.topic, p.partition): offset for p, offset in offsets.items()}


def _undelivered(servers: str, failed: list[Any]) -> OperationalError:
    err = failed[0].exception
    if isinstance(err, kafka_errors.MessageSizeTooLargeError | kafka_errors.RecordListTooLargeError):
        return MessageTooLarge(too_large("?", _text(err)))
    return OperationalError(f"Kafka at {servers}: {len(failed)} messages were not delivered: {_text(err)}")


def _text(err: Exception | None) -> str:
    return str(err) or type(err).__name__


@contextmanager
def _wrapped(what: str) -> Iterator[None]:
    try:
        yield
    except (kafka_errors.KafkaError, AssertionError, NoAnswer) as err:
        raise OperationalError(f"{what}: {_text(err)}") from err
