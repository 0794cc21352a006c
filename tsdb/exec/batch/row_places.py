"""Rows by their place: in an append table with deletion vectors, rows to change are marked as deleted in their files.

One query finds the rows and computes what comes in their stead; no file is written anew. A row's place is the number
of its file in the scan and its position there, in one column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.exec.batch.copy_on_write import one_file_splits
from tsdb.exec.batch.query import open_rows, scans
from tsdb.exec.plan import FILE_NUMBER, QueryPlan
from tsdb.metadata.snapshot import Snapshot
from tsdb.table.commit_message import CommitMessage
from tsdb.table.deletion_maintainer import removal_messages
from tsdb.table.read import Fragment
from tsdb.table.scan import DataSplit
from tsdb.table.table import Table
from tsdb.table.tracked_write import row_ids

_POSITION_BITS = 40  # a file has fewer rows than that


@dataclass(frozen=True, slots=True)
class _PlacedRows:
    """The live rows of one file, with a column of their places."""

    table: Table
    number: int
    split: DataSplit

    @property
    def row_count(self) -> int | None:
        """How many rows live, if that is known."""
        return Fragment(self.table, self.split).row_count

    def to_batches(
        self, columns: Sequence[str] | None, filter: pc.Expression | None, batch_size: int
    ) -> Iterator[pa.RecordBatch]:
        """The rows; the filter comes after the places are known."""
        wanted = [*self.table.schema.names, FILE_NUMBER] if columns is None else list(columns)
        # the text of an expression has the name of every column in it; a name too many does no harm
        text = "" if filter is None else str(filter)
        read = [name for name in self.table.schema.names if name in wanted or name in text]
        places = self._places()
        start = 0
        for batch in Fragment(self.table, self.split).to_batches(read, None, batch_size):
            here = places[start : start + batch.num_rows]
            start += batch.num_rows
            batch = batch.append_column(FILE_NUMBER, pa.array(here, pa.int64()))
            if filter is not None:
                batch = batch.filter(filter)
            if batch.num_rows:
                yield batch.select(wanted)

    def _places(self) -> npt.NDArray[np.int64]:
        (file,) = self.split.files
        deletion = self.split.deletions.get(file.file_name)
        if deletion is None:
            positions = np.arange(file.row_count)
        else:
            positions = np.flatnonzero(deletion.live_rows(self.table.file_io, file.row_count))
        return positions | (self.number << _POSITION_BITS)


@dataclass(slots=True)
class RowPlaces:
    """The places of rows that a query has found. files, snapshot: of its scan."""

    table: Table
    files: Sequence[DataSplit]
    snapshot: Snapshot | None
    found: list[npt.NDArray[np.int64]] = field(default_factory=list)
    known_ids: dict[int, npt.NDArray[np.int64]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many rows."""
        return sum(len(part) for part in self.found)

    def ids(self) -> npt.NDArray[np.int64]:
        """The ids of the rows that were found last, in a table with row tracking."""
        places = self.found[-1]
        numbers, positions = places >> _POSITION_BITS, places & ((1 << _POSITION_BITS) - 1)
        out = np.empty(len(places), np.int64)
        for number in np.unique(numbers).tolist():
            if number not in self.known_ids:
                self.known_ids[number] = row_ids(self.table, self.files[number])
            here = numbers == number
            out[here] = self.known_ids[number][positions[here]]
        return out

    def messages(self) -> Iterator[CommitMessage]:
        """What deletes the rows; index files are written when the first message is asked for."""
        places = np.sort(np.concatenate([np.empty(0, np.int64), *self.found]))
        numbers, positions = places >> _POSITION_BITS, places & ((1 << _POSITION_BITS) - 1)
        starts = np.flatnonzero(np.r_[True, numbers[1:] != numbers[:-1]][: len(numbers)])
        parts = np.split(positions, starts[1:]) if len(starts) else []
        files = [self.files[number] for number in numbers[starts].tolist()]
        yield from removal_messages(self.table, self.snapshot, zip(files, parts, strict=True))


def placed_rows(table: Table, plan: QueryPlan) -> tuple[RowPlaces, Iterator[pa.RecordBatch]]:
    """Run a query that selects `FILE_NUMBER` of the table it reads first: its batches, and the places that were in
    those that have come so far.
    """
    scan = scans(plan)[0].plan
    files = one_file_splits(scan)
    places = RowPlaces(table, files, None if scan is None else scan.snapshot)
    parts = [_PlacedRows(table, number, split) for number, split in enumerate(files)]
    column = plan.schema.get_field_index(FILE_NUMBER)

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in open_rows(plan, parts):
            places.found.append(np.asarray(batch.column(column)))
            yield batch

    return places, batches()
