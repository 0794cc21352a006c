"""Calls of aggregates in a query: which nodes are such, and what stands around them, their FILTER and OVER."""

from __future__ import annotations

from sqlglot import exp

from tsdb.sql.functions import FUNCTIONS
from tsdb.sql.functions.spec import AGGREGATE, call

_AROUND = (exp.Filter, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls)
_COUNTS = ("APPROX_COUNT_DISTINCT", "APPROX_DISTINCT", "COUNT", "COUNT_IF", "REGR_COUNT")


def is_call_of_aggregate(node: exp.Expr) -> bool:
    """The node is the call of an aggregate, with its FILTER and the like."""
    return _name(node) is not None


def is_count(node: exp.Expr) -> bool:
    """The node is the call of an aggregate that gives 0 of nothing; the others give NULL."""
    return _name(node) in _COUNTS


def is_aggregate(node: exp.Expr) -> bool:
    """The value is made of aggregates: one of them is in it, outside of any window or subquery."""
    return bool(aggregate_calls(node))


def aggregate_calls(node: exp.Expr) -> list[exp.Expr]:
    """The outermost calls of aggregates in an expression, with their FILTER and the like."""
    calls = []
    pending = [node]
    while pending:
        item = pending.pop()
        if is_call_of_aggregate(item):
            calls.append(item)
        elif isinstance(item, exp.Window):  # the function itself is no aggregate, its arguments may be
            beside = [child for child in item.iter_expressions() if child is not item.this]
            pending += reversed([*item.this.iter_expressions(), *beside])
        elif not isinstance(item, exp.Query):
            pending += reversed(list(item.iter_expressions()))
    return calls


def outermost(node: exp.Expr) -> exp.Expr:
    """The aggregate with its FILTER and OVER."""
    while isinstance(node.parent, (*_AROUND, exp.Window)) and node.parent.this is node:
        node = node.parent
    return node


def instead(node: exp.Anonymous, name: str, argument: exp.Expr) -> exp.Expr:
    """The aggregate, its FILTER and OVER included, of another function and argument."""
    node.meta["here"] = True
    copy = outermost(node).copy()
    del node.meta["here"]
    here = next(found for found in copy.find_all(exp.Anonymous) if found.meta.get("here"))
    new = call(name, argument)
    if here is copy:
        return new
    here.replace(new)
    return copy


def is_nested(node: exp.Anonymous) -> bool:
    """An aggregate of an aggregate, which is refused later; over a window it is none."""
    if isinstance(outermost(node), exp.Window):
        return False
    inside = node.expressions[0].find_all(exp.Anonymous, exp.AggFunc)
    return any(isinstance(n, exp.AggFunc) or str(n.this).upper() in ("AVG", "MEAN", "SUM") for n in inside)


def _name(node: exp.Expr) -> str | None:
    while isinstance(node, _AROUND):
        node = node.this
    if not isinstance(node, exp.Anonymous):
        return None
    name = str(node.this).upper()
    function = FUNCTIONS.get(name)
    return name if function is not None and function.kind == AGGREGATE else None
