"""MERGE INTO t USING source ON condition WHEN [NOT] MATCHED … THEN …."""

from __future__ import annotations

from sqlglot import exp

from tsdb.sql.cursor import Cursor
from tsdb.sql.statements import MergeAction, MergeClause, MergeInto, MergeMatch

_RELATION_WORDS = ("(", "VALUES")


def read_merge(cursor: Cursor) -> MergeInto:
    """MERGE INTO t [AS a] USING relation [AS b] ON condition WHEN … THEN … [WHEN …]."""
    cursor.expect("INTO")
    target = cursor.table_name()
    alias = _alias(cursor, "USING")
    cursor.expect("USING")
    source = cursor.relation()
    if not source.alias_or_name:
        cursor.error("the source needs a name: USING (…) AS s")
    cursor.expect("ON")
    condition = cursor.expression("a condition after ON")
    clauses = []
    while cursor.accept("WHEN"):
        clauses.append(_read_clause(cursor))
    if not clauses:
        cursor.error("expected WHEN MATCHED or WHEN NOT MATCHED")
    return MergeInto(target, alias, source, condition, tuple(clauses))


def _alias(cursor: Cursor, before: str) -> str | None:
    if cursor.accept("AS"):
        return cursor.identifier("an alias")
    return None if cursor.sees(before) else cursor.identifier(f"`{before}`")


def _read_clause(cursor: Cursor) -> MergeClause:
    """[NOT] MATCHED [BY TARGET | SOURCE] [AND condition] THEN action."""
    match: MergeMatch = "matched"
    if cursor.accept("NOT"):
        match = "not matched"
    cursor.expect("MATCHED")
    if match == "not matched" and cursor.accept("BY"):
        match = "not matched by source" if cursor.accept("SOURCE") else match
        if match == "not matched":
            cursor.expect("TARGET")
    condition = cursor.expression("a condition after AND") if cursor.accept("AND") else None
    cursor.expect("THEN")
    return _read_action(cursor, match, condition)


def _read_action(cursor: Cursor, match: MergeMatch, condition: exp.Expr | None) -> MergeClause:
    if match == "not matched":
        if cursor.accept("DO", "NOTHING"):
            return MergeClause(match, condition, "nothing")
        cursor.expect("INSERT")
        return MergeClause(match, condition, "insert", _read_insert(cursor))
    action: MergeAction
    if cursor.accept("DELETE"):
        action = "delete"
    elif cursor.accept("DO", "NOTHING"):
        action = "nothing"
    else:
        cursor.expect("UPDATE")
        cursor.expect("SET")
        if match == "matched" and cursor.accept("*"):
            return MergeClause(match, condition, "update")
        return MergeClause(match, condition, "update", _read_assignments(cursor))
    return MergeClause(match, condition, action)


def _read_insert(cursor: Cursor) -> dict[str, exp.Expr] | None:
    """(columns) VALUES (values), or * : each column from the source's column of its name."""
    if cursor.accept("*"):
        return None
    columns = () if cursor.sees("VALUES") else cursor.identifiers()
    cursor.expect("VALUES")
    values = cursor.wrapped(cursor.expression)
    if columns and len(columns) != len(values):
        cursor.error(f"INSERT has {len(columns)} columns and {len(values)} values; expected as many values as columns")
    if not columns:
        return {f"#{i}": value for i, value in enumerate(values)}
    if len(set(columns)) < len(columns):
        cursor.error("INSERT names a column twice; expected each once")
    return dict(zip(columns, values, strict=True))


def _read_assignments(cursor: Cursor) -> dict[str, exp.Expr]:
    """column = expression, …; the column may carry the target's name."""
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
            return assignments
