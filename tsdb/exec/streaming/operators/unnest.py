"""UNNEST of lists."""

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
from datafusion import DataFrame
from datafusion.plan import LogicalPlan

from tsdb.changes import ChangeBatch
from tsdb.errors import NotSupportedError
from tsdb.exec.streaming.binding import PlanColumn
from tsdb.exec.streaming.graph import GraphBuilder, Stream
from tsdb.exec.streaming.operators.project import Project
from tsdb.row_hash import arrays

_DEPTH = ",depth=1)"
_WEIGHT = "#weight"


class Unnest:
    """Δout = unnest(Δin): a row for each element, with the weight of the row it comes from; unnesting is linear."""

    def __init__(self, run: Callable[[pa.Table], pa.Table], names: Sequence[str], schema: pa.Schema, text: str) -> None:
        """run: unnests a table with columns `names` and the weight; schema: of the output."""
        self._run = run
        self._names = [*names, _WEIGHT]
        self._schema = schema
        self._text = text

    def step(self, deltas: Sequence[ChangeBatch]) -> ChangeBatch:
        """The elements."""
        (delta,) = deltas
        rows = delta.rows.append_column(_WEIGHT, pa.array(delta.weights)).rename_columns(self._names)
        result = self._run(rows)
        weights = arrays(result.select([_WEIGHT]))[0].to_numpy()
        return ChangeBatch(
            result.drop_columns([_WEIGHT]).rename_columns(self._schema.names).cast(self._schema), weights
        )

    def describe(self) -> str:
        """The columns."""
        return self._text


def build_unnest(plan: LogicalPlan, variant: Any, inputs: Sequence[Stream], graph: GraphBuilder) -> Stream:
    """An Unnest node: its list columns are those that come out with `,depth=1` in their name."""
    (stream,) = inputs
    columns, schema = graph.planned(plan)
    outputs = {c.name: c for c in columns}
    lists = [i for i, c in enumerate(stream.columns) if _unnested(c) in outputs]
    passed = [c if i not in lists else outputs[_unnested(c)] for i, c in enumerate(stream.columns)]
    if not lists or tuple(passed) != columns:
        raise NotSupportedError(
            f"`{plan.display()}` (nested lists or structs) cannot run as a stream; unnest lists one by one"
        )
    names = stream.names
    wanted = [names[i] for i in lists]

    def unnest(frame: DataFrame) -> DataFrame:
        return frame.unnest_columns(*wanted, preserve_nulls=False)

    below = graph.nodes[stream.node].operator
    if isinstance(below, Project):
        # the windows of a row are those of all rows of its pane: few rows are left where time is cut into panes
        below.sum_first()
    operator = Unnest(lambda rows: graph.frames.run(rows, unnest), names, schema, plan.display())
    return graph.add(operator, [stream], columns, schema, append_only=stream.append_only, marks=stream.marks)


def _unnested(column: PlanColumn) -> str:
    return column.name.removesuffix(")") + _DEPTH
