"""Aggregate nodes: which operator they become."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
from datafusion import DataFrame
from datafusion.expr import Expr
from datafusion.plan import LogicalPlan

from tsdb.exec.streaming.arrangement import Arrangement
from tsdb.exec.streaming.binding import PlanColumn
from tsdb.exec.streaming.expression import positional
from tsdb.exec.streaming.graph import GraphBuilder, Stream, Sweep
from tsdb.exec.streaming.marks import passed, window_marks
from tsdb.exec.streaming.operators.accumulator import Accumulator, accumulator_of
from tsdb.exec.streaming.operators.close import closed, in_time
from tsdb.exec.streaming.operators.distinct_weights import DistinctWeights
from tsdb.exec.streaming.operators.extremum import Extremum, has_extremum, values_by_group
from tsdb.exec.streaming.operators.group_aggregate import AggregateCall, GroupAggregate
from tsdb.exec.streaming.operators.grouping_sets import add_grouping_sets
from tsdb.exec.streaming.operators.plain_call import PlainCall, plain_calls
from tsdb.exec.streaming.operators.project import extend, project
from tsdb.exec.streaming.operators.recompute import PartitionedQuery, Recompute
from tsdb.exec.streaming.operators.text_extremum import TextExtremum, has_text_extremum
from tsdb.exec.streaming.state_ttl import current_ttl_ms
from tsdb.exec.streaming.watermark import Mark


def build_aggregate(plan: LogicalPlan, variant: Any, inputs: Sequence[Stream], graph: GraphBuilder) -> Stream:
    """GROUP BY (also GROUPING SETS, DISTINCT, a global aggregate)."""
    groups, aggregates = variant.group_by_exprs(), variant.aggregate_exprs()

    def add(by: Sequence[Any], columns: Sequence[PlanColumn], schema: pa.Schema) -> Stream:
        stream = in_time(inputs[0], _window_keys(by, inputs[0], graph), graph)
        calls = plain_calls(variant, graph)
        made = None
        if calls is not None:
            made = _accumulate(plan.display(), stream, graph, by, calls, columns, schema)
        if made is None:
            made = _recompute(plan.display(), stream, graph, by, aggregates, columns, schema)
        return closed(made, window_marks(made.marks), graph)

    if len(groups) == 1 and Expr(groups[0]).variant_name() == "GroupingSet":
        return add_grouping_sets(plan, groups[0], graph, add)
    return add(groups, *graph.planned(plan))


def _accumulate(
    text: str,
    stream: Stream,
    graph: GraphBuilder,
    groups: Sequence[Any],
    calls: Sequence[PlainCall],
    columns: Sequence[PlanColumn],
    schema: pa.Schema,
) -> Stream | None:
    """GroupAggregate, if all its aggregates have accumulators."""
    raws = [*groups, *(r for c in calls for r in (c.argument, c.condition) if r is not None)]
    outputs = [graph.output(r, stream) for r in raws]
    types = [stream.schema.types[o] if isinstance(o, int) else graph.type_of(o, stream) for o in outputs]
    # literal arguments (`count(*)`) are constant columns
    names = [PlanColumn(None, f"#in{i}") for i in range(len(outputs))]
    narrowed = positional(types)
    keys = pa.schema([narrowed.field(i) for i in range(len(groups))])
    made, at, values = [], len(groups), dict[str, Arrangement]()
    for call, kind in zip(calls, schema.types[len(groups) :], strict=True):
        argument = condition = None
        if call.argument is not None:
            argument, at = at, at + 1
        if call.condition is not None:
            condition, at = at, at + 1
        accumulator = _accumulator(
            call, pa.int64() if argument is None else types[argument], kind, keys, stream, values
        )
        if accumulator is None:
            return None
        made.append(AggregateCall(accumulator, argument, condition, None))
    if not outputs:
        outputs, names, narrowed = [0], [stream.columns[0]], positional([stream.schema.types[0]])
    if outputs != list(range(len(stream.columns))):
        stream = project(outputs, names, narrowed, stream, graph, ", ".join(Expr(r).canonical_name() for r in raws))
    marks = window_marks(passed(stream.marks, range(len(groups))))
    # groups of windows, and those with a time to live, are forgotten by their key
    by_slot = not marks and not current_ttl_ms()
    made = [
        replace(
            own,
            distinct=_distinct(call, keys, narrowed.types[own.argument], by_slot=by_slot),
        )
        if call.distinct and own.argument is not None and call.function not in ("min", "max")
        else own
        for call, own in zip(calls, made, strict=True)
    ]
    operator = GroupAggregate(keys, made, schema, text, expires=bool(groups) and not marks)
    grows = stream.append_only and not calls
    graph.sweeps.extend(Sweep(mark, operator.forget) for mark in marks)
    return graph.add(operator, [stream], columns, schema, key=range(len(groups)), append_only=grows, marks=marks)


def _distinct(call: PlainCall, keys: pa.Schema, kind: pa.DataType, *, by_slot: bool) -> DistinctWeights:
    return DistinctWeights(keys, kind, by_slot=by_slot, text=Expr(call.argument).canonical_name())


def _accumulator(
    call: PlainCall,
    argument: pa.DataType,
    kind: pa.DataType,
    keys: pa.Schema,
    stream: Stream,
    values: dict[str, Arrangement],
) -> Accumulator | None:
    """values: what the extrema of this operator share, by argument and condition; filled."""
    if call.function not in ("min", "max"):
        return accumulator_of(call.function, argument, kind)
    if not (has_extremum(argument) or has_text_extremum(argument)) or argument != kind:
        return None
    made = Extremum if has_extremum(argument) else TextExtremum
    maximum = call.function == "max"
    if stream.append_only:
        return made(kind, None, maximum=maximum, owner=False)
    owner = call.input_text not in values
    if owner:
        values[call.input_text] = values_by_group(keys, kind)
    return made(kind, values[call.input_text], maximum=maximum, owner=owner)


def _recompute(
    text: str,
    stream: Stream,
    graph: GraphBuilder,
    groups: Sequence[Any],
    aggregates: Sequence[Any],
    columns: Sequence[PlanColumn],
    schema: pa.Schema,
) -> Stream:
    stream, key = extend(groups, stream, graph)
    by = [graph.bind(g, stream) for g in groups]
    functions = [graph.bind(a, stream) for a in aggregates]
    names = stream.names

    def aggregate(frame: DataFrame) -> DataFrame:
        return frame.aggregate(by, functions)

    def run(rows: pa.Table) -> pa.Table:
        result = graph.frames.run(rows.rename_columns(names), aggregate)
        return result.rename_columns(schema.names)

    query = PartitionedQuery(
        run=run,
        input_schema=stream.schema,
        input_key=key,
        output_schema=schema,
        output_key=tuple(range(len(key))),
        rows_without_input=not groups,
        text=text,
    )
    operator = Recompute(query)
    marks = window_marks(passed(stream.marks, key))
    graph.sweeps.extend(Sweep(mark, operator.forget) for mark in marks)
    return graph.add(operator, [stream], columns, schema, key=range(len(groups)), marks=marks)


def _window_keys(groups: Sequence[Any], stream: Stream, graph: GraphBuilder) -> list[Mark]:
    """The marks of the borders of windows that are grouped by."""
    if not window_marks(stream.marks) or any(Expr(g).variant_name() != "Column" for g in groups):
        return []
    places = [graph.output(g, stream) for g in groups]
    return [m for m in window_marks(stream.marks) if m.column in places]
