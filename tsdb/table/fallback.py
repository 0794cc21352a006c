"""'scan.fallback-branch': partitions that the table does not have are read from another branch of it.

A partition is of the one or of the other, never of both, whatever the query filters. Source: Paimon,
`FallbackReadFileStoreTable`.
"""

from dataclasses import replace

from tsdb.errors import ProgrammingError
from tsdb.metadata.predicate import Predicate
from tsdb.metadata.snapshot import Snapshot
from tsdb.table.branch import get_branch
from tsdb.table.hold import hold
from tsdb.table.scan import ScanPlan, live_files, plan_scan
from tsdb.table.table import Table


def fallback_scan(
    table: Table, snapshot: Snapshot | None, predicate: Predicate | None, branch: str
) -> tuple[ScanPlan, Table, ScanPlan]:
    """What is read of the table; the branch; what is read of that. Raises ProgrammingError if their columns differ."""
    other = get_branch(table, branch)
    if (other.schema.names, other.schema.primary_keys) != (table.schema.names, table.schema.primary_keys):
        raise ProgrammingError(
            f"'scan.fallback-branch' = '{branch}': the branch has other columns or another primary key than table "
            f"`{table.identifier}`"
        )
    plan = plan_scan(table, snapshot, predicate)
    latest = other.latest_snapshot()
    hold(other, latest, other)
    more = plan_scan(other, latest, predicate)
    here = {entry.partition for entry in live_files(table, snapshot)}
    splits = tuple(split for split in more.splits if split.partition not in here)
    return plan, other, replace(more, splits=splits)
