"""Where the values of an INSERT stand in the user's text."""

from __future__ import annotations

import re
from collections.abc import Callable

from sqlglot import exp

from tsdb.errors import Error, Position
from tsdb.exec.batch.time_text import rows_of_values
from tsdb.exec.names import fitting
from tsdb.metadata.schema import TableSchema
from tsdb.sql.script import position_of
from tsdb.sql.statements import Insert

_ROW = re.compile(r"in row (\d+)\b")
_COLUMN = re.compile(r"column `([^`]+)`")


def place_of_values(statement: Insert) -> Callable[[int | None], Position | None]:
    """Of the n-th column: in the first row of VALUES, or in SELECT. None: of the first row, of the SELECT list."""
    return lambda i: position_of(_value(statement.source, i, 0), statement)


def point_at_value(err: Error, statement: Insert, schema: TableSchema) -> None:
    """An error that names the row and the column of a value is shown where the value stands."""
    row, column = _ROW.search(err.message), _COLUMN.search(err.message)
    if err.position is not None or column is None:
        return
    fixed = {name.lower() for name in statement.partition or {}}
    names = statement.columns or [name for name in schema.names if name.lower() not in fixed]
    found = fitting(column[1], list(names))
    if found is not None:
        number = int(row[1]) - 1 if row is not None else 0
        err.position = position_of(_value(statement.source, list(names).index(found), number), statement)


def _value(source: exp.Query, i: int | None, row: int) -> exp.Expr | None:
    rows = rows_of_values(source)
    if rows is None:
        items = source.expressions if isinstance(source, exp.Select) else []
        plain = not any(item.is_star for item in items)
    else:
        given = rows[row] if row < len(rows) else None
        items, plain = (given.expressions if isinstance(given, exp.Tuple) else []), True
    if i is None:
        return items[0] if items else None
    return items[i] if plain and i < len(items) else None
