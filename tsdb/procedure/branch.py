"""Branches: `sys.create_branch`, `delete_branch`, `rename_branch`, `fast_forward`, `merge_branch`."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tsdb import clock
from tsdb.catalog.catalog import Catalog
from tsdb.errors import ProgrammingError
from tsdb.procedure.procedure import TABLE, Argument, Procedure, listed_result, result, table_argument
from tsdb.table.branch import create_branch, delete_branch, fast_forward, get_branch, merge_branch, rename_branch
from tsdb.table.reference import branch_names
from tsdb.table.table import MAIN_BRANCH

_BRANCH = Argument("branch", "string", "The branch.", required=True)


def _create(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = table_argument(catalog, arguments)
    if "tag" in arguments and "snapshot_id" in arguments:
        raise ProgrammingError("procedure create_branch takes `tag` or `snapshot_id`, not both")
    snapshot = table.snapshots.snapshot(arguments["snapshot_id"]) if "snapshot_id" in arguments else None
    if arguments.get("ignoreIfExists") and arguments["branch"] in branch_names(table):
        return result(branch=arguments["branch"])
    create_branch(table, arguments["branch"], tag=arguments.get("tag"), snapshot=snapshot)
    return result(branch=arguments["branch"])


def _delete(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = table_argument(catalog, arguments)
    names = [name.strip() for name in arguments["branch"].split(",")]
    for name in names:
        get_branch(table, name)
    for name in names:
        delete_branch(table, name)
    return listed_result("branch", names)


def _rename(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    rename_branch(table_argument(catalog, arguments), arguments["from_branch"], arguments["to_branch"])
    return result(branch=arguments["to_branch"])


def _fast_forward(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    return result(snapshot_id=fast_forward(table_argument(catalog, arguments), arguments["branch"]).id)


def _merge(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    source, target = arguments["source_branch"], arguments.get("target_branch", MAIN_BRANCH)
    snapshot = merge_branch(table_argument(catalog, arguments), source, target, clock.current().new_id())
    return result(result="nothing to merge" if snapshot is None else f"snapshot {snapshot.id}")


CREATE_BRANCH = Procedure(
    "create_branch",
    "Begin another history of the table, `t$branch_b`, with a tag's snapshot, or empty.",
    (
        TABLE,
        Argument("branch", "string", "Its name.", required=True),
        Argument("tag", "string", "The tag to begin with."),
        Argument("ignoreIfExists", "bool", "A branch of that name is as good."),
        Argument("snapshot_id", "int", "The snapshot to begin with; not in Paimon."),
    ),
    _create,
    orders=(("table", "branch", "ignoreIfExists"),),
)
DELETE_BRANCH = Procedure(
    "delete_branch",
    "Delete branches; files that they alone needed are orphans then.",
    (TABLE, Argument("branch", "string", "The branch; several with commas between them.", required=True)),
    _delete,
)
RENAME_BRANCH = Procedure(
    "rename_branch",
    "Give a branch another name.",
    (
        TABLE,
        Argument("from_branch", "string", "The branch.", required=True),
        Argument("to_branch", "string", "Its new name.", required=True),
    ),
    _rename,
)
FAST_FORWARD = Procedure(
    "fast_forward",
    "Make the history of a branch that of the table, from the first snapshot of the branch on.",
    (TABLE, _BRANCH),
    _fast_forward,
)
MERGE_BRANCH = Procedure(
    "merge_branch",
    "Append the files that one branch of an append table has and another has not.",
    (
        TABLE,
        Argument("source_branch", "string", "The branch that has them.", required=True),
        Argument("target_branch", "string", "The branch that gets them; by default the table itself."),
    ),
    _merge,
)
BRANCH_PROCEDURES = (CREATE_BRANCH, DELETE_BRANCH, RENAME_BRANCH, FAST_FORWARD, MERGE_BRANCH)
