"""JOIN … USING and NATURAL JOIN, written as ON.

The merged column is the left one for INNER and LEFT, the right one for RIGHT, and the first that is not NULL for FULL.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

from sqlglot import exp

from tsdb.sql.scope import Failure, Output, Scope, Source


def merge_join(join: exp.Join, scope: Scope, right_start: int, fail: Callable[[str, exp.Expr], NoReturn]) -> None:
    """Rewrite `join` if it merges columns and all are known. scope.sources[right_start:] are its right side."""
    natural = join.args.get("method") == "NATURAL"
    if not natural and not join.args.get("using"):
        return
    if any(source.columns is None or source.alias is None for source in scope.sources):
        return
    left, right = Scope(scope.sources[:right_start], None, scope.merged), Scope(scope.sources[right_start:])
    nodes = {} if natural else {node.name: node for node in join.args["using"]}
    names = _common_names(left, right) if natural else list(nodes)
    conditions: list[exp.Expr] = []
    for name in names:
        sides = []
        for side in (left, right):
            found = side.column(name)
            if isinstance(found, Failure):
                reason = "does not exist on both sides" if found is Failure.MISSING else "is ambiguous"
                fail(f"column `{name}` of USING {reason} of the join", nodes.get(name, join))
            sides.append((found, _reference(side, found)))
        (left_column, left_value), (right_column, right_value) = sides
        conditions.append(exp.EQ(this=left_value, expression=right_value))
        scope.merged[left_column.name] = _merged(str(join.args.get("side") or ""), left_value, right_value)
        for i in range(right_start, len(scope.sources)):
            source = scope.sources[i]
            scope.sources[i] = replace(source, hidden=source.hidden | {right_column.name})
    join.set("using", None)
    join.set("method", None)
    if conditions:
        join.set("on", exp.and_(*conditions, copy=True))
    else:
        join.set("kind", "CROSS")


def _merged(side: str, left: exp.Expr, right: exp.Expr) -> exp.Expr:
    if side == "RIGHT":
        return right.copy()
    if side == "FULL":
        return exp.Coalesce(this=left.copy(), expressions=[right.copy()])
    return left.copy()


def _reference(side: Scope, column: Output) -> exp.Expr:
    """The value of a visible column of one side."""
    if column.name in side.merged:
        return side.merged[column.name].copy()
    holder = next(source for source in side.sources if _shows(source, column))
    reference: exp.Expr = exp.column(column.name, table=holder.qualifier, quoted=True)
    return reference


def _shows(source: Source, column: Output) -> bool:
    return column in (source.columns or ()) and column.name not in source.hidden


def _common_names(left: Scope, right: Scope) -> list[str]:
    right_names = {column.shown for source in right.sources for column in source.columns or ()}
    return [
        column.shown
        for source in left.sources
        for column in source.columns or ()
        if column.shown in right_names and column.name not in source.hidden
    ]
