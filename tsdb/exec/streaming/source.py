"""What a streaming query reads: tables of the warehouse, registered relations, and the tables of connectors.

A table is followed snapshot by snapshot: the state at the starting point, then the changes of every later snapshot.
One snapshot is one cut, however many batches it takes. Its position is the next snapshot to read. A stream that has
fallen behind and that no row's time depends on takes what has come meanwhile as one cut: a step has its price, however
few rows it takes.
"""

from collections.abc import Callable, Collection, Iterator, Mapping

import numpy as np
import pyarrow as pa

from tsdb.changes import ChangeBatch, from_row_kinds, inserts
from tsdb.connector.connector import ChangelogMode, Json, SourceDelta
from tsdb.exec.streaming.waiting_room import Sign
from tsdb.table.stream_scan import Kinds, StreamScan, read_changes
from tsdb.table.table import Table

Pack = Callable[[pa.RecordBatch, Kinds, pa.Schema], pa.RecordBatch]


BEHIND_MAX = 16
"""So many snapshots in a row are a cut each; from then on all that are there are one."""


class TableSource:
    """A table of the warehouse as a source.

    columns: those that are wanted, besides the primary key; None: all. bounded: it ends with the snapshot that is the
    latest when it is opened. upserts: its rows will be normalised, whatever the table has.

    Where rows are normalised and it begins with changes, the state before these comes first, with weights of 0: the
    rows are told what they replace, as if all had been followed from the first snapshot.
    """

    skipped = 0

    def __init__(
        self,
        table: Table,
        options: Mapping[str, str],
        *,
        bounded: bool,
        columns: Collection[str] | None = None,
        upserts: bool = False,
    ) -> None:
        self._table = table
        self._options = dict(options)
        self._scan = StreamScan(table, self._options)
        self._tells_before = upserts or self._scan.changelog_mode == "upsert"
        self._end = (table.snapshots.latest_id() or 0) if bounded else None
        self._cut: Iterator[ChangeBatch] | None = None
        self._next: ChangeBatch | None = None
        self._position: Json = self._scan.position
        self._latest_reached = False
        self.may_join_cuts = False
        self._in_a_row = 0
        key = table.schema.primary_keys
        self._columns = [n for n in table.schema.names if columns is None or n in columns or n in key]
        self.schema: pa.Schema = pa.schema([table.schema.arrow_schema.field(name) for name in self._columns])
        self.mode: ChangelogMode = self._scan.changelog_mode
        self.upsert_key: tuple[str, ...] | None = tuple(key) or None
        self.may_take_back = self._scan.may_take_back

    @property
    def position(self) -> Json:
        """The id of the next snapshot; in the middle of a snapshot, that one's."""
        return self._position

    @property
    def finished(self) -> bool:
        """Bounded, and the last snapshot is read."""
        if self._cut is not None:
            return False
        return self._scan.ended or (self._end is not None and int(self._scan.position) > self._end)

    def poll(self, rows_max: int) -> SourceDelta | None:
        """Changes of one snapshot, rows_max rows or somewhat more; of several where these may be one cut."""
        if self._cut is None and not self._open_cut():
            return None
        changes: list[ChangeBatch] = []
        rows = 0
        while True:
            assert self._cut is not None
            while self._next is not None and rows < rows_max:
                changes.append(self._next)
                rows += self._next.num_rows
                self._next = next(self._cut, None)
            if self._next is not None:
                return SourceDelta(changes, complete=False)
            self._cut = None
            self._position = self._scan.position
            if rows >= rows_max or not self._joins_cuts() or not self._open_cut():
                return SourceDelta(changes)

    def _joins_cuts(self) -> bool:
        """Whether it has been behind."""
        return self.may_join_cuts and self._in_a_row >= BEHIND_MAX

    def seek(self, position: Json) -> None:
        """Follow from that snapshot on, with what is known until there."""
        self.close()
        self._scan = StreamScan(self._table, self._options, position)
        self._position, self._tells_before = position, False

    def latest_reached(self) -> bool:
        """The last poll found no further snapshot."""
        return self._latest_reached

    @property
    def sign(self) -> Sign | None:
        """See `StreamScan.sign`."""
        return self._scan.sign

    def keep_place(self, owner: str | None) -> None:
        """At a cut: let nobody expire what is still to be read; see `StreamScan.keep_place`."""
        self._scan.keep_place(owner)

    def close(self) -> None:
        """Leave the snapshot that is being read; nothing is kept from expiring any more."""
        self._cut = self._next = None
        self._scan.release()

    def _open_cut(self) -> bool:
        """Begin the next snapshot that brings anything to read; False if there is none."""
        self._latest_reached = False
        if self.finished:
            return False
        before = self._scan.before() if self._tells_before else None
        self._tells_before = False
        plan = before or self._scan.plan()
        if plan is None:
            self._latest_reached = True
            if self._in_a_row < BEHIND_MAX:
                self._in_a_row = 0
            return False
        self._in_a_row += 1
        batches = read_changes(self._table, plan, self._columns)
        self._cut = (_changes(rows, kinds, silent=before is not None) for rows, kinds in batches if rows.num_rows)
        self._next = next(self._cut, None)
        return True


