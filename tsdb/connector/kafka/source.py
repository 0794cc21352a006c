"""Reading topics: by position {topic: {partition: next offset}}, which lies in the checkpoints of the reading job.

Partitions are assigned by us and never by a consumer group, so that a checkpoint says all; the group, if there is one,
is told now and then how far the newest checkpoint is, for other tools to see and for a first start. A message that
cannot be decoded is named by topic, partition and offset, and then the table's options decide.
"""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from tsdb import clock
from tsdb.changes import ChangeBatch
from tsdb.connector.connector import ChangelogMode, ConnectorTable, Json, SourceDelta
from tsdb.connector.kafka.options import Bound, KafkaOptions
from tsdb.connector.kafka.records import RecordReader
from tsdb.connector.serde.serde import BadLine
from tsdb.errors import MalformedRecord, OperationalError
from tsdb.kafka import connect
from tsdb.kafka.client import Client, Consumer, Fetched, Outgoing, Partition, Producer, Unreachable

AWAY_S = 60.0
"""How long a broker that has answered before may stay away."""

_CATCH_UP_MS = 200
_AWAY_TURN_S = 0.1
_GROUP_COMMIT_S = 1.0
_PART_MIN = 64


class KafkaSource:
    """See the module. bounded: it ends at `options.end`, or at what is there when it is opened."""

    def __init__(self, table: ConnectorTable, options: KafkaOptions, *, bounded: bool) -> None:
        self._name = str(table.identifier)
        self._options = options
        self._reader = RecordReader(table, options)
        self._client: Client = connect(options.properties)
        self._consumer: Consumer = self._client.consumer(options.group, times=self._reader.wants_times)
        self._dead_letters: Producer | None = None
        self._latest = False
        self._away_since_s: float | None = None
        self._away_why = ""
        self._discovered_s = self._committed_s = clock.current().monotonic_s()
        self._checkpointed: dict[Partition, int] | None = None
        self.schema: pa.Schema = table.schema.arrow_schema
        self.mode: ChangelogMode = self._reader.mode
        self.upsert_key: tuple[str, ...] | None = tuple(table.schema.primary_keys) or None
        self.skipped = 0
        try:
            self._known = set(self._partitions())
            if not self._known:
                raise OperationalError(f"table `{self._name}`: {self._wanted()} is not there")
            self._had = {partition for partition, end in self._consumer.ends(self._known).items() if end}
            self._next = self._offsets(options.start, self._known)
            self._ends = self._offsets(_end_of(options), self._known) if bounded else None
            self._assign()
        except BaseException as err:
            self._consumer.close()
            if isinstance(err, Unreachable):
                raise OperationalError(f"table `{self._name}`: {err}") from err
            raise

    @property
    def position(self) -> Json:
        """{topic: {partition: next offset}}."""
        self._checkpointed = dict(self._next)
        found: dict[str, dict[str, int]] = {}
        for (topic, number), offset in sorted(self._next.items()):
            found.setdefault(topic, {})[str(number)] = offset
        return found

    @property
    def finished(self) -> bool:
        """Bounded, and every partition is read up to its end."""
        return self._ends is not None and not self._unfinished()

    @property
    def waits(self) -> str | None:
        """Why nothing comes, and for how long: the broker, or a schema registry, is away."""
        if self._away_since_s is None:
            return None
        away_s = clock.current().monotonic_s() - self._away_since_s
        return f"table `{self._name}` waits for {away_s:.0f} s, at most {AWAY_S:.0f} s: {self._away_why}"

    def poll(self, rows_max: int) -> SourceDelta | None:
        """What the broker has sent. What precedes a message that makes the query fail is given before."""
        self._latest = False
        try:
            self._discover()
            fetched = self._fetch(rows_max)
        except Unreachable as err:
            self._away(err)
            return None
        self._commit_group()
        changes: list[ChangeBatch] = []
        origins: list[str] = []
        for records in fetched:
            try:
                for part, more in self._decoded(self._within(records)):
                    changes += more
                    origins += [_name(records.partition)] * len(more)
                    self._next[records.partition] = part
            except MalformedRecord:
                if not changes:
                    raise
                self._assign()  # the rest is fetched again, and the next poll fails
                return SourceDelta(changes, partitions=origins)
            except Unreachable as err:  # a schema registry
                self._assign()
                self._away(err)
                return SourceDelta(changes, partitions=origins) if changes else None
        self._away_since_s = None
        for partition, offset in self._consumer.positions().items():
            if partition in self._next and offset > self._next[partition]:
                self._next[partition] = self._bounded(partition, offset)
        if self._ends is not None and fetched:
            self._drop_finished()
        self._latest = not fetched
        return SourceDelta(changes, partitions=origins) if changes else None

    @property
    def open_partitions(self) -> Sequence[str]:
        """The partitions that have records, or had some, and are not read to their end."""
        some = self._had | {p for p in self._known if self._next[p]}
        return [_name(p) for p in sorted(some) if self._ends is None or self._next[p] < self._ends.get(p, 0)]

    def seek(self, position: Json) -> None:
        """Go on from a position. Partitions that are new since then are read from their beginning."""
        stored = {(t, int(n)): offset for t, numbers in position.items() for n, offset in numbers.items()}
        gone = sorted({topic for topic, _ in stored} - {topic for topic, _ in self._known})
        if gone:
            raise OperationalError(f"table `{self._name}`: topic '{gone[0]}', which was read before, is not there")
        new = self._known - stored.keys()
        try:
            self._next = {**self._consumer.beginnings(new), **stored}
        except Unreachable as err:
            raise OperationalError(f"table `{self._name}`: {err}") from err
        self._assign()

    def latest_reached(self) -> bool:
        """The last poll asked the broker, and there was nothing more."""
        return self._latest

    def close(self) -> None:
        """Let the broker go."""
        if self._away_since_s is None:
            self._commit_group(at_once=True)
        self._consumer.close()
        if self._dead_letters is not None:
            self._dead_letters.close()
            self._dead_letters = None

    def rows_until_end(self, rows_max: int) -> Iterator[ChangeBatch]:
        """All changes of a bounded source, waiting for what has still to come."""
        while not self.finished:
            delta = self.poll(rows_max)
            if delta is not None:
                yield from delta.changes
            elif self._away_since_s is not None:
                clock.current().sleep(_AWAY_TURN_S)

    def _fetch(self, rows_max: int) -> list[Fetched]:
        """What is here; if nothing is, the broker is asked whether there is more, and then waited for."""
        if self._ends is not None and not self._unfinished():
            return []
        fetched = self._consumer.poll(rows_max, 0)
        if not fetched and self._behind():
            fetched = self._consumer.poll(rows_max, _CATCH_UP_MS)
        return fetched

    def _behind(self) -> bool:
        here = self._consumer.positions()
        if self._ends is not None:
            return any(offset < self._ends[p] for p, offset in here.items())
        return any(here[p] < end for p, end in self._consumer.ends(here).items())

    def _unfinished(self) -> list[Partition]:
        assert self._ends is not None
        return [p for p, end in self._ends.items() if self._next[p] < end]

    def _drop_finished(self) -> None:
        """Do not fetch on behind an end."""
        assert self._ends is not None
        if any(self._next[p] >= self._ends[p] for p in self._consumer.positions()):
            self._assign()

    def _assign(self) -> None:
        wanted = self._next if self._ends is None else {p: self._next[p] for p in self._unfinished()}
        self._consumer.assign(wanted)

    def _bounded(self, partition: Partition, offset: int) -> int:
        return offset if self._ends is None else min(offset, max(self._ends[partition], self._next[partition]))

    def _within(self, records: Fetched) -> Fetched:
        """The records before the end."""
        if self._ends is None or records.offsets[-1] < self._ends[records.partition]:
            return records
        end = self._ends[records.partition]
        return records.part(0, sum(offset < end for offset in records.offsets))

    def _decoded(self, records: Fetched) -> Iterator[tuple[int, list[ChangeBatch]]]:
        """Changes, part by part, each with the offset that follows; bad records are dealt with on the way.

        Behind a bad record the parts are small at first, so that many of them cost little more than a few.
        """
        begin, size = 0, len(records)
        while begin < len(records):
            part = records.part(begin, begin + size)
            try:
                yield part.offsets[-1] + 1, self._reader.read(part)
                begin += len(part)
                size *= 2
            except BadLine as bad:
                if bad.index:
                    good = part.part(0, bad.index)
                    yield good.offsets[-1] + 1, self._reader.read(good)
                self._poisoned(part.part(bad.index, bad.index + 1), bad)
                yield part.offsets[bad.index] + 1, []
                begin += bad.index + 1
                size = _PART_MIN

    def _poisoned(self, record: Fetched, bad: BadLine) -> None:
        """One record that cannot be decoded: fail, or count it, and send it on if there is a topic for that."""
        topic, number = record.partition
        where = f"topic '{topic}', partition {number}, offset {record.offsets[0]}"
        if self._options.poison == "fail":
            raise MalformedRecord(f"table `{self._name}`, {where}: {bad.reason}\n  {bad.excerpt}") from bad
        self.skipped += 1
        if self._options.poison == "dead-letter":
            assert self._options.dead_letter is not None
            if self._dead_letters is None:
                self._dead_letters = self._client.producer()
            facts = {"topic": topic, "partition": number, "offset": record.offsets[0], "reason": bad.reason}
            headers = [*record.headers[0], *((f"tsdb.{key}", str(fact).encode()) for key, fact in facts.items())]
            letter = Outgoing(self._options.dead_letter, record.keys, record.values, headers=[headers])
            self._dead_letters.send(letter)
            self._dead_letters.flush()

    def _discover(self) -> None:
        """Look for new partitions, and for topics that are gone, now and then."""
        now_s = clock.current().monotonic_s()
        if self._ends is not None or now_s - self._discovered_s < self._options.discovery_s:
            return
        self._discovered_s = now_s
        there = set(self._partitions())
        gone = sorted(self._known - there)
        if gone:
            topic, number = gone[0]
            raise OperationalError(
                f"table `{self._name}`: topic '{topic}', partition {number}, is not there any more: it was deleted "
                "while it was read"
            )
        new = there - self._known
        if new:
            self._known |= new
            self._had |= {partition for partition, end in self._consumer.ends(new).items() if end}
            self._next.update(self._consumer.beginnings(new))
            self._assign()

    def _partitions(self) -> list[Partition]:
        pattern = self._options.pattern
        topics: Iterable[str] = self._options.topics
        if pattern is not None:
            topics = [topic for topic in self._consumer.topics() if pattern.fullmatch(topic)]
        return self._consumer.partitions(topics)

    def _wanted(self) -> str:
        pattern = self._options.pattern
        if pattern is not None:
            return f"a topic that matches '{pattern.pattern}'"
        return "topic " + ", ".join(f"'{topic}'" for topic in self._options.topics)

    def _offsets(self, bound: Bound, partitions: set[Partition]) -> dict[Partition, int]:
        """Where a bound lies in each partition."""
        if bound.mode == "latest":
            return self._consumer.ends(partitions)
        if bound.mode == "earliest":
            return self._consumer.beginnings(partitions)
        if bound.mode == "timestamp":
            found, ends = self._consumer.at_time(partitions, bound.timestamp_ms), self._consumer.ends(partitions)
            return {p: ends[p] if (offset := found[p]) is None else offset for p in partitions}
        if bound.mode == "group":
            found, reset = self._consumer.committed(partitions), self._reset(partitions)
            return {p: reset[p] if (offset := found[p]) is None else offset for p in partitions}
        assert bound.offsets is not None, bound
        missing = sorted(number for _, number in partitions if number not in bound.offsets)
        if missing:
            raise OperationalError(f"table `{self._name}`: the specific offsets have none for partition {missing[0]}")
        return {p: bound.offsets[p[1]] for p in partitions}

    def _reset(self, partitions: set[Partition]) -> dict[Partition, int]:
        """Where a group without offsets begins."""
        word = self._options.properties.get("auto.offset.reset", "earliest")
        if word == "none":
            raise OperationalError(f"table `{self._name}`: the group '{self._options.group}' has no offsets")
        return self._consumer.ends(partitions) if word == "latest" else self._consumer.beginnings(partitions)

    def _commit_group(self, *, at_once: bool = False) -> None:
        """Tell the group, if there is one, where the newest checkpoint is."""
        if self._options.group is None or self._checkpointed is None:
            return
        now_s = clock.current().monotonic_s()
        if at_once or now_s - self._committed_s >= _GROUP_COMMIT_S:
            self._committed_s = now_s
            self._consumer.commit(self._checkpointed)
            self._checkpointed = None

    def _away(self, err: Unreachable) -> None:
        """The broker does not answer: wait, but not for ever."""
        now_s = clock.current().monotonic_s()
        if self._away_since_s is None:
            self._away_since_s = now_s
        self._away_why = str(err)
        away_s = now_s - self._away_since_s
        if away_s > AWAY_S:
            raise OperationalError(
                f"table `{self._name}`: {err}; no answer for {away_s:.0f} s. Start it again: it goes on from its "
                "newest checkpoint"
            ) from err


def _name(partition: Partition) -> str:
    return f"{partition[0]}-{partition[1]}"


def _end_of(options: KafkaOptions) -> Bound:
    return Bound("latest") if options.end.mode == "unbounded" else options.end
