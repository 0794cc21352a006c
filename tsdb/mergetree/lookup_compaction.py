"""Compaction that looks keys up: level 0 moves up, merged with what the bucket knew of its keys before.

The keys of the level-0 files that are compacted are looked up in the older runs that stay: the rows found are merged
with the new ones, as if they were one more run. So the merged row is complete, and what changed is known. With deletion
vectors the rows found are then marked as deleted in their files: above level 0 a key lives in one row at most, so those
files are read without merging, and deletions themselves are never written there.

Needs memory for the distinct keys of the level-0 files, and for the keys of one older file at a time.
Source: Paimon, `LookupMergeTreeCompactRewriter` and `BucketedDvMaintainer`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.format.parquet import SEQUENCE_NUMBER, VALUE_KIND
from tsdb.mergetree.changes import ChangeWriter
from tsdb.mergetree.compaction import CompactionOptions, CompactUnit
from tsdb.mergetree.data_writer import FILE_SOURCE_COMPACT, DataWriter
from tsdb.mergetree.merge import MergeSpec, ReadColumns
from tsdb.mergetree.rewrite import CompactResult, rewrite
from tsdb.mergetree.sorted_run import KeyRange, SortedRun
from tsdb.metadata.data_file import DataFileMeta

Mask = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.int64]
ReadRows = Callable[[DataFileMeta, Sequence[str], Mask | None], Iterator[pa.RecordBatch]]
"""As `ReadColumns`, only the rows under a mask over all rows of the file (None: all)."""

_ROW = "__row"


class Deletions(Protocol):
    """The deleted rows of the files of a bucket."""

    def live_rows(self, file_name: str, row_count: int) -> Mask | None:
        """A mask over the rows of a file; None: all live."""
        ...

    def delete(self, file_name: str, positions: npt.NDArray[np.integer]) -> None:
        """These rows are deleted, too."""
        ...

    def remove(self, file_name: str) -> None:
        """The file leaves the bucket."""
        ...


def compact_looking_up(
    unit: CompactUnit,
    runs: Sequence[SortedRun],
    options: CompactionOptions,
    spec: MergeSpec,
    key_range: Callable[[DataFileMeta], KeyRange],
    read: ReadRows,
    writer: DataWriter,
    deletions: Deletions | None,
    changes: ChangeWriter | None,
) -> CompactResult:
    """Compact the unit, and tell `deletions` what that deletes in files that stay, `changes` what it changes.

    runs: all of the bucket.
    """
    inside = {file.file_name for file in unit.files}
    older = [file for run in runs for file in run.files if file.file_name not in inside]
    replaced = _replaced_rows(unit, older, spec, key_range, read, deletions)

    def live(file: DataFileMeta, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        found = replaced.get(file.file_name)
        if found is None:
            return read(file, names, None if deletions is None else deletions.live_rows(file.file_name, file.row_count))
        mask = np.zeros(file.row_count, np.bool_)
        mask[found] = True
        return read(file, names, mask)

    looked_up = [
        SortedRun(run.level, files)
        for run in runs
        if (files := tuple(file for file in run.files if file.file_name in replaced))
    ]
    drop_delete = unit.drop_delete or deletions is not None
    together = replace(unit, runs=(*unit.runs, *looked_up), drop_delete=drop_delete)
    result = rewrite(together, options, spec, key_range, live, writer, changes)
    before = tuple(file for file in result.before if file.file_name in inside)
    if deletions is None:
        return CompactResult(before, result.after, result.changelog)
    for name, positions in replaced.items():
        deletions.delete(name, positions)
    stays = {file.file_name for file in result.after}
    for file in before:
        if file.file_name not in stays:
            deletions.remove(file.file_name)
    return CompactResult(before, result.after, result.changelog)


def without_deleted_rows(
    files: Sequence[DataFileMeta], names: Sequence[str], read: ReadRows, writer: DataWriter, deletions: Deletions
) -> CompactResult:
    """Write anew, on their level, those of the files that have deleted rows."""
    before: list[DataFileMeta] = []
    after: list[DataFileMeta] = []
    try:
        for file in files:
            live = deletions.live_rows(file.file_name, file.row_count)
            if live is not None:
                batches = read(file, [*names, SEQUENCE_NUMBER, VALUE_KIND], live)
                rows = (pa.Table.from_batches([batch]) for batch in batches)
                after += writer.write(rows, level=file.level, source=FILE_SOURCE_COMPACT)
                before.append(file)
    except BaseException:
        writer.delete(after)
        raise
    for file in before:
        deletions.remove(file.file_name)
    return CompactResult(tuple(before), tuple(after))


def _replaced_rows(
    unit: CompactUnit,
    older: Sequence[DataFileMeta],
    spec: MergeSpec,
    key_range: Callable[[DataFileMeta], KeyRange],
    read: ReadRows,
    deletions: Deletions | None,
) -> dict[str, Positions]:
    """By older file, its live rows with a key that is in the level-0 files of the unit."""
    fresh = [file for file in unit.files if file.level == 0]
    ranges = [key_range(file) for file in fresh]
    asked = [file for file in older if any(_overlap(key_range(file), other) for other in ranges)]
    if not asked:
        return {}
    names = list(spec.key)
    batches = [batch for file in fresh for batch in read(file, names, None)]
    keys = pa.Table.from_batches(batches).group_by(names).aggregate([]).select(names)
    found = {}
    for file in asked:
        positions = _rows_with(keys, pa.Table.from_batches(list(read(file, names, None))), names)
        live = None if deletions is None else deletions.live_rows(file.file_name, file.row_count)
        positions = positions if live is None else positions[live[positions]]
        if len(positions):
            found[file.file_name] = positions
    return found


def _rows_with(keys: pa.Table, rows: pa.Table, names: list[str]) -> Positions:
    """The rows that have one of the keys, ascending."""
    numbered = rows.append_column(_ROW, pa.array(np.arange(rows.num_rows)))
    hits: Positions = np.sort(numbered.join(keys, keys=names, join_type="left semi")[_ROW].to_numpy())
    return hits


def _overlap(one: KeyRange, other: KeyRange) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def masked(read: ReadColumns) -> ReadRows:
    """Reading under masks, of files that have no deleted rows otherwise."""

    def under(file: DataFileMeta, names: Sequence[str], mask: Mask | None) -> Iterator[pa.RecordBatch]:
        start = 0
        for batch in read(file, names):
            yield batch if mask is None else batch.filter(pa.array(mask[start : start + batch.num_rows]))
            start += batch.num_rows

    return under
