"""Integers that never wrap around, and averages of integers that are integers.

DataFusion adds, subtracts and multiplies integers modulo 2^64 (or 2^32, …), and so does SUM. Where a result may not
fit (`tsdb.sql.expression_type` knows the types and estimates the sizes) it is computed wider and cast back, which is an
error when it does not fit: a wrong number is never given. Everything else stays as it is, and as fast. A SUM of BIGINT
is put together of the sums of the upper and the lower 32 bits, neither of which can overflow.

AVG of integers is the sum divided by the count, an integer that is cut off, as in Flink.
"""

from __future__ import annotations

from sqlglot import exp

from tsdb.sql.expression_type import BIGINT_MAX, Integer, exceeds, integer
from tsdb.sql.functions.spec import binary, call, cast, number, paren
from tsdb.sql.rewrite.aggregate_call import instead, is_nested, outermost

_SUM_ROWS = 2**32
"""More rows than one sum will ever have."""
_WIDE = "DECIMAL(20, 0)"
_WIDEST = "DECIMAL(38, 0)"
_CHECKED = "checked"


def check_integers(query: exp.Expr) -> exp.Expr:
    """`query` with every arithmetic and SUM that may not fit checked, innermost first, in place."""
    for node in reversed(list(query.walk())):
        if isinstance(node, exp.Add | exp.Sub | exp.Mul):
            found = exceeds(node)
            if found is not None:
                node.replace(_checked(node, found))
        elif isinstance(node, exp.Anonymous) and len(node.expressions) == 1 and not is_nested(node):
            inner = integer(node.expressions[0])
            name = str(node.this).upper()
            if inner is not None and name in ("AVG", "MEAN"):
                _replace(node, _average(node, inner))
            elif inner is not None and name == "SUM" and inner.most * _SUM_ROWS > BIGINT_MAX:
                _replace(node, cast(_wide_sum(node), "BIGINT"))
    return query


def double_averages(query: exp.Expr) -> exp.Expr:
    """`query` with every AVG as a DOUBLE: what `'sql.average' = 'double'` asks for."""
    for node in list(query.find_all(exp.Anonymous)):
        if str(node.this).upper() in ("AVG", "MEAN") and len(node.expressions) == 1:
            argument = node.expressions[0]
            if isinstance(argument, exp.Distinct):
                argument.set("expressions", [cast(e, "DOUBLE") for e in argument.expressions])
            else:
                node.set("expressions", [cast(argument, "DOUBLE")])
    return query


def _checked(node: exp.Binary, found: Integer) -> exp.Expr:
    """The arithmetic in a wider type, cast back; a sum of many terms is cast back once."""
    wide = "BIGINT" if found.bits < 64 else _WIDE
    left, right = _widened(node, node.this, wide), cast(node.expression, wide)
    whole = paren(type(node)(this=left, expression=right))
    checked = exp.Cast(this=whole, to=exp.DataType.build(found.type_name))  # not a copy: there may be many terms
    checked.meta[_CHECKED] = wide
    return checked


def _widened(node: exp.Binary, left: exp.Expr, wide: str) -> exp.Expr:
    inner = left.unnest()
    if isinstance(node, exp.Add | exp.Sub) and inner.meta.get(_CHECKED) == wide:
        terms: exp.Expr = inner.this.this
        if isinstance(terms, exp.Add | exp.Sub):
            return terms
    return cast(left, wide)


def _replace(node: exp.Expr, replacement: exp.Expr) -> None:
    outermost(node).replace(replacement)


def _wide_sum(node: exp.Anonymous) -> exp.Expr:
    """The sum as a decimal that holds any."""
    argument = node.expressions[0]
    if isinstance(argument, exp.Distinct):
        return instead(node, "SUM", exp.Distinct(expressions=[cast(e, _WIDEST) for e in argument.expressions]))
    value = cast(argument, "BIGINT")
    upper = instead(node, "SUM", exp.BitwiseRightShift(this=value.copy(), expression=number(32)))
    lower = instead(node, "SUM", exp.BitwiseAnd(this=value.copy(), expression=number(2**32 - 1)))
    scaled = binary(exp.Mul, cast(upper, _WIDE), cast(number(2**32), "DECIMAL(10, 0)"))
    return binary(exp.Add, scaled, cast(lower, _WIDE))


def _average(node: exp.Anonymous, inner: Integer) -> exp.Expr:
    """The sum without what the count leaves, divided by the count."""
    argument = node.expressions[0]
    count = instead(node, "COUNT", argument)
    if inner.most * _SUM_ROWS <= BIGINT_MAX:
        total, divisor = instead(node, "SUM", argument), call("nullif", count, number(0))
        return cast(paren(exp.Div(this=total, expression=divisor, typed=True, safe=False)), inner.type_name)
    total, divisor = _wide_sum(node), cast(call("nullif", count, number(0)), _WIDE)
    whole = binary(exp.Sub, total, binary(exp.Mod, total, divisor))
    return cast(binary(exp.Div, whole, divisor), inner.type_name)
