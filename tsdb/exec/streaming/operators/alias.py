"""SubqueryAlias: the same rows under another relation's name; no operator at all."""

from collections.abc import Sequence
from typing import Any

from datafusion.plan import LogicalPlan

from tsdb.exec.streaming.graph import GraphBuilder, Stream, with_columns


def build_alias(plan: LogicalPlan, variant: Any, inputs: Sequence[Stream], graph: GraphBuilder) -> Stream:
    """Only the names change."""
    (stream,) = inputs
    renamed, _ = graph.planned(plan)
    return with_columns(stream, [*renamed, *stream.columns[len(renamed) :]])
