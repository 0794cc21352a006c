"""Rows that come too late, and rows that are held back until they are final."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.changes import ChangeBatch, consolidate, plus
from tsdb.exec.streaming.graph import GraphBuilder, RunStore, StateSize, Stream
from tsdb.exec.streaming.watermark import END, Mark, below_any, nanoseconds

_ROWS_KEPT = 1 << 16
_PAUSE_NS = 50_000_000


class DropLate:
    """Δout = the rows of Δin whose windows are open: whoever comes after his windows have closed is counted."""

    def __init__(self, marks: Sequence[Mark], text: str) -> None:
        """marks: columns below whose bound a row is late."""
        self._marks = tuple(marks)
        self.text = text
        self.late_rows = 0

    def step(self, deltas: Sequence[ChangeBatch]) -> ChangeBatch:
        """The rows that are in time."""
        (delta,) = deltas
        late = self.late(delta)
        if not late.any():
            return delta
        self.late_rows += int(np.abs(delta.weights[late]).sum())
        return _where(delta, ~late)

    def late(self, delta: ChangeBatch) -> np.ndarray[Any, Any]:
        """Which rows are too late in this step."""
        return below_any(delta.rows, self._marks, now=False)

    def in_time(self, delta: ChangeBatch) -> ChangeBatch:
        """The rows that are in time; nothing is counted."""
        return _where(delta, ~self.late(delta))

    def describe(self) -> str:
        """The time columns."""
        return f"DropLate {self.text}"

    def checkpoint(self, store: RunStore) -> dict[str, Any]:
        """The count."""
        return {"late_rows": self.late_rows}

    def restore(self, manifest: dict[str, Any], store: RunStore) -> None:
        """The count."""
        self.late_rows = int(manifest["late_rows"])

    def state_size(self) -> StateSize:
        """Nothing but a count."""
        return StateSize(0, 0)


class Close:
    """Δout = (held + Δin) where the window is closed; held = the rest. What is emitted is final: it is never taken
    back, so out only grows, and out = in restricted to closed windows.
    """

    def __init__(self, schema: pa.Schema, marks: Sequence[Mark], text: str) -> None:
        """marks: columns; a row is final when one of them is below its bound."""
        self._schema = schema
        self._marks = tuple(marks)
        self._text = text
        self._held: list[tuple[ChangeBatch, tuple[int, ...]]] = []
        self._rows = 0
        self._netted_rows = 0
        self._asked_ns = 0

    def due(self) -> bool:
        """Something is held, and a bound has moved."""
        return self._rows > 0 and any(m.bound.now != m.bound.before for m in self._marks)

    @property
    def clocked(self) -> bool:
        """Whether rows wait for the clock."""
        return any(m.arrival for m in self._marks)

    def overdue(self, now_ns: int) -> bool:
        """Whether the least of the rows that wait for the clock would be final; asked seldom enough."""
        if now_ns < self._asked_ns + _PAUSE_NS:
            return False
        by_clock = [i for i, m in enumerate(self._marks) if m.arrival]
        due = any(max(least[i] for i in by_clock) <= now_ns for _, least in self._held)
        self._asked_ns = now_ns if due else self._asked_ns
        return due

    def step(self, deltas: Sequence[ChangeBatch]) -> ChangeBatch:
        """What has become final."""
        (delta,) = deltas
        if delta.num_rows:
            self._add(delta)
        final = self._released()
        if self._rows > max(_ROWS_KEPT, 2 * self._netted_rows):
            self._hold(self._net())
        return consolidate(plus(final, self._schema))

    def describe(self) -> str:
        """The time columns."""
        return f"Close {self._text}"

    def checkpoint(self, store: RunStore) -> dict[str, Any]:
        """What is held."""
        net = self._net()
        self._hold(net)
        if not net.num_rows:
            return {"held": None}
        return {"held": store.put(net.rows.append_column("weight", pa.array(net.weights)))}

    def restore(self, manifest: dict[str, Any], store: RunStore) -> None:
        """What was held."""
        name = manifest["held"]
        if name is None:
            self._hold(plus([], self._schema))
            return
        table = store.get(name)
        rows = table.select(range(len(self._schema))).cast(self._schema)
        self._hold(ChangeBatch(rows, np.array(table.column("weight").to_numpy())))

    def state_size(self) -> StateSize:
        """What is held."""
        return StateSize(self._rows, sum(int(part.rows.nbytes) + 8 * part.num_rows for part, _ in self._held))

    def _net(self) -> ChangeBatch:
        return consolidate(plus([part for part, _ in self._held], self._schema))

    def _hold(self, net: ChangeBatch) -> None:
        self._held, self._rows = [], 0
        if net.num_rows:
            self._add(net)
        self._netted_rows = net.num_rows

    def _add(self, part: ChangeBatch) -> None:
        least = [nanoseconds(pc.min(part.rows.column(m.column))) for m in self._marks]
        self._held.append((part, tuple(END - 1 if n is None else n for n in least)))
        self._rows += part.num_rows

    def _released(self) -> list[ChangeBatch]:
        """What is final; it is held no longer."""
        final: list[ChangeBatch] = []
        held, self._held, self._rows = self._held, [], 0
        for part, least in held:
            if all(m.bound.now is None or m.bound.now <= n for m, n in zip(self._marks, least, strict=True)):
                self._held.append((part, least))
                self._rows += part.num_rows
                continue
            closed = below_any(part.rows, self._marks, now=True)
            final.append(ChangeBatch(part.rows.filter(pa.array(closed)), part.weights[closed]))
            if not closed.all():
                self._add(ChangeBatch(part.rows.filter(pa.array(~closed)), part.weights[~closed]))
        return final


def _where(delta: ChangeBatch, kept: np.ndarray[Any, Any]) -> ChangeBatch:
    return ChangeBatch(delta.rows.filter(pa.array(kept)), delta.weights[kept])


def in_time(stream: Stream, marks: Sequence[Mark], graph: GraphBuilder) -> Stream:
    """The stream without the rows that come too late for one of the marks."""
    if not marks:
        return stream
    operator = DropLate(marks, ", ".join(stream.columns[m.column].name for m in marks))
    return graph.add(
        operator, [stream], stream.columns, stream.schema,
        key=stream.key, append_only=stream.append_only, marks=stream.marks,
    )  # fmt: skip


def closed(stream: Stream, marks: Sequence[Mark], graph: GraphBuilder) -> Stream:
    """The stream, each row when one of the marks says that it is final; as it is if rows are to be shown early."""
    if not marks or any(m.early for m in marks):
        return stream
    operator = Close(stream.schema, marks, ", ".join(stream.columns[m.column].name for m in marks))
    return graph.add(
        operator, [stream], stream.columns, stream.schema, key=stream.key, append_only=True, marks=stream.marks
    )
