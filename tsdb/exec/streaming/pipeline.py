"""Sources into a dataflow, version by version.

A version is one consistent cut of all inputs: of every source at most what it calls complete (a snapshot of a table,
some lines of a file). A large cut is taken in several parts; the version is complete when no source is in the middle
of one, and only then may its changes be shown or a checkpoint be taken. All references of a query to one table share
one source, so they always see the same snapshot.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from tsdb.changes import ChangeBatch, plus
from tsdb.connector.connector import PartitionedSource, Source, SourceDelta, WaitingSource
from tsdb.exec.streaming.row_time import RowTime
from tsdb.exec.streaming.run_store import WarehouseRunStore
from tsdb.exec.streaming.source import LogSource, TableSource
from tsdb.exec.streaming.waiting_room import Sign
from tsdb.exec.streaming.watermark import ARRIVAL, END, InputTime

STEP_ROWS = 131_072
WATERMARK = "#watermark"
"""Behind the name of a source: its watermark among the positions of a checkpoint."""


class Driven(Protocol):
    """What a pipeline drives: a dataflow, or several over the same sources."""

    def step(
        self, deltas: Mapping[str, ChangeBatch], times: Mapping[str, InputTime] | None = None, *, complete: bool = True
    ) -> Any:
        """The change of the output, with `num_rows`, for a change of the inputs."""
        ...

    def overdue(self) -> bool:
        """Whether the clock alone has made something due."""
        ...

    def checkpoint(self, store: Any) -> dict[str, Any]:
        """Put the state into a run store; returns what `restore` needs."""
        ...

    def restore(self, manifest: dict[str, Any], store: Any) -> None:
        """Take the state of a checkpoint."""
        ...

    def metrics(self) -> dict[str, Any]:
        """Sizes of the state."""
        ...


class Dataflow(Driven, Protocol):
    """One query."""

    @property
    def schema(self) -> pa.Schema:
        """The schema of the output."""
        ...

    @property
    def upsert_key(self) -> tuple[str, ...] | None:
        """Columns of the output that are unique at every version, if known."""
        ...

    def step(
        self, deltas: Mapping[str, ChangeBatch], times: Mapping[str, InputTime] | None = None, *, complete: bool = True
    ) -> ChangeBatch:
        """The change of the output for a change of the inputs."""
        ...


@dataclass(slots=True)
class Feed:
    """A source and the inputs of the dataflow that it feeds. in_cut: it is in the middle of a cut.

    row_time: what it has besides, if its table has computed columns or a watermark. place: tells it from others that
    read the same table.
    """

    source: Source
    inputs: tuple[str, ...]
    in_cut: bool = False
    row_time: RowTime | None = None
    place: str = ""

    @property
    def name(self) -> str:
        """The key of its position in a checkpoint."""
        return self.inputs[0]

    @property
    def schema(self) -> pa.Schema:
        """Of the changes that it feeds."""
        return self.source.schema if self.row_time is None else self.row_time.schema(self.source.schema)


@dataclass(frozen=True, slots=True)
class Advance:
    """What one step gave: the output of what is driven. complete: the version ends with it."""

    output: Any
    complete: bool


class Pipeline:
    """Drives a dataflow from its sources; used by one thread at a time."""

    def __init__(
        self, dataflow: Driven, feeds: Sequence[Feed], *, timeless: bool = False, joins_cuts: bool = False
    ) -> None:
        """timeless: nothing of what is driven becomes due by the clock. joins_cuts: a version may hold several
        snapshots of a table.
        """
        self._dataflow = dataflow
        self._timeless = timeless
        self._feeds = list(feeds)
        for feed in self._feeds:
            if isinstance(feed.source, TableSource):
                feed.source.may_join_cuts = joins_cuts and feed.row_time is None
        self._begun = False
        self._times: dict[str, InputTime] = {}
        self.version = 0
        self.rows_in = 0

    @property
    def dataflow(self) -> Driven:
        """What is driven."""
        return self._dataflow

    def drive(self, dataflow: Driven) -> None:
        """Drive another in its place, before the first step."""
        assert not self._begun, "what is driven does not change while it runs"
        self._dataflow = dataflow

    @property
    def finished(self) -> bool:
        """Every source has delivered all it ever will, and the first step is done."""
        return (
            self._begun
            and self.at_cut
            and all(feed.source.finished for feed in self._feeds)
            and self._times_now() == self._times
        )

    @property
    def begun(self) -> bool:
        """The first step is done, in this run or in one before."""
        return self._begun

    @property
    def at_cut(self) -> bool:
        """No source is in the middle of a cut: the state is that of a version."""
        return not any(feed.in_cut for feed in self._feeds)

    @property
    def latest_reached(self) -> bool:
        """The last look at every source found the end of what there was."""
        return self.at_cut and all(feed.source.finished or feed.source.latest_reached() for feed in self._feeds)

    @property
    def signs(self) -> list[Sign] | None:
        """What tells that a source has something new; None: only a look at all of them does."""
        if not self._timeless or not self.at_cut:
            return None
        found: list[Sign] = []
        for feed in self._feeds:
            if feed.source.finished:
                continue
            sign = feed.source.sign if isinstance(feed.source, TableSource | LogSource) else None
            if sign is None or (feed.row_time is not None and feed.row_time.by_clock):
                return None
            found.append(sign)
        return found

    @property
    def records_skipped(self) -> int:
        """Malformed records that the sources passed over in this run."""
        return sum(feed.source.skipped for feed in self._feeds)

    @property
    def waits(self) -> str | None:
        """Why a source gives nothing, if its system is away."""
        sources = (feed.source for feed in self._feeds)
        return next((s.waits for s in sources if isinstance(s, WaitingSource) and s.waits), None)

    def advance(self, rows_max: int = STEP_ROWS) -> Advance | None:
        """Take what the sources have now, about rows_max rows of each, and step; None if there is nothing.

        The very first call always steps, so that a query over empty inputs shows its constant part (a global count
        of 0).
        """
        deltas = self._poll(rows_max)
        times = self._times_now() if self.at_cut else self._times
        late = self.at_cut and self._dataflow.overdue()
        if not deltas and times == self._times and not late and (self._begun or not self.at_cut):
            return None
        self._begun, self._times = True, times
        output = self._dataflow.step(deltas, times, complete=self.at_cut)
        complete = self.at_cut
        self.version += complete
        return Advance(output, complete)

    def positions(self) -> dict[str, Any]:
        """Where every source stands; to be asked at a cut."""
        assert self.at_cut, "positions are those of a version"
        positions = {feed.name: feed.source.position for feed in self._feeds}
        for feed in self._feeds:
            if feed.row_time is not None and feed.row_time.column is not None:
                positions[feed.name + WATERMARK] = feed.row_time.watermark
        return positions

    def places(self) -> dict[str, Any]:
        """Where every source stands at this moment, perhaps within a cut; for those who watch, from any thread."""
        return {feed.name: feed.source.position for feed in self._feeds}

    def restore(self, positions: Mapping[str, Any], manifest: dict[str, Any] | None, store: WarehouseRunStore) -> None:
        """Go on from a checkpoint: positions and dataflow as they were then. manifest None: nothing was read yet."""
        if manifest is None:
            return
        self._dataflow.restore(manifest, store)
        for feed in self._feeds:
            feed.source.seek(positions[feed.name])
            if feed.row_time is not None:
                feed.row_time.seek(positions.get(feed.name + WATERMARK))
        self._begun = True

    def keep_places(self, owner: str | None) -> None:
        """At a cut: what the tables among the sources have still to tell must not expire. See `StreamScan`."""
        for feed in self._feeds:
            if isinstance(feed.source, TableSource | LogSource):
                feed.source.keep_place(None if owner is None else owner + feed.place)

    def close(self) -> None:
        """Close the sources; the first failure is raised after all were tried."""
        failure: Exception | None = None
        for feed in self._feeds:
            try:
                feed.source.close()
            except Exception as err:
                failure = failure or err
        if failure is not None:
            raise failure

    def _poll(self, rows_max: int) -> dict[str, ChangeBatch]:
        """One look at every source that may go on: while cuts are open, only those in the middle of one."""
        only_open = not self.at_cut
        deltas: dict[str, ChangeBatch] = {}
        for feed in self._feeds:
            if (only_open and not feed.in_cut) or feed.source.finished:
                continue
            delta = feed.source.poll(rows_max)
            if delta is None:
                continue
            feed.in_cut = not delta.complete
            changes = _changes_of(feed, delta)
            if feed.row_time is not None and not feed.in_cut:
                feed.row_time.at_cut()
            self.rows_in += int(np.count_nonzero(changes.weights))  # not what was there before the stream
            for name in feed.inputs:
                deltas[name] = changes
        return deltas

    def _times_now(self) -> dict[str, InputTime]:
        """The watermarks of all inputs that have one."""
        ended = all(feed.source.finished for feed in self._feeds)
        times = {ARRIVAL: InputTime(END)} if ended else {}
        return times | {
            name: feed.row_time.time(finished=feed.source.finished, partitions=_open_partitions(feed.source))
            for feed in self._feeds
            if feed.row_time is not None and feed.row_time.column is not None
            for name in feed.inputs
        }


def _changes_of(feed: Feed, delta: SourceDelta) -> ChangeBatch:
    """The changes with their computed columns; the watermark of each partition goes by its own rows."""
    time, schema = feed.row_time, feed.source.schema
    if time is None or delta.partitions is None:
        changes = _without_claims(plus(delta.changes, schema))
        return changes if time is None else time.changes(changes)
    parts: dict[str, list[ChangeBatch]] = {}
    for name, change in zip(delta.partitions, delta.changes, strict=True):
        parts.setdefault(name, []).append(change)
    made = [time.changes(_without_claims(plus(changes, schema)), name) for name, changes in parts.items()]
    return plus(made, feed.schema) if made else time.changes(_without_claims(plus([], schema)))


def _open_partitions(source: Source) -> Sequence[str] | None:
    return source.open_partitions if isinstance(source, PartitionedSource) else None


def _without_claims(changes: ChangeBatch) -> ChangeBatch:
    """The same rows without NOT NULL in the schema: a dataflow puts rows of several origins together."""
    schema = pa.schema([field.with_nullable(True).remove_metadata() for field in changes.schema])
    return ChangeBatch(pa.Table.from_arrays(changes.rows.columns, schema=schema), changes.weights)
