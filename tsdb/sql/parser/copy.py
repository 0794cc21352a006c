"""COPY t TO 'file' and COPY t FROM 'file'."""

from __future__ import annotations

from sqlglot import exp

from tsdb.sql.cursor import Cursor
from tsdb.sql.statements import CopyFrom, CopyTo, Statement


def read_copy(cursor: Cursor) -> Statement:
    """COPY (query) TO 'file' [(options)], COPY t [(columns)] TO 'file' …, COPY t [(columns)] FROM 'file' …."""
    if cursor.sees("("):
        cursor.expect("(")
        query = cursor.query()
        cursor.expect(")")
        cursor.expect("TO")
        return CopyTo(query, cursor.string("a file's name in single quotes"), _options(cursor))
    table = cursor.table_name()
    columns = cursor.identifiers() if cursor.sees("(") else None
    if cursor.accept("FROM"):
        return CopyFrom(table, columns, cursor.string("a file's name in single quotes"), _options(cursor))
    cursor.expect("TO")
    parts = [exp.to_identifier(part, quoted=True) for part in reversed(table.parts)]
    reference = exp.Table(**dict(zip(("this", "db", "catalog"), parts, strict=False)))
    items = [exp.column(name) for name in columns] if columns else [exp.Star()]
    query = exp.Select(expressions=items, from_=exp.From(this=reference))
    return CopyTo(query, cursor.string("a file's name in single quotes"), _options(cursor))


def _options(cursor: Cursor) -> dict[str, str]:
    """[WITH] (FORMAT csv, HEADER, DELIMITER ';'): keys in lower case; a key alone is true."""
    cursor.accept("WITH")
    options: dict[str, str] = {}
    if not cursor.accept("("):
        return options
    while not cursor.accept(")"):
        key = cursor.identifier("an option").lower()
        cursor.accept("=")
        alone = cursor.sees(",") or cursor.sees(")")
        options[key] = "true" if alone else cursor.option_value()
        if not cursor.sees(")"):
            cursor.expect(",")
    return options
