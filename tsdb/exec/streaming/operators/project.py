"""Projection."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from datafusion.expr import Expr
from datafusion.plan import LogicalPlan

from tsdb.changes import ChangeBatch, consolidate
from tsdb.errors import OperationalError
from tsdb.exec.markers import CURRENT_WATERMARK, PROCTIME
from tsdb.exec.streaming.binding import PlanColumn
from tsdb.exec.streaming.expression import Computed, Evaluator, positional
from tsdb.exec.streaming.graph import GraphBuilder, Stream
from tsdb.exec.streaming.marks import projected

ONCE = {PROCTIME: "PROCTIME()", CURRENT_WATERMARK: "CURRENT_WATERMARK()"}
"""What is known of a row only when it comes."""


class Project:
    """Δout = project(Δin): a projection is linear."""

    def __init__(self, evaluator: Evaluator, schema: pa.Schema, text: str) -> None:
        """evaluator: makes the output columns; text: the expressions for EXPLAIN."""
        self._once = next((shown for name, shown in ONCE.items() if f"{name}(" in text), "")
        self._evaluator = evaluator
        self._schema = schema
        self._text = text
        self._sums = False

    @property
    def places(self) -> tuple[int | None, ...]:
        """For each output column the input column that it passes on; None: it is computed."""
        return self._evaluator.places

    def sum_first(self) -> None:
        """Sum equal rows before they are projected, because much is done for each row that comes out."""
        self._sums = not self._once

    def step(self, deltas: Sequence[ChangeBatch]) -> ChangeBatch:
        """The projected rows with their weights."""
        (delta,) = deltas
        if self._once:
            refuse_going(delta, self._once)
        return self.each(consolidate(delta) if self._sums else delta)

    def each(self, delta: ChangeBatch) -> ChangeBatch:
        """Every row by itself with its weight, also where equal ones would be summed."""
        columns = self._evaluator.columns(delta.rows)
        return ChangeBatch(pa.Table.from_arrays(columns, schema=self._schema), delta.weights)

    def describe(self) -> str:
        """The expressions."""
        return f"Project {self._text}"


def refuse_going(delta: ChangeBatch, what: str) -> None:
    """Raises OperationalError if a row goes of which something is known only from when it came."""
    if (delta.weights < 0).any():
        raise OperationalError(
            f"rows were deleted or overwritten in a table whose rows {what} was applied to when they came, so what was "
            "given for them cannot be taken back; let the table only grow, or hide deletions from the stream with "
            "'streaming-read-overwrite' = 'false'"
        )


def build_projection(plan: LogicalPlan, variant: Any, inputs: Sequence[Stream], graph: GraphBuilder) -> Stream:
    """A Projection node. A key survives if all its columns are passed on as they are."""
    (stream,) = inputs
    columns, schema = graph.planned(plan)
    if not columns:  # `count(*)` wants rows without columns; a stream has at least one, so that it has rows
        return select(stream, [0], graph)
    text = plan.display().removeprefix("Projection: ")
    return project([graph.output(r, stream) for r in variant.projections()], columns, schema, stream, graph, text)


def project(
    outputs: Sequence[int | Computed],
    columns: Sequence[PlanColumn],
    schema: pa.Schema,
    stream: Stream,
    graph: GraphBuilder,
    text: str,
) -> Stream:
    """Columns and expressions over a stream."""
    evaluator = Evaluator(graph.frames, stream.names, outputs, schema.types)
    operator = Project(evaluator, schema, text)
    key = _surviving_key(stream.key, outputs)
    marks = projected(stream, outputs, schema.types, graph)
    return graph.add(operator, [stream], columns, schema, key=key, append_only=stream.append_only, marks=marks)


def select(stream: Stream, positions: Sequence[int], graph: GraphBuilder) -> Stream:
    """Some columns of a stream, in this order."""
    columns = [stream.columns[i] for i in positions]
    schema = positional([stream.schema.types[i] for i in positions])
    return project(list(positions), columns, schema, stream, graph, ", ".join(c.name for c in columns))


def extend(raws: Sequence[Any], stream: Stream, graph: GraphBuilder) -> tuple[Stream, tuple[int, ...]]:
    """The stream with a hidden column for each expression that is not a column; where the expressions stand."""
    outputs: list[int | Computed] = list(range(len(stream.columns)))
    columns, types, positions = list(stream.columns), list(stream.schema.types), []
    for raw in raws:
        output = graph.output(raw, stream)
        if isinstance(output, Computed):
            columns.append(PlanColumn(None, f"#key{len(outputs)} {Expr(raw).canonical_name()}"))
            types.append(graph.type_of(output, stream))
            outputs.append(output)
            output = len(outputs) - 1
        positions.append(output)
    if len(outputs) == len(stream.columns):
        return stream, tuple(positions)
    text = "*, " + ", ".join(Expr(r).canonical_name() for r in raws)
    return project(outputs, columns, positional(types), stream, graph, text), tuple(positions)


def _surviving_key(key: tuple[int, ...] | None, outputs: Sequence[object]) -> tuple[int, ...] | None:
    if key is None or not set(key) <= {o for o in outputs if isinstance(o, int)}:
        return None
    return tuple(outputs.index(k) for k in key)
