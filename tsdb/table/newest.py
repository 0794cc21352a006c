"""Working on the newest snapshot while other processes expire: a snapshot that goes under one's feet is no failure.

Expiration deletes data files first, then manifests, then the snapshot file. So who misses a file of a snapshot that is
no longer the newest looks at the newest one instead, which is never expired; who reads a given snapshot is told.
"""

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from tsdb.errors import DatabaseError, OperationalError, SnapshotExpired
from tsdb.metadata.manifest import ManifestEntry
from tsdb.metadata.snapshot import Snapshot, SnapshotNotFound
from tsdb.table.scan import live_files
from tsdb.table.table import Table

TRIES_MAX = 10
_Result = TypeVar("_Result")


def on_newest(table: Table, work: Callable[[Snapshot | None], _Result]) -> _Result:
    """What the work gives for the newest snapshot; it is done again when that expires meanwhile.

    work: leaves nothing behind when it raises.
    """
    for _ in range(TRIES_MAX - 1):
        snapshot = table.latest_snapshot()
        try:
            return work(snapshot)
        except OperationalError as err:
            if not is_overtaken(table, snapshot, err):
                raise
    return work(table.latest_snapshot())


def newest_files(table: Table, partitions: Callable[[bytes], bool] | None = None) -> list[ManifestEntry]:
    """The live files of the newest snapshot. partitions: which serialized partitions (None: all)."""
    return on_newest(table, lambda snapshot: live_files(table, snapshot, partitions))


def is_overtaken(table: Table, snapshot: Snapshot | None, err: BaseException) -> bool:
    """Whether the error is that of a missing file, and the snapshot that it belongs to is not the newest any more."""
    return snapshot is not None and is_missing(err) and table.snapshots.latest_id() != snapshot.id


def expired(seen: Iterable[tuple[Table, Snapshot]], err: DatabaseError) -> SnapshotExpired | None:
    """The error to raise in the place of one that was met while snapshots were read; None if none has expired."""
    # DataFusion and Arrow have it in their text only
    if not is_missing(err) and re.search(r"No such file|[nN]ot found|is missing", str(err)) is None:
        return None
    for table, snapshot in seen:
        if not table.snapshots.exists(snapshot.id):
            return SnapshotExpired(
                f"snapshot {snapshot.id} of table `{table.identifier}` has expired while it was read; run the query "
                f"again, and keep snapshots for longer than queries take with 'snapshot.time-retained' or "
                f"'snapshot.num-retained.min', or this one with a tag"
            )
        if table.snapshots.latest_id() != snapshot.id:
            return SnapshotExpired(
                f"snapshot {snapshot.id} of table `{table.identifier}` is being expired while it is read, or has lost "
                f"a file: {err}; run the query again, and keep snapshots for longer than queries take with "
                f"'snapshot.time-retained' or 'snapshot.num-retained.min', or this one with a tag"
            )
    return None


def is_missing(err: BaseException) -> bool:
    """Whether the error is that of a missing file."""
    return isinstance(err, SnapshotNotFound) or isinstance(err.__cause__, FileNotFoundError)
