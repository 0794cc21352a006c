"""Compaction of a `first-row` table: level 0 moves up without the rows whose keys are in older runs already.

Above level 0 a key lives in one file at most, so those files are read without merging. To keep that true, the keys of
older files that stay where they are, and may share keys with level-0 files of the unit, are read and looked for.

Needs memory for the distinct keys of one level-0 file, and for the keys of one older file at a time.
Source: Paimon, `FirstRowMergeFunctionWrapper`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.mergetree.changes import ChangeWriter
from tsdb.mergetree.compaction import CompactionOptions, CompactUnit
from tsdb.mergetree.data_writer import DataWriter
from tsdb.mergetree.merge import MergeSpec, ReadColumns
from tsdb.mergetree.rewrite import CompactResult, rewrite
from tsdb.mergetree.sorted_run import KeyRange, SortedRun
from tsdb.metadata.data_file import DataFileMeta

Mask = npt.NDArray[np.bool_]
_ROW = "__row"


def compact_first(
    unit: CompactUnit,
    runs: Sequence[SortedRun],
    options: CompactionOptions,
    spec: MergeSpec,
    key_range: Callable[[DataFileMeta], KeyRange],
    read: ReadColumns,
    writer: DataWriter,
    changes: ChangeWriter | None = None,
) -> CompactResult:
    """Compact the unit. runs: all of the bucket. changes: takes note of the new rows."""
    inside = {file.file_name: file for file in unit.files}
    older = [file for run in runs for file in run.files if file.file_name not in inside]
    new = {
        file.file_name: mask
        for file in unit.files
        if file.level == 0 and (mask := _new_rows(file, older, spec, key_range, read)) is not None
    }
    if not new:
        return rewrite(unit, options, spec, key_range, read, writer, changes)

    def read_new(file: DataFileMeta, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        mask, start = new.get(file.file_name), 0
        for batch in read(file, names):
            yield batch if mask is None else batch.filter(pa.array(mask[start : start + batch.num_rows]))
            start += batch.num_rows

    def marked(file: DataFileMeta) -> DataFileMeta:
        # a file that loses rows is rewritten as one with deletions is, never just put on another level
        mask = new.get(file.file_name)
        return file if mask is None else replace(file, delete_row_count=int(np.count_nonzero(~mask)))

    marked_runs = tuple(SortedRun(run.level, tuple(marked(file) for file in run.files)) for run in unit.runs)
    marked_unit = replace(unit, runs=marked_runs, drop_delete=True)
    result = rewrite(marked_unit, options, spec, key_range, read_new, writer, changes)
    return CompactResult(tuple(inside[file.file_name] for file in result.before), result.after, result.changelog)


def _new_rows(
    file: DataFileMeta,
    older: Sequence[DataFileMeta],
    spec: MergeSpec,
    key_range: Callable[[DataFileMeta], KeyRange],
    read: ReadColumns,
) -> Mask | None:
    """The rows of a file whose keys are in no older file; None: all."""
    low, high = key_range(file)
    asked = [other for other in older if key_range(other)[0] <= high and low <= key_range(other)[1]]
    if not asked:
        return None
    names = list(spec.key)
    keys = pa.Table.from_batches(read(file, names))
    keys = keys.append_column(_ROW, pa.array(np.arange(keys.num_rows)))
    for other in asked:
        there = pa.Table.from_batches(read(other, names))
        keys = keys.join(there, keys=names, join_type="left anti")
    mask = np.zeros(file.row_count, np.bool_)
    mask[keys[_ROW].to_numpy()] = True
    return None if bool(mask.all()) else mask
