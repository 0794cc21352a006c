"""Compacting a table on demand: every bucket with work to do, then one commit.

Primary-key tables merge their sorted runs; append tables join small files (below 'compaction.small-file-ratio' of the
target size), neighbours only, so that rows keep their order.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from tsdb import clock
from tsdb.errors import CommitConflict, NotSupportedError, OperationalError
from tsdb.format.parquet import SEQUENCE_NUMBER
from tsdb.mergetree.data_writer import FILE_SOURCE_COMPACT, DataWriter
from tsdb.mergetree.merge import ReadColumns
from tsdb.mergetree.rewrite import rows_per_file
from tsdb.metadata.data_file import DataFileMeta
from tsdb.metadata.index_file import IndexFileMeta
from tsdb.metadata.manifest import ADD
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
from tsdb.table.scan import POSTPONE_BUCKET, entries_of_list, live_files
from tsdb.table.table import Table
from tsdb.table.threads import in_threads
from tsdb.table.write import discard


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
    try:
        return commit(table, messages, user=user)
    except CommitConflict:
        discard(table, messages)
        raise


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


def compact_when_due(table: Table, *, partitions: Callable[[bytes], bool] | None = None) -> Snapshot | None:
    """Compact everything if 'full-compaction.delta-commits' have been made since that was last done.

    partitions: which serialized partitions (None: all). A compaction counts as full if it has put files on the highest
    level. Where others compact at the same time, that is left to them.
    """
    every = table.options.values.get("full-compaction.delta-commits")
    if every is None or table.options.write_only or not table.is_primary_key:
        return None
    highest = table.options.num_levels - 1
    commits = 0
    for number in range(table.snapshots.latest_id() or 0, 0, -1):
        if commits >= int(every) or not table.snapshots.exists(number):
            break
        snapshot = table.snapshots.snapshot(number)
        if snapshot.commit_kind == "COMPACT":
            added = entries_of_list(table, snapshot.delta_manifest_list)
            if any(entry.kind == ADD and entry.file.level >= highest for entry in added):
                return None
        commits += snapshot.commit_kind == "APPEND"
    if commits < int(every):
        return None
    try:
        return compact(table, partitions=partitions, user=clock.current().new_id())
    except CommitConflict:
        return None
    except OSError as err:
        raise OperationalError(
            f"the rows are committed to `{table.identifier}`, but the full compaction that was due failed: {err}"
        ) from err


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
    joined = {file.file_name for group in groups for file in group}
    # files with deleted rows are worth it alone
    groups += [[f] for f in files if full and f.file_name not in joined and len(deleted.positions(f.file_name))]
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
