"""Columns beside GROUP BY that cannot change the answer: `coalesce(1, b)`, `NULL < b`, `b NOT BETWEEN NULL AND NULL`.

SELECT coalesce(1, b) FROM t GROUP BY a: no group has one `b`, and none is needed, because 1 is not NULL. Such a `b` is
written `any_value(b)`, so that the expression keeps its type. A comparison with NULL is NULL whatever is compared with
it. Columns that do matter are left alone, and refused by the planner as before.

Source: SQLite and MySQL take such queries; their tests have them.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from tsdb.sql.functions import FUNCTIONS
from tsdb.sql.functions.spec import AGGREGATE

_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)
_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div)


def spare_dead_operands(query: exp.Expr) -> exp.Expr:
    """Ungrouped columns that no group needs, written so that they ask for none; in place."""
    for select in list(query.find_all(exp.Select)):
        group, having = select.args.get("group"), select.args.get("having")
        keys = group.expressions if group is not None else []
        if (group is None and having is None) or not all(isinstance(key, exp.Column) for key in keys):
            continue
        grouped = {key.name.lower() for key in keys}
        perhaps_aliases = {key.name.lower() for key in keys if not key.table}
        names = {item.alias.lower() for item in select.expressions if isinstance(item, exp.Alias)}
        for item in select.expressions:
            if item.alias.lower() not in perhaps_aliases:
                _spare(item, grouped, set())
        if having is not None:
            _spare(having, grouped, names)
    return query


def _spare(root: exp.Expr, grouped: set[str], names: set[str]) -> None:
    """names: of output columns, which HAVING may mean."""
    for node in list(root.walk(prune=_is_closed)):
        if _is_null_condition(node) and any(_ungrouped(node, grouped)):
            node.replace(exp.cast(exp.null(), "BOOLEAN"))
            continue
        for dead in _dead(node):
            for column in list(_ungrouped(dead, grouped | names)):
                column.replace(exp.AnyValue(this=column.copy()))


def _is_closed(node: exp.Expr) -> bool:
    """Columns inside are not those of the group: an aggregate's rows, a window's, another query's."""
    function = FUNCTIONS.get(node.name.upper()) if isinstance(node, exp.Anonymous) else None
    is_aggregate = function is not None and function.kind == AGGREGATE
    return is_aggregate or isinstance(node, exp.AggFunc | exp.Window | exp.Query)


def _ungrouped(node: exp.Expr, grouped: set[str]) -> Iterator[exp.Column]:
    for inner in node.walk(prune=_is_closed):
        if isinstance(inner, exp.Column) and inner.name.lower() not in grouped:
            yield inner


def _is_null_condition(node: exp.Expr) -> bool:
    if isinstance(node, _COMPARISONS):
        return _is_null(node.this) or _is_null(node.expression)
    if isinstance(node, exp.Between):
        return _is_null(node.this) or (_is_null(node.args["low"]) and _is_null(node.args["high"]))
    return isinstance(node, exp.In) and bool(node.expressions) and _is_null(node.this)


def _dead(node: exp.Expr) -> Iterator[exp.Expr]:
    """Operands whose values are never looked at."""
    if isinstance(node, exp.Anonymous) and node.name.lower() in ("coalesce", "ifnull", "nvl"):
        given = False
        for argument in node.expressions:
            if given:
                yield argument
            given = given or _is_never_null(argument)
    elif isinstance(node, _ARITHMETIC):
        if _is_null(node.this):
            yield node.expression
        if _is_null(node.expression):
            yield node.this


def _is_null(node: exp.Expr) -> bool:
    while isinstance(node, exp.Paren | exp.Neg | exp.Not | exp.Cast):
        node = node.this
    return isinstance(node, exp.Null)


def _is_never_null(node: exp.Expr) -> bool:
    if isinstance(node, exp.Paren | exp.Neg):
        return _is_never_null(node.this)
    if isinstance(node, exp.Add | exp.Sub | exp.Mul):
        return _is_never_null(node.this) and _is_never_null(node.expression)
    return isinstance(node, exp.Literal | exp.Count) or (
        isinstance(node, exp.Anonymous) and node.name.lower() == "count"
    )
