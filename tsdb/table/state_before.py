"""The state that the changes of a snapshot begin with: what who follows from there must know of what was."""

from collections.abc import Iterable

from tsdb.errors import OperationalError
from tsdb.metadata.manifest import ADD, ManifestEntry
from tsdb.metadata.snapshot import Snapshot, SnapshotNotFound
from tsdb.table.deletion_file import deletion_files
from tsdb.table.prune import Pruner
from tsdb.table.scan import DataSplit, entries_of_list, live_files, merged_splits, plan_scan
from tsdb.table.table import Table


def state_before(table: Table, snapshot_id: int) -> tuple[Snapshot, tuple[DataSplit, ...]] | None:
    """The splits of the state before a snapshot, and the snapshot whose files they are; None: nothing was there.

    It is read from the files of the snapshot itself where that is possible, so the one before may have expired.
    Raises OperationalError where that is needed and has.
    """
    if snapshot_id <= 1:
        return None
    table = table.with_options({"deletion-vectors.merge-on-read": "true"})
    try:
        snapshot = table.snapshots.snapshot(snapshot_id)
    except SnapshotNotFound:
        return _all_of(table, snapshot_id - 1, snapshot_id)
    if snapshot.commit_kind not in ("APPEND", "OVERWRITE"):
        return snapshot, plan_scan(table, snapshot).splits
    delta = entries_of_list(table, snapshot.delta_manifest_list)
    if snapshot.commit_kind == "OVERWRITE" or any(entry.kind != ADD for entry in delta):
        return _all_of(table, snapshot_id - 1, snapshot_id)
    added = {_identity(entry) for entry in delta}
    there = [entry for entry in live_files(table, snapshot) if _identity(entry) not in added]
    return snapshot, _merged(table, snapshot, there)


def _all_of(table: Table, snapshot_id: int, following: int) -> tuple[Snapshot, tuple[DataSplit, ...]] | None:
    try:
        snapshot = table.snapshots.snapshot(snapshot_id)
    except SnapshotNotFound as err:
        earliest, latest = table.snapshots.earliest_id(), table.snapshots.latest_id()
        if latest is None or latest < snapshot_id:  # nothing has come yet
            return None
        raise OperationalError(
            f"snapshot {snapshot_id} of table `{table.identifier}` has expired, and without a changelog the changes "
            f"from snapshot {following} on are only known with it: snapshots {earliest} to {latest} are there; start "
            "with the whole state, 'scan.mode' = 'latest-full', and keep snapshots longer with 'snapshot.time-retained'"
        ) from err
    return snapshot, plan_scan(table, snapshot).splits


def _merged(table: Table, snapshot: Snapshot, entries: Iterable[ManifestEntry]) -> tuple[DataSplit, ...]:
    kept = [entry for entry in entries if entry.bucket >= 0]
    return merged_splits(table, kept, Pruner(table, None), deletion_files(table, snapshot))


def _identity(entry: ManifestEntry) -> tuple[bytes, int, int, str]:
    return entry.partition, entry.bucket, entry.file.level, entry.file.file_name
