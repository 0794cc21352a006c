"""A compiled query that is fed changes and gives back changes.

Law: after any number of steps, the sum of all outputs is the batch result over the sum of all inputs. A step takes
one consistent cut of all inputs and runs the whole graph before it returns, so nothing in between is ever seen.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from tsdb import clock
from tsdb.changes import ChangeBatch, consolidate, empty
from tsdb.errors import InternalError, OperationalError
from tsdb.exec.streaming.graph import (
    Clocked,
    Dropping,
    GraphBuilder,
    Node,
    Operator,
    RunStore,
    StatefulOperator,
    Stream,
    TimedOperator,
)
from tsdb.exec.streaming.state_ttl import Expiring
from tsdb.exec.streaming.watermark import END, InputBound, InputTime, found_again, stored

__all__ = ["Dataflow", "InputSpec", "RunStore"]

_FORMAT = 1
MADE_UP = re.compile(r"\b__[a-z_]+_\d+")
"""Names that DataFusion makes up, numbered through a session."""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input of a dataflow.

    mode: 'append' (weights are positive), 'all' (a complete changelog), or 'upsert' (in arrival order: weight 1 says
    what the row of its key is now, -1 that the key is deleted; then only the key columns need values). upsert_key:
    columns that identify a row. rowtime: the column that has a watermark; early: its windows are shown before they
    are closed. arrival: columns that are the time at which a row comes. grows: rows are not updated, whatever
    the mode says to be prudent. source: another input that brings the same.
    """

    schema: pa.Schema
    upsert_key: tuple[str, ...] | None
    mode: str
    rowtime: str | None = None
    arrival: tuple[str, ...] = ()
    early: bool = False
    grows: bool = False
    source: str | None = None


