"""SubqueryAlias: the same rows under another relation's name; no operator at all."""

from collections.abc import Sequence
from typing import Any

from datafusion.plan import LogicalPlan

from tsdb.exec.streaming.graph import GraphBuilder, Stream, flat_names, named_like, with_columns


def build_alias(plan: LogicalPlan, variant: Any, inputs: Sequence[Stream], graph: GraphBuilder) -> Stream:
    """Only the names change."""
    (stream,) = inputs
    flat = flat_names(variant)
    renamed = named_like(flat, [c.name for c in stream.columns[: len(flat)]])
    return with_columns(stream, [*renamed, *stream.columns[len(flat) :]])
