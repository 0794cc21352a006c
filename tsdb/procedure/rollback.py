"""`sys.rollback_to`: make an older snapshot the newest."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tsdb.catalog.catalog import Catalog
from tsdb.errors import ProgrammingError
from tsdb.procedure.procedure import Argument, Procedure, result, table_argument
from tsdb.table.rollback import rollback_to
from tsdb.table.tag import get_tag


def _run(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = table_argument(catalog, arguments)
    if ("snapshot_id" in arguments) == ("tag" in arguments):
        raise ProgrammingError("procedure rollback_to needs either `snapshot_id` or `tag`")
    if "tag" in arguments:
        target = get_tag(table, arguments["tag"]).snapshot
    else:
        target = table.snapshots.snapshot(arguments["snapshot_id"])
    count = rollback_to(table, target)
    return result(snapshot_id=target.id, snapshots_deleted=count)


ROLLBACK_TO = Procedure(
    "rollback_to",
    "Make an older snapshot the newest; newer snapshots and tags are deleted with their files.",
    (
        Argument("table", "table", "The table, as `db.t`.", required=True),
        Argument("snapshot_id", "int", "The snapshot to go back to; or:"),
        Argument("tag", "string", "The tag to go back to."),
    ),
    _run,
)
