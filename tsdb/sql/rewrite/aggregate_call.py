"""An aggregate with what stands around it, its FILTER and OVER: replaced as a whole, or by that of another function."""

from __future__ import annotations

from sqlglot import exp

from tsdb.sql.functions.spec import call

_AROUND = (exp.Filter, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls, exp.Window)


def outermost(node: exp.Expr) -> exp.Expr:
    """The aggregate with its FILTER and OVER."""
    while isinstance(node.parent, _AROUND) and node.parent.this is node:
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
