"""A table as a pyarrow Dataset, the form in which DataFusion takes a scan that Python does.

DataFusion reads the fragments of a dataset in parallel, one partition each, pushing down the columns and a filter
that must be exact. What a fragment raises reaches DataFusion as text only, so the original is kept in `Failures`.

Threads of DataFusion run these iterators and need the interpreter for it: a process that ends in the middle of one is
aborted. So every step is counted, and `_quiesce` lets none begin when the interpreter shuts down.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from tsdb import clock
from tsdb.errors import Cancelled
from tsdb.exec.batch.null_membership import with_sql_nulls
from tsdb.exec.failure import Failures

BATCH_ROWS = 65_536
_SHUTDOWN_WAIT_S = 5.0


class Readable(Protocol):
    """A part of a table."""

    @property
    def row_count(self) -> int | None:
        """How many rows, if known without reading."""
        ...

    def to_batches(
        self, columns: Sequence[str] | None, filter: pc.Expression | None, batch_size: int
    ) -> Iterator[pa.RecordBatch]:
        """The rows for which the filter is true, those columns only."""
        ...


class Control:
    """Stops the scans of one statement, and keeps what they raised."""

    def __init__(self) -> None:
        self.failures = Failures()
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Let every scan of the statement end at its next batch."""
        self._cancelled.set()

    def check(self) -> None:
        """Raises Cancelled after `cancel`."""
        if self._cancelled.is_set() or _steps.closing:
            raise Cancelled("the statement was cancelled")


class ScanDataset(pads.Dataset):  # type: ignore[misc]
    """A dataset over what `parts` gives when the scan starts. partitions: how many are read side by side."""

    def __init__(
        self, schema: pa.Schema, parts: Callable[[], Sequence[Readable]], control: Control, partitions: int
    ) -> None:
        self._schema = schema
        self._parts = parts
        self._control = control
        self._partitions = partitions

    @property
    def schema(self) -> pa.Schema:
        """All columns."""
        return self._schema

    def scanner(self, columns: Sequence[str] | None = None, filter: pc.Expression | None = None) -> _Scanner:
        """Asked by DataFusion for the projected schema only."""
        return _Scanner(_projected(self._schema, columns), lambda: iter(()))

    def get_fragments(self, filter: pc.Expression | None = None) -> list[_Fragment]:
        """The parts, put together to as many as are read side by side."""
        try:
            return [_Fragment(group, self._control) for group in grouped(self._parts(), self._partitions)]
        except BaseException as err:
            self._control.failures.keep(err)
            raise


@dataclass(frozen=True, slots=True)
class Batches:
    """A part of a table that is already an iterator of batches in the table's schema; it is read once, in full."""

    start: Callable[[], Iterator[pa.RecordBatch]]
    row_count: int | None = None

    def to_batches(
        self, columns: Sequence[str] | None, filter: pc.Expression | None, batch_size: int
    ) -> Iterator[pa.RecordBatch]:
        """See `Readable`."""
        for batch in self.start():
            kept = batch if filter is None else batch.filter(filter)
            yield kept if columns is None else kept.select(list(columns))


def grouped(parts: Sequence[Readable], groups_max: int) -> list[list[Readable]]:
    """The parts dealt to at most groups_max groups, largest first, always to the group with the fewest rows."""
    groups: list[list[Readable]] = [[] for _ in range(min(groups_max, len(parts)))]
    loads = [0] * len(groups)
    for part in sorted(parts, key=lambda part: -(part.row_count or 0)):
        lightest = loads.index(min(loads))
        groups[lightest].append(part)
        loads[lightest] += (part.row_count or 0) + 1
    return groups or [[]]


@dataclass(frozen=True, slots=True)
class _Scanner:
    projected_schema: pa.Schema
    start: Callable[[], Iterator[pa.RecordBatch]]

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        """The rows."""
        return self.start()


@dataclass(frozen=True, slots=True)
class _Fragment:
    parts: Sequence[Readable]
    control: Control

    def scanner(
        self,
        schema: pa.Schema,
        columns: Sequence[str] | None = None,
        filter: pc.Expression | None = None,
        batch_size: int = BATCH_ROWS,
    ) -> _Scanner:
        """The rows of the parts, one part after the other."""
        wanted = _projected(schema, columns)
        exact = None if filter is None else with_sql_nulls(filter)
        return _Scanner(wanted, lambda: _Guarded(self._rows(wanted, exact), self.control))

    def _rows(self, wanted: pa.Schema, filter: pc.Expression | None) -> Iterator[pa.RecordBatch]:
        for part in self.parts:
            if not len(wanted) and filter is None and part.row_count is not None:
                yield _bare(part.row_count)
                continue
            for batch in part.to_batches(wanted.names, filter, BATCH_ROWS):
                if not len(wanted):
                    yield _bare(batch.num_rows)
                elif batch.num_rows:
                    yield (
                        batch
                        if batch.schema.equals(wanted)
                        else pa.RecordBatch.from_arrays(batch.columns, schema=wanted)
                    )


class _Guarded:
    """Counts every step, stops when told to, and keeps what is raised."""

    def __init__(self, rows: Iterator[pa.RecordBatch], control: Control) -> None:
        self._rows = rows
        self._control = control

    def __iter__(self) -> _Guarded:
        return self

    def __next__(self) -> pa.RecordBatch:
        with guarded(self._control):
            return next(self._rows)


@contextmanager
def guarded(control: Control) -> Iterator[None]:
    """One step on a thread of DataFusion: it is counted, not begun after `cancel`, and what it raises is kept."""
    with _steps:
        try:
            control.check()
            yield
        except StopIteration:
            raise
        except BaseException as err:
            control.failures.keep(err)
            raise


class _Steps:
    """How many steps are being taken on threads of DataFusion in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self.closing = False

    def __enter__(self) -> None:
        with self._lock:
            self._running += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._running -= 1

    def quiesce(self) -> None:
        """Let no further step begin its work, and wait for those that run."""
        self.closing = True
        deadline = clock.current().monotonic_s() + _SHUTDOWN_WAIT_S
        while self._running and clock.current().monotonic_s() < deadline:
            clock.current().sleep(0.002)


_steps = _Steps()
atexit.register(_steps.quiesce)


def _projected(schema: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    return schema if columns is None else pa.schema([schema.field(name) for name in columns])


def _bare(rows: int) -> pa.RecordBatch:
    """So many rows without columns."""
    return pa.RecordBatch.from_struct_array(pa.StructArray.from_buffers(pa.struct([]), rows, [None]))
