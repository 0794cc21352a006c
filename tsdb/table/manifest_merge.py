"""Keeping the number of manifests bounded: small neighbours are joined, and many changes are folded away.

Minor: consecutive manifests are joined up to 'manifest.target-file-size'; a rest is joined once it has
'manifest.merge-min-count' members. Full: when manifests that hold deletions, or are small, come to
'manifest.full-compaction-threshold-size', they are rewritten without the pairs of ADD and DELETE that cancel.
Both keep the fold of all manifests, in order, the same. Source: Paimon, `ManifestFileMerger`.
"""

from collections.abc import Callable, Sequence

from tsdb.metadata.manifest import (
    ADD,
    DELETE,
    ManifestEntry,
    ManifestFileMeta,
    fold,
    read_manifest,
    write_manifest,
)
from tsdb.metadata.paths import FileNames
from tsdb.options import parse_size
from tsdb.table.table import Table

ENTRIES_PER_MANIFEST = 50_000
Write = Callable[[Sequence[ManifestEntry]], ManifestFileMeta]


def merge_manifests(
    table: Table, metas: Sequence[ManifestFileMeta], names: FileNames, made: list[str]
) -> list[ManifestFileMeta]:
    """The same table state in fewer manifests. made: gets the paths of those that are written here."""
    write = _writer(table, names, made)
    target = _size(table, "manifest.target-file-size")
    changed = [m for m in metas if m.num_deleted_files or m.file_size < target]
    if sum(m.file_size for m in changed) >= _size(table, "manifest.full-compaction-threshold-size"):
        return _merge_fully(table, metas, set(changed), write)
    return _merge_neighbours(table, metas, target, table.options.integer("manifest.merge-min-count"), write)


def merge_all_manifests(
    table: Table, metas: Sequence[ManifestFileMeta], names: FileNames, made: list[str]
) -> list[ManifestFileMeta]:
    """The same table state in as few manifests as it takes, without what cancels; `metas` itself if that is so."""
    target = _size(table, "manifest.target-file-size")
    changed = {m for m in metas if m.num_deleted_files or m.file_size < target}
    if not any(m.num_deleted_files for m in metas) and len(changed) < 2:
        return list(metas)
    return _merge_fully(table, metas, changed, _writer(table, names, made))


def _writer(table: Table, names: FileNames, made: list[str]) -> Write:
    def write(entries: Sequence[ManifestEntry]) -> ManifestFileMeta:
        path = table.paths.manifest(names.new_manifest())
        made.append(path)
        return write_manifest(table.file_io, path, entries, table.schema, table.manifest_codec)

    return write


def _merge_neighbours(
    table: Table, metas: Sequence[ManifestFileMeta], target: int, count_min: int, write: Write
) -> list[ManifestFileMeta]:
    result: list[ManifestFileMeta] = []
    group: list[ManifestFileMeta] = []
    size = 0
    for meta in metas:
        group.append(meta)
        size += meta.file_size
        if size >= target:
            result += _joined(table, group, write)
            group, size = [], 0
    return result + (_joined(table, group, write) if len(group) >= count_min else group)


def _joined(table: Table, group: Sequence[ManifestFileMeta], write: Write) -> list[ManifestFileMeta]:
    if len(group) < 2:
        return list(group)
    entries = fold(entry for meta in group for entry in _entries(table, meta))
    return [write(entries)] if entries else []


def _merge_fully(
    table: Table, metas: Sequence[ManifestFileMeta], changed: set[ManifestFileMeta], write: Write
) -> list[ManifestFileMeta]:
    """Only manifests with something to drop are rewritten; the rest stay as they are, before the rewritten ones."""
    deleted = {e.identity for m in changed if m.num_deleted_files for e in _entries(table, m) if e.kind == DELETE}
    kept: list[ManifestFileMeta] = []
    rewritten: list[ManifestEntry] = []
    for meta in metas:
        entries = _entries(table, meta)
        if meta in changed or any(entry.identity in deleted for entry in entries):
            rewritten += entries
        else:
            kept.append(meta)
    live = [entry for entry in fold(rewritten) if entry.kind == ADD]
    starts = range(0, len(live), ENTRIES_PER_MANIFEST)
    return kept + [write(live[start : start + ENTRIES_PER_MANIFEST]) for start in starts]


def _entries(table: Table, meta: ManifestFileMeta) -> Sequence[ManifestEntry]:
    return read_manifest(table.file_io, table.paths.manifest(meta.file_name))


def _size(table: Table, key: str) -> int:
    return parse_size(table.options.get(key) or "", key)
