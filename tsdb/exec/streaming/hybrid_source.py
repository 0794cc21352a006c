"""A table with a log system as a source: snapshots first, then the topic, and back to snapshots when the topic fails.

Law: what comes is what `TableSource` gives, snapshot by snapshot, whole ones only. The place where the one goes over
into the other is exact: a snapshot knows where the topic ended when it was committed, so all that follows it lies
behind these offsets, and what lies there of older snapshots is left out by its number.
So history never expires: a reader that the topic's retention has overtaken, or whose broker is away, or before whom a
crash has left a snapshot out of the topic, goes on with the snapshots themselves.
"""

from collections.abc import Collection, Mapping

import pyarrow as pa

from tsdb import clock
from tsdb.changes import ChangeBatch, from_row_kinds
from tsdb.connector.connector import ChangelogMode, Json, SourceDelta
from tsdb.errors import OperationalError
from tsdb.exec.streaming.source import TableSource
from tsdb.kafka.client import Consumer, Fetched, OffsetGone, Partition, Unreachable
from tsdb.log.message import mark_of, rows_of
from tsdb.log.topic import LogTopic
from tsdb.metadata.snapshot import SnapshotNotFound
from tsdb.table.table import Table

_LOOK_S = 0.5
"""How often a reader of the topic looks whether there is a snapshot that the topic does not have."""

_LATE_S = 2.0
_RETRY_S = 1.0
_WAIT_MS = 100


class _AnotherSchema(Exception):
    """Rows of a schema that the reader does not have: snapshots know how to read them."""


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
        self._inner = TableSource(table, options, bounded=False, columns=columns)
        self._consumer: Consumer | None = None
        self._offsets: dict[Partition, int] = {}
        self._next = 0
        self._begun: dict[int, list[ChangeBatch]] = {}
        self._ended: dict[int, dict[Partition, int]] = {}
        self._latest = False
        self._looked_s = self._late_since_s = 0.0
        self._topic_from_s = 0.0
        self.schema: pa.Schema = self._inner.schema
        self.mode: ChangelogMode = self._inner.mode
        self.upsert_key = self._inner.upsert_key
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
        """As `TableSource.position`: the next snapshot; the place in the topic follows from it."""
        return self._next if self.reads_topic else self._inner.position

    def poll(self, rows_max: int) -> SourceDelta | None:
        """Changes of one snapshot."""
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
            return None
        try:
            return self._from_topic(rows_max)
        except (OffsetGone, Unreachable, _AnotherSchema):
            self._leave()
            return self._inner.poll(rows_max)

    def seek(self, position: Json) -> None:
        """Follow from that snapshot on."""
        self._close_consumer()
        self._inner.seek(position)

    def latest_reached(self) -> bool:
        """The last poll found nothing more."""
        return self._latest

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
        self._consumer, self._offsets, self._next = consumer, offsets, position
        self._begun, self._ended = {}, {}
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
        if not fetched and self._is_behind(consumer):
            fetched = consumer.poll(rows_max, _WAIT_MS)
        for records in fetched:
            self._sort(records)
        if fetched:
            return self._take_whole()
        self._check_late()
        self._latest = self._consumer is not None
        return None

    def _is_behind(self, consumer: Consumer) -> bool:
        here = consumer.positions()
        return any(here[p] < end for p, end in consumer.ends(here).items())

    def _sort(self, records: Fetched) -> None:
        """Put records to the snapshots that they are of; those of snapshots that were read are left out."""
        for offset, body, head in zip(records.offsets, records.values, records.headers, strict=True):
            mark = mark_of(head)
            if mark is None:
                topic, number = records.partition
                raise OperationalError(
                    f"topic '{topic}', partition {number}, offset {offset}: not a message of the log of table "
                    f"`{self._table.identifier}`; somebody else writes to its topic"
                )
            if mark.snapshot_id < self._next:
                continue
            if mark.is_end:
                self._ended.setdefault(mark.snapshot_id, {})[records.partition] = offset + 1
            else:
                if mark.schema_id != self._table.schema.id:
                    raise _AnotherSchema
                rows, kinds = rows_of(body or b"")
                self._begun.setdefault(mark.snapshot_id, []).append(from_row_kinds(self._selected(rows), kinds))

    def _selected(self, rows: pa.Table) -> pa.Table:
        rows = rows.select(self.schema.names)
        return rows if rows.schema.equals(self.schema) else rows.cast(self.schema)

    def _take_whole(self) -> SourceDelta | None:
        """The oldest snapshot that has come, if it has ended in every partition."""
        oldest = min([*self._ended, *self._begun], default=None)
        if oldest is None or len(self._ended.get(oldest, ())) < self._log.partitions:
            return None
        self._offsets = self._ended.pop(oldest)
        changes = self._begun.pop(oldest, [])
        self._next = oldest + 1
        self._late_since_s = 0.0
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
        self._begun, self._ended = {}, {}
        self._late_since_s = 0.0
        if consumer is not None:
            consumer.close()
