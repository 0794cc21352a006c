"""Aggregate nodes: which operator they become."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from datafusion import DataFrame
from datafusion.expr import Expr
from datafusion.plan import LogicalPlan

from tsdb.exec.streaming.binding import PlanColumn
from tsdb.exec.streaming.graph import GraphBuilder, Stream
from tsdb.exec.streaming.operators.grouping_sets import add_grouping_sets
from tsdb.exec.streaming.operators.project import extend
from tsdb.exec.streaming.operators.recompute import PartitionedQuery, Recompute


def build_aggregate(plan: LogicalPlan, variant: Any, inputs: Sequence[Stream], graph: GraphBuilder) -> Stream:
    """GROUP BY (also GROUPING SETS, DISTINCT, a global aggregate)."""
    (stream,) = inputs
    groups, aggregates = variant.group_by_exprs(), variant.aggregate_exprs()

    def add(by: Sequence[Any], columns: Sequence[PlanColumn], schema: pa.Schema) -> Stream:
        return _recompute(plan.display(), stream, graph, by, aggregates, columns, schema)

    if len(groups) == 1 and Expr(groups[0]).variant_name() == "GroupingSet":
        return add_grouping_sets(plan, groups[0], graph, add)
    return add(groups, *graph.planned(plan))


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
    return graph.add(Recompute(query), [stream], columns, schema, key=range(len(groups)))
