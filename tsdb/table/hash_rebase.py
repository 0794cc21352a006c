"""Two writers that add different keys to one partition with dynamic buckets need not lose against each other.

Who comes second finds other index files than its own were made from. If no key it adds is in another bucket by now, its
keys are added to the files that are there. Law (see `bucket_fill`): two writers that give a bucket to the same new key
have both replaced the index file of one bucket, so it is enough to look at partitions where a file is another.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tsdb.errors import CommitConflict
from tsdb.metadata.index_file import HASH, IndexEntry, IndexFileMeta
from tsdb.metadata.paths import FileNames
from tsdb.metadata.snapshot import Snapshot
from tsdb.table.hash_index import Hashes, read_hashes, write_hashes
from tsdb.table.index_change import IndexChange, index_entries
from tsdb.table.table import Table


def rebased(
    table: Table, latest: Snapshot | None, change: IndexChange, names: FileNames, made: list[str]
) -> IndexChange:
    """The change as it has to be on top of `latest`. made: gets the paths of the index files written for it.

    Raises CommitConflict if another writer has put one of the new keys into another bucket.
    """
    mine = [entry for entry in change.added if entry.file.index_type == HASH]
    if not mine or change.replaced is not None:
        return change
    old = {_slot(entry): entry for entry in change.removed if entry.file.index_type == HASH}
    now = {_slot(entry): entry for entry in index_entries(table, latest) if entry.file.index_type == HASH}
    moved = {entry.partition for entry in mine if _name(now.get(_slot(entry))) != _name(old.get(_slot(entry)))}
    if not moved:
        return change
    added = [entry for entry in change.added if entry.partition not in moved or entry.file.index_type != HASH]
    removed = [entry for entry in change.removed if entry.partition not in moved or entry.file.index_type != HASH]
    for partition in moved:
        there = [entry for entry in now.values() if entry.partition == partition]
        known = {entry.bucket: read_hashes(table, entry.file) for entry in there}
        for entry in mine:
            if entry.partition == partition:
                new = _new_hashes(table, entry, old.get(_slot(entry)), known.get(entry.bucket))
                _check_elsewhere(table, entry.bucket, new, known)
                hashes = np.union1d(known.get(entry.bucket, new), new)
                name = names.new_index_file()
                made.append(table.paths.index(name))
                added.append(replace(entry, file=write_hashes(table, name, hashes)))
                removed += [now[_slot(entry)]] if _slot(entry) in now else []
    return IndexChange(tuple(added), tuple(removed))


def superseded(change: IndexChange, by: IndexChange) -> list[IndexFileMeta]:
    """The index files of a change that are not those of what it became."""
    kept = {entry.file.file_name for entry in by.added}
    return [entry.file for entry in change.added if entry.file.file_name not in kept]


def _new_hashes(table: Table, entry: IndexEntry, old: IndexEntry | None, now: Hashes | None) -> Hashes:
    """The hashes that the writer of the entry adds to what it knew."""
    hashes = read_hashes(table, entry.file)
    if old is None:
        return hashes
    before = read_hashes(table, old.file)
    if now is None or not np.isin(before, now).all():
        raise CommitConflict(
            f"a partition of table `{table.identifier}` has lost its hash index since this commit was prepared: "
            f"another writer has overwritten it; run the statement again"
        )
    return np.setdiff1d(hashes, before)


def _check_elsewhere(table: Table, bucket: int, new: Hashes, known: dict[int, Hashes]) -> None:
    others: Sequence[Hashes] = [hashes for other, hashes in known.items() if other != bucket]
    if others and np.isin(new, np.concatenate(others)).any():
        raise CommitConflict(
            f"another writer has put a key of this commit into another bucket than {bucket} of table "
            f"`{table.identifier}`; run the statement again, and let one job at a time add keys to a partition with "
            f"dynamic buckets"
        )


def _slot(entry: IndexEntry) -> tuple[bytes, int]:
    return entry.partition, entry.bucket


def _name(entry: IndexEntry | None) -> str | None:
    return None if entry is None else entry.file.file_name
