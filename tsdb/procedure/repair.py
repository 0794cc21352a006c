"""Putting things in order: orphans, missing files, the first snapshot's hint, and emptying a table for good."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tsdb import clock
from tsdb.catalog.catalog import Catalog
from tsdb.errors import DatabaseNotFound, nearest
from tsdb.procedure.procedure import TABLE, Argument, Procedure, listed_result, result, stored_tables, table_argument
from tsdb.table.branch import delete_branch
from tsdb.table.changelog import Retention, changelogs
from tsdb.table.commit import commit_nothing, drop_partitions
from tsdb.table.consumer import clear_consumers
from tsdb.table.expire import drop_changelogs, expire_snapshots
from tsdb.table.orphan import forget_missing_files, missing_files, orphans, remove_orphans
from tsdb.table.reference import branch_names
from tsdb.table.refs import timestamp_of
from tsdb.table.rollback import delete_tag
from tsdb.table.tag import tags

_DAY_MS = 86_400_000
_DRY_RUN = Argument("dry_run", "bool", "Only say what would be done.")
_PARALLELISM = Argument("parallelism", "int", "Has no effect here.")


def _remove_orphans(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    older_than_ms = clock.current().now_ms() - _DAY_MS
    if "older_than" in arguments:
        older_than_ms = min(timestamp_of("older_than", arguments["older_than"]), clock.current().now_ms())
    remove = orphans if arguments.get("dry_run") else remove_orphans
    found = [remove(table, older_than_ms) for table in stored_tables(catalog, arguments["table"])]
    count = sum(len(one.paths) for one in found)
    return result(deletedFileCount=count, deletedFileTotalLenInBytes=sum(one.size_bytes for one in found))


def _remove_unexisting(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = table_argument(catalog, arguments)
    if arguments.get("dry_run"):
        return listed_result("fileName", missing_files(table))
    return listed_result("fileName", forget_missing_files(table, clock.current().new_id()))


def _repair_earliest(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = table_argument(catalog, arguments)
    before = table.snapshots.earliest_id()
    chosen = table.snapshots.snapshot(arguments["snapshot_id"]).id
    table.snapshots.write_hint("EARLIEST", chosen)
    return result(previous_earliest_snapshot_id=before, current_earliest_snapshot_id=chosen)


def _repair(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    """The directories are the catalog, so nothing can be behind them; names are looked up all the same."""
    for name in filter(None, (part.strip() for part in arguments.get("table", "").split(","))):
        if "." in name:
            table_argument(catalog, {"table": name})
        elif name not in catalog.list_databases():
            raise DatabaseNotFound(f"there is no database `{name}`.{nearest(name, catalog.list_databases())}")
    return result(result="nothing to repair: the directories of the warehouse are the catalog")


def _purge(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    """Branches, tags and consumers first, so that nothing keeps files."""
    table = table_argument(catalog, arguments)
    for name in branch_names(table):
        delete_branch(table, name)
    for tag in tags(table):
        delete_tag(table, tag.name)
    clear_consumers(table, None, None)
    user = clock.current().new_id()
    drop_partitions(table, lambda _: True, user=user)
    commit_nothing(table, user=user)  # an overwrite keeps what it has replaced as long as it is there
    now_ms = clock.current().now_ms()
    count = expire_snapshots(table, Retention(1, 1, now_ms + 1, 2**31))
    drop_changelogs(table, changelogs(table))
    return result(deleted_snapshots_count=count)


REMOVE_ORPHAN_FILES = Procedure(
    "remove_orphan_files",
    "Delete files that nothing refers to, of the table and all of its branches.",
    (
        Argument("table", "table", "The table, as `db.t`, or all of a database: `db.*`.", required=True),
        Argument("older_than", "string", "Only files before this time in UTC; by default those older than a day."),
        _DRY_RUN,
        _PARALLELISM,
        Argument("mode", "string", "Has no effect here."),
    ),
    _remove_orphans,
)
REMOVE_UNEXISTING_FILES = Procedure(
    "remove_unexisting_files",
    "Let the newest snapshot forget data files that are not there; their rows are lost.",
    (TABLE, _DRY_RUN, _PARALLELISM),
    _remove_unexisting,
)
REPAIR_EARLIEST_SNAPSHOT = Procedure(
    "repair_earliest_snapshot",
    "Write the hint which snapshot is the earliest.",
    (TABLE, Argument("snapshot_id", "int", "The snapshot.", required=True)),
    _repair_earliest,
)
PURGE_FILES = Procedure(
    "purge_files", "Empty the table for good: its rows, older snapshots, tags, branches and consumers go.", (TABLE,),
    _purge,
)  # fmt: skip
REPAIR = Procedure(
    "repair",
    "Look a database or table up; the warehouse keeps no other list of them that could be wrong.",
    (
        Argument(
            "table",
            "string",
            "The databases and tables, `db`, `db.t`, with commas between them.",
            alias="database_or_table",
        ),
    ),
    _repair,
)
REPAIR_PROCEDURES = (REPAIR, REMOVE_ORPHAN_FILES, REMOVE_UNEXISTING_FILES, REPAIR_EARLIEST_SNAPSHOT, PURGE_FILES)
