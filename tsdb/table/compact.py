"""Compacting a table on demand: every bucket with work to do, then one commit.

Primary-key tables merge their sorted runs; append tables join small files (below 'compaction.small-file-ratio' of the
target size), neighbours only, so that rows keep their order.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from tsdb.errors import CommitConflict, NotSupportedError
from tsdb.format.parquet import SEQUENCE_NUMBER
from tsdb.mergetree.data_writer import FILE_SOURCE_COMPACT, DataWriter
from tsdb.mergetree.merge import ReadColumns
from tsdb.mergetree.rewrite import rows_per_file
from tsdb.metadata.data_file import DataFileMeta
from tsdb.metadata.index_file import IndexFileMeta
from tsdb.metadata.snapshot import Snapshot
from tsdb.table.bucket import BucketMode
from tsdb.table.bucket_writer import BucketPlan, BucketWriter, bucket_deletions, bucket_plan, data_writer
from tsdb.table.commit import commit
from tsdb.table.commit_message import CommitMessage
from tsdb.table.data_file_reader import column_reader, row_reader
from tsdb.table.deletion_maintainer import DeletionMaintainer
from tsdb.table.index_change import index_entries
from tsdb.table.newest import on_newest
from tsdb.table.redistribute import redistribute
from tsdb.table.row_tracking import read_tracked, tracks_rows
from tsdb.table.scan import POSTPONE_BUCKET, live_files
from tsdb.table.table import Table
from tsdb.table.threads import in_threads
from tsdb.table.write import discard, discarded_unless_committed


def compact(
    table: Table,
    *,
    partitions: Callable[[bytes], bool] | None = None,
    buckets: Collection[int] | None = None,
    full: bool = True,
    user: str,
) -> Snapshot | None:
    """Compact and commit; None if there was nothing to do.

    partitions: which serialized partitions (None: all). buckets: which of their buckets (None: all). full: merge
    every bucket into one run of the highest level, and join all small files; else only what the compaction options find
    worth it.
    """
    waiting = None
    if table.bucket_mode is BucketMode.POSTPONED:
        waiting = redistribute(table, partitions=partitions, full=full, user=user)
    if table.options.flag("data-evolution.enabled"):
        raise NotSupportedError(f"compacting `{table.identifier}` is not supported: 'data-evolution.enabled' is set")
    messages = on_newest(table, lambda snapshot: _compacted(table, snapshot, partitions, buckets, full=full))
    if not messages:
        return waiting
    with discarded_unless_committed(table, messages, user=user):
        return commit(table, messages, user=user)


def _compacted(
    table: Table,
    snapshot: Snapshot | None,
    partitions: Callable[[bytes], bool] | None,
    buckets: Collection[int] | None,
    *,
    full: bool,
) -> list[CommitMessage]:
    """What there is to commit when the buckets of the snapshot have been compacted."""
    plan = bucket_plan(table)
    places: dict[tuple[bytes, int, int], list[DataFileMeta]] = {}
    indexes: dict[tuple[bytes, int], list[IndexFileMeta]] = {}
    for indexed in index_entries(table, snapshot):
        indexes.setdefault((indexed.partition, indexed.bucket), []).append(indexed.file)
    for entry in live_files(table, snapshot):
        if entry.file.schema_id > table.schema.id:
            raise CommitConflict(
                f"the columns of table `{table.identifier}` were changed since it was opened; run the statement again"
            )
        wanted = partitions is None or partitions(entry.partition)
        if wanted and entry.bucket != POSTPONE_BUCKET and (buckets is None or entry.bucket in buckets):
            places.setdefault((entry.partition, entry.bucket, entry.total_buckets), []).append(entry.file)
    messages: list[CommitMessage] = []

    def work(item: tuple[tuple[bytes, int, int], list[DataFileMeta]]) -> None:
        (partition, bucket, total_buckets), files = item
        index_files = indexes.get((partition, bucket), [])
        placed = replace(plan, total_buckets=total_buckets)
        messages.append(_compact_bucket(table, placed, partition, bucket, files, index_files, full))

    try:
        in_threads(work, list(places.items()))
    except BaseException:
        discard(table, messages)
        raise
    return [message for message in messages if not message.is_empty]


def _compact_bucket(
    table: Table,
    plan: BucketPlan,
    partition: bytes,
    bucket: int,
    files: list[DataFileMeta],
    index_files: list[IndexFileMeta],
    full: bool,
) -> CommitMessage:
    writer = data_writer(table, partition, bucket)
    if plan.merge is not None:
        read = column_reader(table, writer.directory)
        deletions = bucket_deletions(table, writer.directory, index_files)
        bucket_writer = BucketWriter(partition, bucket, plan, writer, read, files, 0, deletions)
        bucket_writer.compact(full=full)
        return bucket_writer.take_message()
    deleted = DeletionMaintainer(table, index_files)
    count_min = 2 if full else table.options.integer("compaction.min.file-num")
    groups = small_neighbours(files, plan.target_file_size_bytes, count_min, table.options.small_file_ratio)
    if not full:
        groups = worth_joining(groups, count_min)
    joined = {file.file_name for group in groups for file in group}
    # files with many deleted rows are worth it alone
    ratio = 0.0 if full else float(table.options.get("compaction.delete-ratio-threshold") or 0)
    rest = [file for file in files if file.file_name not in joined]
    groups += [[file] for file in rest if len(deleted.positions(file.file_name)) > ratio * file.row_count]
    rows = row_reader(table, writer.directory)

    def live(file: DataFileMeta, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        return rows(file, names, deleted.live_rows(file.file_name, file.row_count))

    def tracked(file: DataFileMeta, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        mask = deleted.live_rows(file.file_name, file.row_count)
        return read_tracked(table, file, writer.directory, names, mask)

    message = _join(partition, bucket, plan, writer, tracked if tracks_rows(table) else live, groups)
    for file in message.compact_before:
        deleted.remove(file.file_name)
    new_index, old_index = deleted.prepare()
    return replace(message, compact_new_index_files=new_index, compact_deleted_index_files=old_index)


def _join(
    partition: bytes,
    bucket: int,
    plan: BucketPlan,
    writer: DataWriter,
    read: ReadColumns,
    groups: Sequence[Sequence[DataFileMeta]],
) -> CommitMessage:
    """Each group of files becomes one file, or a few."""
    after: list[DataFileMeta] = []
    try:
        for group in groups:
            after += writer.write(
                _joined(group, read, writer.schema.names),
                tracked=writer.options.flag("row-tracking.enabled"),
                level=0,
                source=FILE_SOURCE_COMPACT,
                rows_per_file=rows_per_file(group, plan.target_file_size_bytes),
            )
    except BaseException:
        writer.delete(after)
        raise
    before = tuple(file for group in groups for file in group)
    return CommitMessage(partition, bucket, plan.total_buckets, compact_before=before, compact_after=tuple(after))


def small_neighbours(
    files: Sequence[DataFileMeta], target_file_size_bytes: int, count_min: int, small_file_ratio: float = 0.7
) -> list[list[DataFileMeta]]:
    """Groups of at least count_min small files, next to each other in order of their rows, of about the target size
    each.
    """
    groups: list[list[DataFileMeta]] = []
    group: list[DataFileMeta] = []
    size = 0
    for file in sorted(files, key=lambda f: (f.min_sequence_number, f.creation_time_millis or 0, f.file_name)):
        is_small = file.file_size < target_file_size_bytes * small_file_ratio
        if group and (not is_small or size + file.file_size > target_file_size_bytes):
            groups.append(group)
            group, size = [], 0
        if is_small:
            group.append(file)
            size += file.file_size
    groups.append(group)
    return [group for group in groups if len(group) >= count_min]


def worth_joining(groups: Sequence[list[DataFileMeta]], count_min: int) -> list[list[DataFileMeta]]:
    """The groups without those of their oldest files that are larger than all younger ones together.

    So a row is written anew only when the file that it is in at least doubles: n commits cost n log n.
    """
    found = []
    for group in groups:
        sizes = [file.file_size for file in group]
        first = 0
        while first < len(sizes) and sizes[first] > sum(sizes[first + 1 :]):
            first += 1
        if len(group) - first >= count_min:
            found.append(group[first:])
    return found


def _joined(files: Sequence[DataFileMeta], read: ReadColumns, names: Sequence[str]) -> Iterator[pa.Table]:
    """The rows of the files, one file after the other, numbered from the smallest sequence number on."""
    sequence = files[0].min_sequence_number
    for file in files:
        for batch in read(file, names):
            if SEQUENCE_NUMBER in batch.schema.names:
                yield pa.Table.from_batches([batch])
                continue
            numbers = np.arange(sequence, sequence + batch.num_rows)
            sequence += batch.num_rows
            yield pa.Table.from_batches([batch]).append_column(SEQUENCE_NUMBER, pa.array(numbers, pa.int64()))
