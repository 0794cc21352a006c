"""Statements that change rows: INSERT, UPDATE, DELETE, TRUNCATE."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from tsdb.sql.cursor import Cursor, is_word
from tsdb.sql.parser.constant import read_partition
from tsdb.sql.parser.create import unsupported
from tsdb.sql.statements import Conflict, Delete, Insert, MergeClause, MergeInto, Statement, TruncateTable, Update

_QUERY_WORDS = ("SELECT", "WITH", "VALUES", "TABLE", "FROM", "PIVOT", "UNPIVOT", "(")


def read_insert(cursor: Cursor) -> Insert:
    """INSERT [OR REPLACE | OR IGNORE] INTO | OVERWRITE [TABLE] t [AS x] [PARTITION (…)] [(columns) | BY NAME] query
    [ON CONFLICT …].
    """
    conflict: Conflict | None = None
    if cursor.accept("OR"):
        word = cursor.accept_any("REPLACE", "IGNORE")
        if word is None:
            raise unsupported(cursor, "INSERT OR …: OR REPLACE and OR IGNORE are")
        conflict = Conflict("replace" if word == "REPLACE" else "nothing", f"INSERT OR {word}")
    overwrite = conflict is None and cursor.accept("OVERWRITE")
    if overwrite:
        cursor.accept("INTO")
    else:
        cursor.expect("INTO")
    return _insert(cursor, conflict, overwrite=overwrite)


def read_replace(cursor: Cursor) -> Insert:
    """REPLACE INTO t …: INSERT OR REPLACE."""
    cursor.expect("INTO")
    return _insert(cursor, Conflict("replace", "REPLACE INTO"), overwrite=False)


def _insert(cursor: Cursor, conflict: Conflict | None, *, overwrite: bool) -> Insert:
    cursor.accept("TABLE")
    target = cursor.table_name()
    target_options = cursor.hint()
    alias = cursor.identifier("an alias") if cursor.accept("AS") else None
    partition: dict[str, Any] | None = None
    columns: tuple[str, ...] | None = None
    by_name = False
    while True:
        if partition is None and cursor.accept("PARTITION"):
            partition = dict(read_partition(cursor))
        elif columns is None and _sees_columns(cursor):
            columns = cursor.identifiers()
        elif cursor.accept("BY", "NAME"):
            by_name = True
        else:
            break
    source = _source(cursor)
    if conflict is None and cursor.sees("ON"):
        conflict = _conflict(cursor)
    if overwrite and conflict is not None:
        raise unsupported(
            cursor, "ON CONFLICT of INSERT OVERWRITE: what it overwrites is gone, so nothing is in the way"
        )
    _refuse_returning(cursor)
    return Insert(target, columns, partition, source, overwrite, target_options, by_name, alias, conflict)


def _source(cursor: Cursor) -> exp.Query:
    if cursor.accept("DEFAULT", "VALUES"):
        nothing = exp.Select(expressions=[exp.Null()])
        nothing.meta["default_values"] = True
        return nothing
    if not any(cursor.sees(word) for word in _QUERY_WORDS):
        cursor.error("expected VALUES or a query")
    source = cursor.query()
    for values in source.find_all(exp.Values):
        for word in [word for row in values.expressions for word in row.find_all(exp.Var)]:
            if word.name.upper() == "DEFAULT":
                word.replace(exp.Null())  # a NULL that is written takes the column's default
    return source


def _sees_columns(cursor: Cursor) -> bool:
    return cursor.sees("(") and not any(cursor.sees("(", word) for word in _QUERY_WORDS)


def _conflict(cursor: Cursor) -> Conflict:
    """ON CONFLICT [(key)] DO NOTHING | DO DEDUPLICATE | DO UPDATE SET … [WHERE …]."""
    cursor.expect("ON")
    if cursor.sees("DUPLICATE"):
        raise unsupported(cursor, "ON DUPLICATE KEY UPDATE: write ON CONFLICT DO UPDATE SET column = excluded.column")
    cursor.expect("CONFLICT")
    key = cursor.identifiers("a key column") if cursor.sees("(") else None
    cursor.expect("DO")
    if cursor.accept("NOTHING"):
        return Conflict("nothing", "ON CONFLICT DO NOTHING", key)
    if cursor.accept("DEDUPLICATE"):
        return Conflict("replace", "ON CONFLICT DO DEDUPLICATE", key)
    if cursor.sees("ERROR"):
        raise unsupported(cursor, "ON CONFLICT DO ERROR: DO NOTHING and compare the row count, or DO UPDATE")
    cursor.expect("UPDATE")
    cursor.expect("SET")
    assignments = _assignments(cursor)
    condition = cursor.expression("a condition after WHERE") if cursor.accept("WHERE") else None
    return Conflict("update", "ON CONFLICT DO UPDATE", key, assignments, condition)


def _assignments(cursor: Cursor) -> dict[str, exp.Expr]:
    """column = expression, … or (column, …) = (expression, …); a column may carry the target's name."""
    assignments: dict[str, exp.Expr] = {}
    while True:
        if cursor.sees("("):
            names = list(cursor.identifiers())
            cursor.expect("=")
            values = cursor.wrapped(lambda: _value(cursor))
            if len(names) != len(values):
                cursor.error(f"{len(names)} columns are set to {len(values)} values; expected as many of both")
        else:
            name = cursor.identifier("a column name")
            if cursor.accept("."):
                name = cursor.identifier("a column name")
            cursor.expect("=")
            names, values = [name], [_value(cursor)]
        for name, value in zip(names, values, strict=True):
            if name in assignments:
                cursor.error(f"column `{name}` is set twice; expected another column")
            assignments[name] = value
        if not cursor.accept(","):
            return assignments


