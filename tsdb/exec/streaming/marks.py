"""Which columns of an operator's output are bounded, given those of its input. See `watermark.py`."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
from datafusion.expr import Expr

from tsdb.exec.markers import PROCTIME, calls_marker
from tsdb.exec.streaming.binding import PlanColumn
from tsdb.exec.streaming.expression import Computed, Evaluator
from tsdb.exec.streaming.graph import GraphBuilder, Stream
from tsdb.exec.streaming.watermark import Mark, greatest, is_time, least, monotone, nanoseconds, scalar_at, ticks_ns

_MONOTONE_OF_LAST = ("date_bin", "date_trunc")
_CLOCKS = ("local_time", "local_nanos")
"""What the clocks of a zone show never falls, but where they are put back."""
_QUARTER_NS, _QUARTERS = 15 * 60 * 10**9, 12
_BINARY = {">": (False, True), ">=": (False, False), "<": (True, True), "<=": (True, False)}
"""operator → (the greater side is the right one, strictly)."""


def projected(
    stream: Stream, outputs: Sequence[int | Computed], types: Sequence[pa.DataType], graph: GraphBuilder
) -> tuple[Mark, ...]:
    """The marks of a projection: columns that are passed on, and monotone expressions of one."""
    marks = []
    by_column = {m.column: m for m in stream.marks}
    for place, output in enumerate(outputs):
        if isinstance(output, int):
            if output in by_column:
                mark = by_column[output]
                marks.append(replace(mark, column=place))
        elif _is_arrival(output.expr):
            marks.append(Mark(place, graph.arrival(), grows=True, arrival=True))
        elif by_column:
            made = _of_expression(place, output, types[place], stream, by_column, graph)
            marks += [] if made is None else [made]
    return tuple(marks)


def _is_arrival(expr: Any) -> bool:
    inner = Expr(expr.to_variant().expr()) if expr.variant_name() == "Alias" else expr
    return calls_marker(inner, PROCTIME)


def _of_expression(
    place: int, output: Computed, kind: pa.DataType, stream: Stream, by_column: dict[int, Mark], graph: GraphBuilder
) -> Mark | None:
    names = stream.names
    found = _monotone(output.expr, lambda column: names.index(column.name()) if column.name() in names else None)
    if found is None or found[0] not in by_column:
        return None
    at, binned = found
    element = kind.value_type if pa.types.is_list(kind) else kind
    if not is_time(element):
        return None
    mark = by_column[at]
    column = stream.schema.field(at).type
    evaluator = Evaluator(graph.frames, names, [output], [kind])

    by_clock = any(f"{name}(" in str(output.expr) for name in _CLOCKS)

    def value(bound: int) -> int | None:
        times = [scalar_at(moment, column) for moment in (_moments_from(bound) if by_clock else [bound])]
        rows = [pa.concat_arrays([pa.repeat(t, 1) for t in times])] * len(stream.schema)
        rows = [rows[i] if i == at else pa.nulls(len(times), t) for i, t in enumerate(stream.schema.types)]
        made = evaluator.columns(pa.Table.from_arrays(rows, schema=stream.schema))[0]
        found = [nanoseconds(one) for one in made]
        return None if None in found else min(one for one in found if one is not None)

    # a cast keeps the digits that there are
    tick = max(ticks_ns(element), mark.bound.tick if output.expr.variant_name() == "Cast" else 0)
    made = graph.bound(monotone(mark.bound, value, tick))
    return replace(mark, column=place, bound=made, window=mark.window or binned)


def _moments_from(bound: int) -> list[int]:
    """A bound, and when the clocks of a zone may go back behind it: then they show less than they did before."""
    first = -(-bound // _QUARTER_NS) * _QUARTER_NS
    return [bound, *(first + i * _QUARTER_NS for i in range(_QUARTERS))]


Place = Callable[[Any], int | None]
"""a column reference → its position, None if it is another stream's."""


def monotone_column(raw: Any, stream: Stream) -> int | None:
    """The one column of the stream of which an expression of the plan never falls."""
    found = _monotone(raw if isinstance(raw, Expr) else Expr(raw), lambda column: _place(column, stream))
    return None if found is None else found[0]