def _changes(rows: pa.RecordBatch, kinds: Kinds, *, silent: bool) -> ChangeBatch:
    """silent: as a state that was known before, which changes nothing."""
    table = pa.Table.from_batches([rows])
    return ChangeBatch(table, np.zeros(len(kinds), np.int64)) if silent else from_row_kinds(table, kinds)


class LogSource:
    """`t$audit_log` or `t$binlog` of a table, followed: every change is a row of its own, which is never taken back.

    pack: makes rows of the log out of rows of the table and their kinds. The place is kept as by `TableSource`.
    """

    skipped = 0
    mode: ChangelogMode = "append"
    upsert_key: tuple[str, ...] | None = None

    def __init__(
        self, table: Table, options: Mapping[str, str], schema: pa.Schema, pack: Pack, *, bounded: bool
    ) -> None:
        self._table, self._options, self._pack = table, dict(options), pack
        self._scan = StreamScan(table, self._options)
        self._end = (table.snapshots.latest_id() or 0) if bounded else None
        self._latest_reached = False
        self.schema: pa.Schema = schema

    @property
    def position(self) -> Json:
        """The id of the next snapshot."""
        return self._scan.position

    @property
    def finished(self) -> bool:
        """Bounded, and the last snapshot is read."""
        return self._scan.ended or (self._end is not None and int(self._scan.position) > self._end)

    def poll(self, rows_max: int) -> SourceDelta | None:
        """The log of one snapshot, as a whole."""
        self._latest_reached = False
        if self.finished:
            return None
        plan = self._scan.plan()
        if plan is None:
            self._latest_reached = True
            return None
        batches = [self._pack(rows, kinds, self.schema) for rows, kinds in read_changes(self._table, plan)]
        return SourceDelta([inserts(pa.Table.from_batches(batches, self.schema))])

    def seek(self, position: Json) -> None:
        """Follow from that snapshot on."""
        self.close()
        self._scan = StreamScan(self._table, self._options, position)

    def latest_reached(self) -> bool:
        """The last poll found no further snapshot."""
        return self._latest_reached

    @property
    def sign(self) -> Sign | None:
        """See `StreamScan.sign`."""
        return self._scan.sign

    def keep_place(self, owner: str | None) -> None:
        """Let nobody expire what is still to be read."""
        self._scan.keep_place(owner)

    def close(self) -> None:
        """Nothing is kept from expiring any more."""
        self._scan.release()


class RegisteredSource:
    """A relation that the user registered: it is appended once, and ends."""

    skipped = 0

    def __init__(self, rows: pa.Table) -> None:
        self._rows = rows
        self._offset = 0
        self.schema: pa.Schema = rows.schema
        self.mode: ChangelogMode = "append"
        self.upsert_key: tuple[str, ...] | None = None

    @property
    def position(self) -> Json:
        """How many rows were delivered."""
        return self._offset

    @property
    def finished(self) -> bool:
        """All rows were delivered."""
        return bool(self._offset >= self._rows.num_rows)

    def poll(self, rows_max: int) -> SourceDelta | None:
        """The next rows; all together are one cut."""
        part = self._rows.slice(self._offset, rows_max)
        if part.num_rows == 0:
            return None
        self._offset += part.num_rows
        return SourceDelta([inserts(part)], complete=self.finished)

    def seek(self, position: Json) -> None:
        """Go on after so many rows."""
        self._offset = position

    def latest_reached(self) -> bool:
        """Always known."""
        return self.finished

    def close(self) -> None:
        """Nothing to free."""
