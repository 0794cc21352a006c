"""A table with a log system as a source: snapshots first, then the topic, and back to snapshots when the topic fails.

Law: what comes is what `TableSource` gives, snapshot by snapshot, whole ones only. The place where the one goes over
into the other is exact: a snapshot knows where the topic ended when it was committed, so all that follows it lies
behind these offsets, and what lies there of older snapshots is left out by its number.
So history never expires: a reader that the topic's retention has overtaken, or whose broker is away, or before whom a
crash has left a snapshot out of the topic, goes on with the snapshots themselves.

Where the log is `eventual`, rows come as they are in the topic, also before their commit, as upserts. Then the law
holds as soon as nothing is in between: a row that no snapshot confirms in time is looked up in the table.
"""

from collections.abc import Collection, Iterator, Mapping

import numpy as np
import pyarrow as pa

from tsdb import clock
from tsdb.changes import ChangeBatch, RowKind, from_row_kinds
from tsdb.connector.connector import ChangelogMode, Json, SourceDelta
from tsdb.errors import OperationalError
from tsdb.exec.streaming.source import TableSource
from tsdb.exec.streaming.unconfirmed import Unconfirmed
from tsdb.kafka.client import Consumer, Fetched, OffsetGone, Partition, Unreachable
from tsdb.log.message import EARLY, GAP, Mark, mark_of
from tsdb.log.settings import scan_options
from tsdb.log.topic import LogTopic
from tsdb.metadata.snapshot import SnapshotNotFound
from tsdb.table.changed_keys import rows_of_keys
from tsdb.table.log_rows import AnotherSchema, LogRows
from tsdb.table.table import Table

_LOOK_S = 0.5
"""How often a reader of the topic looks whether there is a snapshot that the topic does not have."""

_LATE_S = 2.0
_RETRY_S = 1.0
_UNCONFIRMED_S = 30.0
"""After which a row that came before its commit is looked up in the table."""


class _Gap(Exception):
    """The topic says that it cannot tell a snapshot."""


