"""How a table says that a query keeps it. Source: Paimon, `TableType` and `CoreOptions`."""

from tsdb.table.table import Table

TYPE = "materialized-table"
PREFIX = "materialized-table."
"""Of the options that hold the definition."""
QUERY = f"{PREFIX}definition-query"


def is_materialized(table: object) -> bool:
    """Whether a query keeps it."""
    return isinstance(table, Table) and table.schema.options.get("type") == TYPE and QUERY in table.schema.options