class Dataflow:
    """The operators of one query with their state. Not thread-safe: one step at a time."""

    def __init__(self, graph: GraphBuilder, output: Stream, schema: pa.Schema, inputs: Mapping[str, InputSpec]) -> None:
        """graph: the nodes, inputs before users; schema: of the output under its own names."""
        self.schema = schema
        self.inputs = dict(inputs)
        self.upsert_key = None if output.key is None else tuple(schema.names[i] for i in output.key)
        self.append_only = output.append_only
        self._nodes = list(graph.nodes)
        self._bounds = list(graph.bounds)
        self._sweeps = list(graph.sweeps)
        self._cut = graph.cut
        self._clocked = [n.operator for n in graph.nodes if isinstance(n.operator, Clocked)]
        self._clocked = [operator for operator in self._clocked if operator.clocked]
        self._expiring = [n.operator for n in graph.nodes if isinstance(n.operator, Expiring)]
        # asked for once: such a question to a protocol costs as much as a small step
        self._timed = [n.operator if isinstance(n.operator, TimedOperator) else None for n in graph.nodes]
        self._output = output.node
        self._rows_of_node = [(0, 0)] * len(self._nodes)
        self._started = False
        self._steps = 0
        self._rows_in = 0
        self._rows_out = 0

    @property
    def nodes(self) -> Sequence[Node]:
        """Its operators, inputs before users."""
        return self._nodes

    def watermark_before(self, name: str) -> int | None:
        """The watermark of an input in nanoseconds that held when the rows of the last step came."""
        found = [b.watermark() for b in self._bounds if isinstance(b, InputBound) and b.name == name]
        return max((at for at in found if at is not None), default=None)

    @property
    def timed(self) -> bool:
        """Whether anything depends on watermarks."""
        return bool(self._bounds)

    def step(
        self, deltas: Mapping[str, ChangeBatch], times: Mapping[str, InputTime] | None = None, *, complete: bool = True
    ) -> ChangeBatch:
        """The net change of the output; inputs that are not named did not change. The first step emits constants.

        times: the watermarks of inputs after this step; those that are not named did not move. complete: the step is
        the last of a version.

        Rows may repeat (each with a positive weight) when nothing leaves; otherwise every row comes once. After an
        exception the dataflow is of no more use: go back to a checkpoint.
        """
        self._cut.complete = complete
        for operator in self._expiring:
            operator.expire()
        moved = self._move(times or {})
        outputs: list[ChangeBatch] = []
        for number in range(len(self._nodes)):
            outputs.append(self._run(number, deltas, outputs))
        for sweep in self._sweeps if moved else ():
            sweep.forget(sweep.mark)
        self._started = True
        self._steps += 1
        self._rows_in += sum(d.num_rows for d in deltas.values())
        result = outputs[self._output]
        if result.num_rows and (result.weights <= 0).any():
            result = consolidate(result)
        self._rows_out += result.num_rows
        return replace(result, rows=result.rows.rename_columns(self.schema.names).cast(self.schema))

    @property
    def clocked(self) -> bool:
        """Whether anything becomes due by the clock."""
        return bool(self._clocked)

    def overdue(self) -> bool:
        """Whether the clock alone has made something due."""
        now = clock.current().now_ms() * 1_000_000 if self._clocked else 0
        return any(operator.overdue(now) for operator in self._clocked)

    def checkpoint(self, store: RunStore) -> dict[str, Any]:
        """The whole state as JSON that names runs of the store."""
        states = {
            str(i): node.operator.checkpoint(store)
            for i, node in enumerate(self._nodes)
            if isinstance(node.operator, StatefulOperator)
        }
        return {
            "format": _FORMAT,
            "plan": self.explain(),
            "started": self._started,
            "operators": states,
            "bounds": stored(self._bounds),
        }

    def restore(self, manifest: dict[str, Any], store: RunStore) -> None:
        """Become the dataflow that made the manifest; it must have been compiled from the same query."""
        if manifest.get("format") != _FORMAT or manifest.get("plan") != self.explain():
            raise OperationalError(
                "the checkpoint was made by another plan of this query (another version of tsdb, changed tables, or a "
                "function of the current time); start the job under another name, or drop it and start again"
            )
        for number, state in manifest["operators"].items():
            operator = self._nodes[int(number)].operator
            if not isinstance(operator, StatefulOperator):
                raise InternalError(f"operator {number} keeps no state, but the checkpoint has some")
            operator.restore(state, store)
        self._started = bool(manifest["started"])
        if self._bounds:
            found_again(self._bounds, manifest["bounds"])

    def metrics(self) -> dict[str, Any]:
        """Steps and rows since start, late rows, watermarks, the rows and bytes each operator remembers, and the rows
        that each took and gave.
        """
        operators = []
        for number, node in enumerate(self._nodes):
            if isinstance(node.operator, StatefulOperator):
                size = node.operator.state_size()
                operators.append(
                    {"node": number, "operator": node.operator.describe(), "rows": size.rows, "bytes": size.size_bytes}
                )
        return {
            "steps": self._steps,
            "rows_in": self._rows_in,
            "rows_out": self._rows_out,
            "state_rows": sum(o["rows"] for o in operators),
            "state_bytes": sum(o["bytes"] for o in operators),
            "late_rows": sum(n.operator.late_rows for n in self._nodes if isinstance(n.operator, Dropping)),
            "watermarks_ms": self._watermarks_ms(),
            "operators": operators,
            "flow": [
                {"node": number, "operator": node.operator.describe(), "rows_in": rows[0], "rows_out": rows[1]}
                for number, (node, rows) in enumerate(zip(self._nodes, self._rows_of_node, strict=True))
            ],
        }

    def _watermarks_ms(self) -> dict[str, int | None]:
        """Of each input that has one, in epoch milliseconds; None: no row has come yet, or the input has ended."""
        times = {b.name: b.time.watermark for b in self._bounds if isinstance(b, InputBound) and b.name}
        return {name: None if at is None or at >= END else at // 1_000_000 for name, at in times.items()}

    def explain(self, *, changelog: bool = False) -> str:
        """The tree of operators, output first, with keys, state and mode; always the same for the same query.

        changelog: also the kinds of changes that each emits, the key of its rows, and whether it keeps state.
        """
        lines: list[str] = []
        self._describe(self._output, 0, lines, changelog=changelog)
        text = "\n".join(lines)
        # names that DataFusion makes up are numbered through a session; number them through this text
        made_up = dict.fromkeys(MADE_UP.findall(text))
        numbers = {name: str(number) for number, name in enumerate(made_up, start=1)}
        return MADE_UP.sub(lambda m: m[0].rstrip("0123456789") + numbers[m[0]], text)

    def _describe(self, number: int, depth: int, lines: list[str], *, changelog: bool) -> None:
        node = self._nodes[number]
        about = f"  [{self._changes_of(node)}]" if changelog else ""
        lines.append("  " * depth + node.operator.describe() + about)
        for source in node.inputs:
            self._describe(source, depth + 1, lines, changelog=changelog)

    def _changes_of(self, node: Node) -> str:
        kinds = "+I" if node.append_only else "+I -U +U -D"
        if node.input_name is not None and self.inputs[node.input_name].mode == "upsert":
            kinds = "+I +U -D"
        key = "none" if node.key is None else f"({', '.join(node.key)})"
        state = "kept" if isinstance(node.operator, StatefulOperator) else "none"
        return f"changes {kinds}; upsert key {key}; state {state}"

    def _move(self, times: Mapping[str, InputTime]) -> bool:
        """Take the watermarks over into the bounds; whether one has moved."""
        for bound in self._bounds:
            if isinstance(bound, InputBound) and bound.name in times:
                bound.time = times[bound.name]
        moved = [bound.step() for bound in self._bounds]
        return any(moved)

    def _run(self, number: int, deltas: Mapping[str, ChangeBatch], outputs: Sequence[ChangeBatch]) -> ChangeBatch:
        node = self._nodes[number]
        if node.input_name is not None:
            delta = deltas.get(node.input_name)
            given = [empty(self.inputs[node.input_name].schema) if delta is None else delta]
        else:
            given = [outputs[i] for i in node.inputs]
        timed = self._timed[number]
        due = timed is not None and timed.due()
        if self._started and not due and not any(d.num_rows for d in given):
            return empty(node.schema)
        result = node.operator.step(given)
        rows_in, rows_out = self._rows_of_node[number]
        self._rows_of_node[number] = (rows_in + sum(d.num_rows for d in given), rows_out + result.num_rows)
        assert result.schema.types == node.schema.types, (_name(node.operator), result.schema, node.schema)
        return result


def _name(operator: Operator) -> str:
    return type(operator).__name__
