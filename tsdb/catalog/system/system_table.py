"""What a system table is: columns that are known before it is read, and a function that gives its rows."""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from tsdb.catalog.catalog import Catalog
from tsdb.errors import OperationalError
from tsdb.table.newest import expired, on_newest
from tsdb.table.table import Table


@dataclass(frozen=True, slots=True)
class SystemTable:
    """`t$<name>`. takes_options: it is read like a table, with hints, versions, and as a stream."""

    name: str
    schema: pa.Schema | Callable[[Table], pa.Schema]
    rows: Callable[[Table], pa.Table]
    takes_options: bool = False

    def __call__(self, table: Table) -> pa.Table:
        """Its rows as of now; read again where snapshots expire meanwhile. Raises SnapshotExpired for a given one."""
        return read_whole(table, self.rows)

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


def read_whole(table: Table, rows: Callable[[Table], pa.Table]) -> pa.Table:
    """What the function gives for the table, once no snapshot that it looks at expires meanwhile."""
    seen = table.latest_snapshot()
    try:
        return on_newest(table, lambda _: rows(table))
    except OperationalError as err:
        told = None if seen is None else expired([(table, seen)], err)
        if told is None:
            raise
        raise told from err


def _first_line(function: Callable[..., pa.Table]) -> str:
    return (function.__doc__ or "").splitlines()[0]
