"""What a cursor has fetched and not handed out: an Arrow table and a place in it; rows and tables may be mixed."""

from typing import Any

import pyarrow as pa

from tsdb.dbapi.values import python_rows

_CHUNK_ROWS = 1024


class RowBuffer:
    """Rows to hand out, as tuples or as a table. Tuples are made in chunks, when they are asked for."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self._offset = 0
        self._chunk: list[tuple[Any, ...]] = []
        self._chunk_start = 0

    def __len__(self) -> int:
        """How many rows are left."""
        return int(self._table.num_rows) - self._offset

    def next_row(self) -> tuple[Any, ...]:
        """The next row; there has to be one."""
        if self._offset >= self._chunk_start + len(self._chunk):
            self._chunk_start = self._offset
            self._chunk = python_rows(self._table.slice(self._offset, _CHUNK_ROWS))
        row = self._chunk[self._offset - self._chunk_start]
        self._offset += 1
        return row

    def take(self) -> pa.Table:
        """All that is left."""
        rest = self._table.slice(self._offset)
        self._offset = self._table.num_rows
        return rest
