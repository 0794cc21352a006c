"""Union all."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from datafusion.plan import LogicalPlan

from tsdb.changes import ChangeBatch, plus
from tsdb.exec.streaming.binding import ROW_ONLY, PlanColumn
from tsdb.exec.streaming.expression import positional
from tsdb.exec.streaming.graph import GraphBuilder, Stream
from tsdb.exec.streaming.marks import of_all


class Union:
    """Δout = Δin1 + Δin2 + …: a union is linear."""

    def __init__(self, schema: pa.Schema) -> None:
        """schema: of the output; the inputs have its types, or types that widen to them."""
        self._schema = schema

    def step(self, deltas: Sequence[ChangeBatch]) -> ChangeBatch:
        """The sum of the changes."""
        return plus([self._shaped(d) for d in deltas if d.num_rows], self._schema)

    def describe(self) -> str:
        """The name."""
        return "Union all"

    def _shaped(self, delta: ChangeBatch) -> ChangeBatch:
        if self._schema.types == [pa.null()]:
            return ChangeBatch(pa.table({"c0": pa.nulls(delta.num_rows)}, schema=self._schema), delta.weights)
        width = len(self._schema)
        rows = delta.rows.select(range(width)).rename_columns(self._schema.names)
        return ChangeBatch(rows.cast(self._schema), delta.weights)


def build_union(plan: LogicalPlan, variant: Any, inputs: Sequence[Stream], graph: GraphBuilder) -> Stream:
    """A Union node; columns go by position."""
    columns, schema = graph.planned(plan)
    if not columns:
        columns, schema = (PlanColumn(None, ROW_ONLY),), positional([pa.null()])
    marks = of_all(inputs, graph)
    return graph.add(
        Union(schema), inputs, columns, schema, append_only=all(s.append_only for s in inputs), marks=marks
    )
