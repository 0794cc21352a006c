"""Ranks and counts are BIGINT.

DataFusion gives ROW_NUMBER, RANK, DENSE_RANK, NTILE and some counts as unsigned integers, which with any signed one
become a decimal: `ROW_NUMBER() OVER (…) - 1`, or a UNION with 0. So each is cast where it is made. Only where a query
over a subquery compares the rank with constants, as `WHERE rn <= 3`, is the cast put at its other uses: the comparison
itself is what both executors know as a Top-N.
"""

from __future__ import annotations

from sqlglot import exp

from tsdb.sql.functions.spec import cast
from tsdb.sql.rewrite.aggregate_call import outermost

_RANKS = ("ROW_NUMBER", "RANK", "DENSE_RANK", "NTILE")
_COUNTS = ("ARRAY_LENGTH", "LIST_LENGTH", "ARRAY_NDIMS", "LIST_NDIMS", "APPROX_DISTINCT", "APPROX_COUNT_DISTINCT",
           "REGR_COUNT")  # fmt: skip
_COMPARISONS = (exp.EQ, exp.LT, exp.LTE, exp.GT, exp.GTE)


def sign_counts(query: exp.Expr) -> exp.Expr:
    """`query` with every rank and count as BIGINT, in place."""
    for node in list(query.find_all(exp.Anonymous)):
        name = str(node.this).upper()
        if name in _RANKS and isinstance(node.parent, exp.Window):
            _sign_rank(node.parent)
        elif name in _COUNTS:
            _sign(outermost(node))
    return query


def _sign_rank(rank: exp.Window) -> None:
    """Where it is made, or where it is used but not compared."""
    if _is_compared(rank):
        return
    uses = _uses(rank)
    if any(_is_compared(use) for use in uses):
        for use in uses:
            if not _is_compared(use):
                _sign(use)
    else:
        _sign(rank)


def _sign(value: exp.Expr) -> None:
    """As BIGINT, under the name that it had."""
    signed = cast(value, "BIGINT")
    if isinstance(value, exp.Column) and isinstance(value.parent, exp.Select) and value.arg_key == "expressions":
        signed = exp.Alias(this=signed, alias=value.this.copy())
    value.replace(signed)


def _uses(rank: exp.Window) -> list[exp.Column]:
    """The columns that are the rank of a subquery, in the query right around it; none if that is not sure."""
    holder = rank.parent
    if not isinstance(holder, exp.Alias) or holder.parent_select is None:
        return []
    subquery = holder.parent_select.parent
    if not isinstance(subquery, exp.Subquery) or not isinstance(subquery.parent, exp.From):
        return []
    outer = subquery.parent.parent
    if not isinstance(outer, exp.Select) or outer.args.get("joins") or outer.args.get("laterals"):
        return []
    inside = {id(column) for column in subquery.find_all(exp.Column)}
    named = [c for c in outer.find_all(exp.Column) if c.name == holder.alias and id(c) not in inside]
    return named if all(c.parent_select is outer and c.table in ("", subquery.alias) for c in named) else []


def _is_compared(value: exp.Expr) -> bool:
    """Whether it is compared with a whole number."""
    node = value.parent
    if isinstance(node, exp.Between):
        return node.this is value and all(_is_constant(node.args[key]) for key in ("low", "high"))
    if isinstance(node, exp.In):
        return node.this is value and bool(node.expressions) and all(_is_constant(e) for e in node.expressions)
    if isinstance(node, _COMPARISONS):
        return _is_constant(node.expression if node.this is value else node.this)
    return False


def _is_constant(value: exp.Expr) -> bool:
    return isinstance(value, exp.Literal) and not value.is_string and value.name.isdigit()
