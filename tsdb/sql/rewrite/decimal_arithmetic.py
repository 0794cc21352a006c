"""Quotients, products and averages of decimals with Flink's precision and scale, rounded half up.

    DECIMAL(p1, s1) / DECIMAL(p2, s2)  has the scale max(6, s1 + p2 + 1), DataFusion's has s1 + 4 and cuts off;
    DECIMAL(p1, s1) * DECIMAL(p2, s2)  keeps six digits of a fraction where 38 digits are not enough for all of them,
                                       DataFusion's keeps all, and overflows;
    AVG(DECIMAL(p, s))                 is a DECIMAL(38, max(6, s)).

A quotient is computed with more digits than are kept, in 256 bits where 128 could overflow, and cast to its type.
Only what is surely a decimal is changed; an integer beside it counts as DECIMAL(10, 0), a BIGINT as
DECIMAL(19, 0).

Source: Flink, `LogicalTypeMerging`.
"""

from __future__ import annotations

from sqlglot import exp

from tsdb.sql.expression_type import decimal, integer
from tsdb.sql.functions.spec import call, cast, paren, text
from tsdb.sql.rewrite.aggregate_call import instead, is_nested, outermost

_DIGITS_MAX = 38
_SCALE_MIN = 6
_QUOTIENT_DIGITS = 4
"""By which DataFusion's quotient has more digits behind the point than its dividend."""
_INTEGER_DIGITS = {8: 3, 16: 5, 32: 10, 64: 19}
Size = tuple[int, int]


def scale_decimals(query: exp.Expr) -> exp.Expr:
    """`query` with every one of them in its type, innermost first, in place."""
    for node in reversed(list(query.walk())):
        if isinstance(node, exp.Div | exp.Mul):
            replacement = _scaled(node)
            if replacement is not None:
                node.replace(replacement)
        elif isinstance(node, exp.Anonymous) and str(node.this).upper() in ("AVG", "MEAN"):
            _scale_average(node)
    return query


def _scaled(node: exp.Binary) -> exp.Expr | None:
    sizes = decimal(node.this), decimal(node.expression)
    if sizes == (None, None):
        return None
    left, right = sizes[0] or _of_integer(node.this), sizes[1] or _of_integer(node.expression)
    if left is None or right is None:
        return None
    return _quotient(node, left, right) if isinstance(node, exp.Div) else _product(node, left, right)


def _of_integer(node: exp.Expr) -> Size | None:
    found = integer(node)
    if found is None:
        return None
    is_small = isinstance(node, exp.Literal) and found.most < 2**31
    return (10 if is_small else _INTEGER_DIGITS[found.bits], 0)


def _fitted(precision: int, scale: int) -> Size:
    """Within 38 digits, at the cost of the fraction, but not of its first six digits."""
    if precision <= _DIGITS_MAX:
        return precision, scale
    return _DIGITS_MAX, max(_DIGITS_MAX - (precision - scale), min(scale, _SCALE_MIN))


def _quotient(node: exp.Binary, left: Size, right: Size) -> exp.Expr:
    (p1, s1), (p2, s2) = left, right
    scale = max(_SCALE_MIN, s1 + p2 + 1)
    precision, scale = _fitted(p1 - s1 + s2 + scale, scale)
    kept = max(s1, scale + 1 - _QUOTIENT_DIGITS)
    digits = p1 - s1 + kept
    wide = digits + _QUOTIENT_DIGITS + s2 > _DIGITS_MAX
    dividend, divisor = _as(node.this, (digits, kept), wide), _as(node.expression, right, wide)
    whole = paren(exp.Div(this=dividend, expression=divisor, typed=True, safe=False))
    return cast(whole, f"DECIMAL({precision}, {scale})")


def _product(node: exp.Binary, left: Size, right: Size) -> exp.Expr | None:
    precision, scale = left[0] + right[0] + 1, left[1] + right[1]
    if precision <= _DIGITS_MAX:
        return None
    precision, scale = _fitted(precision, scale)
    product = exp.Mul(this=_as(node.this, left, True), expression=_as(node.expression, right, True))
    return cast(paren(product), f"DECIMAL({precision}, {scale})")


def _as(node: exp.Expr, size: Size, wide: bool) -> exp.Expr:
    if wide:
        return call("arrow_cast", node, text(f"Decimal256({size[0]}, {size[1]})"))
    return cast(node, f"DECIMAL({size[0]}, {size[1]})")


def _scale_average(node: exp.Anonymous) -> None:
    if len(node.expressions) != 1 or is_nested(node):
        return
    argument = node.expressions[0]
    only = argument.expressions[0] if isinstance(argument, exp.Distinct) else argument
    size = decimal(only)
    if size is None:
        return
    precision, scale = size
    target = max(_SCALE_MIN, scale)
    kept = max(scale, target + 1 - _QUOTIENT_DIGITS)
    value = cast(only, f"DECIMAL({min(precision - scale + kept, _DIGITS_MAX)}, {kept})")
    new = exp.Distinct(expressions=[value]) if isinstance(argument, exp.Distinct) else value
    outermost(node).replace(cast(instead(node, "AVG", new), f"DECIMAL({_DIGITS_MAX}, {target})"))
