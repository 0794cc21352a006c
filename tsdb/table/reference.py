"""Which files a snapshot needs, by path: its manifests and lists, its indexes, its live data files.

A file that is no longer live never becomes live again, and a manifest that a snapshot has left out is in no later one.
So what is needed by none of a row of consecutive snapshots is found by comparing with the next one, and with what
keeps files beside the snapshots: tags, changelogs that outlive their snapshots, other branches, running readers.
"""

from collections.abc import Callable, Collection, Iterable, Sequence

from tsdb.errors import CorruptFile
from tsdb.metadata.index_file import read_index_manifest
from tsdb.metadata.manifest import DELETE, ManifestEntry, read_manifest_list
from tsdb.metadata.snapshot import Snapshot
from tsdb.table.changelog import changelogs, consists_of_delta
from tsdb.table.hold import held_snapshots
from tsdb.table.scan import entries_of_list, live_files, partition_values
from tsdb.table.table import MAIN_BRANCH, Identifier, Table, open_table
from tsdb.table.tag import tags


def metadata_files(table: Table, snapshot: Snapshot) -> set[str]:
    """Manifest lists, manifests, the index manifest and index files, statistics."""
    names = (snapshot.base_manifest_list, snapshot.delta_manifest_list, snapshot.changelog_manifest_list)
    return _listed(table, names) | _indexes_and_statistics(table, snapshot)


def _indexes_and_statistics(table: Table, snapshot: Snapshot) -> set[str]:
    paths: set[str] = set()
    if snapshot.index_manifest is not None:
        path = table.paths.manifest(snapshot.index_manifest)
        paths.add(path)
        for entry in read_index_manifest(table.file_io, path):
            paths.add(table.paths.of_index(entry.file))
    if snapshot.statistics is not None:
        paths.add(f"{table.path}/statistics/{snapshot.statistics}")
    return paths


def live_data_files(table: Table, snapshot: Snapshot) -> set[str]:
    """The data files of the snapshot, with their file indexes."""
    return data_files(table, live_files(table, snapshot))


def data_files(table: Table, entries: Iterable[ManifestEntry]) -> set[str]:
    """The files of the entries, with those that lie beside them."""
    directories: dict[tuple[bytes, int], str] = {}
    paths: set[str] = set()
    for entry in entries:
        place = (entry.partition, entry.bucket)
        if place not in directories:
            values = dict(zip(table.schema.partition_keys, partition_values(table, entry.partition), strict=True))
            directories[place] = table.paths.bucket(values, entry.bucket)
        file = entry.file
        paths.update(file.paths(directories[place]))
    return paths


def left_entries(table: Table, manifest_list: str | None) -> list[ManifestEntry]:
    """The entries of a list of a snapshot that is expiring; none if a stopped expiration has deleted it before.

    Data files are deleted before the metadata that names them, so those of a list that is gone are gone.
    """
    try:
        return entries_of_list(table, manifest_list)
    except CorruptFile as err:
        if isinstance(err.__cause__, FileNotFoundError):
            return []
        raise


def left_metadata_files(table: Table, snapshot: Snapshot) -> set[str]:
    """The same of `metadata_files`."""
    names = (snapshot.base_manifest_list, snapshot.delta_manifest_list, snapshot.changelog_manifest_list)
    paths = set().union(*(_left_listed(table, name) for name in names))
    return paths | _left(lambda: _indexes_and_statistics(table, snapshot))


def left_change_files(table: Table, snapshot: Snapshot) -> tuple[set[str], set[str]]:
    """The same of `change_files`."""
    names = [snapshot.changelog_manifest_list]
    if consists_of_delta(table, snapshot):
        names.append(snapshot.delta_manifest_list)
    data = set().union(*(data_files(table, left_entries(table, name)) for name in names))
    return data, set().union(*(_left_listed(table, name) for name in names))


def _left_listed(table: Table, name: str | None) -> set[str]:
    return set() if name is None else {table.paths.manifest(name), *_left(lambda: _listed(table, [name]))}


def _left(find: Callable[[], set[str]]) -> set[str]:
    try:
        return find()
    except CorruptFile as err:
        if isinstance(err.__cause__, FileNotFoundError):
            return set()
        raise


def replaced_data_files(table: Table, snapshot: Snapshot) -> set[str]:
    """What the snapshot itself has taken out."""
    entries = left_entries(table, snapshot.delta_manifest_list)
    return data_files(table, (entry for entry in entries if entry.kind == DELETE))


def change_files(table: Table, snapshot: Snapshot) -> tuple[set[str], set[str]]:
    """What a stream over this one snapshot reads: data files, metadata files."""
    names = [snapshot.changelog_manifest_list]
    if consists_of_delta(table, snapshot):
        names.append(snapshot.delta_manifest_list)
    data = set().union(*(data_files(table, entries_of_list(table, name)) for name in names))
    return data, _listed(table, names)


