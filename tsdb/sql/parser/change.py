"""Statements that change rows: INSERT, UPDATE, DELETE, TRUNCATE."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from tsdb.sql.cursor import Cursor
from tsdb.sql.parser.constant import read_partition
from tsdb.sql.parser.create import unsupported
from tsdb.sql.statements import Delete, Insert, Statement, TruncateTable, Update

_QUERY_WORDS = ("SELECT", "WITH", "VALUES", "TABLE", "FROM", "(")


def read_insert(cursor: Cursor) -> Insert:
    """INSERT INTO | OVERWRITE [TABLE] t [PARTITION (…)] [(columns)] query."""
    if cursor.sees("OR"):
        raise unsupported(
            cursor, "INSERT OR …: into a table with a primary key, INSERT INTO replaces rows of the same key"
        )
    overwrite = cursor.accept("OVERWRITE")
    if overwrite:
        cursor.accept("INTO")
    else:
        cursor.expect("INTO")
    cursor.accept("TABLE")
    target = cursor.table_name()
    target_options = cursor.hint()
    partition: dict[str, Any] | None = None
    columns: tuple[str, ...] | None = None
    while True:
        if partition is None and cursor.accept("PARTITION"):
            partition = dict(read_partition(cursor))
        elif columns is None and _sees_columns(cursor):
            columns = cursor.identifiers()
        else:
            break
    if not any(cursor.sees(word) for word in _QUERY_WORDS):
        cursor.error("expected VALUES or a query")
    source = cursor.query()
    if cursor.sees("ON"):
        raise unsupported(
            cursor, "ON CONFLICT: into a table with a primary key, INSERT INTO replaces rows of the same key"
        )
    return Insert(target, columns, partition, source, overwrite, target_options)


def _sees_columns(cursor: Cursor) -> bool:
    return cursor.sees("(") and not any(cursor.sees("(", word) for word in _QUERY_WORDS)


def read_update(cursor: Cursor) -> Update:
    """UPDATE t SET column = expression, … [WHERE condition]."""
    target = cursor.table_name()
    cursor.expect("SET")
    assignments: dict[str, exp.Expr] = {}
    while True:
        name = cursor.identifier("a column name")
        if cursor.accept("."):
            name = cursor.identifier("a column name")
        if name in assignments:
            cursor.error(f"column `{name}` is set twice; expected another column")
        cursor.expect("=")
        assignments[name] = cursor.expression()
        if not cursor.accept(","):
            break
    return Update(target, assignments, _where(cursor))


def read_delete(cursor: Cursor) -> Delete:
    """DELETE FROM t [WHERE condition]."""
    cursor.expect("FROM")
    return Delete(cursor.table_name(), _where(cursor))


def _where(cursor: Cursor) -> exp.Expr | None:
    if cursor.sees("FROM") or cursor.sees("USING"):
        raise unsupported(
            cursor, "UPDATE or DELETE with a second table: use a subquery in WHERE, or INSERT INTO … SELECT"
        )
    return cursor.expression("a condition after WHERE") if cursor.accept("WHERE") else None


def read_truncate(cursor: Cursor) -> Statement:
    """TRUNCATE [TABLE] t."""
    cursor.accept("TABLE")
    return TruncateTable(cursor.table_name())
