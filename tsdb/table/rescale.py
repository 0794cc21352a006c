"""Another number of buckets for partitions that have files: their rows are read and written anew.

Nothing else changes: the commit takes away the files that were read and brings the new ones, and loses against any
writer that was faster. Source: Paimon, `RescaleAction`.
"""

from collections.abc import Callable, Iterable

import pyarrow as pa

from tsdb.errors import ProgrammingError
from tsdb.metadata.manifest import ManifestEntry
from tsdb.metadata.snapshot import Snapshot
from tsdb.table.assigner import Assigner, FixedAssigner
from tsdb.table.bucket import BucketMode
from tsdb.table.bucket_fill import BUCKETS_MAX
from tsdb.table.commit import commit
from tsdb.table.commit_message import CommitMessage
from tsdb.table.compact import compact
from tsdb.table.index_change import index_entries
from tsdb.table.newest import on_newest
from tsdb.table.postpone_bucket import NumberedAssigner
from tsdb.table.read import fragments
from tsdb.table.scan import POSTPONE_BUCKET, ScanPlan, live_files, plan_scan
from tsdb.table.table import Table
from tsdb.table.write import TableWriter, discarded_unless_committed


def rescale(
    table: Table, *, bucket_num: int | None, partitions: Callable[[bytes], bool] | None, user: str
) -> Snapshot | None:
    """Rewrite the partitions (None: all) that have another number of buckets, and commit; None if there is none.

    bucket_num: for a table with 'bucket' = 'n' it has to be n, and may be left out. Raises ProgrammingError.
    """
    number = _number(table, bucket_num)
    if table.hides_level_zero:  # rows that were never compacted could not be read
        compact(table, partitions=partitions, full=True, user=user)
    made = on_newest(table, lambda snapshot: _rewritten(table, snapshot, number, partitions, user))
    if made is None:
        return None
    messages, new = made
    with discarded_unless_committed(table, new, user=user):
        rescaled = commit(table, [*messages, *new], user=user)
    touched = {message.partition for message in messages}
    return compact(table, partitions=touched.__contains__, full=True, user=user) or rescaled


def _rewritten(
    table: Table, snapshot: Snapshot | None, number: int, partitions: Callable[[bytes], bool] | None, user: str
) -> tuple[list[CommitMessage], list[CommitMessage]] | None:
    """What takes the old files of the partitions away, and what brings their rows back in `number` buckets."""
    old = [e for e in live_files(table, snapshot, partitions) if e.bucket != POSTPONE_BUCKET]
    touched = {entry.partition for entry in old if entry.total_buckets != number}
    old = [entry for entry in old if entry.partition in touched]
    if not old:
        return None
    assigner: Assigner = FixedAssigner(table)
    if table.bucket_mode is BucketMode.POSTPONED:
        assigner = NumberedAssigner(table, dict.fromkeys(touched, number))
    plan = plan_scan(table, snapshot)
    splits = tuple(split for split in plan.splits if split.partition in touched)
    with TableWriter(table, user=user, overwrite=True, assigner=assigner) as writer:
        for part in fragments(table, ScanPlan(snapshot, splits)):
            for batch in part.to_batches(None, None):
                writer.write(pa.Table.from_batches([batch]))
        return _messages(table, snapshot, old), writer.prepare_commit(compact=False)


def _number(table: Table, bucket_num: int | None) -> int:
    mode, name = table.bucket_mode, table.identifier
    if mode not in (BucketMode.FIXED, BucketMode.POSTPONED):
        raise ProgrammingError(
            f"table `{name}` has 'bucket' = '{table.options.bucket}', so its buckets have no number to change"
        )
    if bucket_num is not None and not 1 <= bucket_num <= BUCKETS_MAX:
        raise ProgrammingError(f"procedure rescale: `bucket_num` is {bucket_num}; use 1 to {BUCKETS_MAX}")
    if mode is BucketMode.FIXED:
        if bucket_num not in (None, table.options.bucket):
            raise ProgrammingError(
                f"table `{name}` has 'bucket' = '{table.options.bucket}', so its partitions cannot get {bucket_num} "
                f"buckets; ALTER TABLE `{name.name}` SET ('bucket' = '{bucket_num}') first"
            )
        return table.options.bucket
    if bucket_num is None:
        raise ProgrammingError(f"table `{name}` has 'bucket' = '-2': procedure rescale needs `bucket_num`")
    return bucket_num


def _messages(table: Table, snapshot: Snapshot | None, old: Iterable[ManifestEntry]) -> list[CommitMessage]:
    """What takes the old files and their indexes away."""
    buckets: dict[tuple[bytes, int], list[ManifestEntry]] = {}
    for entry in old:
        buckets.setdefault((entry.partition, entry.bucket), []).append(entry)
    indexes = index_entries(table, snapshot)
    return [
        CommitMessage(
            partition,
            bucket,
            members[0].total_buckets,
            deleted_files=tuple(entry.file for entry in members),
            deleted_index_files=tuple(e.file for e in indexes if (e.partition, e.bucket) == (partition, bucket)),
        )
        for (partition, bucket), members in buckets.items()
    ]
