"""What a commit does to the index files of a snapshot: the list before, and what of it goes and what comes.

Laws: a bucket has one hash index at most, a data file one deletion vector at most; a deletion vector is of a live data
file; whoever replaces an index file has read that very file. A commit that would break one has lost against another
writer. Source: Paimon, `IndexManifestFileHandler` and `ConflictDetection`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tsdb.errors import CommitConflict
from tsdb.metadata.index_file import DELETION_VECTORS, HASH, IndexEntry, read_index_manifest
from tsdb.metadata.manifest import ADD, DELETE, ManifestEntry
from tsdb.metadata.snapshot import Snapshot
from tsdb.table.bucket import BucketMode
from tsdb.table.commit_message import CommitMessage
from tsdb.table.scan import live_files
from tsdb.table.table import Table


@dataclass(frozen=True, slots=True)
class IndexChange:
    """Index files that come and go. replaced: partitions of which nothing stays (an overwrite)."""

    added: tuple[IndexEntry, ...] = ()
    removed: tuple[IndexEntry, ...] = ()
    replaced: Callable[[bytes], bool] | None = None

    def __bool__(self) -> bool:
        """Whether there is any change that does not depend on the snapshot."""
        return bool(self.added or self.removed)

    @property
    def has_deletions(self) -> bool:
        """Whether rows are deleted by it."""
        return any(entry.file.index_type == DELETION_VECTORS for entry in (*self.added, *self.removed))


def appended_index(messages: Sequence[CommitMessage]) -> IndexChange:
    """What goes with the new files of the messages."""
    added = [IndexEntry(m.partition, m.bucket, file) for m in messages for file in m.new_index_files]
    removed = [IndexEntry(m.partition, m.bucket, file) for m in messages for file in m.deleted_index_files]
    return IndexChange(tuple(added), tuple(removed))


def compacted_index(messages: Sequence[CommitMessage]) -> IndexChange:
    """What goes with the compacted files of the messages."""
    added = [IndexEntry(m.partition, m.bucket, file) for m in messages for file in m.compact_new_index_files]
    removed = [IndexEntry(m.partition, m.bucket, file) for m in messages for file in m.compact_deleted_index_files]
    return IndexChange(tuple(added), tuple(removed))


def index_after(
    table: Table, latest: Snapshot | None, entries: Sequence[ManifestEntry], change: IndexChange
) -> list[IndexEntry] | None:
    """All index files after the change; None: those of `latest` stay as they are.

    entries: the data files that the same commit adds and deletes. Raises CommitConflict.
    """
    before = index_entries(table, latest)
    if not change and not before:
        return None
    replaced = change.replaced
    left = {_name(e): e for e in before if replaced is None or not replaced(e.partition)}
    for entry in change.removed:
        if left.pop(_name(entry), None) is None and (replaced is None or not replaced(entry.partition)):
            raise CommitConflict(
                f"index file {entry.file.file_name} of table `{table.identifier}`, which this commit replaces, is no "
                f"longer there: another writer has changed the same bucket; run the statement again"
            )
    slots = {slot for entry in left.values() if (slot := _slot(table, entry)) is not None}
    for entry in change.added:
        slot = _slot(table, entry)
        if slot in slots:
            raise CommitConflict(
                f"bucket {entry.bucket} of table `{table.identifier}` has another index file of type "
                f"{entry.file.index_type} than this commit knows: another writer made it; run the statement again"
            )
        if slot is not None:
            slots.add(slot)
        left[_name(entry)] = entry
    after = list(left.values())
    _check_deletions(table, latest, entries, after, change)
    return None if after == before else after


def index_entries(table: Table, snapshot: Snapshot | None) -> list[IndexEntry]:
    """All index files of a snapshot."""
    if snapshot is None or snapshot.index_manifest is None:
        return []
    return read_index_manifest(table.file_io, table.paths.manifest(snapshot.index_manifest))


def _name(entry: IndexEntry) -> tuple[bytes, int, str, str]:
    return entry.partition, entry.bucket, entry.file.index_type, entry.file.file_name


def _slot(table: Table, entry: IndexEntry) -> tuple[bytes, int, str] | None:
    """The place in which there is one index file only; None: there may be any number."""
    kind = entry.file.index_type
    is_bucketed = kind == HASH or (kind == DELETION_VECTORS and _has_buckets(table))
    return (entry.partition, entry.bucket, kind) if is_bucketed else None


def _has_buckets(table: Table) -> bool:
    return table.is_primary_key or table.bucket_mode is not BucketMode.UNAWARE


def _check_deletions(
    table: Table,
    latest: Snapshot | None,
    entries: Sequence[ManifestEntry],
    after: Sequence[IndexEntry],
    change: IndexChange,
) -> None:
    """Every deletion vector that the commit brings is of a live file, none stays for a file that it deletes."""
    kept = {(e.partition, e.bucket, e.file.file_name) for e in entries if e.kind == ADD}
    gone = {(e.partition, e.bucket, e.file.file_name) for e in entries if e.kind == DELETE} - kept
    seen: set[tuple[bytes, int, str]] = set()
    for entry in after:
        for name in entry.file.deletion_ranges:
            place = (entry.partition, entry.bucket, name)
            if place in gone or place in seen:
                raise CommitConflict(
                    f"rows of file {name} of table `{table.identifier}` have been deleted by another writer; "
                    f"run the statement again"
                )
            seen.add(place)
    brought = {(e.partition, e.bucket, name) for e in change.added for name in e.file.deletion_ranges} - kept
    if brought:
        touched = {partition for partition, _, _ in brought}
        live = {(e.partition, e.bucket, e.file.file_name) for e in live_files(table, latest, touched.__contains__)}
        for _, _, name in brought - live:
            raise CommitConflict(
                f"file {name} of table `{table.identifier}`, of which this commit deletes rows, is no longer there: "
                f"another writer has compacted, overwritten or deleted it; run the statement again"
            )
