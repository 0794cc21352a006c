"""Projection."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from datafusion.plan import LogicalPlan

from tsdb.changes import ChangeBatch
from tsdb.exec.streaming.binding import PlanColumn
from tsdb.exec.streaming.expression import Evaluator, positional
from tsdb.exec.streaming.graph import GraphBuilder, Stream, bare_name, flat_names, named_like


class Project:
    """Δout = project(Δin): a projection is linear."""

    def __init__(self, evaluator: Evaluator, schema: pa.Schema, text: str) -> None:
        """evaluator: makes the output columns; text: the expressions for EXPLAIN."""
        self._evaluator = evaluator
        self._schema = schema
        self._text = text

    def step(self, deltas: Sequence[ChangeBatch]) -> ChangeBatch:
        """The projected rows with their weights."""
        (delta,) = deltas
        columns = self._evaluator.columns(delta.rows)
        return ChangeBatch(pa.Table.from_arrays(columns, schema=self._schema), delta.weights)

    def describe(self) -> str:
        """The expressions."""
        return f"Project {self._text}"


def build_projection(plan: LogicalPlan, variant: Any, inputs: Sequence[Stream], graph: GraphBuilder) -> Stream:
    """A Projection node. A key survives if all its columns are passed on as they are."""
    (stream,) = inputs
    raws = variant.projections()
    columns = named_like(flat_names(variant), [bare_name(r) for r in raws])
    return project(raws, columns, stream, graph, plan.display().removeprefix("Projection: "))


def project(
    raws: Sequence[Any], columns: Sequence[PlanColumn], stream: Stream, graph: GraphBuilder, text: str
) -> Stream:
    """Expressions of the plan over a stream."""
    outputs = [graph.output(r, stream) for r in raws]
    evaluator = Evaluator(graph.frames, stream.names, outputs, stream.schema)
    schema = positional(evaluator.types)
    return graph.add(
        Project(evaluator, schema, text),
        [stream],
        columns,
        schema,
        key=_surviving_key(stream.key, outputs),
        append_only=stream.append_only,
    )


def select(stream: Stream, positions: Sequence[int], graph: GraphBuilder) -> Stream:
    """Some columns of a stream, in this order."""
    columns = [stream.columns[i] for i in positions]
    evaluator = Evaluator(graph.frames, stream.names, list(positions), stream.schema)
    schema = positional(evaluator.types)
    key = _surviving_key(stream.key, list(positions))
    text = ", ".join(c.name for c in columns)
    return graph.add(
        Project(evaluator, schema, text), [stream], columns, schema, key=key, append_only=stream.append_only
    )


def _surviving_key(key: tuple[int, ...] | None, outputs: Sequence[object]) -> tuple[int, ...] | None:
    if key is None or not set(key) <= {o for o in outputs if isinstance(o, int)}:
        return None
    return tuple(outputs.index(k) for k in key)
