"""Expiring snapshots and changelogs: the oldest go, with every file that only they need.

Data files go first and snapshot files last, so that what a crash leaves behind is found again the next time. Files that
a kept OVERWRITE has replaced stay until that snapshot expires, because its stream consists of them. No snapshot goes
that a consumer, or a reader of this process, has still to read.
Source: Paimon, `ExpireSnapshotsImpl`, `ExpireChangelogImpl` and `SnapshotDeletion`.
"""

from collections.abc import Sequence

from tsdb.errors import OperationalError
from tsdb.metadata.snapshot import Snapshot
from tsdb.table.changelog import (
    Retention,
    changelog_ids,
    changelog_path,
    changelog_retention,
    find_changelog,
    keep_changelog,
    write_hints,
)
from tsdb.table.consumer import consumers
from tsdb.table.hold import first_held_id
from tsdb.table.newest import TRIES_MAX, is_missing
from tsdb.table.reference import (
    change_files,
    data_files,
    delete_empty_directories,
    delete_files,
    earliest_whole,
    left_change_files,
    left_entries,
    left_metadata_files,
    live_data_files,
    metadata_files,
    needed_elsewhere,
    replaced_data_files,
)
from tsdb.table.table import Table


def expire_snapshots(table: Table, keep: Retention) -> int:
    """Expire what may go; how many snapshots went. Their changes stay where the options keep changelogs longer."""
    for _ in range(TRIES_MAX - 1):
        earliest = table.snapshots.earliest_id()
        try:
            return _expire(table, keep)
        except OperationalError as err:
            if not is_missing(err) or table.snapshots.earliest_id() == earliest:
                raise  # else another process expires them, too
    return _expire(table, keep)


def _expire(table: Table, keep: Retention) -> int:
    table.snapshots.forget()  # a tag of the same name, a rollback: other processes may have changed what is there
    earliest, latest = table.snapshots.earliest_id(), table.snapshots.latest_id()
    if earliest is None or latest is None:
        return 0
    end = first_kept(table, keep, earliest, latest)
    if end > earliest:
        _expire_until(table, earliest, end)
    return max(0, end - earliest)


def first_kept(table: Table, keep: Retention, earliest: int, latest: int) -> int:
    """The id of the first snapshot that stays."""
    start = max(latest - keep.retain_max + 1, earliest)
    end = min(latest - max(keep.retain_min, 1) + 1, earliest + keep.max_deletes)
    if end <= earliest:
        return earliest
    end = min(end, first_read(table, end))
    for snapshot_id in range(start, end):
        if table.snapshots.snapshot(snapshot_id).time_millis >= keep.older_than_ms:
            return snapshot_id
    return max(end, earliest)


def first_read(table: Table, otherwise: int) -> int:
    """The first snapshot that anybody known has still to read."""
    held = first_held_id(table)
    return min([otherwise if held is None else held, *consumers(table).values()])


def expire_changelogs(table: Table, keep: Retention) -> int:
    """Expire changelogs that have outlived their snapshots long enough; how many went."""
    ids, latest = changelog_ids(table), table.snapshots.latest_id()
    if not ids or latest is None:
        return 0
    start = max(latest - keep.retain_max + 1, ids[0])
    end = min(latest - max(keep.retain_min, 1) + 1, ids[0] + keep.max_deletes, first_read(table, latest))
    gone: list[Snapshot] = []
    for snapshot_id in ids:
        found = find_changelog(table, snapshot_id)
        if snapshot_id >= end or (
            found is not None and snapshot_id >= start and found.time_millis >= keep.older_than_ms
        ):
            break
        if found is not None:
            gone.append(found)
    return drop_changelogs(table, gone)


def drop_changelogs(table: Table, gone: Sequence[Snapshot]) -> int:
    """Delete these changelogs, which are the oldest, and what only they need; how many went."""
    if not gone:
        return 0
    ids = {snapshot.id for snapshot in gone}
    data: set[str] = set()
    metadata: set[str] = set()
    for snapshot in gone:
        more_data, more_metadata = left_change_files(table, snapshot)
        data |= more_data
        metadata |= more_metadata
    kept = [needed_elsewhere(table, ids)]
    first = earliest_whole(table)
    if first is not None:
        kept.append((live_data_files(table, first), metadata_files(table, first)))
        kept.append(change_files(table, first))
    for kept_data, kept_metadata in kept:
        data -= kept_data
        metadata -= kept_metadata
    delete_files(table, data)
    delete_files(table, metadata)
    for snapshot in gone:
        table.file_io.delete(changelog_path(table, snapshot.id))
    write_hints(table)
    return len(gone)


def _expire_until(table: Table, earliest: int, end: int) -> None:
    expired = [table.snapshots.snapshot(i) for i in range(earliest, end) if table.snapshots.exists(i)]
    first = table.snapshots.snapshot(end)
    if changelog_retention(table.options) is not None:
        for snapshot in expired:
            keep_changelog(table, snapshot)
        write_hints(table)
    data: set[str] = set()
    for snapshot in expired:
        data |= replaced_data_files(table, snapshot)
        data |= data_files(table, left_entries(table, snapshot.changelog_manifest_list))
    if first.commit_kind == "OVERWRITE":
        data -= replaced_data_files(table, first)
    else:
        data |= replaced_data_files(table, first)
    data -= live_data_files(table, first)
    metadata = set().union(*(left_metadata_files(table, s) for s in expired)) - metadata_files(table, first)
    kept_data, kept_metadata = needed_elsewhere(table)
    data -= kept_data
    delete_files(table, data)
    delete_files(table, metadata - kept_metadata)
    if table.options.flag("snapshot.clean-empty-directories"):
        delete_empty_directories(table, data)
    for snapshot in expired:
        table.file_io.delete(table.snapshots.path(snapshot.id))
    table.snapshots.write_hint("EARLIEST", end)
    table.snapshots.forget()
