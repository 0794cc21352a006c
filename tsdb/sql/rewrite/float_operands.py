"""A decimal that meets a DOUBLE becomes a DOUBLE, as in Flink and in the SQL standard; a constant that meets nothing
but FLOATs becomes a FLOAT, so that `f = 0.1` finds the 0.1 that was stored.

DataFusion casts the DOUBLE to DECIMAL(30, 15) instead: 1e20 does not fit, and 1e-20 becomes 0. So where a value that is
surely a DOUBLE or FLOAT is compared, or shares a result, with a decimal constant or column, the decimal is cast here.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
from sqlglot import exp

from tsdb.sql.expression_type import ONE_TYPE, arrow_type, float_type, results_of

_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ)
_OF_ELEMENTS = frozenset(
    ["ARRAY_CONTAINS", "ARRAY_HAS", "LIST_CONTAINS", "LIST_HAS", "ARRAY_POSITION", "LIST_POSITION", "ARRAY_REMOVE",
     "ARRAY_REMOVE_ALL", "ARRAY_APPEND", "LIST_APPEND", "ARRAY_PREPEND", "LIST_PREPEND"]
)  # fmt: skip


def widen_decimals(query: exp.Expr) -> exp.Expr:
    """`query` with every decimal that meets a DOUBLE cast to DOUBLE, innermost first, in place."""
    for node in reversed(list(query.walk())):
        for together in _of_one_type(node):
            widths = {width for item in together if (width := float_type(item)) is not None}
            if widths:
                for item in together:
                    _widen(item, "DOUBLE" if "DOUBLE" in widths else "FLOAT")
    return query


def _of_one_type(node: exp.Expr) -> Iterable[list[exp.Expr]]:
    """Groups of expressions that `node` brings to one type."""
    if isinstance(node, _COMPARISONS):
        yield [node.this, node.expression]
    elif isinstance(node, exp.Between):
        yield [node.this, node.args["low"], node.args["high"]]
    elif isinstance(node, exp.In):
        yield [node.this, *node.expressions]
    elif isinstance(node, exp.Case):
        yield results_of(node)
        if node.this is not None:
            yield [node.this, *(branch.this for branch in node.args["ifs"])]
    elif _name(node) in _OF_ELEMENTS and len(node.expressions) == 2:
        array, item = node.expressions
        width = _element_width(array)
        if width is not None:
            _widen(item, width)
    elif isinstance(node, exp.Array) or _name(node) in ONE_TYPE:
        yield node.expressions
    elif isinstance(node, exp.Values):
        yield from _columns([row.expressions for row in node.expressions if isinstance(row, exp.Tuple)])
    elif isinstance(node, exp.SetOperation):
        yield from _columns([part.expressions for part in (node.this, node.expression) if isinstance(part, exp.Select)])


def _element_width(array: exp.Expr) -> str | None:
    """DOUBLE or FLOAT for an array of them."""
    if isinstance(array, exp.Array):
        widths = {float_type(item) for item in array.expressions}
        return "DOUBLE" if "DOUBLE" in widths else "FLOAT" if "FLOAT" in widths else None
    kind = arrow_type(array)
    if kind is None or not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return None
    if not pa.types.is_floating(kind.value_type):
        return None
    return "FLOAT" if kind.value_type == pa.float32() else "DOUBLE"


def _columns(rows: list[list[exp.Expr]]) -> Iterable[list[exp.Expr]]:
    return ([row[i] for row in rows] for i in range(min(map(len, rows), default=0)))


def merge_zeros(query: exp.Expr) -> exp.Expr:
    """`query` with 0.0 and -0.0 one value for windows, DISTINCT aggregates and in sort keys before the last, in place.

    They are one for GROUP BY and `=`; elsewhere DataFusion goes by the order of the bits. -0.0 + 0.0 is 0.0.
    """
    for window in query.find_all(exp.Window):
        order = window.args.get("order")
        _with_zeros(window.args.get("partition_by") or ())
        _with_zeros(ordered.this for ordered in (order.expressions if isinstance(order, exp.Order) else ()))
    for distinct in query.find_all(exp.Distinct):
        if not isinstance(distinct.parent, exp.Select):
            _with_zeros(distinct.expressions)
    for select in query.find_all(exp.Select):
        order = select.args.get("order")
        if isinstance(order, exp.Order) and select.args.get("distinct") is None:
            _with_zeros(ordered.this for ordered in order.expressions[:-1])
    for case in query.find_all(exp.Case):
        _with_zeros([case.this] if case.this is not None else ())
    for call in query.find_all(exp.Anonymous):
        if _name(call) == "NULLIF" and len(call.expressions) == 2 and float_type(call) is not None:
            _with_zeros(call.expressions[1:])
            alike = exp.EQ(this=exp.Paren(this=call.expressions[0].copy()), expression=call.expressions[1].copy())
            call.replace(exp.Case(ifs=[exp.If(this=alike, true=exp.Null())], default=call.expressions[0].copy()))
    return query


def _with_zeros(keys: Iterable[exp.Expr]) -> None:
    for key in list(keys):
        width = float_type(key)
        if width is not None:
            zero = exp.Cast(this=exp.Literal.number(0), to=exp.DataType.build(width))
            key.replace(exp.Paren(this=exp.Add(this=key.copy(), expression=zero)))


def _widen(node: exp.Expr, width: str) -> None:
    if isinstance(node, exp.Alias | exp.Paren | exp.Neg):
        _widen(node.this, width)
        return
    kind = node.meta.get("type") if isinstance(node, exp.Column) else None
    is_number = isinstance(node, exp.Literal) and not node.is_string and "." in node.name
    if is_number or (kind is not None and pa.types.is_decimal(kind)):
        inner = exp.Literal.string(node.name) if is_number else node.copy()
        cast = exp.Cast(this=inner, to=exp.DataType.build(width if is_number else "DOUBLE"))
        named = isinstance(node, exp.Column) and isinstance(node.parent, exp.Select)
        node.replace(exp.alias_(cast, node.name, quoted=True) if named else cast)


def _name(node: exp.Expr) -> str:
    return str(node.this).upper() if isinstance(node, exp.Anonymous) else ""
