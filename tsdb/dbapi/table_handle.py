"""A table as a small object, for a look at it from Python: always as it is now, whatever the execution mode."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from tsdb.exec.result import BatchResult

Query = Callable[[str], BatchResult]


class TableHandle:
    """A table of a connection. Made by `Connection.table`."""

    def __init__(self, query: Query, name: str) -> None:
        """query: runs a query in batch mode."""
        self._query = query
        self._quoted = ".".join(f"`{part.strip('`')}`" for part in name.split("."))
        self.name = name
        result = query(f"SELECT * FROM {self._quoted}")
        result.cancel()
        self.schema: pa.Schema = result.schema

    def arrow(self) -> pa.Table:
        """All rows."""
        return self._query(f"SELECT * FROM {self._quoted}").reader.read_all()

    def df(self) -> Any:
        """All rows as a pandas DataFrame; needs pandas."""
        return self.arrow().to_pandas()

    def count(self) -> int:
        """How many rows there are."""
        return int(self._query(f"SELECT count(*) FROM {self._quoted}").reader.read_all().column(0)[0].as_py())

    def __repr__(self) -> str:
        columns = ", ".join(f"{f.name} {f.type}" for f in self.schema)
        return f"<table {self.name} ({columns})>"
