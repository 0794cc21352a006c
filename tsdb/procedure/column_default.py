"""`sys.alter_column_default_value`: what a column has where an INSERT does not name it."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tsdb.catalog.catalog import Catalog
from tsdb.procedure.procedure import TABLE, Argument, Procedure, result, table_argument
from tsdb.table.schema_change import ModifyColumn


def _run(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = table_argument(catalog, arguments)
    *parents, name = arguments["column"].split(".")
    change = ModifyColumn(name, default=arguments["default_value"], parents=tuple(parents))
    catalog.alter_table(table.identifier, [change])
    return result(column=arguments["column"], default_value=arguments["default_value"])


ALTER_COLUMN_DEFAULT_VALUE = Procedure(
    "alter_column_default_value",
    "Set what a column has where an INSERT does not name it.",
    (
        TABLE,
        Argument("column", "string", "The column; a field of a row as `a.b`.", required=True),
        Argument("default_value", "string", "The value, as text.", required=True),
    ),
    _run,
)
