"""Many rows of parameters for one INSERT … VALUES (?, …): one statement with many rows, and so one commit."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tsdb.errors import ProgrammingError

_ROWS_MAX = 2000
_INSERT = re.compile(
    r"""\s*INSERT\s+INTO\s+[\w.`"]+\s*(\([\w\s,`"]*\)\s*)?VALUES\s*(?P<row>\(\s*\?(?:\s*,\s*\?)*\s*\))\s*;?\s*""",
    re.IGNORECASE,
)


def bulk_insert(sql: str, rows: Sequence[Sequence[Any]]) -> Iterator[tuple[str, Sequence[Any]]]:
    """Statements and their parameters that do what running `sql` for each of rows does, in fewer commits if they can.

    Only an INSERT whose one row of VALUES is nothing but `?` is taken together; anything else runs once for each row.
    """
    rows = list(rows)
    for i, row in enumerate(rows):
        if not isinstance(row, Iterable) or isinstance(row, str | bytes | Mapping):
            raise ProgrammingError(f"row {i + 1} is no sequence of values, but {type(row).__name__}")
    rows = [row if isinstance(row, Sequence) else list(row) for row in rows]
    match = _INSERT.fullmatch(sql)
    width = match["row"].count("?") if match else 0
    if match is None or any(len(row) != width for row in rows):
        yield from ((sql, row) for row in rows)
        return
    for begin in range(0, len(rows), _ROWS_MAX):
        part = rows[begin : begin + _ROWS_MAX]
        values = ", ".join([match["row"]] * len(part))
        yield sql[: match.start("row")] + values, [value for row in part for value in row]
