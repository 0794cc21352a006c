"""The topic of one table: made, checked, written to snapshot by snapshot, and asked how far it is.

Law: the topic holds, for readers of `read_committed`, each snapshot's changes once, in the order of the snapshots. All
writers share one transactional id: who begins to write fences whoever wrote before, and then looks how far the topic
is, so a snapshot is neither left out nor written twice, whoever is killed and when. Rows that are written early, before
their commit, stand between the snapshots, without a transaction.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from tsdb import clock
from tsdb.errors import OperationalError
from tsdb.kafka import connect
from tsdb.kafka.client import BrokerAway, Consumer, Outgoing, Partition, Producer, SizeLimits, Unreachable
from tsdb.log.message import Mark, headers_of, mark_of
from tsdb.log.settings import LogSettings

Part = tuple[int, Sequence[bytes | None], Sequence[bytes | None]]
"""Messages for the partition of one bucket: the bucket, keys and values."""

FRAME_BYTES = 320
"""Of a message beside key and value: its headers, and what Kafka puts around it."""

_TAIL = 64
_POLL_MS = 1_000
_POLLS_MAX = 20
_DELETED_S = 15.0
_MADE_S = 5.0
_CHECKED_S = 1.0


class LogTopic:
    """See the module. One per table and process; its methods may be called from any thread."""

    def __init__(self, table: str, settings: LogSettings, partitions: int) -> None:
        """table: its name, for messages."""
        self.settings = settings
        self.partitions = partitions
        self._table = table
        self._client = connect(settings.properties)
        self._lock = threading.RLock()
        self._early_lock = threading.Lock()
        self._producer: Producer | None = None
        self._early: Producer | None = None
        self._consumer: Consumer | None = None
        self._newest: int | None = None
        self._last: Mark | None = None
        self._checked_s: float | None = None
        self._limits: SizeLimits | None = None

    def create(self) -> None:
        """Make the topic, or adopt the one there is. Raises OperationalError if that has records."""
        configs = {"cleanup.policy": "delete"}
        if self.settings.retention_ms is not None:
            configs["retention.ms"] = str(self.settings.retention_ms)
        self._client.create_topic(self.settings.topic, self.partitions, configs)
        self._wait_until_there()
        ends = self.ends()
        if any(ends.values()):
            raise OperationalError(
                f"topic '{self.settings.topic}' has records already; give table `{self._table}` a topic of its own "
                "with 'kafka.topic', or delete that one"
            )

    def _wait_until_there(self) -> None:
        """Brokers answer that a topic is made before all of them know it."""
        deadline_s = clock.current().monotonic_s() + _MADE_S
        with self._lock:
            while clock.current().monotonic_s() < deadline_s:
                try:
                    if self._asked().partitions([self.settings.topic]):
                        return
                except Unreachable:
                    self.close()
                clock.current().sleep(0.02)

    def delete(self) -> None:
        """Delete the topic, and wait until it is gone: brokers do so in the background."""
        self.close()
        self._client.delete_topic(self.settings.topic)
        deadline_s = clock.current().monotonic_s() + _DELETED_S
        while self._client.topic_id(self.settings.topic) is not None:
            if clock.current().monotonic_s() > deadline_s:
                raise OperationalError(f"topic '{self.settings.topic}' is still there after {_DELETED_S:g} s")
            clock.current().sleep(0.05)

    def consumer(self) -> Consumer:
        """A consumer of its own, for a reader."""
        return self._client.consumer()

    def ends(self, floor: Mapping[str, int] | None = None) -> dict[str, int]:
        """Partition to next offset. floor: offsets that were there once.

        Raises OperationalError if the topic is not what it was.
        """
        with self._lock:
            wanted = [(self.settings.topic, number) for number in range(self.partitions)]
            try:
                self._check_partitions(wanted)
                ends = {str(number): end for (_, number), end in self._asked().ends(wanted).items()}
            except Unreachable as err:
                self.close()
                raise BrokerAway(f"the log of table `{self._table}`: {err}") from err
            for number, offset in (floor or {}).items():
                if number in ends and ends[number] < offset:
                    what = f"partition {number} ends at offset {ends[number]}, but had {offset}"
                    raise OperationalError(self._broken(what))
            return ends

    @property
    def was_there(self) -> bool:
        """It was what it should be when somebody looked less than a second ago."""
        return self._checked_s is not None and clock.current().monotonic_s() - self._checked_s < _CHECKED_S

    def limits(self, *, anew: bool = False) -> SizeLimits:
        """How large a message may be; as it was found before, or anew. Raises OperationalError."""
        with self._lock:
            if self._limits is None or anew:
                self._limits = self._client.size_limits(self.settings.topic)
            return self._limits

    @property
    def body_bytes_max(self) -> int:
        """How large key and value of a message may be together. Raises OperationalError."""
        return max(self.limits().bytes_max - FRAME_BYTES, 0)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Let no other thread of this process write or close it meanwhile; other processes are fenced by the broker."""
        with self._lock:
            yield

    def newest(self) -> int | None:
        """The newest snapshot in the topic; 0: none; None: retention has removed it. Takes over the writing."""
        with self._lock:
            if self._producer is None:
                name, limit = f"tsdb-log-{self.settings.topic}", self.limits().bytes_max
                self._producer = self._client.producer(name, batch_bytes_max=limit)
                self._newest = None
            if self._newest is None:
                self._last = self._look()
                self._newest = None if self._last is None else self._last.snapshot_id
            return self._newest

    @property
    def last_mark(self) -> Mark | None:
        """What the topic ends with, as `newest` found it or `append` left it; None: nobody knows."""
        return self._last

    def append(self, mark: Mark, parts: Iterable[Part]) -> None:
        """Write one snapshot, in one transaction; the last message says how many there are.

        If it raises, nothing is there.
        """
        with self._lock:
            producer = self._producer
            assert producer is not None, "`newest` comes first"
            producer.begin()
            try:
                self._send_all(producer, mark, parts)
                producer.flush()
                producer.commit({}, "")
            except BaseException:
                producer.abort()
                raise
            if mark.snapshot_id:
                self._newest, self._last = mark.snapshot_id, mark

    def _send_all(self, producer: Producer, mark: Mark, parts: Iterable[Part]) -> None:
        total, last = 0, (0, b"", None)
        for bucket, keys, values in parts:
            if not values:
                continue
            if total:
                producer.send(self._outgoing(mark, last[0], [last[1]], [last[2]]))
            producer.send(self._outgoing(mark, bucket, keys[:-1], values[:-1]))
            total, last = total + len(values), (bucket, keys[-1], values[-1])  # type: ignore[assignment]
        previous = 0 if self._last is None else self._last.snapshot_id
        ended = replace(mark, total=max(total, 1), previous=previous)
        producer.send(self._outgoing(ended, last[0], [last[1]], [last[2]]))

    def begin_anew(self) -> None:
        """After a message that was too large: clients may write no more, and the limit may be another one."""
        with self._lock:
            self._limits = None
            self.give_up()
            self.newest()

    def give_up(self) -> None:
        """Somebody else writes now: `newest` is to take over again, and to look how far the topic is."""
        with self._lock:
            producer, self._producer = self._producer, None
            self._newest = self._last = None
            if producer is not None:
                producer.close()

    @property
    def written(self) -> int | None:
        """The newest snapshot that this process knows in the topic; None: it does not write to it."""
        return None if self._producer is None else self._newest

    def send_early(self, mark: Mark, parts: Iterable[Part]) -> None:
        """Write rows at once, without a transaction; `flush_early` waits for them."""
        with self._early_lock:
            if self._early is None:
                self._early = self._client.producer(batch_bytes_max=self.limits().bytes_max)
            with self._lost_early():
                for bucket, keys, values in parts:
                    self._early.send(self._outgoing(mark, bucket, keys, values))

    def flush_early(self) -> None:
        """Wait until the rows that were written early are there. Raises OperationalError if they are not."""
        with self._early_lock:
            if self._early is not None:
                with self._lost_early():
                    self._early.flush()

    @contextmanager
    def _lost_early(self) -> Iterator[None]:
        """A client that failed may write no more, and the limit may be another one: both are made anew."""
        try:
            yield
        except BaseException:
            early, self._early, self._limits = self._early, None, None
            if early is not None:
                early.close()
            raise

    def _outgoing(
        self, mark: Mark, bucket: int, keys: Sequence[bytes | None], values: Sequence[bytes | None]
    ) -> Outgoing:
        count, number = len(values), bucket % self.partitions
        return Outgoing(self.settings.topic, keys, values, [number] * count, headers=[headers_of(mark)] * count)

    def passed(self, snapshot_id: int) -> None:
        """Note that a snapshot had nothing to write."""
        self._newest = max(self._newest or 0, snapshot_id)

    def close(self) -> None:
        """Let the broker go, and forget what was known of the topic."""
        with self._lock:
            for client in (self._producer, self._consumer):
                if client is not None:
                    client.close()
            self._producer = self._consumer = None
            self._newest = self._last = self._checked_s = None
        with self._early_lock:
            if self._early is not None:
                self._early.close()
            self._early = None

    def _check_partitions(self, wanted: list[Partition]) -> None:
        """They are there, as far as was known a second ago: a topic that is gone does not answer for its ends."""
        if self.was_there:
            return
        there = self._asked().partitions([self.settings.topic])
        if there != wanted:
            raise OperationalError(self._broken(f"it has {len(there)} partitions, not {len(wanted)}"))
        self._checked_s = clock.current().monotonic_s()

    def _asked(self) -> Consumer:
        if self._consumer is None:
            self._consumer = self._client.consumer()
        return self._consumer

    def _look(self) -> Mark | None:
        """The mark of the newest snapshot, searched from the ends of the partitions in growing steps.

        Snapshot 0: there is none; None: retention has removed it.
        """
        partitions = [(self.settings.topic, number) for number in range(self.partitions)]
        consumer = self._asked()
        try:
            begins, ends = consumer.beginnings(partitions), consumer.ends(partitions)
            size = _TAIL
            while True:
                starts = {p: max(begins[p], ends[p] - size) for p in partitions if begins[p] < ends[p]}
                found = [mark for mark in self._marks(consumer, starts, ends) if mark.snapshot_id]
                if found:
                    return max(found, key=lambda mark: mark.snapshot_id)
                if all(start == begins[p] for p, start in starts.items()):
                    break
                size *= 4
        except Unreachable as err:
            raise OperationalError(f"the log of table `{self._table}`: {err}") from err
        return None if any(begins.values()) else Mark(0, 0)

    def _marks(self, consumer: Consumer, starts: Mapping[Partition, int], ends: Mapping[Partition, int]) -> list[Mark]:
        """The marks from these offsets to the ends."""
        if not starts:
            return []
        consumer.assign(starts)
        found: list[Mark] = []
        for _ in range(_POLLS_MAX):
            for records in consumer.poll(1000, _POLL_MS):
                marks = [mark_of(head) for head in records.headers]
                found += [mark for mark in marks if mark is not None]
            here = consumer.positions()
            # what is last is the end of a transaction, for which a consumer waits longer than for its messages
            if all(here[p] >= ends[p] - 1 for p in starts):
                break
        consumer.assign({})  # a fetch that waits for more would keep every later question waiting
        return found

    def _broken(self, what: str) -> str:
        return (
            f"the log of table `{self._table}`, topic '{self.settings.topic}', is not what it was: {what}. It was "
            f"deleted, truncated or made anew; CALL sys.rebuild_log('{self._table}') mends it"
        )
