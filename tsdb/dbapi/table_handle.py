"""A table as a small object, for a look at it from Python; all that it does is SQL."""

from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from tsdb.dbapi.connection import Connection


class TableHandle:
    """A table of a connection. Made by `Connection.table`."""

    def __init__(self, connection: "Connection", name: str) -> None:
        self._connection = connection
        self._quoted = ".".join(f"`{part.strip('`')}`" for part in name.split("."))
        self.name = name
        self.schema: pa.Schema = self._select("WHERE FALSE").schema

    def arrow(self) -> pa.Table:
        """All rows, as they are now."""
        return self._select("")

    def df(self) -> Any:
        """All rows as a pandas DataFrame; needs pandas."""
        return self.arrow().to_pandas()

    def count(self) -> int:
        """How many rows there are now."""
        row = self._connection.execute(f"SELECT count(*) FROM {self._quoted}").fetchone()
        assert row is not None
        return int(row[0])

    def __repr__(self) -> str:
        columns = ", ".join(f"{f.name} {f.type}" for f in self.schema)
        return f"<table {self.name} ({columns})>"

    def _select(self, rest: str) -> pa.Table:
        with self._connection.execute(f"SELECT * FROM {self._quoted} {rest}") as cursor:
            return cursor.fetch_arrow_table()
