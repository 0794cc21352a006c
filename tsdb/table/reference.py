"""Which files a snapshot needs, by path: its manifests and lists, its indexes, its live data files.

A file that is no longer live never becomes live again, and a manifest that a snapshot has left out is in no later one.
So what is needed by none of a row of consecutive snapshots is found by comparing with the next one, and with the tags.
"""

from collections.abc import Iterable

from tsdb.metadata.index_file import read_index_manifest
from tsdb.metadata.manifest import ManifestEntry, read_manifest_list
from tsdb.metadata.snapshot import Snapshot
from tsdb.table.scan import live_files, partition_values
from tsdb.table.table import Table


def metadata_files(table: Table, snapshot: Snapshot) -> set[str]:
    """Manifest lists, manifests, the index manifest and index files, statistics."""
    paths: set[str] = set()
    names = (snapshot.base_manifest_list, snapshot.delta_manifest_list, snapshot.changelog_manifest_list)
    for name in names:
        if name is not None:
            path = table.paths.manifest(name)
            paths.add(path)
            paths.update(table.paths.manifest(meta.file_name) for meta in read_manifest_list(table.file_io, path))
    if snapshot.index_manifest is not None:
        path = table.paths.manifest(snapshot.index_manifest)
        paths.add(path)
        for entry in read_index_manifest(table.file_io, path):
            paths.add(entry.file.external_path or table.paths.index(entry.file.file_name))
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
        paths.add(file.external_path or f"{directories[place]}/{file.file_name}")
        paths.update(f"{directories[place]}/{name}" for name in file.extra_files)
    return paths


def delete_files(table: Table, paths: Iterable[str]) -> int:
    """Delete the files, in order of their names; how many there were to delete."""
    count = 0
    for path in sorted(paths):
        table.file_io.delete(path)
        count += 1
    return count
