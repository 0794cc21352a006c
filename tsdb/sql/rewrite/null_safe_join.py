"""`a IS NOT DISTINCT FROM b` between columns, where it is a condition, as equalities of what is never NULL.

DataFusion 55 has one flag for all keys of a join, which says that NULL is equal to NULL. It loses the flag when it puts
several joins in another order, and it takes keys of plain equalities, from WHERE say, under the same flag. So

    a IS NOT DISTINCT FROM b   is   (a IS NULL) = (b IS NULL) AND coalesce(a, 0) = coalesce(b, 0)

and where types are not known, the equalities beside it say that they are not about NULL.
"""

from __future__ import annotations

import pyarrow as pa
from sqlglot import exp

from tsdb.sql.functions.spec import call, cast

_POSITIVE = (exp.And, exp.Or, exp.Paren)
_CLAUSES = (exp.Where, exp.Join, exp.Having, exp.Qualify)


def join_on_values(query: exp.Expr) -> exp.Expr:
    """`query` with every such condition replaced, in place."""
    found = list(query.find_all(exp.NullSafeEQ, exp.NullSafeNEQ))
    for node in found:
        if isinstance(node, exp.NullSafeEQ) and _is_condition(node):
            same = _same_columns(node.this, node.expression)
            if same is not None:
                node.replace(exp.paren(same))
    return _reject_nulls(query) if found else query


def same(left: exp.Expr, right: exp.Expr, kind: pa.DataType | None) -> exp.Expr:
    """Both are NULL, or the same value, as equalities that may be keys of a join. Both are of the type `kind`."""
    values: list[exp.Expr] = []
    for side in (left, right):
        zero = None if kind is None else _zero(kind)
        if zero is not None:
            values.append(call("coalesce", side.copy(), zero))
        else:
            values.append(call("coalesce", cast(side.copy(), "VARCHAR"), exp.Literal.string("")))
    nulls = [exp.paren(exp.Is(this=side.copy(), expression=exp.Null())) for side in (left, right)]
    return exp.and_(
        exp.EQ(this=nulls[0], expression=nulls[1]), exp.EQ(this=values[0], expression=values[1]), copy=False
    )


def _same_columns(left: exp.Expr, right: exp.Expr) -> exp.Expr | None:
    if not isinstance(left, exp.Column) or not isinstance(right, exp.Column):
        return None
    kinds = [side.meta.get("type") for side in (left, right)]
    zeros = [None if kind is None else _zero(kind) for kind in kinds]
    return same(left, right, kinds[0]) if zeros[0] is not None and zeros[0] == zeros[1] else None


def _zero(kind: pa.DataType) -> exp.Expr | None:
    """A value of a type that text is not asked for."""
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_floating(kind):
        return exp.Literal.number(0)
    if pa.types.is_boolean(kind):
        return exp.Boolean(this=False)
    return exp.Literal.string("") if pa.types.is_string(kind) or pa.types.is_large_string(kind) else None


def _reject_nulls(query: exp.Expr) -> exp.Expr:
    for node in list(query.find_all(exp.EQ, exp.In, exp.Not)):
        sides = _compared(node)
        if not sides or any(side.find(exp.Column) is None for side in sides) or not _is_condition(node):
            continue
        inner = [side for side in sides if not any(c.meta.get("outer") for c in side.find_all(exp.Column))]
        if not inner:
            continue
        tested = next((side for side in inner if isinstance(side, exp.Column)), inner[0])
        known = exp.Not(this=exp.Is(this=exp.paren(tested.copy()), expression=exp.Null()))
        node.replace(exp.paren(exp.and_(node.copy(), known, copy=False)))
    return query


def _compared(node: exp.Expr) -> list[exp.Expr]:
    """What an equality, IN (query) or NOT (a <> b) compares."""
    if isinstance(node, exp.In):
        return [node.this] if node.args.get("query") is not None else []
    while isinstance(node, exp.Not | exp.Paren):
        node = node.this
        if isinstance(node, exp.NEQ):
            return [node.this, node.expression]
    return [node.this, node.expression] if isinstance(node, exp.EQ) else []


def _is_condition(node: exp.Expr) -> bool:
    """It stands in a clause under nothing but AND and OR, so NULL means FALSE."""
    parent = node.parent
    while isinstance(parent, _POSITIVE):
        parent = parent.parent
    return isinstance(parent, _CLAUSES)
