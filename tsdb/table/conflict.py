"""What a commit relies on, checked against the latest snapshot.

Files that it deletes are there, partitions keep their number of buckets, and what was a sorted run stays one.

Source: Paimon, `ConflictDetection`.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from itertools import pairwise

from tsdb.errors import CommitConflict, ProgrammingError
from tsdb.mergetree.sorted_run import Key, key_ranges
from tsdb.metadata.manifest import ADD, DELETE, Identity, ManifestEntry
from tsdb.metadata.snapshot import Snapshot
from tsdb.table.bucket import BucketMode
from tsdb.table.scan import POSTPONE_BUCKET, entries_of_list, live_files, partition_values
from tsdb.table.table import Table


def check_conflicts(table: Table, latest: Snapshot | None, entries: Sequence[ManifestEntry], *, replaces: bool) -> None:
    """Raise if the entries cannot be applied to `latest`.

    replaces: they are an INSERT OVERWRITE, so what they add may have another number of buckets than what they delete.
    Raises CommitConflict for a file that is gone and for runs that would overlap, ProgrammingError for another number
    of buckets.
    """
    deletes = [entry for entry in entries if entry.kind == DELETE]
    added_above = any(entry.kind == ADD and entry.file.level > 0 for entry in entries)
    unaware = all(entry.total_buckets < 0 for entry in entries)
    if unaware and not deletes and not added_above:
        return
    touched = {entry.partition for entry in entries}
    live = {entry.identity: entry for entry in live_files(table, latest, touched.__contains__)}
    for entry in deletes:
        if live.pop(entry.identity, None) is None:
            raise CommitConflict(
                f"file {entry.file.file_name} of table `{table.identifier}`, which this commit deletes, is no longer "
                f"there: another writer has compacted, overwritten or deleted it; run the statement again"
            )
    _check_buckets(table, live, entries, replaces)
    if table.is_primary_key and added_above:
        _check_runs(table, live, entries)


def check_base(
    table: Table, latest: Snapshot | None, user: str, based_on: int | None, touched: Collection[bytes]
) -> None:
    """Raise CommitConflict if another user has done, after the snapshot that a commit was made for, what makes the
    places of its rows wrong: with dynamic buckets an overwrite of a partition that it touches, with cross-partition
    upsert any change of rows.
    """
    if based_on is None or latest is None:
        return
    if table.bucket_mode is BucketMode.CROSS_PARTITION and foreign_rows(table, user, based_on, latest.id):
        raise CommitConflict(
            f"another writer has committed to table `{table.identifier}` since this one looked which partition each "
            f"key is in (at snapshot {based_on}); run the statement again, and let one job at a time write the table"
        )
    if foreign_rows(table, user, based_on, latest.id, overwritten=touched):
        raise CommitConflict(
            f"another writer has overwritten rows of table `{table.identifier}` since this one looked which bucket "
            f"each key is in (at snapshot {based_on}); run the statement again"
        )


def foreign_rows(
    table: Table, user: str, after_id: int, up_to_id: int, *, overwritten: Collection[bytes] | None = None
) -> bool:
    """Whether somebody else has changed rows in the snapshots after one and up to another; compactions do not.

    overwritten: only overwrites of these partitions count.
    """
    if up_to_id < after_id or table.snapshots.earliest_id() not in range(after_id + 2):
        return up_to_id != after_id
    for snapshot in map(table.snapshots.snapshot, range(after_id + 1, up_to_id + 1)):
        if snapshot.commit_user == user or snapshot.commit_kind not in ("OVERWRITE", "APPEND"):
            continue
        if overwritten is None:
            return True
        if snapshot.commit_kind == "OVERWRITE":
            changed = {entry.partition for entry in entries_of_list(table, snapshot.delta_manifest_list)}
            if not changed.isdisjoint(overwritten):
                return True
    return False


def _check_buckets(
    table: Table, live: dict[Identity, ManifestEntry], entries: Sequence[ManifestEntry], replaces: bool
) -> None:
    there = {entry.partition: entry.total_buckets for entry in live.values() if entry.bucket != POSTPONE_BUCKET}
    for entry in entries:
        before = there.get(entry.partition, entry.total_buckets)
        if entry.kind == ADD and entry.bucket != POSTPONE_BUCKET and before != entry.total_buckets:
            raise ProgrammingError(another_number(table, entry.partition, before, entry.total_buckets, replaces))


def another_number(table: Table, partition: bytes, before: int, wanted: int, replaces: bool = False) -> str:
    """The message for files in another number of buckets than those of their partition. replaces: by an overwrite."""
    values = dict(zip(table.schema.partition_keys, partition_values(table, partition), strict=True))
    where = f"partition {values} of table" if values else "table"
    return f"{where} `{table.identifier}` has files in {before} buckets where this commit writes {wanted}; " + (
        f"set 'bucket' back to '{before}'"
        if replaces
        else f"rewrite it with CALL sys.rescale or INSERT OVERWRITE first, or set 'bucket' back to '{before}'"
    )


def _check_runs(table: Table, live: dict[Identity, ManifestEntry], entries: Sequence[ManifestEntry]) -> None:
    """Above level 0 the files of a level are one sorted run: their key ranges must not overlap."""
    touched = {(e.partition, e.bucket, e.file.level) for e in entries if e.kind == ADD and e.file.level > 0}
    key_range = key_ranges([table.schema.field(k).type for k in table.schema.trimmed_primary_keys])
    levels: dict[tuple[bytes, int, int], list[tuple[Key, Key, str]]] = defaultdict(list)
    for entry in (*live.values(), *(e for e in entries if e.kind == ADD)):
        place = (entry.partition, entry.bucket, entry.file.level)
        if place in touched:
            levels[place].append((*key_range(entry.file), entry.file.file_name))
    for (_, bucket, level), files in levels.items():
        for (_, reach, left), (start, _, right) in pairwise(sorted(files)):
            if start <= reach:
                raise CommitConflict(
                    f"files {left} and {right} of table `{table.identifier}` would overlap on level {level} of bucket "
                    f"{bucket}: another writer compacts the same bucket; let only one of them compact and set "
                    f"'write-only' = 'true' for the others"
                )
