"""Rows that are written anew and keep their ids, in a table with row tracking.

They lie in files that hold the ids in a column, `_ROW_ID`; `_SEQUENCE_NUMBER` is NULL there, which stands for the
snapshot that brings the file. Source: Paimon, `UpdatePaimonTableCommand`, `RowTrackingCommitUtils`.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.format.parquet import ROW_ID, SEQUENCE_NUMBER
from tsdb.mergetree.data_writer import FILE_SOURCE_APPEND, DataWriter
from tsdb.metadata.data_file import DataFileMeta
from tsdb.table.assigner import FixedAssigner
from tsdb.table.bucket_writer import data_writer
from tsdb.table.commit_message import CommitMessage
from tsdb.table.row_check import conform
from tsdb.table.row_tracking import holds_ids, read_tracked
from tsdb.table.scan import DataSplit
from tsdb.table.table import Table

Ids = npt.NDArray[np.int64]


def write_with_ids(table: Table, batches: Iterable[tuple[pa.Table, Ids]]) -> list[CommitMessage]:
    """Write the rows under the ids given; what failed leaves no file."""
    writing = _Writing(table)
    try:
        for rows, ids in batches:
            writing.add(rows, ids)
        return writing.messages()
    except BaseException:
        writing.discard()
        raise


def row_ids(table: Table, split: DataSplit) -> Ids:
    """The ids of all rows of the one file of a split, by position."""
    (file,) = split.files
    if file.first_row_id is not None and not holds_ids(file):
        return np.arange(file.row_count, dtype=np.int64) + file.first_row_id
    batches = read_tracked(table, file, split.bucket_path, [], None)
    return np.concatenate([np.asarray(batch.column(ROW_ID)) for batch in batches])


class _Writing:
    """Rows by partition, written when they fill the buffer."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._assigner = FixedAssigner(table)
        self._rows: dict[bytes, list[pa.Table]] = {}
        self._size_bytes = 0
        self._count = 0
        self._made: list[tuple[bytes, DataWriter, Sequence[DataFileMeta]]] = []

    def add(self, rows: pa.Table, ids: Ids) -> None:
        """Rows that are checked as those of an INSERT are."""
        table = self._table
        rows = conform(rows, table.schema, str(table.identifier), self._count + 1)
        self._count += rows.num_rows
        placement = self._assigner.assign(rows, None).placement
        rows = rows.append_column(ROW_ID, pa.array(ids, pa.int64()))
        rows = rows.append_column(SEQUENCE_NUMBER, pa.nulls(rows.num_rows, pa.int64()))
        for code, (partition, _) in enumerate(placement.buckets):
            part = rows.filter(pa.array(placement.codes == code))
            self._rows.setdefault(partition, []).append(part)
        self._size_bytes += rows.nbytes
        if self._size_bytes >= table.options.write_buffer_size_bytes:
            self._flush()

    def messages(self) -> list[CommitMessage]:
        """Everything that was added."""
        self._flush()
        total = self._assigner.total_buckets(b"")
        return [CommitMessage(partition, 0, total, new_files=tuple(files)) for partition, _, files in self._made]

    def discard(self) -> None:
        """Delete the files."""
        for _, writer, files in self._made:
            writer.delete(files)

    def _flush(self) -> None:
        for partition, parts in self._rows.items():
            writer = data_writer(self._table, partition, 0)
            files = writer.write(iter(parts), tracked=True, level=0, source=FILE_SOURCE_APPEND)
            self._made.append((partition, writer, files))
        self._rows, self._size_bytes = {}, 0
