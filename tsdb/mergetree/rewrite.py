"""Doing a compaction: merge the runs of a unit into files of the output level, streaming.

Source: Paimon, `MergeTreeCompactRewriter`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from tsdb.format.parquet import SEQUENCE_NUMBER, VALUE_KIND
from tsdb.mergetree.changes import ChangeWriter
from tsdb.mergetree.compaction import CompactionOptions, CompactUnit, Rewrite, Upgrade, plan
from tsdb.mergetree.data_writer import FILE_SOURCE_COMPACT, DataWriter
from tsdb.mergetree.merge import (
    MergeSpec,
    ReadColumns,
    is_add,
    is_ordered_by_age,
    kinds_of,
    merge_rows,
)
from tsdb.mergetree.sorted_run import KeyRange, SortedRun
from tsdb.metadata.data_file import DataFileMeta


@dataclass(frozen=True, slots=True)
class CompactResult:
    """before: files (with their old levels) that leave; after: files that take their place. changelog: what changed."""

    before: tuple[DataFileMeta, ...]
    after: tuple[DataFileMeta, ...]
    changelog: tuple[DataFileMeta, ...] = ()


def rewrite(
    unit: CompactUnit,
    options: CompactionOptions,
    spec: MergeSpec,
    key_range: Callable[[DataFileMeta], KeyRange],
    read: ReadColumns,
    writer: DataWriter,
    changes: ChangeWriter | None = None,
) -> CompactResult:
    """Compact the unit. Files that stay as they are, level included, are in neither list. Nothing is left behind by
    a failure. changes: takes note of what that changes.
    """
    if changes is not None:
        unit = replace(unit, passed_levels=changes.old_levels)
    before: list[DataFileMeta] = []
    after: list[DataFileMeta] = []
    written: list[DataFileMeta] = []
    try:
        for step in plan(unit, options, key_range):
            if isinstance(step, Upgrade):
                before.append(step.file)
                after.append(step.file.at_level(unit.output_level))
                continue
            files = [file for section in step.sections for run in section for file in run.files]
            new = writer.write(
                _merged(step, unit, spec, read, writer.schema.names, changes),
                level=unit.output_level,
                source=FILE_SOURCE_COMPACT,
                rows_per_file=rows_per_file(files, options.target_file_size_bytes),
            )
            before += files
            after += new
            written += new
        changelog = () if changes is None else changes.finish(unit.output_level)
    except BaseException:
        writer.delete(written)
        if changes is not None:
            changes.abort()
        raise
    return CompactResult(tuple(before), tuple(after), changelog)


def rows_per_file(files: Sequence[DataFileMeta], target_file_size_bytes: int) -> int:
    """How many rows make a file of about the target size, judging by these files."""
    rows, size = sum(file.row_count for file in files), sum(file.file_size for file in files)
    return max(1, rows * target_file_size_bytes // max(1, size))


def _merged(
    step: Rewrite,
    unit: CompactUnit,
    spec: MergeSpec,
    read: ReadColumns,
    names: Sequence[str],
    changes: ChangeWriter | None,
) -> Iterator[pa.Table]:
    """The rows of the step's sections in key order, one a key."""
    columns = [*names, SEQUENCE_NUMBER, VALUE_KIND]
    for section in step.sections:
        if changes is not None and changes.concerns(section):
            oldest_first = list(reversed(section))
            merged = changes.merge(oldest_first, [_batches(run, columns, read) for run in oldest_first])
        elif len(section) == 1:
            merged = _single(section[0], columns, read)
        else:
            merged = _several(section, columns, spec, read)
        for rows in merged:
            if not unit.drop_delete:
                yield rows
                continue
            adds = is_add(kinds_of(rows))
            yield rows if bool(adds.all()) else rows.filter(pa.array(adds))


def _single(run: SortedRun, columns: Sequence[str], read: ReadColumns) -> Iterator[pa.Table]:
    for file in run.files:
        for batch in read(file, columns):
            yield pa.Table.from_batches([batch])


def _several(
    section: Sequence[SortedRun], columns: Sequence[str], spec: MergeSpec, read: ReadColumns
) -> Iterator[pa.Table]:
    oldest_first = list(reversed(section))
    runs = [_batches(run, columns, read) for run in oldest_first]
    old_runs = sum(run.level > 0 for run in oldest_first)
    return merge_rows(runs, spec, by_sequence_number=not is_ordered_by_age(oldest_first), old_runs=old_runs)


def _batches(run: SortedRun, columns: Sequence[str], read: ReadColumns) -> Iterator[pa.RecordBatch]:
    for file in run.files:
        yield from read(file, columns)
