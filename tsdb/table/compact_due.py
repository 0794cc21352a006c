"""What a writer compacts beside what it has in hand, after its commit: full compactions by the number of commits, what
'lookup-wait' = 'false' puts off, and small files of append tables.

It is not part of the commit: where others compact at the same time, it is left to them. Source: Paimon,
`full-compaction.delta-commits`, `BucketedAppendCompactManager`, `AppendCompactCoordinator`.
"""

from collections.abc import Callable

from tsdb import clock
from tsdb.errors import Cancelled, CommitConflict, OperationalError
from tsdb.metadata.manifest import ADD
from tsdb.metadata.snapshot import Snapshot
from tsdb.table.bucket import BucketMode
from tsdb.table.compact import compact
from tsdb.table.scan import entries_of_list
from tsdb.table.table import Table

_looked_at: dict[str, int] = {}
"""The newest snapshot when the small files of a table were last looked at, by the directory of its metadata."""


def compact_when_due(
    table: Table, *, partitions: Callable[[bytes], bool] | None = None, goes_on: bool = False
) -> Snapshot | None:
    """Compact if it is time for it, unless the table is 'write-only'.

    partitions: which serialized partitions (None: all). goes_on: the writer is a job; small files of tables without
    buckets are left alone by statements, as in Paimon, so that they never disturb one another.
    """
    if table.options.write_only:
        return None
    if table.is_primary_key:
        if _is_full_due(table):
            return _compact_safely(table, partitions, full=True)
        return _compact_safely(table, partitions, full=False) if table.options.compacts_after_commit else None
    if not goes_on and table.bucket_mode is not BucketMode.FIXED:
        return None
    return _compact_safely(table, partitions, full=False) if _is_look_due(table) else None


def _is_full_due(table: Table) -> bool:
    """Whether 'full-compaction.delta-commits' have been made since a compaction put files on the highest level."""
    every = table.options.values.get("full-compaction.delta-commits")
    if every is None:
        return False
    highest = table.options.num_levels - 1
    commits = 0
    for number in range(table.snapshots.latest_id() or 0, 0, -1):
        if commits >= int(every) or not table.snapshots.exists(number):
            break
        snapshot = table.snapshots.snapshot(number)
        if snapshot.commit_kind == "COMPACT":
            added = entries_of_list(table, snapshot.delta_manifest_list)
            if any(entry.kind == ADD and entry.file.level >= highest for entry in added):
                return False
        commits += snapshot.commit_kind == "APPEND"
    return commits >= int(every)


def _is_look_due(table: Table) -> bool:
    """Whether there may be 'compaction.min.file-num' small files more than at the last look of this process."""
    latest_id = table.snapshots.latest_id() or 0
    before = _looked_at.get(table.metadata_path, 0)
    if 0 <= latest_id - before < table.options.integer("compaction.min.file-num"):
        return False
    _looked_at[table.metadata_path] = latest_id
    return not table.options.flag("data-evolution.enabled")


def _compact_safely(table: Table, partitions: Callable[[bytes], bool] | None, *, full: bool) -> Snapshot | None:
    try:
        return compact(table, partitions=partitions, full=full, user=clock.current().new_id())
    except (CommitConflict, Cancelled):  # the rows are committed, so the statement has done what it was to do
        return None
    except OSError as err:
        what = "full compaction" if full else "compaction"
        raise OperationalError(
            f"the rows are committed to `{table.identifier}`, but the {what} that was due failed: {err}"
        ) from err
