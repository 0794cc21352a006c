"""Row tracking: every row of an append table has an id for good, and the snapshot that wrote it.

A new file's rows are numbered when it is committed: the file gets the first id, its rows the following ones, and the
snapshot counts on (`assigned`). A file that is made of older rows holds their ids and snapshots in two more columns,
`_ROW_ID` and `_SEQUENCE_NUMBER`. Source: Paimon, `RowTrackingCommitUtils`, `DataFileRecordReader`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.errors import CorruptFile, NotSupportedError
from tsdb.format.parquet import ROW_ID, SEQUENCE_NUMBER
from tsdb.mergetree.data_writer import FILE_SOURCE_APPEND
from tsdb.metadata.data_file import DataFileMeta
from tsdb.metadata.manifest import ADD, ManifestEntry
from tsdb.table.data_file_reader import Mask, read_file
from tsdb.table.table import Table


def tracks_rows(table: Table) -> bool:
    """Whether the table's rows have ids."""
    return table.options.flag("row-tracking.enabled")


def assigned(entries: Sequence[ManifestEntry], snapshot_id: int, next_row_id: int) -> tuple[list[ManifestEntry], int]:
    """The changes of a snapshot with ids for the rows that are new in it, and the next free id."""
    out: list[ManifestEntry] = []
    for entry in entries:
        file = entry.file
        is_new = entry.kind == ADD and file.file_source == FILE_SOURCE_APPEND and file.first_row_id is None
        if is_new and not holds_ids(file):
            file = replace(file, min_sequence_number=snapshot_id, max_sequence_number=snapshot_id)
            entry = replace(entry, file=replace(file, first_row_id=next_row_id))
            next_row_id += file.row_count
        elif is_new and file.min_sequence_number == 0:  # its rows have ids, and are new in this snapshot
            entry = replace(entry, file=replace(file, min_sequence_number=snapshot_id, max_sequence_number=snapshot_id))
        out.append(entry)
    return out, next_row_id


def holds_ids(file: DataFileMeta) -> bool:
    """Whether the ids of its rows are in the file."""
    return file.write_cols is not None and ROW_ID in file.write_cols


def check_rewritable(table: Table, what: str) -> None:
    """Raises NotSupportedError where rows would be written anew under new ids, or with columns in several files."""
    if tracks_rows(table):
        raise NotSupportedError(
            f"{what} of table `{table.identifier}` with 'row-tracking.enabled' is not supported: rows would lose their "
            f"ids; UPDATE and DELETE work with 'deletion-vectors.enabled' = 'true', and INSERT OVERWRITE"
        )


def read_tracked(
    table: Table, file: DataFileMeta, directory: str, names: Sequence[str], mask: Mask | None
) -> Iterator[pa.RecordBatch]:
    """The rows of a file under a mask (None: all), with `_ROW_ID` and `_SEQUENCE_NUMBER` as the last columns."""
    extra = [ROW_ID, SEQUENCE_NUMBER] if holds_ids(file) else []
    if not extra and file.first_row_id is None:
        raise CorruptFile(f"data file {file.file_name} of table `{table.identifier}` has rows without an id")
    positions = np.arange(file.row_count) if mask is None else np.flatnonzero(mask)
    start = 0
    for batch in read_file(table, file, directory, [*names, *extra], mask=mask):
        count = batch.num_rows
        written = pa.repeat(pa.scalar(file.max_sequence_number, pa.int64()), count)
        ids = None
        if file.first_row_id is not None:
            ids = pa.array(positions[start : start + count] + file.first_row_id, pa.int64())
        if extra:
            kept, numbers = batch.column(len(names)), batch.column(len(names) + 1)
            ids = kept if ids is None else pc.coalesce(kept, ids)
            written = pc.coalesce(numbers, written)
        start += count
        columns = [*batch.columns[: len(names)], ids, written]
        yield pa.RecordBatch.from_arrays(columns, [*names, ROW_ID, SEQUENCE_NUMBER])