def _place(column: Any, stream: Stream) -> int | None:
    wanted = PlanColumn(column.relation(), column.name())
    return stream.columns.index(wanted) if wanted in stream.columns else None


def _monotone(expr: Any, place: Place) -> tuple[int, bool] | None:
    """The one column of which the expression never falls, and whether it is the border of a window."""
    kind = expr.variant_name()
    if kind == "Column":
        at = place(expr.to_variant())
        return None if at is None else (at, False)
    if kind == "Alias":
        return _monotone(Expr(expr.to_variant().expr()), place)
    if kind not in ("Cast", "BinaryExpr", "ScalarFunction"):
        return None
    operands = [o if isinstance(o, Expr) else Expr(o) for o in expr.rex_call_operands()]
    operator = str(expr.rex_call_operator()).lower()
    if kind == "Cast":
        return _monotone(operands[0], place)
    if kind == "BinaryExpr":
        constant = operands[1].variant_name() == "Literal"
        return _monotone(operands[0], place) if operator in ("+", "-") and constant else None
    if operator in _MONOTONE_OF_LAST and operands[0].variant_name() == "Literal":
        inner = _monotone(operands[1], place)
        return None if inner is None else (inner[0], inner[1] or operator == "date_bin")
    if operator in _CLOCKS:
        return _monotone(operands[0], place)
    if operator == "make_array":
        parts = {_monotone(o, place) for o in operands}
        columns = {p[0] for p in parts if p is not None}
        if None in parts or len(columns) != 1:
            return None
        return columns.pop(), any(p is not None and p[1] for p in parts)
    return None


def filtered(predicate: Any, stream: Stream, graph: GraphBuilder) -> tuple[Mark, ...]:
    """The marks of a filter: where a bounded column must be greater than another bounded one, its bound is, too."""
    marks = {m.column: m for m in stream.marks}
    for greater, smaller, strictly in _orders(predicate, stream):
        if greater in marks and smaller in marks and greater != smaller:
            high, low = marks[greater], marks[smaller]
            more = high.bound.tick if strictly else 0
            bound = graph.bound(greatest([high.bound, low.bound], [0, more]))
            marks[greater] = replace(high, bound=bound)
    return tuple(marks.values())


def _orders(predicate: Any, stream: Stream) -> list[tuple[int, int, bool]]:
    """(greater column, smaller column, strictly) of the conjunction."""
    expr = predicate if isinstance(predicate, Expr) else Expr(predicate)
    if expr.variant_name() != "BinaryExpr":
        return []
    variant = expr.to_variant()
    left, operator, right = variant.left(), variant.op(), variant.right()
    if operator == "AND":
        return [*_orders(left, stream), *_orders(right, stream)]
    if operator not in _BINARY or not all(Expr(side).variant_name() == "Column" for side in (left, right)):
        return []
    places = [_place(Expr(side).to_variant(), stream) for side in (left, right)]
    if places[0] is None or places[1] is None:
        return []
    flipped, strictly = _BINARY[operator]
    greater, smaller = (places[1], places[0]) if flipped else (places[0], places[1])
    return [(greater, smaller, strictly)]


def of_all(streams: Sequence[Stream], graph: GraphBuilder) -> tuple[Mark, ...]:
    """The marks of a union: of columns that are bounded in all inputs."""
    by_stream = [{m.column: m for m in s.marks} for s in streams]
    shared = set(by_stream[0]).intersection(*by_stream[1:]) if by_stream else set()
    marks = []
    for column in sorted(shared):
        parts = [m[column] for m in by_stream]
        bound = graph.bound(least([p.bound for p in parts]))
        marks.append(
            Mark(
                column,
                bound,
                window=all(p.window for p in parts),
                early=any(p.early for p in parts),
                grows=all(p.grows for p in parts),
            )
        )
    return tuple(marks)


def window_marks(marks: Sequence[Mark]) -> list[Mark]:
    """Those that close windows."""
    return [m for m in marks if m.window]


def passed(marks: Sequence[Mark], places: Sequence[int]) -> tuple[Mark, ...]:
    """The marks of the columns at `places`, which become columns 0, 1, …"""
    by_column = {m.column: m for m in marks}
    return tuple(replace(by_column[old], column=new) for new, old in enumerate(places) if old in by_column)