def history_files(table: Table, snapshots: Sequence[Snapshot]) -> tuple[set[str], set[str]]:
    """What consecutive snapshots need, their streams included: data files, metadata files."""
    data: set[str] = set()
    metadata: set[str] = set()
    for i, snapshot in enumerate(snapshots):
        data |= live_data_files(table, snapshot) if i == 0 else set()
        for name in (snapshot.delta_manifest_list, snapshot.changelog_manifest_list):
            streamed = i > 0 or snapshot.commit_kind == "OVERWRITE"  # what an overwrite has replaced expires with it
            data |= data_files(table, (e for e in entries_of_list(table, name) if streamed or e.kind != DELETE))
        metadata |= metadata_files(table, snapshot)
    return data, metadata


def earliest_whole(table: Table) -> Snapshot | None:
    """The earliest snapshot that has all of its metadata: a stopped expiration leaves some without."""
    for snapshot_id in table.snapshots.ids():
        snapshot = table.snapshots.snapshot(snapshot_id)
        lists = (snapshot.base_manifest_list, snapshot.delta_manifest_list)
        paths = set().union(*(_left_listed(table, name) for name in lists))
        if all(map(table.file_io.exists, paths)):
            return snapshot
    return None


def needed_elsewhere(
    table: Table, dropped: Collection[int] = (), dropped_tags: Collection[str] = ()
) -> tuple[set[str], set[str]]:
    """What the snapshots of this branch share with others: its tags, its changelogs, readers, and other branches.

    Data files, metadata files. One that cannot be read is an error: then nothing may be deleted. dropped,
    dropped_tags: changelogs and tags of this branch that do not count.
    """
    data, metadata = _needed_beside(table, dropped, dropped_tags)
    for name in [MAIN_BRANCH, *branch_names(table)]:
        other = None if name == table.branch else on_branch(table, name)
        if other is not None:
            snapshots = [other.snapshots.snapshot(i) for i in other.snapshots.ids()]
            for more_data, more_metadata in (_needed_beside(other), history_files(other, snapshots)):
                data |= more_data
                metadata |= more_metadata
    return data, metadata


def branch_names(table: Table) -> list[str]:
    """The branches of a table but `main`, sorted."""
    files = table.file_io.list_files(f"{table.path}/branch")
    found = [f for f in files if f.is_dir and f.name.startswith("branch-")]
    return sorted(f.name.removeprefix("branch-") for f in found if table.file_io.list_files(f"{f.path}/schema"))


def on_branch(table: Table, name: str) -> Table | None:
    """The table as another branch has it, with that branch's schema and options; None if there is none."""
    base = table.identifier.name.partition("$branch_")[0]
    name_of_branch = base if name == MAIN_BRANCH else f"{base}$branch_{name}"
    identifier = Identifier(table.identifier.database, name_of_branch)
    return open_table(table.file_io, identifier, table.path, name)


def _needed_beside(
    table: Table, dropped: Collection[int] = (), dropped_tags: Collection[str] = ()
) -> tuple[set[str], set[str]]:
    data: set[str] = set()
    metadata: set[str] = set()
    kept = [tag.snapshot for tag in tags(table) if tag.name not in dropped_tags]
    for snapshot in [*kept, *held_snapshots(table)]:
        data |= live_data_files(table, snapshot)
        metadata |= metadata_files(table, snapshot)
    for snapshot in (changelog for changelog in changelogs(table) if changelog.id not in dropped):
        more_data, more_metadata = change_files(table, snapshot)
        data |= more_data
        metadata |= more_metadata
    return data, metadata


def _listed(table: Table, names: Iterable[str | None]) -> set[str]:
    """Manifest lists and their manifests."""
    paths: set[str] = set()
    for name in names:
        if name is not None:
            path = table.paths.manifest(name)
            paths.add(path)
            paths.update(table.paths.manifest(meta.file_name) for meta in read_manifest_list(table.file_io, path))
    return paths


def delete_files(table: Table, paths: Iterable[str]) -> int:
    """Delete the files, in order of their names; how many there were to delete."""
    count = 0
    for path in sorted(paths):
        table.file_io.delete(path)
        count += 1
    return count


def delete_empty_directories(table: Table, files: Iterable[str]) -> None:
    """Delete the buckets of deleted files, and then their partitions, if nothing is in them any more."""
    depth = len(table.schema.partition_keys)
    directories = {path.rpartition("/")[0] for path in files}
    for _ in range(depth + 1):
        inside = {path for path in directories if path.startswith(f"{table.path}/")}
        for path in sorted(inside):
            table.file_io.delete_empty_dir(path)
        directories = {path.rpartition("/")[0] for path in inside}
