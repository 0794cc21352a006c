"""`sys.create_tag` and `sys.delete_tag`: names that keep snapshots."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tsdb.catalog.catalog import Catalog
from tsdb.errors import ProgrammingError
from tsdb.options import parse_duration_ms
from tsdb.procedure.procedure import Argument, Procedure, result, table_argument
from tsdb.table.rollback import delete_tag
from tsdb.table.tag import create_tag

_TABLE = Argument("table", "table", "The table, as `db.t`.", required=True)


def _create(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = table_argument(catalog, arguments)
    given = arguments.get("snapshot_id")
    snapshot = table.latest_snapshot() if given is None else table.snapshots.snapshot(given)
    if snapshot is None:
        raise ProgrammingError(f"table `{table.identifier}` has no snapshot yet, so there is nothing to tag")
    text = arguments.get("time_retained")
    kept = None if text is None else dt.timedelta(milliseconds=parse_duration_ms(text, "time_retained"))
    tag = create_tag(table, arguments["tag"], snapshot, kept)
    return result(tag=tag.name, snapshot_id=snapshot.id)


def _delete(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    delete_tag(table_argument(catalog, arguments), arguments["tag"])
    return result(tag=arguments["tag"])


CREATE_TAG = Procedure(
    "create_tag",
    "Name a snapshot, so that it can be read by that name and its files are kept.",
    (
        _TABLE,
        Argument("tag", "string", "The name.", required=True),
        Argument("snapshot_id", "int", "The snapshot; by default the newest."),
        Argument("time_retained", "string", "How long the tag is meant to be kept, such as `7 d`."),
    ),
    _create,
)
DELETE_TAG = Procedure(
    "delete_tag",
    "Delete a tag, and the files that it alone has kept.",
    (_TABLE, Argument("tag", "string", "The name.", required=True)),
    _delete,
)
