"""The statements of a statement set, as one: several dataflows over the same sources, and as many sinks.

Law: a step takes every dataflow from one cut of the sources to the next, and a checkpoint holds the state and the
prepared commits of all; so what the sinks have published after any checkpoint belongs to one cut. The sinks are
committed one after the other: a reader may find the first at a version and the last still at the one before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from tsdb.changes import ChangeBatch
from tsdb.connector.connector import ChangelogMode, Json, Sink
from tsdb.exec.streaming.pipeline import Dataflow
from tsdb.exec.streaming.watermark import ARRIVAL, InputTime

_T = TypeVar("_T")


def branch_prefix(number: int) -> str:
    """Before the names of the inputs of one dataflow."""
    return f"{number}/"


@dataclass(frozen=True, slots=True)
class BranchOutput:
    """The changes of all dataflows by one step."""

    parts: tuple[ChangeBatch, ...]

    @property
    def num_rows(self) -> int:
        """Of all of them."""
        return sum(part.num_rows for part in self.parts)


class Branches:
    """(Δout₀, Δout₁, …) = (Q₀(Δin), Q₁(Δin), …). The inputs of each have its `branch_prefix`."""

    def __init__(self, dataflows: Sequence[Dataflow]) -> None:
        self._dataflows = list(dataflows)

    def step(
        self, deltas: Mapping[str, ChangeBatch], times: Mapping[str, InputTime] | None = None, *, complete: bool = True
    ) -> BranchOutput:
        """The changes of all outputs."""
        times = times or {}
        everywhere = {ARRIVAL: times[ARRIVAL]} if ARRIVAL in times else {}
        parts = []
        for number, dataflow in enumerate(self._dataflows):
            own = _own(times, number) | everywhere
            parts.append(dataflow.step(_own(deltas, number), own, complete=complete))
        return BranchOutput(tuple(parts))

    def overdue(self) -> bool:
        """Whether the clock alone has made something due."""
        return any(dataflow.overdue() for dataflow in self._dataflows)

    def checkpoint(self, store: Any) -> dict[str, Any]:
        """The state of all."""
        return {"branches": [dataflow.checkpoint(store) for dataflow in self._dataflows]}

    def restore(self, manifest: dict[str, Any], store: Any) -> None:
        """Take the state of a checkpoint."""
        for dataflow, state in zip(self._dataflows, manifest["branches"], strict=True):
            dataflow.restore(state, store)

    def metrics(self) -> dict[str, Any]:
        """Sums, and the operators of all: `node` is the number of the statement, counted from 1, and that in it."""
        all_metrics = [dataflow.metrics() for dataflow in self._dataflows]
        return {
            **{name: sum(m.get(name, 0) for m in all_metrics) for name in _SUMMED},
            "watermarks_ms": {name: at for m in all_metrics for name, at in m["watermarks_ms"].items()},
            **{
                name: [
                    {**operator, "node": f"{number}.{operator['node']}"}
                    for number, metrics in enumerate(all_metrics, start=1)
                    for operator in metrics[name]
                ]
                for name in ("operators", "flow")
            },
        }


_SUMMED = ("steps", "rows_in", "rows_out", "state_rows", "state_bytes", "late_rows")


class BranchSink:
    """A sink for each dataflow of `Branches`, in that order."""

    accepts: ChangelogMode = "all"

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = list(sinks)

    def write(self, changes: BranchOutput) -> None:
        """To each what is its."""
        for sink, part in zip(self._sinks, changes.parts, strict=True):
            if part.num_rows:
                sink.write(part)

    def prepare(self, version: int) -> Json | None:
        """A list with what each has prepared; None if none has anything to commit."""
        prepared = [sink.prepare(version) for sink in self._sinks]
        return None if all(part is None for part in prepared) else prepared

    def commit(self, version: int, committable: Json) -> None:
        """One after the other."""
        for sink, part in zip(self._sinks, committable, strict=True):
            if part is not None:
                sink.commit(version, part)

    def abort(self) -> None:
        """Forget what was written since the last `prepare`."""
        for sink in self._sinks:
            sink.abort()

    def close(self) -> None:
        """Free them; the first failure is raised after all were tried."""
        failure: Exception | None = None
        for sink in self._sinks:
            try:
                sink.close()
            except Exception as err:
                failure = failure or err
        if failure is not None:
            raise failure


def _own(values: Mapping[str, _T], number: int) -> dict[str, _T]:
    prefix = branch_prefix(number)
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
