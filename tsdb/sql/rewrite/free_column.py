"""Columns of a query that belong to a query around it."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp


def free_columns(node: exp.Expr) -> list[exp.Column]:
    """The columns in a query that belong to one around it."""
    return [column for column in node.find_all(exp.Column) if column.meta.get("outer") and not _is_bound(column, node)]


def _is_bound(column: exp.Column, node: exp.Expr) -> bool:
    """A query between the column's own and `node` has it in FROM."""
    own = column.parent_select
    scope = own.parent_select if own is not None and own is not node else None
    while scope is not None and _is_within(scope, node):
        if isinstance(scope, exp.Select) and source(column) in {r.alias_or_name for r in relations(scope)}:
            return True
        scope = scope.parent_select
    return False


def _is_within(scope: exp.Expr, node: exp.Expr) -> bool:
    found: exp.Expr | None = scope
    while found is not None and found is not node:
        found = found.parent
    return found is not None


def source(column: exp.Column) -> str:
    """The name of the relation that the column belongs to."""
    return str(column.table or column.meta.get("source"))


def relations(select: exp.Select) -> Iterator[exp.Expr]:
    """The relations of FROM and of its joins, in order."""
    if (clause := select.args.get("from_")) is not None:
        yield clause.this
    for join in select.args.get("joins") or ():
        yield join.this


def is_operand(column: exp.Column) -> bool:
    """It is (in) what a subquery within is compared with by IN, ANY or ALL. DataFusion looks for such an outer column
    in the relations of that subquery.
    """
    node: exp.Expr | None = column
    while node is not None and not isinstance(node, exp.Query):
        parent = node.parent
        if isinstance(parent, exp.In) and node.arg_key == "this" and parent.args.get("query") is not None:
            return True
        if isinstance(parent, exp.Binary) and isinstance(parent.expression, exp.Any | exp.All):
            return True
        node = parent
    return False
