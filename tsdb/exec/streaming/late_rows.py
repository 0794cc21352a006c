"""The rows that came too late for a closed window, as they came from their source.

Law: Δlate = the rows of Δin of which a `DropLate` left out at least one row that was made of them; each once for every
such operator. Between a source and the operator every row is made of one row, without memory (a linear path), so the
path is run once more in the steps that had late rows, with the number of its source's row as the weight of each row.

Source: Flink's side output of late data.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tsdb.changes import ChangeBatch, empty, plus
from tsdb.exec.streaming.branches import BranchOutput
from tsdb.exec.streaming.dataflow import Dataflow
from tsdb.exec.streaming.graph import Node
from tsdb.exec.streaming.operators.close import DropLate
from tsdb.exec.streaming.operators.filter import Filter
from tsdb.exec.streaming.operators.project import Project
from tsdb.exec.streaming.operators.scan import Scan
from tsdb.exec.streaming.operators.union import Union
from tsdb.exec.streaming.operators.unnest import Unnest
from tsdb.exec.streaming.pipeline import Driven
from tsdb.exec.streaming.watermark import InputTime

LATE_FOR, LATE_WATERMARK, LATE_KIND = "late_for", "late_watermark", "late_kind"
"""What a side table has behind the columns of the source."""

_LINEAR = Scan | Filter | Project | Unnest | Union | DropLate


@dataclass(frozen=True, slots=True)
class LatePath:
    """From an input to an operator that leaves late rows out. steps: the nodes between them, each with the position of
    the path among its inputs.
    """

    dataflow: Dataflow
    input_name: str
    steps: tuple[tuple[Node, int], ...]
    drop: DropLate

    def late(self, delta: ChangeBatch) -> np.ndarray[Any, Any]:
        """The numbers of the input's rows that were too late, ascending."""
        moving = ChangeBatch(delta.rows, np.arange(1, delta.num_rows + 1))
        for node, port in self.steps:
            moving = self._step(node, port, moving)
        return np.unique(moving.weights[self.drop.late(moving)]) - 1

    def _step(self, node: Node, port: int, delta: ChangeBatch) -> ChangeBatch:
        operator = node.operator
        if isinstance(operator, DropLate):
            return operator.in_time(delta)
        if isinstance(operator, Project):
            return operator.each(delta)
        others = [self.dataflow.nodes[number].schema for number in node.inputs]
        given = [delta if i == port else empty(schema) for i, schema in enumerate(others)] or [delta]
        return operator.step(given)


def late_paths(dataflow: Dataflow, input_name: str) -> list[LatePath]:
    """Every way of the input's rows to an operator that may leave them out; none where nothing can be late."""
    if dataflow.inputs[input_name].rowtime is None:
        return []
    return [
        LatePath(dataflow, input_name, tuple(reversed(steps)), node.operator)
        for node in dataflow.nodes
        if isinstance(node.operator, DropLate)
        for steps in _upwards(dataflow.nodes, node.inputs[0], 0)
        if steps[-1][0].input_name == input_name
    ]


def _upwards(nodes: Sequence[Node], number: int, port: int) -> Iterator[list[tuple[Node, int]]]:
    """The linear paths from a node up to the inputs, nearest first. port: unused by a node that has one input."""
    node = nodes[number]
    if not isinstance(node.operator, _LINEAR):
        return
    if node.input_name is not None:
        yield [(node, 0)]
    for at, above in enumerate(node.inputs):
        for rest in _upwards(nodes, above, at):
            yield [(node, at), *rest]


@dataclass(frozen=True, slots=True)
class LateOutput:
    """One side table. paths: by the name under which the pipeline feeds the input. schema: of its rows."""

    paths: tuple[tuple[str, LatePath], ...]
    schema: pa.Schema

    def rows(self, deltas: Mapping[str, ChangeBatch], counted: Mapping[int, int]) -> ChangeBatch:
        """What was late in this step. counted: the late rows of each operator before it."""
        parts = []
        for name, path in self.paths:
            delta = deltas.get(name)
            if delta is None or path.drop.late_rows == counted[id(path.drop)]:
                continue
            at = path.late(delta)
            if len(at):
                parts.append(self._marked(ChangeBatch(delta.rows.take(pa.array(at)), delta.weights[at]), path))
        return plus(parts, self.schema)

    def _marked(self, late: ChangeBatch, path: LatePath) -> ChangeBatch:
        """With the reason behind the columns; a row that was to go comes as one, too."""
        kinds = pa.array(np.where(late.weights > 0, "+I", "-D"), pa.string())
        watermark = pa.scalar(path.dataflow.watermark_before(path.input_name), pa.timestamp("ns"))
        columns = {
            **dict(zip(late.rows.column_names, late.rows.columns, strict=True)),
            LATE_FOR: pa.repeat(path.drop.text, late.num_rows),
            LATE_WATERMARK: pa.repeat(watermark, late.num_rows),
            LATE_KIND: kinds,
        }
        cast = [columns[field.name].cast(field.type, safe=False) for field in self.schema]
        return ChangeBatch(pa.Table.from_arrays(cast, schema=self.schema), np.abs(late.weights))


class KeepLate:
    """(Δout…, Δlate…): what is driven, and behind its outputs the late rows for each side table."""

    def __init__(self, inner: Driven, outputs: Sequence[LateOutput]) -> None:
        """inner: a dataflow, or several; its state is the whole state."""
        self._inner = inner
        self._outputs = tuple(outputs)
        self._drops = list({id(path.drop): path.drop for o in self._outputs for _, path in o.paths}.values())

    def step(
        self, deltas: Mapping[str, ChangeBatch], times: Mapping[str, InputTime] | None = None, *, complete: bool = True
    ) -> BranchOutput:
        """The changes of all outputs."""
        counted = {id(drop): drop.late_rows for drop in self._drops}
        output = self._inner.step(deltas, times, complete=complete)
        parts = output.parts if isinstance(output, BranchOutput) else (output,)
        return BranchOutput((*parts, *(late.rows(deltas, counted) for late in self._outputs)))

    def overdue(self) -> bool:
        """Whether the clock alone has made something due."""
        return self._inner.overdue()

    def checkpoint(self, store: Any) -> dict[str, Any]:
        """The state of what is driven."""
        return self._inner.checkpoint(store)

    def restore(self, manifest: dict[str, Any], store: Any) -> None:
        """Take the state of a checkpoint."""
        self._inner.restore(manifest, store)

    def metrics(self) -> dict[str, Any]:
        """Of what is driven."""
        return self._inner.metrics()
