"""What a Kafka client has to do for us. Every method raises OperationalError when the broker does not do its part.

A partition is (topic, number). Records come as `Fetched`: the columns of consecutive records of one partition.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from tsdb.errors import OperationalError

Partition: TypeAlias = tuple[str, int]
Headers: TypeAlias = list[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Fetched:
    """Records of one partition, in order; all lists have the same length. Offsets may have holes."""

    partition: Partition
    offsets: list[int]
    keys: list[bytes | None]
    values: list[bytes | None]
    timestamps_ms: list[int]
    timestamp_types: list[int]
    leader_epochs: list[int]
    headers: list[Headers]

    def __len__(self) -> int:
        return len(self.offsets)

    def part(self, begin: int, end: int) -> "Fetched":
        """Records begin … end-1."""
        cut = slice(begin, end)
        return Fetched(
            self.partition,
            self.offsets[cut],
            self.keys[cut],
            self.values[cut],
            self.timestamps_ms[cut],
            self.timestamp_types[cut],
            self.leader_epochs[cut],
            self.headers[cut],
        )


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Messages for one topic. partitions: a number each, or None: by the key. timestamps_ms, headers: None or each."""

    topic: str
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    partitions: Sequence[int] | None = None
    timestamps_ms: Sequence[int | None] | None = None
    headers: Sequence[Headers] | None = None

    def part(self, begin: int, end: int) -> "Outgoing":
        """Some of them."""
        if begin <= 0 and end >= len(self.values):
            return self
        cut = slice(begin, end)
        return Outgoing(
            self.topic,
            self.keys[cut],
            self.values[cut],
            None if self.partitions is None else self.partitions[cut],
            None if self.timestamps_ms is None else self.timestamps_ms[cut],
            None if self.headers is None else self.headers[cut],
        )


class OffsetGone(OperationalError):
    """An offset that is not there (any more); the message names it, and the offsets there are."""

    code = "OFFSET_GONE"


class BrokerAway(OperationalError):
    """No broker answers, or none lets us in; the message names the addresses."""

    code = "BROKER_AWAY"
    retryable = True


class MessageTooLarge(OperationalError):
    """A message is larger than the client or the topic takes; the text says what to raise."""

    code = "MESSAGE_TOO_LARGE"


@dataclass(frozen=True, slots=True)
class SizeLimits:
    """The bytes that a message may have. topic: by its 'max.message.bytes'; None: unknown, or of what is compressed.

    client: by 'max.request.size'.
    """

    topic: int | None
    client: int

    @property
    def bytes_max(self) -> int:
        """The lesser one."""
        return self.client if self.topic is None else min(self.topic, self.client)


class Unreachable(Exception):
    """No answer for now; a later try may have one."""


class Consumer(Protocol):
    """Reads partitions that it is told to, from offsets that it is told. One thread at a time."""

    def partitions(self, topics: Iterable[str]) -> list[Partition]:
        """The partitions of those of the topics that are there, sorted."""
        ...

    def topics(self) -> list[str]:
        """All topics that this user may see."""
        ...

    def assign(self, positions: Mapping[Partition, int]) -> None:
        """Read these partitions from now on, each from its offset."""
        ...

    def poll(self, rows_max: int, timeout_ms: int) -> list[Fetched]:
        """Records that are here, else what comes within the time. Raises OffsetGone for an offset that is not there.

        Raises Unreachable.
        """
        ...

    def positions(self) -> dict[Partition, int]:
        """Where each partition is read next; moves past records of transactions, too."""
        ...

    def beginnings(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The first offsets that are there. Raises Unreachable."""
        ...

    def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The offsets after the last records that may be read. Raises Unreachable."""
        ...

    def at_time(self, partitions: Iterable[Partition], time_ms: int) -> dict[Partition, int | None]:
        """The first offsets with at least this timestamp; None: no record is that late. Raises Unreachable."""
        ...

    def committed(self, partitions: Iterable[Partition]) -> dict[Partition, int | None]:
        """The offsets of the consumer group. Raises Unreachable."""
        ...

    def commit(self, positions: Mapping[Partition, int]) -> None:
        """Note the offsets for the consumer group; best effort."""
        ...

    def close(self) -> None:
        """Let go, within a second or so."""
        ...


class Producer(Protocol):
    """Writes messages. One thread at a time. With a transactional id everything stands between `begin` and `commit`."""

    def send(self, messages: Outgoing) -> None:
        """Hand over; failures show up here or at the next `flush`."""
        ...

    def flush(self) -> None:
        """Wait until everything is acknowledged. Raises OperationalError naming the topic for what was not."""
        ...

    def begin(self) -> None:
        """Begin a transaction."""
        ...

    def commit(self, marks: Mapping[Partition, int], group: str) -> None:
        """Commit it, and with it the offsets of a group, which serve as a mark that it is done."""
        ...

    def abort(self) -> None:
        """Abort it, if there is one."""
        ...

    def close(self) -> None:
        """Let go, within a second or so; what is not flushed may be lost."""
        ...


class Client(Protocol):
    """Makes consumers and producers for one cluster."""

    @property
    def name(self) -> str:
        """The library's."""
        ...

    def consumer(self, group: str | None = None, *, times: bool = True) -> Consumer:
        """Reads only what is committed, unless the properties say otherwise. Raises OperationalError.

        times: whether timestamps are wanted, which cost one client more than all the rest; without, they may be -1.
        """
        ...

    def producer(self, transactional_id: str | None = None, *, batch_bytes_max: int | None = None) -> Producer:
        """With an id: others with the same id are fenced, and their open transaction is aborted, before it returns.

        batch_bytes_max: of messages that go together, which count as one where a topic limits their size.
        """
        ...

    def create_topic(self, topic: str, partitions: int, configs: Mapping[str, str]) -> None:
        """Make a topic; quiet if it is there."""
        ...

    def delete_topic(self, topic: str) -> None:
        """Delete a topic; quiet if it is not there."""
        ...

    def size_limits(self, topic: str) -> SizeLimits:
        """How large a message may be, as the topic is now. Raises OperationalError."""
        ...

    def topic_id(self, topic: str) -> str | None:
        """What distinguishes a topic from a later one of the same name; None: there is no such topic."""
        ...