class HybridSource:
    """See the module. Used by one thread."""

    skipped = 0

    def __init__(
        self,
        table: Table,
        log: LogTopic,
        options: Mapping[str, str],
        columns: Collection[str] | None = None,
        *,
        starts_in_topic: bool = False,
    ) -> None:
        """starts_in_topic: go there at once, if the topic has all that follows where the options begin."""
        self._table = table
        self._log = log
        options = {**scan_options({**table.options.values, **options}), **options}
        upserts = log.settings.is_upsert
        self._inner = TableSource(table, options, bounded=False, columns=columns, upserts=upserts)
        self._consumer: Consumer | None = None
        self._next = 0
        self._begun: dict[int, list[ChangeBatch]] = {}
        self._arrived: dict[int, int] = {}
        self._ends: dict[int, Mark] = {}
        self._latest = False
        self._looked_s = self._late_since_s = 0.0
        self._topic_from_s = 0.0
        self.schema: pa.Schema = self._inner.schema
        self.mode: ChangelogMode = "upsert" if upserts else self._inner.mode
        self.upsert_key = self._inner.upsert_key
        self._rows = LogRows(table, log, self.schema.names)
        is_eventual = log.settings.is_eventual
        self._unconfirmed = Unconfirmed(list(self.upsert_key or ())) if is_eventual else None
        self.may_take_back = self._inner.may_take_back
        self.finished = False
        if starts_in_topic:
            self._enter()

    @property
    def reads_topic(self) -> bool:
        """Whether the next changes come from the topic."""
        return self._consumer is not None

    @property
    def position(self) -> Json:
        """As `TableSource.position`: the next snapshot; the place in the topic follows from it.

        With the keys of rows that no snapshot has confirmed yet, if there are any.
        """
        following = self._next if self.reads_topic else self._inner.position
        waiting = None if self._unconfirmed is None else self._unconfirmed.to_json()
        return following if waiting is None else {"snapshot": following, "unconfirmed": waiting}

    def poll(self, rows_max: int) -> SourceDelta | None:
        """Changes of one snapshot; of an eventual log, what is there."""
        self._latest = False
        if self._consumer is None:
            delta = self._inner.poll(rows_max)
            if delta is not None:
                if delta.complete:  # also where writers are faster than snapshots can be read
                    self._enter()
                return delta
            self._latest = self._inner.latest_reached()
            if self._latest:
                self._enter()
            return self._overdue()
        if (overdue := self._overdue()) is not None:
            return overdue
        try:
            return self._from_topic(rows_max)
        except (OffsetGone, Unreachable, AnotherSchema, _Gap):
            self._leave()
            return self._inner.poll(rows_max)

    def seek(self, position: Json) -> None:
        """Follow from that snapshot on."""
        self._close_consumer()
        following, waiting = (position["snapshot"], position["unconfirmed"]) if isinstance(position, dict) else (
            position, None)  # fmt: skip
        self._inner.seek(following)
        if self._unconfirmed is not None:
            self._unconfirmed.restore(waiting)

    def latest_reached(self) -> bool:
        """The last poll found nothing more, and there is no more in the topic."""
        if not self._latest or self._consumer is None:
            return self._latest
        try:
            here = self._consumer.positions()
            return all(here[p] >= end for p, end in self._consumer.ends(here).items())
        except Unreachable:
            return False

    def close(self) -> None:
        """Leave snapshot and topic."""
        self._inner.close()
        self._close_consumer()

    def _enter(self) -> None:
        """Go over to the topic behind the last snapshot that was read, unless it has been cut off there."""
        now_s = clock.current().monotonic_s()
        position = int(self._inner.position)
        if position < 1 or now_s < self._topic_from_s:
            return
        self._topic_from_s = now_s + _RETRY_S
        offsets = self._behind(position - 1)
        if offsets is None:
            return
        consumer = None
        try:
            consumer = self._log.consumer()
            begins = consumer.beginnings(offsets)
            if any(begins[p] > offset for p, offset in offsets.items()):
                consumer.close()
                return
            consumer.assign(offsets)
        except (OperationalError, Unreachable):
            if consumer is not None:
                consumer.close()
            return
        self._consumer, self._next = consumer, position
        self._begun, self._arrived, self._ends = {}, {}, {}
        self._looked_s = now_s

    def _behind(self, snapshot_id: int) -> dict[Partition, int] | None:
        """Where the topic ended when a snapshot was committed; None: it does not say."""
        topic = self._log.settings.topic
        if snapshot_id == 0:
            return {(topic, number): 0 for number in range(self._log.partitions)}
        try:
            found = self._table.snapshots.snapshot(snapshot_id).log_offsets
        except SnapshotNotFound:
            return None
        numbers = range(self._log.partitions)
        if found is None or any(str(number) not in found for number in numbers):
            return None
        return {(topic, number): found[str(number)] for number in numbers}

    def _from_topic(self, rows_max: int) -> SourceDelta | None:
        consumer = self._consumer
        assert consumer is not None
        if (whole := self._take_whole()) is not None:
            return whole
        fetched = consumer.poll(rows_max, 0)
        if not fetched:
            self._check_late()
            self._latest = self._consumer is not None
            return None
        found = [change for records in fetched for change in self._sort(records)]
        if self._unconfirmed is None:
            return self._take_whole()
        while self._take_whole() is not None:
            pass
        return SourceDelta(found)

    def _sort(self, records: Fetched) -> Iterator[ChangeBatch]:
        """Put records to the snapshots that they are of; of an eventual log, give their rows at once.

        Records of snapshots that were read are left out.
        """
        marks = [self._mark(records, place) for place in range(len(records))]
        begin = 0
        while begin < len(marks):
            mark, end = marks[begin], begin + 1
            while end < len(marks) and not marks[end - 1].total and _alike(mark, marks[end]):
                end += 1
            if mark.snapshot_id >= self._next or not mark.snapshot_id:
                yield from self._take(marks[end - 1], records.part(begin, end))
            begin = end

    def _mark(self, records: Fetched, place: int) -> Mark:
        mark = mark_of(records.headers[place])
        if mark is None:
            topic, number = records.partition
            raise OperationalError(
                f"topic '{topic}', partition {number}, offset {records.offsets[place]}: not a message of the log of "
                f"table `{self._table.identifier}`; somebody else writes to its topic"
            )
        return mark

    def _take(self, mark: Mark, records: Fetched) -> Iterator[ChangeBatch]:
        """Some records under one mark, that of the last of them."""
        if mark.stage == GAP:
            raise _Gap
        if mark.snapshot_id:
            self._arrived[mark.snapshot_id] = self._arrived.get(mark.snapshot_id, 0) + len(records)
            if mark.total:
                self._ends[mark.snapshot_id] = mark
        elif self._unconfirmed is None:
            return  # rows from a time when the log was eventual
        if not records.keys[-1] and records.values[-1] is None:
            records = records.part(0, len(records) - 1)
        if not len(records):
            return
        rows, kinds = self._rows.read(mark.schema_id, records.keys, records.values)
        change = from_row_kinds(rows, kinds)
        if self._unconfirmed is None:
            self._begun.setdefault(mark.snapshot_id, []).append(change)
            return
        if mark.stage == EARLY:
            age_s = max(0, clock.current().now_ms() - records.timestamps_ms[0]) / 1000
            self._unconfirmed.add(rows, clock.current().monotonic_s() - age_s)
        else:
            self._unconfirmed.confirm(rows)
        yield change

    def _take_whole(self) -> SourceDelta | None:
        """The oldest snapshot that has come, if all of it has, and those before it: partitions come in any order."""
        oldest = min(self._arrived, default=None)
        end = None if oldest is None else self._ends.get(oldest)
        if oldest is None or end is None or self._arrived[oldest] < end.total or end.previous >= self._next:
            return None
        del self._arrived[oldest], self._ends[oldest]
        self._next = oldest + 1
        self._late_since_s = 0.0
        return SourceDelta(self._begun.pop(oldest, []))

    def _overdue(self) -> SourceDelta | None:
        """What the table says of keys that no snapshot has confirmed in time."""
        if self._unconfirmed is None:
            return None
        keys = self._unconfirmed.overdue(clock.current().monotonic_s() - _UNCONFIRMED_S)
        if keys is None:
            return None
        changes: list[ChangeBatch] = []
        for rows, is_there in rows_of_keys(self._table, self._table.latest_snapshot(), keys, self.schema.names):
            kinds = np.full(rows.num_rows, RowKind.INSERT if is_there else RowKind.DELETE, np.int8)
            changes.append(from_row_kinds(pa.Table.from_batches([rows]).cast(self.schema), kinds))
        return SourceDelta(changes)

    def _check_late(self) -> None:
        """A snapshot with changes that the topic does not get: a writer was killed between the two."""
        now_s = clock.current().monotonic_s()
        if now_s - self._looked_s < _LOOK_S:
            return
        self._looked_s = now_s
        latest = self._table.snapshots.latest_id() or 0
        if latest < self._next - 1:
            self._leave()  # it was rolled back, which the snapshots say better
        elif latest < self._next:
            self._late_since_s = 0.0
        elif not self._late_since_s:
            self._late_since_s = now_s
        elif now_s - self._late_since_s > _LATE_S:
            self._leave()

    def _leave(self) -> None:
        """Go on with snapshots."""
        position = self._next
        self._close_consumer()
        self._inner.seek(position)
        self._topic_from_s = clock.current().monotonic_s() + _RETRY_S

    def _close_consumer(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._begun, self._arrived, self._ends = {}, {}, {}
        self._late_since_s = 0.0
        if consumer is not None:
            consumer.close()


def _alike(one: Mark, other: Mark) -> bool:
    return (one.snapshot_id, one.schema_id, one.stage) == (other.snapshot_id, other.schema_id, other.stage)
