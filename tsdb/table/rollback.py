"""Going back to an older snapshot, and deleting tags: both drop what nobody needs any more.

Source: Paimon, `RollbackHelper` and `TagDeletion`.
"""

from tsdb.metadata.snapshot import Snapshot
from tsdb.table.reference import data_files, delete_files, live_data_files, metadata_files
from tsdb.table.scan import entries_of_list
from tsdb.table.table import Table
from tsdb.table.tag import get_tag, remove_tag_file, tags


def rollback_to(table: Table, target: Snapshot) -> int:
    """Make `target` the newest snapshot; newer snapshots and tags go, with their files. How many snapshots went.

    Snapshots go from the newest on, so that a crash leaves a table that is only less far rolled back. target may have
    expired, if it is that of a tag: then it is the only snapshot left.
    """
    newer = [table.snapshots.snapshot(i) for i in reversed(table.snapshots.ids()) if i > target.id]
    metadata = set().union(*(metadata_files(table, snapshot) for snapshot in newer))
    data: set[str] = set()
    for snapshot in newer:
        for name in (snapshot.delta_manifest_list, snapshot.changelog_manifest_list):
            data |= data_files(table, entries_of_list(table, name))
    for tag in tags(table):
        if tag.snapshot.id > target.id:
            data |= live_data_files(table, tag.snapshot)
            metadata |= metadata_files(table, tag.snapshot)
            remove_tag_file(table, tag.name)
    kept = [target, *(tag.snapshot for tag in tags(table))]
    for snapshot in kept:
        data -= live_data_files(table, snapshot)
        metadata -= metadata_files(table, snapshot)
    for snapshot in newer:
        table.file_io.delete(table.snapshots.path(snapshot.id))
    if not table.snapshots.exists(target.id):
        table.snapshots.try_commit(target)
        table.snapshots.write_hint("EARLIEST", target.id)
    table.snapshots.write_hint("LATEST", target.id)
    delete_files(table, data)
    delete_files(table, metadata)
    table.snapshots.forget()
    return len(newer)


def delete_tag(table: Table, name: str) -> None:
    """Delete a tag; if its snapshot has expired, also what it alone has kept. Raises ProgrammingError without a tag."""
    tag = get_tag(table, name)
    remove_tag_file(table, name)
    if table.snapshots.exists(tag.snapshot.id):
        return
    data, metadata = live_data_files(table, tag.snapshot), metadata_files(table, tag.snapshot)
    kept = [other.snapshot for other in tags(table)]
    earliest = table.snapshots.earliest_id()
    if earliest is not None:
        kept.append(table.snapshots.snapshot(earliest))
    for snapshot in kept:
        data -= live_data_files(table, snapshot)
        metadata -= metadata_files(table, snapshot)
    delete_files(table, data)
    delete_files(table, metadata)
