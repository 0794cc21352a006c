"""Publishing a snapshot: the atomic step of a commit, and the two ways in which its outcome can deceive.

An error of the file system says nothing of the outcome; the file is looked at. And an id is free also when another has
published it and it has expired since, while this writer stood still: then the file can be made, but nobody reads it.
Law: expiration deletes ascending ids and never the newest one. So the id was never used if the snapshot before it is
still there, or none after it is; else the one after it tells whether it was made on top of this one.
"""

from collections.abc import Iterable

from tsdb.errors import CorruptFile
from tsdb.metadata.manifest import ADD, Identity, ManifestEntry, fold
from tsdb.metadata.snapshot import Snapshot, SnapshotNotFound
from tsdb.table.scan import entries_of_list, live_files
from tsdb.table.table import Table


def try_publish(table: Table, snapshot: Snapshot) -> bool:
    """Whether the snapshot is now part of the table; if not, another writer was faster."""
    if _may_be_late(table, snapshot) and (table.snapshots.latest_id() or 0) >= snapshot.id:
        return False
    try:
        if not table.snapshots.try_commit(snapshot):
            return False
    except OSError:
        if not table.snapshots.exists(snapshot.id):
            raise
        if not _is_there(table, snapshot):
            return False
    if _may_be_late(table, snapshot) and _is_late(table, snapshot):
        table.file_io.delete(table.snapshots.path(snapshot.id))
        table.snapshots.forget()
        return False
    table.snapshots.announce(snapshot)
    return True


def _may_be_late(table: Table, snapshot: Snapshot) -> bool:
    return snapshot.id == 1 or not table.snapshots.exists(snapshot.id - 1)


def _is_late(table: Table, snapshot: Snapshot) -> bool:
    """Whether the history has gone on without the snapshot that was published."""
    if max(table.snapshots.ids(), default=0) <= snapshot.id:
        return False
    try:
        table.snapshots.forget()
        following = table.snapshots.snapshot(snapshot.id + 1)
        before = _identities(fold(entries_of_list(table, following.base_manifest_list)))
        return before != _identities(live_files(table, snapshot))
    except (SnapshotNotFound, CorruptFile):
        # expired, or about to: had it been made on top of this one, this one would have gone before it
        return not table.snapshots.exists(snapshot.id + 1) and _is_there(table, snapshot)


def _is_there(table: Table, snapshot: Snapshot) -> bool:
    """Whether the file of that id is the one of this snapshot."""
    table.snapshots.forget()
    try:
        return table.snapshots.snapshot(snapshot.id).delta_manifest_list == snapshot.delta_manifest_list
    except SnapshotNotFound:
        return False


def _identities(entries: Iterable[ManifestEntry]) -> set[Identity]:
    return {entry.identity for entry in entries if entry.kind == ADD}
