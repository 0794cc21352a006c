"""Giving waiting rows their buckets: the compaction of a table with postponed buckets.

The files of `bucket-postpone` are read in the order in which they were committed, and their rows are written as any
writer would, into as many buckets as their partition has. The commit that brings the new files takes the waiting ones
away, so a row is never there twice or not at all; it is an APPEND, so that streams see it as news.

How many buckets a new partition gets: 'postpone.default-bucket-num', else so many that none has more than
'postpone.target-row-num-per-bucket' rows or 'postpone.target-size-per-bucket' bytes of waiting files. `sys.rescale`
changes it. Source: Paimon, `PostponeBucketCompactSplitSource` and `PostponeUtils`.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from tsdb.format.parquet import VALUE_KIND
from tsdb.metadata.manifest import ManifestEntry
from tsdb.metadata.snapshot import Snapshot
from tsdb.options import TableOptions, parse_size
from tsdb.table.bucket_fill import BUCKETS_MAX
from tsdb.table.bucket_writer import bucket_directory
from tsdb.table.commit import commit
from tsdb.table.commit_message import CommitMessage
from tsdb.table.data_file_reader import read_file
from tsdb.table.newest import newest_files, on_newest
from tsdb.table.postpone_bucket import NumberedAssigner
from tsdb.table.scan import POSTPONE_BUCKET, live_files
from tsdb.table.table import Table
from tsdb.table.write import TableWriter, discarded_unless_committed


def redistribute(table: Table, *, partitions: Callable[[bytes], bool] | None, full: bool, user: str) -> Snapshot | None:
    """Move waiting rows to their buckets and commit; None if nothing waits. full: compact those buckets fully, too."""
    messages = on_newest(table, lambda snapshot: _messages(table, snapshot, partitions, full=full, user=user))
    if not messages:
        return None
    with discarded_unless_committed(table, messages, user=user):
        return commit(table, messages, user=user)


def _messages(
    table: Table, snapshot: Snapshot | None, partitions: Callable[[bytes], bool] | None, *, full: bool, user: str
) -> list[CommitMessage]:
    """What moves the waiting rows of the snapshot."""
    entries = live_files(table, snapshot, partitions)
    waiting: dict[bytes, list[ManifestEntry]] = {}
    for entry in entries:
        if entry.bucket == POSTPONE_BUCKET:
            waiting.setdefault(entry.partition, []).append(entry)
    if not waiting:
        return []
    numbers = {entry.partition: entry.total_buckets for entry in entries if entry.bucket != POSTPONE_BUCKET}
    for partition, members in waiting.items():
        numbers.setdefault(partition, bucket_number(table.options, members))
    with TableWriter(table, user=user, assigner=NumberedAssigner(table, numbers)) as writer:
        for members in waiting.values():
            _write_rows(table, members, writer)
        messages = writer.prepare_commit(compact=True if full else None)
    return messages + [
        CommitMessage(partition, POSTPONE_BUCKET, POSTPONE_BUCKET, deleted_files=tuple(e.file for e in members))
        for partition, members in waiting.items()
    ]


def bucket_number(options: TableOptions, waiting: Sequence[ManifestEntry] = ()) -> int:
    """How many buckets a partition gets whose rows wait in these files."""
    given = options.integer("postpone.default-bucket-num", 0)
    if given > 0:
        return given
    rows_max = options.integer("postpone.target-row-num-per-bucket", 0)
    if rows_max > 0:
        wanted = -(-sum(entry.file.row_count for entry in waiting) // rows_max)
    else:
        bytes_max = parse_size(options.get("postpone.target-size-per-bucket") or "", "postpone.target-size-per-bucket")
        wanted = -(-sum(entry.file.file_size for entry in waiting) // bytes_max)
    return int(min(max(wanted, 1), BUCKETS_MAX))


def batch_assigner(table: Table) -> NumberedAssigner:
    """For 'postpone.batch-write-fixed-bucket': rows go to real buckets at once."""
    entries = newest_files(table)
    numbers = {entry.partition: entry.total_buckets for entry in entries if entry.bucket != POSTPONE_BUCKET}
    return NumberedAssigner(table, numbers, bucket_number(table.options))


def _write_rows(table: Table, waiting: Sequence[ManifestEntry], writer: TableWriter) -> None:
    names = list(table.schema.names)
    directory = bucket_directory(table, waiting[0].partition, POSTPONE_BUCKET)
    for entry in waiting:
        for batch in read_file(table, entry.file, directory, [*names, VALUE_KIND]):
            kinds = np.asarray(batch.column(len(names))).astype(np.int8)
            writer.write(pa.Table.from_batches([batch.select(names)]), kinds)
