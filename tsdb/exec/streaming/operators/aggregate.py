"""Aggregate nodes: which way they are made incremental."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from datafusion import DataFrame
from datafusion.expr import Expr
from datafusion.plan import LogicalPlan

from tsdb.exec.streaming.binding import PlanColumn
from tsdb.exec.streaming.graph import GraphBuilder, Stream
from tsdb.exec.streaming.operators.project import extend
from tsdb.exec.streaming.operators.recompute import PartitionedQuery, Recompute


def build_aggregate(plan: LogicalPlan, variant: Any, inputs: Sequence[Stream], graph: GraphBuilder) -> Stream:
    """GROUP BY (also GROUPING SETS, DISTINCT, a global aggregate)."""
    (stream,) = inputs
    groups, aggregates = variant.group_by_exprs(), variant.aggregate_exprs()
    columns, schema = graph.planned(plan)
    keyed = not any(Expr(g).variant_name() == "GroupingSet" for g in groups)
    return _recompute(plan, stream, graph, groups, aggregates, columns, schema, keyed=keyed)


def _recompute(
    plan: LogicalPlan,
    stream: Stream,
    graph: GraphBuilder,
    groups: Sequence[Any],
    aggregates: Sequence[Any],
    columns: Sequence[PlanColumn],
    schema: pa.Schema,
    *,
    keyed: bool,
) -> Stream:
    stream, key = extend(groups, stream, graph) if keyed else (stream, ())
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
        input_key=tuple(key),
        output_schema=schema,
        output_key=tuple(range(len(key))),
        rows_without_input=not groups or not keyed,
        text=plan.display(),
    )
    key_out = tuple(range(len(groups))) if keyed else None
    return graph.add(Recompute(query), [stream], columns, schema, key=key_out)
