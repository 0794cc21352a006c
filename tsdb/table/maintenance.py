"""What follows a commit: tags that are due, then snapshots, changelogs, consumers and partitions that are over.

The commit has succeeded whatever becomes of this. What cannot be done now, because a file cannot be deleted or another
process is about the same, is done after a later commit; a table that is 'write-only' leaves all of it to another job.
"""

from collections.abc import Callable

from tsdb import clock
from tsdb.errors import OperationalError, ProgrammingError
from tsdb.metadata.snapshot import Snapshot
from tsdb.options import parse_duration_ms
from tsdb.table.changelog import changelog_retention, snapshot_retention
from tsdb.table.consumer import expire_consumers
from tsdb.table.expire import expire_changelogs, expire_snapshots
from tsdb.table.partition_expire import expired_partitions, partition_life
from tsdb.table.table import Table
from tsdb.table.tag_auto import create_automatic_tags, expire_tags

Drop = Callable[[Callable[[bytes], bool]], object]
_partitions_checked_ms: dict[str, int] = {}


def after_commit(table: Table, snapshot: Snapshot, drop_partitions: Drop) -> None:
    """Do what is due. drop_partitions: commits that the partitions for which it is true are gone."""
    if table.options.write_only:
        return
    for work in (_tags, _consumers, _snapshots):
        try:
            work(table, snapshot)
        except (OSError, OperationalError, ProgrammingError):
            continue
    try:
        _partitions(table, drop_partitions)
    except (OSError, OperationalError):
        return


def _tags(table: Table, snapshot: Snapshot) -> None:
    create_automatic_tags(table, snapshot)
    if table.options.flag("tag.time-expire-enabled") and table.options.get("tag.default-time-retained") is not None:
        expire_tags(table)


def _consumers(table: Table, _: Snapshot) -> None:
    text = table.options.get("consumer.expiration-time")
    if text is not None:
        kept_ms = int(parse_duration_ms(text, "consumer.expiration-time"))
        expire_consumers(table, clock.current().now_ms() - kept_ms)


def _snapshots(table: Table, snapshot: Snapshot) -> None:
    keep = snapshot_retention(table.options)
    earliest = table.snapshots.earliest_id()
    if earliest is None or snapshot.id - earliest < keep.retain_min:
        return
    expire_snapshots(table, keep)
    changelog = changelog_retention(table.options)
    if changelog is not None:
        expire_changelogs(table, changelog)


def _partitions(table: Table, drop_partitions: Drop) -> None:
    life = partition_life(table.options)
    if life is None or not table.schema.partition_keys:
        return
    now_ms = clock.current().now_ms()
    interval_ms = parse_duration_ms(table.options.get("partition.expiration-check-interval") or "")
    last_ms = _partitions_checked_ms.get(table.metadata_path)
    if last_ms is not None and last_ms <= now_ms < last_ms + interval_ms:
        return
    _partitions_checked_ms[table.metadata_path] = now_ms
    gone = expired_partitions(table, life)
    if gone:
        drop_partitions(gone.__contains__)