def _value(cursor: Cursor) -> exp.Expr:
    """An expression; DEFAULT is a NULL, which takes the column's default where it is written."""
    return exp.Null() if cursor.accept("DEFAULT") else cursor.expression()


def read_update(cursor: Cursor) -> Update | MergeInto:
    """UPDATE t [AS x] SET column = expression, … [FROM relation] [WHERE condition]."""
    target = cursor.table_name()
    alias = _alias(cursor, "SET")
    cursor.expect("SET")
    assignments = _assignments(cursor)
    source = _second(cursor, "FROM")
    where = _where(cursor)
    if source is None:
        return Update(target, assignments, where, alias)
    clause = MergeClause("matched", None, "update", assignments)
    return MergeInto(target, alias, source, where or exp.Boolean(this=True), (clause,), "UPDATE … FROM")


def read_delete(cursor: Cursor) -> Delete | MergeInto:
    """DELETE FROM t [AS x] [USING relation] [WHERE condition]."""
    cursor.expect("FROM")
    target = cursor.table_name()
    alias = _alias(cursor, "WHERE", "USING", "RETURNING")
    source = _second(cursor, "USING")
    where = _where(cursor)
    if source is None:
        return Delete(target, where, alias)
    clause = MergeClause("matched", None, "delete")
    return MergeInto(target, alias, source, where or exp.Boolean(this=True), (clause,), "DELETE … USING", repeats=True)


def _alias(cursor: Cursor, *before: str) -> str | None:
    if cursor.accept("AS"):
        return cursor.identifier("an alias")
    token = cursor.current
    if token is None or not is_word(token) or any(cursor.sees(word) for word in before):
        return None
    return cursor.identifier("an alias")


def _second(cursor: Cursor, word: str) -> exp.Expr | None:
    """The second relation of the statement, which must have a name."""
    if not cursor.accept(word):
        return None
    source = cursor.relation()
    if cursor.sees(",") or source.args.get("joins") or _sees_join(cursor):
        raise unsupported(cursor, f"several relations after {word}: put them into a subquery, {word} (SELECT …) AS s")
    if not source.alias_or_name:
        cursor.error(f"the second relation needs a name: {word} (…) AS s")
    return source


def _sees_join(cursor: Cursor) -> bool:
    return any(cursor.sees(word) for word in ("JOIN", "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "NATURAL"))


def _where(cursor: Cursor) -> exp.Expr | None:
    where = cursor.expression("a condition after WHERE") if cursor.accept("WHERE") else None
    for word in ("ORDER", "LIMIT"):
        if cursor.sees(word):
            raise unsupported(cursor, f"{word} of a change: use WHERE key IN (SELECT … {word} …)")
    _refuse_returning(cursor)
    return where


def _refuse_returning(cursor: Cursor) -> None:
    if cursor.sees("RETURNING"):
        raise unsupported(
            cursor, "RETURNING: the count of rows comes back; t$audit_log with 'incremental-between' has what changed"
        )


def read_truncate(cursor: Cursor) -> Statement:
    """TRUNCATE [TABLE] t."""
    cursor.accept("TABLE")
    return TruncateTable(cursor.table_name())
