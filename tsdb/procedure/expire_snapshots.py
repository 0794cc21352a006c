"""`sys.expire_snapshots`: drop old snapshots, and the files that only they need."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from tsdb.catalog.catalog import Catalog
from tsdb.procedure.procedure import Argument, Procedure, result, table_argument
from tsdb.table.changelog import snapshot_retention
from tsdb.table.expire import expire_snapshots
from tsdb.table.refs import timestamp_option


def _run(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = table_argument(catalog, arguments)
    keep = snapshot_retention(table.options)
    for name in ("retain_min", "retain_max", "max_deletes"):
        if name in arguments:
            keep = replace(keep, **{name: arguments[name]})
    if "retain_max" in arguments:
        keep = replace(keep, retain_min=min(keep.retain_min, keep.retain_max))
    if "older_than" in arguments:
        older_than_ms = timestamp_option({"scan.timestamp": arguments["older_than"]})
        assert older_than_ms is not None
        keep = replace(keep, older_than_ms=older_than_ms)
    return result(expired_snapshots_count=expire_snapshots(table, keep))


EXPIRE_SNAPSHOTS = Procedure(
    "expire_snapshots",
    "Drop old snapshots, and the files that only they need; by default what the table's options say.",
    (
        Argument("table", "table", "The table, as `db.t`.", required=True),
        Argument("retain_max", "int", "How many snapshots to keep at the most."),
        Argument("retain_min", "int", "How many snapshots to keep at least."),
        Argument("older_than", "string", "Only snapshots before this time in UTC, such as `2024-05-14 00:00:00`."),
        Argument("max_deletes", "int", "How many snapshots to drop at the most."),
    ),
    _run,
)
