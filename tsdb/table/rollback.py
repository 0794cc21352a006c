"""Going back to an older snapshot, and deleting tags: both drop what nobody needs any more.

Source: Paimon, `RollbackHelper` and `TagDeletion`.
"""

from tsdb.metadata.snapshot import Snapshot
from tsdb.table.changelog import changelog_ids, changelog_path, write_hints
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
    takes the place of what has its id here.
    """
    newer = [table.snapshots.snapshot(i) for i in reversed(table.snapshots.ids()) if i > target.id]
    gone = list(newer)
    if replaces and table.snapshots.exists(target.id):
        gone += [here for here in (table.snapshots.snapshot(target.id),) if here != target]
    metadata = set().union(*(metadata_files(table, snapshot) for snapshot in gone))
    data: set[str] = set()
    for snapshot in gone:
        for name in (snapshot.delta_manifest_list, snapshot.changelog_manifest_list):
            data |= data_files(table, entries_of_list(table, name))
    for tag in tags(table):
        if tag.snapshot.id > target.id:
            data |= live_data_files(table, tag.snapshot)
            metadata |= metadata_files(table, tag.snapshot)
            remove_tag_file(table, tag.name)
    for snapshot_id in reversed(changelog_ids(table)):
        if snapshot_id >= target.id:
            table.file_io.delete(changelog_path(table, snapshot_id))
            write_hints(table)
    kept_data, kept_metadata = needed_elsewhere(table)
    if not table.snapshots.exists(target.id):
        # before the others go, so that the table is never without a snapshot
        table.snapshots.try_commit(target)
        table.snapshots.write_hint("EARLIEST", target.id)
    for snapshot in newer:
        table.file_io.delete(table.snapshots.path(snapshot.id))
    if len(gone) > len(newer):
        table.file_io.replace(table.snapshots.path(target.id), target.to_json().encode())
    table.snapshots.write_hint("LATEST", target.id)
    table.snapshots.forget()
    delete_files(table, data - kept_data - live_data_files(table, target))
    delete_files(table, metadata - kept_metadata - metadata_files(table, target))
    return len(newer)


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
