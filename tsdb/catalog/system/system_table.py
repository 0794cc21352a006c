"""What a system table is: columns that are known before it is read, and a function that gives its rows."""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from tsdb.catalog.catalog import Catalog
from tsdb.table.table import Table


@dataclass(frozen=True, slots=True)
class SystemTable:
    """`t$<name>`. takes_options: it is read like a table, with hints, versions, and as a stream."""

    name: str
    schema: pa.Schema | Callable[[Table], pa.Schema]
    rows: Callable[[Table], pa.Table]
    takes_options: bool = False

    def __call__(self, table: Table) -> pa.Table:
        """Its rows as of now."""
        return self.rows(table)

    def schema_of(self, table: Table) -> pa.Schema:
        """Its columns."""
        return self.schema if isinstance(self.schema, pa.Schema) else self.schema(table)

    @property
    def description(self) -> str:
        """One sentence."""
        return _first_line(self.rows)


@dataclass(frozen=True, slots=True)
class GlobalTable:
    """`sys.<name>`, about the whole warehouse."""

    name: str
    schema: pa.Schema
    rows: Callable[[Catalog], pa.Table]

    @property
    def description(self) -> str:
        """One sentence."""
        return _first_line(self.rows)


def _first_line(function: Callable[..., pa.Table]) -> str:
    return (function.__doc__ or "").splitlines()[0]
