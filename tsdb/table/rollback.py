"""Going back to an older snapshot, and deleting tags: both drop what nobody needs any more.

Source: Paimon, `RollbackHelper` and `TagDeletion`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tsdb.errors import OperationalError, SnapshotExpired
from tsdb.metadata.snapshot import Snapshot
from tsdb.table.changelog import changelog_ids, changelog_path, write_hints
from tsdb.table.newest import TRIES_MAX, is_missing
from tsdb.table.reference import (
    data_files,
    delete_files,
    earliest_whole,
    live_data_files,
    metadata_files,
    needed_elsewhere,
)
from tsdb.table.scan import entries_of_list
from tsdb.table.table import Table
from tsdb.table.tag import get_tag, remove_tag_file, tags


def rollback_to(table: Table, target: Snapshot, *, replaces: bool = False) -> int:
    """Make `target` the newest snapshot; newer snapshots and tags go, with their files. How many snapshots went.

    Snapshots go from the newest on, so that a crash leaves a table that is only less far rolled back. target may have
    expired, if it is that of a tag: then it is the only snapshot left. replaces: target is of another branch, and
    takes the place of what has its id here. Raises SnapshotExpired if it expires meanwhile.
    """
    for _ in range(TRIES_MAX - 1):
        newer_ids = _newer_ids(table, target)
        try:
            plan = _plan(table, target, newer_ids, replaces)
        except OperationalError as err:
            if is_missing(err) and not _is_there(table, target, replaces):
                raise _expired(table, target) from err
            if not is_missing(err) or _newer_ids(table, target) == newer_ids:
                raise
            continue
        # others may have committed and expired while all was read; from here on nothing but changes
        if _newer_ids(table, target) == newer_ids and _is_there(table, target, replaces):
            break
    else:
        plan = _plan(table, target, _newer_ids(table, target), replaces)
    _roll_back(table, target, plan)
    return len(plan.newer)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What goes: snapshots (newest first), tags, changelogs, data files, metadata files. comes_back: target has to be
    made a snapshot again, or another is in its place.
    """

    newer: Sequence[Snapshot]
    tags: Sequence[str]
    changelogs: Sequence[int]
    data: set[str]
    metadata: set[str]
    comes_back: bool


def _newer_ids(table: Table, target: Snapshot) -> list[int]:
    return [i for i in reversed(table.snapshots.ids()) if i > target.id]


def _is_there(table: Table, target: Snapshot, replaces: bool) -> bool:
    """Whether the snapshot has not expired, or a tag or another branch keeps its files."""
    return replaces or table.snapshots.exists(target.id) or any(tag.snapshot == target for tag in tags(table))


def _expired(table: Table, target: Snapshot) -> SnapshotExpired:
    return SnapshotExpired(
        f"snapshot {target.id} of table `{table.identifier}` has expired, so the table cannot go back to it; it is as "
        "it was"
    )


def _plan(table: Table, target: Snapshot, newer_ids: Sequence[int], replaces: bool) -> _Plan:
    if not _is_there(table, target, replaces):
        raise _expired(table, target)
    newer = [table.snapshots.snapshot(i) for i in newer_ids]
    gone, comes_back = list(newer), True
    if table.snapshots.exists(target.id):
        here = table.snapshots.snapshot(target.id)
        comes_back = replaces and here != target
        gone += [here] if comes_back else []
    metadata = set().union(*(metadata_files(table, snapshot) for snapshot in gone))
    data: set[str] = set()
    for snapshot in gone:
        for name in (snapshot.delta_manifest_list, snapshot.changelog_manifest_list):
            data |= data_files(table, entries_of_list(table, name))
    newer_tags = [tag for tag in tags(table) if tag.snapshot.id > target.id]
    for tag in newer_tags:
        data |= live_data_files(table, tag.snapshot)
        metadata |= metadata_files(table, tag.snapshot)
    changelogs = [snapshot_id for snapshot_id in reversed(changelog_ids(table)) if snapshot_id >= target.id]
    kept_data, kept_metadata = needed_elsewhere(table, set(changelogs), {tag.name for tag in newer_tags})
    data -= kept_data | live_data_files(table, target)
    metadata -= kept_metadata | metadata_files(table, target)
    return _Plan(newer, [tag.name for tag in newer_tags], changelogs, data, metadata, comes_back)


def _roll_back(table: Table, target: Snapshot, plan: _Plan) -> None:
    for name in plan.tags:
        remove_tag_file(table, name)
    for snapshot_id in plan.changelogs:
        table.file_io.delete(changelog_path(table, snapshot_id))
        write_hints(table)
    if plan.comes_back and not table.snapshots.exists(target.id):
        # before the others go, so that the table is never without a snapshot
        table.snapshots.try_commit(target)
        table.snapshots.write_hint("EARLIEST", target.id)
    for snapshot in plan.newer:
        table.file_io.delete(table.snapshots.path(snapshot.id))
    if plan.comes_back:
        table.file_io.replace(table.snapshots.path(target.id), target.to_json().encode())
    table.snapshots.write_hint("LATEST", target.id)
    table.snapshots.forget()
    delete_files(table, plan.data)
    delete_files(table, plan.metadata)


def delete_tag(table: Table, name: str) -> None:
    """Delete a tag; if its snapshot has expired, also what it alone has kept. Raises ProgrammingError without a tag."""
    tag = get_tag(table, name)
    remove_tag_file(table, name)
    drop_unneeded(table, tag.snapshot)


def drop_unneeded(table: Table, snapshot: Snapshot) -> None:
    """After the tag of a snapshot is gone: delete its files if nothing else needs them."""
    if table.snapshots.exists(snapshot.id):
        return
    data, metadata = needed_elsewhere(table)
    first = earliest_whole(table)
    if first is not None:
        data |= live_data_files(table, first)
        metadata |= metadata_files(table, first)
    unneeded_data, unneeded = live_data_files(table, snapshot) - data, metadata_files(table, snapshot) - metadata
    delete_files(table, unneeded_data)
    delete_files(table, unneeded)
