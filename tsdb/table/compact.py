"""Compacting a table on demand: every bucket with work to do, then one commit.

Primary-key tables merge their sorted runs; append tables join small files (below 'compaction.small-file-ratio' of the
target size), neighbours only, so that rows keep their order.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from tsdb.errors import NotSupportedError
from tsdb.format.parquet import SEQUENCE_NUMBER
from tsdb.mergetree.data_writer import FILE_SOURCE_COMPACT, DataWriter
from tsdb.mergetree.merge import ReadColumns
from tsdb.mergetree.rewrite import rows_per_file
from tsdb.metadata.data_file import DataFileMeta
from tsdb.metadata.snapshot import Snapshot
from tsdb.table.bucket import BucketMode
from tsdb.table.bucket_writer import BucketPlan, BucketWriter, bucket_plan, data_writer
from tsdb.table.commit import commit
from tsdb.table.commit_message import CommitMessage
from tsdb.table.data_file_reader import column_reader
from tsdb.table.redistribute import redistribute
from tsdb.table.scan import POSTPONE_BUCKET, live_files
from tsdb.table.table import Table
from tsdb.table.threads import in_threads
from tsdb.table.write import discard


def compact(
    table: Table, *, partitions: Callable[[bytes], bool] | None = None, full: bool = True, user: str
) -> Snapshot | None:
    """Compact and commit; None if there was nothing to do.

    partitions: which serialized partitions (None: all). full: merge every bucket into one run of the highest level,
    and join all small files; else only what the compaction options find worth it.
    """
    waiting = None
    if table.bucket_mode is BucketMode.POSTPONED:
        waiting = redistribute(table, partitions=partitions, full=full, user=user)
    plan = bucket_plan(table)
    for option in ("deletion-vectors.enabled", "row-tracking.enabled"):
        if table.options.flag(option):
            raise NotSupportedError(f"compacting `{table.identifier}` is not supported yet: '{option}' is set")
    buckets: dict[tuple[bytes, int, int], list[DataFileMeta]] = {}
    for entry in live_files(table, table.latest_snapshot()):
        if entry.bucket != POSTPONE_BUCKET and (partitions is None or partitions(entry.partition)):
            buckets.setdefault((entry.partition, entry.bucket, entry.total_buckets), []).append(entry.file)
    messages: list[CommitMessage] = []

    def work(item: tuple[tuple[bytes, int, int], list[DataFileMeta]]) -> None:
        (partition, bucket, total_buckets), files = item
        messages.append(
            _compact_bucket(table, replace(plan, total_buckets=total_buckets), partition, bucket, files, full)
        )

    try:
        in_threads(work, list(buckets.items()))
    except BaseException:
        discard(table, messages)
        raise
    messages = [message for message in messages if not message.is_empty]
    return commit(table, messages, user=user) if messages else waiting


def _compact_bucket(
    table: Table,
    plan: BucketPlan,
    partition: bytes,
    bucket: int,
    files: list[DataFileMeta],
    full: bool,
) -> CommitMessage:
    writer = data_writer(table, partition, bucket)
    read = column_reader(table, writer.directory)
    if plan.merge is not None:
        bucket_writer = BucketWriter(partition, bucket, plan, writer, read, files, 0)
        bucket_writer.compact(full=full)
        return bucket_writer.take_message()
    groups = small_neighbours(
        files, plan.target_file_size_bytes, 2 if full else table.options.integer("compaction.min.file-num")
    )
    return _join(partition, bucket, plan, writer, read, groups)


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
            numbers = np.arange(sequence, sequence + batch.num_rows)
            sequence += batch.num_rows
            yield pa.Table.from_batches([batch]).append_column(SEQUENCE_NUMBER, pa.array(numbers, pa.int64()))
