"""Window functions."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from datafusion import DataFrame
from datafusion.expr import Expr
from datafusion.plan import LogicalPlan

from tsdb.exec.streaming.binding import PlanColumn, named_column
from tsdb.exec.streaming.expression import positional
from tsdb.exec.streaming.graph import GraphBuilder, Stream
from tsdb.exec.streaming.operators.project import extend
from tsdb.exec.streaming.operators.recompute import PartitionedQuery, Recompute

_RANKS = ("row_number", "rank", "dense_rank")


def build_window(plan: LogicalPlan, variant: Any, inputs: Sequence[Stream], graph: GraphBuilder) -> Stream:
    """A WindowExpr node: its input columns, then its functions; partitioned by what all of them share."""
    functions = variant.get_window_expr()
    stream, key = extend(_common_partition(variant, functions), inputs[0], graph)
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

    query = PartitionedQuery(
        run=run,
        input_schema=stream.schema,
        input_key=key,
        output_schema=schema,
        output_key=key,
        text=plan.display(),
        extends_rows=True,
        rank=len(stream.columns) if stream.append_only and _is_rank(variant, functions) else None,
    )
    return graph.add(Recompute(query), [stream], columns, schema, key=stream.key)


def _is_rank(variant: Any, functions: Sequence[Any]) -> bool:
    """Whether the one function numbers rows, so that more rows never make a number smaller."""
    return len(functions) == 1 and variant.window_func_name(functions[0]) in _RANKS


def _common_partition(variant: Any, functions: Sequence[Any]) -> list[Any]:
    """The partition expressions that every window of the node has; a coarser partition is recomputed as a whole."""
    by_text = [{Expr(e).canonical_name(): e for e in variant.get_partition_exprs(f)} for f in functions]
    common = set(by_text[0]).intersection(*by_text[1:])
    return [raw for text, raw in by_text[0].items() if text in common]
