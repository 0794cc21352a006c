"""Window functions."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from datafusion import DataFrame
from datafusion.expr import Expr
from datafusion.plan import LogicalPlan

from tsdb.exec.markers import SESSION_END, SESSION_START
from tsdb.exec.streaming.binding import PlanColumn, named_column
from tsdb.exec.streaming.expression import positional
from tsdb.exec.streaming.graph import GraphBuilder, Stream, Sweep
from tsdb.exec.streaming.marks import window_marks
from tsdb.exec.streaming.operators.close import closed, in_time
from tsdb.exec.streaming.operators.group_order import OrderColumn
from tsdb.exec.streaming.operators.project import extend
from tsdb.exec.streaming.operators.recompute import PartitionedQuery, Recompute
from tsdb.exec.streaming.operators.session_window import sessions
from tsdb.exec.streaming.operators.top_rows import TopRows, can_keep_top
from tsdb.exec.streaming.watermark import Mark, monotone

_RANKS = ("row_number", "rank", "dense_rank")
_NEW = "#new"
_BACKWARD = (*_RANKS, "lag")


def build_window(plan: LogicalPlan, variant: Any, inputs: Sequence[Stream], graph: GraphBuilder) -> Stream:
    """A WindowExpr node: its input columns, then its functions; partitioned by what all of them share."""
    functions = variant.get_window_expr()
    if any(variant.window_func_name(f) in (SESSION_START, SESSION_END) for f in functions):
        return _build_session(plan, variant, inputs[0], graph)
    stream, key = extend(_common_partition(variant, functions), inputs[0], graph)
    windows = [m for m in window_marks(stream.marks) if m.column in key]
    stream = in_time(stream, windows, graph)
    times = [] if windows else _time_order(variant, functions, stream, graph)
    stream = closed(in_time(stream, times, graph), times, graph)
    order = None
    if not windows and not times and _is_row_number(variant, functions):
        stream, order = _order(variant, functions[0], stream, graph)
    planned, planned_schema = graph.planned(plan)
    columns: list[PlanColumn] = [*stream.columns, *planned[-len(functions) :]]
    schema = positional([*stream.schema.types, *planned_schema.types[-len(functions) :]])
    names = stream.names
    passed = [named_column(n) for n in names]
    bound = [graph.bind(f, stream).alias(f"w{i}") for i, f in enumerate(functions)]

    def window(frame: DataFrame) -> DataFrame:
        return frame.select(*passed, *bound)

    def run(rows: pa.Table) -> pa.Table:
        return graph.frames.run(rows.rename_columns(names), window).rename_columns(schema.names)

    def run_new(rows: pa.Table, new: np.ndarray) -> pa.Table:
        marked = rows.rename_columns(names).append_column(_NEW, pa.array(new))
        result = graph.frames.run(marked, lambda frame: frame.select(*passed, *bound, named_column(_NEW)))
        return result.filter(result.column(_NEW)).drop_columns([_NEW]).rename_columns(schema.names)

    query = PartitionedQuery(
        run=run,
        input_schema=stream.schema,
        input_key=key,
        output_schema=schema,
        output_key=key,
        text=plan.display(),
        extends_rows=True,
        run_new=run_new if times else None,
        top=_top(key, order, schema, stream) if order is not None else None,
        rank=len(stream.columns) if stream.append_only and _is_rank(variant, functions) else None,
    )
    operator = Recompute(query)
    for mark in windows:
        graph.sweeps.append(Sweep(replace(mark, column=key.index(mark.column)), operator.forget))
    made = graph.add(
        operator, [stream], columns, schema,
        key=stream.key, append_only=bool(times), marks=times or windows,
    )  # fmt: skip
    return closed(made, windows, graph)


def _time_order(variant: Any, functions: Sequence[Any], stream: Stream, graph: GraphBuilder) -> list[Mark]:
    """The time column by which all windows go, none beyond the current row: then a row is final when its time has come.

    None if rows may be taken back, or are to be shown early.
    """
    marks = {m.column: m for m in stream.marks if m.grows and not m.early}
    places = set()
    for function in functions:
        order = variant.get_sort_exprs(function)
        frame = variant.get_frame(function)
        backward = variant.window_func_name(function) in _BACKWARD or frame.get_upper_bound().is_current_row()
        first = order[0] if order else None
        if first is None or not backward or not first.ascending() or Expr(first.expr()).variant_name() != "Column":
            return []
        places.add(graph.output(first.expr(), stream))
    (place,) = places if len(places) == 1 else (None,)
    return [marks[place]] if place in marks else []


def _build_session(plan: LogicalPlan, variant: Any, stream: Stream, graph: GraphBuilder) -> Stream:
    """The borders of the sessions of rows; the rows of touched keys are put together anew."""
    functions = variant.get_window_expr()
    time, gap = variant.get_args(functions[0])
    stream, positions = extend([*_common_partition(variant, functions), time], stream, graph)
    *key, at = positions
    gap_ns = int(Expr(gap).python_value()) * 1_000_000
    planned, planned_schema = graph.planned(plan)
    columns: list[PlanColumn] = [*stream.columns, *planned[-len(functions) :]]
    schema = positional([*stream.schema.types, *planned_schema.types[-len(functions) :]])
    starts = [variant.window_func_name(f) == SESSION_START for f in functions]
    rowtime = next((m for m in stream.marks if m.column == at), None)
    width, final = len(stream.columns), None
    if rowtime is not None:
        # a row in time, or not so late that its own session would be over, only meets sessions that are not
        moved = graph.bound(monotone(rowtime.bound, lambda b: b - gap_ns + rowtime.bound.tick, rowtime.bound.tick))
        stream = in_time(stream, [Mark(at, moved)], graph)
        over = graph.bound(monotone(rowtime.bound, lambda b: b + rowtime.bound.tick, rowtime.bound.tick))
        if False in starts:
            final = replace(rowtime, column=width + starts.index(False), bound=over, window=True)

    def run(rows: pa.Table) -> pa.Table:
        borders = sessions(rows, key, at, gap_ns)
        for name, is_start in zip(schema.names[width:], starts, strict=True):
            rows = rows.append_column(name, borders[0 if is_start else 1])
        return rows

    query = PartitionedQuery(
        run=run, input_schema=stream.schema, input_key=tuple(key), output_schema=schema, output_key=tuple(key),
        text=plan.display(), extends_rows=True, final=final,
    )  # fmt: skip
    operator = Recompute(query)
    marks = () if final is None else (final,)
    graph.sweeps.extend(Sweep(mark, operator.forget_final) for mark in marks)
    return graph.add(operator, [stream], columns, schema, key=stream.key, marks=marks)


def _is_rank(variant: Any, functions: Sequence[Any]) -> bool:
    """Whether the one function numbers rows, so that more rows never make a number smaller."""
    return len(functions) == 1 and variant.window_func_name(functions[0]) in _RANKS


def _is_row_number(variant: Any, functions: Sequence[Any]) -> bool:
    return len(functions) == 1 and variant.window_func_name(functions[0]) == "row_number"


def _order(variant: Any, function: Any, stream: Stream, graph: GraphBuilder) -> tuple[Stream, list[OrderColumn]]:
    """The stream with the columns of the function's ORDER BY, and where they are."""
    sorts = variant.get_sort_exprs(function)
    stream, places = extend([s.expr() for s in sorts], stream, graph)
    return stream, [OrderColumn(p, s.ascending(), s.nulls_first()) for p, s in zip(places, sorts, strict=True)]


def _top(
    key: Sequence[int], order: Sequence[OrderColumn], schema: pa.Schema, stream: Stream
) -> Callable[[int], TopRows] | None:
    if not can_keep_top(schema, key, order):
        return None
    return lambda most: TopRows(key, order, most, schema, grows=stream.append_only)


def _common_partition(variant: Any, functions: Sequence[Any]) -> list[Any]:
    """The partition expressions that every window of the node has; a coarser partition is recomputed as a whole."""
    by_text = [{Expr(e).canonical_name(): e for e in variant.get_partition_exprs(f)} for f in functions]
    common = set(by_text[0]).intersection(*by_text[1:])
    return [raw for text, raw in by_text[0].items() if text in common]
