"""Expiring snapshots: the oldest go, with every file that only they need.

Data files go first and snapshot files last, so that what a crash leaves behind is found again the next time. Files that
a kept OVERWRITE has replaced stay until that snapshot expires, because its stream consists of them.
Source: Paimon, `ExpireSnapshotsImpl` and `SnapshotDeletion`.
"""

import json
from dataclasses import dataclass

from tsdb import clock
from tsdb.errors import CorruptFile, NotSupportedError, OperationalError
from tsdb.metadata.manifest import DELETE
from tsdb.metadata.snapshot import Snapshot
from tsdb.options import TableOptions, parse_duration_ms
from tsdb.table.reference import data_files, delete_files, live_data_files, metadata_files
from tsdb.table.scan import entries_of_list
from tsdb.table.table import Table
from tsdb.table.tag import tags

_DECOUPLED = ("changelog.num-retained.min", "changelog.num-retained.max", "changelog.time-retained")


@dataclass(frozen=True, slots=True)
class Retention:
    """What is kept: at least retain_min snapshots, at most retain_max, of those all younger than older_than_ms.

    max_deletes: how many may go at once.
    """

    retain_min: int
    retain_max: int
    older_than_ms: int
    max_deletes: int


def retention(options: TableOptions) -> Retention:
    """What the table's options say."""
    kept_ms = parse_duration_ms(options.get("snapshot.time-retained") or "", "snapshot.time-retained")
    return Retention(
        options.integer("snapshot.num-retained.min"),
        options.integer("snapshot.num-retained.max"),
        clock.current().now_ms() - int(kept_ms),
        options.integer("snapshot.expire.limit"),
    )


def expire_snapshots(table: Table, keep: Retention) -> int:
    """Expire what may go; how many snapshots went."""
    earliest, latest = table.snapshots.earliest_id(), table.snapshots.latest_id()
    if earliest is None or latest is None:
        return 0
    if any(key in table.options.values for key in _DECOUPLED):
        raise NotSupportedError(
            f"table `{table.identifier}` keeps changelogs longer than snapshots ('{_DECOUPLED[0]}' …), which is not "
            f"supported yet; let another engine expire its snapshots"
        )
    end = first_kept(table, keep, earliest, latest)
    if end > earliest:
        _expire_until(table, earliest, end)
    return max(0, end - earliest)


def first_kept(table: Table, keep: Retention, earliest: int, latest: int) -> int:
    """The id of the first snapshot that stays."""
    start = max(latest - keep.retain_max + 1, earliest)
    end = min(latest - max(keep.retain_min, 1) + 1, earliest + keep.max_deletes, *_consumers(table))
    for snapshot_id in range(start, end):
        if table.snapshots.snapshot(snapshot_id).time_millis >= keep.older_than_ms:
            return snapshot_id
    return max(end, earliest)


def _expire_until(table: Table, earliest: int, end: int) -> None:
    expired = [table.snapshots.snapshot(i) for i in range(earliest, end) if table.snapshots.exists(i)]
    first = table.snapshots.snapshot(end)
    tagged = [tag.snapshot for tag in tags(table)]
    data: set[str] = set()
    for snapshot in [*expired, *([] if first.commit_kind == "OVERWRITE" else [first])]:
        entries = entries_of_list(table, snapshot.delta_manifest_list)
        data |= data_files(table, (entry for entry in entries if entry.kind == DELETE))
    for snapshot in expired:
        data |= data_files(table, entries_of_list(table, snapshot.changelog_manifest_list))
    data -= live_data_files(table, first)
    if first.commit_kind == "OVERWRITE":
        entries = entries_of_list(table, first.delta_manifest_list)
        data -= data_files(table, (entry for entry in entries if entry.kind == DELETE))
    metadata = set().union(*(metadata_files(table, s) for s in expired)) - metadata_files(table, first)
    for snapshot in tagged:
        data -= live_data_files(table, snapshot)
        metadata -= metadata_files(table, snapshot)
    delete_files(table, data)
    delete_files(table, metadata)
    for snapshot in expired:
        table.file_io.delete(table.snapshots.path(snapshot.id))
    table.snapshots.write_hint("EARLIEST", end)
    table.snapshots.forget()


def _consumers(table: Table) -> list[int]:
    """The next snapshots of all consumers."""
    found = []
    for file in table.file_io.list_files(f"{table.path}/consumer"):
        if file.name.startswith("consumer-"):
            try:
                found.append(int(json.loads(table.file_io.read_bytes(file.path))["nextSnapshot"]))
            except (ValueError, KeyError, TypeError) as err:
                raise CorruptFile(f"consumer file {file.path} cannot be read: {err}") from err
    return found


def expire_if_due(table: Table, snapshot: Snapshot) -> None:
    """Expire after every sixteenth commit, unless the table is 'write-only'; what cannot be deleted now waits."""
    if snapshot.id % EXPIRE_EVERY or table.options.write_only or any(k in table.options.values for k in _DECOUPLED):
        return
    try:
        expire_snapshots(table, retention(table.options))
    except (OSError, OperationalError):
        # the commit has succeeded; another process may be expiring the same snapshots
        return


EXPIRE_EVERY = 16
