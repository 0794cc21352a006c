"""What is computed and is no number is one value: NaN, whatever the sign that the processor gave it.

0.0 / 0.0 has a sign bit on some processors. DataFusion compares, groups and sorts floats by their bits, so such a NaN
would be another one than that of CAST('NaN' AS DOUBLE), and the least of all numbers instead of the greatest.
"""

from __future__ import annotations

from sqlglot import exp

from tsdb.sql.expression_type import float_type
from tsdb.sql.functions.spec import call

_COMPUTED = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.Neg)
_FUNCTIONS = frozenset(
    ["POWER", "POW", "SQRT", "LN", "LOG", "LOG2", "LOG10", "ACOS", "ASIN", "SIN", "COS", "TAN", "EXP"]
)


def unify_nans(query: exp.Expr) -> exp.Expr:
    """`query`, where what float arithmetic gives has only one NaN, in place."""
    for node in reversed(list(query.walk())):
        if _is_computed(node) and not _is_computed(_user(node)) and float_type(node) is not None:
            # a FLOAT, lest the result become a DOUBLE where it is none
            nan = exp.Cast(this=exp.Literal.string("NaN"), to=exp.DataType.build("FLOAT"))
            node.replace(call("nanvl", node, nan))
    return query


def _is_computed(node: exp.Expr | None) -> bool:
    if isinstance(node, exp.Neg):
        return not isinstance(node.this, exp.Literal)
    return isinstance(node, _COMPUTED) or (isinstance(node, exp.Anonymous) and str(node.this).upper() in _FUNCTIONS)


def _user(node: exp.Expr) -> exp.Expr | None:
    """What takes the value, beyond parentheses."""
    user = node.parent
    while isinstance(user, exp.Paren):
        user = user.parent
    return user
