"""`sys.analyze`: statistics of a table, as `t$statistics` shows them."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tsdb import clock
from tsdb.catalog.catalog import Catalog
from tsdb.errors import ProgrammingError
from tsdb.procedure.procedure import TABLE, Argument, Procedure, result, table_argument
from tsdb.table.commit import commit_statistics
from tsdb.table.newest import on_newest
from tsdb.table.statistics import delete_statistics, write_statistics
from tsdb.table.write import undone_unless_committed


def _analyze(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = table_argument(catalog, arguments)
    snapshot = table.latest_snapshot()
    if snapshot is None:
        raise ProgrammingError(f"table `{table.identifier}` has no snapshot yet, so there is nothing to analyze")
    text = arguments.get("columns", "")
    columns = table.schema.names if text.strip() == "*" else [c.strip() for c in text.split(",") if c.strip()]
    name = on_newest(table, lambda newest: write_statistics(table, newest or snapshot, columns))
    user = clock.current().new_id()
    with undone_unless_committed(table, lambda: delete_statistics(table, name), user=user):
        made = commit_statistics(table, name, user=user)
    return result(statistics=name, snapshot_id=None if made is None else made.id)


ANALYZE = Procedure(
    "analyze",
    "Keep statistics of the table and of columns in the warehouse, for planners that read them; not in Paimon.",
    (TABLE, Argument("columns", "string", "The columns, with commas between them; `*` for all. By default none.")),
    _analyze,
)
ANALYZE_PROCEDURES = (ANALYZE,)
