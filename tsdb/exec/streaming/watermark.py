"""Watermarks: how far the event time of a stream has come, and what that says about its columns.

A watermark W of an input says that no row with a time up to W is expected any more. Inside the dataflow the same is
said by column: a *bound* b of a column says that no change that is still to come concerns a row with a smaller value.
The input's bound is W and one tick; a monotone expression of a bounded column is bounded by its value at the bound; a
union by the least of its inputs. A bound never falls. `now` is the bound after the current step, `before` the one
that held when its rows came: rows below `before` are late, what is below `now` is final.

Bounds are nanoseconds since the epoch; END is what lies behind the last row of a stream that has ended.

Source: Flink, watermarks; the bounds by column are those of RisingWave's watermark messages, and of Feldera's lateness.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsdb import clock

ARRIVAL = ""
"""Instead of an input's name: the clock. Its watermark is END when all inputs have ended."""

END = 1 << 100
"""Later than every time."""

_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1000, "ns": 1}
_DAY_NS = 86_400_000_000_000


@dataclass(frozen=True, slots=True)
class InputTime:
    """The watermark of an input in nanoseconds (None: none yet). idle: others need not wait for it."""

    watermark: int | None
    idle: bool = False


class Bound:
    """A bound as it goes on. now, before: None as long as there is none."""

    def __init__(self, advance: Callable[["Bound"], int | None], tick: int = 1) -> None:
        """advance: the newest value that is known, asked once a step, inputs before users."""
        self._advance = advance
        self.tick = tick
        self.idle = False
        self.now: int | None = None
        self.before: int | None = None

    def step(self) -> bool:
        """Begin the next step; whether the bound has moved."""
        self.before = self.now
        value = self._advance(self)
        if value is not None and (self.now is None or value > self.now):
            self.now = value
        return self.now != self.before

    def watermark(self) -> int | None:
        """The watermark behind the bound that held when the rows of this step came; None: there was none."""
        return None if self.before is None or self.before >= END else self.before - self.tick


class InputBound(Bound):
    """The bound of an input's time column."""

    def __init__(self, name: str, kind: pa.DataType) -> None:
        """name: of the input; kind: of its time column."""
        self.name = name
        self.time = InputTime(None)
        super().__init__(self._of_input, ticks_ns(kind))

    def _of_input(self, _: Bound) -> int | None:
        self.idle = self.time.idle
        watermark = self.time.watermark
        if watermark is None or watermark >= END:
            return watermark
        return watermark // self.tick * self.tick + self.tick


class ArrivalBound(InputBound):
    """The bound of a column that is the time at which a row comes: the clock, until all inputs have ended."""

    def __init__(self) -> None:
        super().__init__(ARRIVAL, pa.timestamp("ms"))

    def _of_input(self, _: Bound) -> int | None:
        return END if self.time.watermark == END else clock.current().now_ms() * _NS["ms"]


def least(bounds: Sequence[Bound]) -> Bound:
    """The least of several: what holds whichever of them a row comes from. Idle ones do not count."""

    def advance(own: Bound) -> int | None:
        own.idle = all(b.idle for b in bounds)
        awake = [b.now for b in bounds if not b.idle]
        known = [b for b in awake if b is not None]
        return min(known) if known and len(known) == len(awake) else None

    return Bound(advance, bounds[0].tick)


def greatest(bounds: Sequence[Bound], plus: Sequence[int]) -> Bound:
    """The greatest of several that all hold for one column, each with something added."""

    def advance(own: Bound) -> int | None:
        own.idle = all(b.idle for b in bounds)
        known = [b.now + p for b, p in zip(bounds, plus, strict=True) if b.now is not None]
        return max(known) if known else None

    return Bound(advance, bounds[0].tick)


def monotone(of: Bound, value: Callable[[int], int | None], tick: int) -> Bound:
    """What an expression that never falls makes of a bound."""

    def advance(own: Bound) -> int | None:
        own.idle = of.idle
        if of.now is None or of.now >= END:
            return of.now
        return value(of.now) if of.now != of.before or own.now is None else None

    return Bound(advance, tick)


@dataclass(frozen=True, slots=True)
class Mark:
    """A column of a stream with a bound; of a column of lists, the least element has it.

    window: it is the border of a window, so that rows below the bound are closed. early: they are shown before.
    grows: rows are not updated, though one may be deleted from an append table.
    arrival: it is the time at which rows come.
    """

    column: int
    bound: Bound
    window: bool = False
    early: bool = False
    grows: bool = False
    arrival: bool = False


def ticks_ns(kind: pa.DataType) -> int:
    """How many nanoseconds the unit of a time type has."""
    return _DAY_NS if pa.types.is_date(kind) else _NS[kind.unit]


def is_time(kind: pa.DataType) -> bool:
    """Whether values of this type can be bounded."""
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date32(kind))


def scalar_at(bound: int, kind: pa.DataType) -> pa.Scalar:
    """The least value of the type that is not below the bound."""
    ticks = -(-bound // ticks_ns(kind))
    limit = (1 << 31) - 1 if pa.types.is_date32(kind) else (1 << 63) - 1
    return pa.scalar(max(-limit, min(ticks, limit)), pa.int32() if pa.types.is_date32(kind) else pa.int64()).cast(kind)


def nanoseconds(value: pa.Scalar) -> int | None:
    """A time of any unit; the least element of a list of them."""
    if pa.types.is_list(value.type) or pa.types.is_large_list(value.type):
        elements = value.values
        return None if elements is None or not len(elements) else nanoseconds(pc.min(elements))
    if not value.is_valid or not is_time(value.type):
        return None
    whole = pa.int32() if pa.types.is_date32(value.type) else pa.int64()
    return int(value.cast(whole).as_py()) * ticks_ns(value.type)


def below(column: pa.ChunkedArray | pa.Array, bound: int | None) -> np.ndarray[Any, Any]:
    """Which values are smaller than a bound (mask); NULL is so only at the END."""
    if bound is None:
        return np.zeros(len(column), np.bool_)
    if bound >= END:
        return np.ones(len(column), np.bool_)
    mask = pc.fill_null(pc.less(column, scalar_at(bound, column.type)), False)
    return np.asarray(mask.to_numpy() if isinstance(mask, pa.ChunkedArray) else mask.to_numpy(zero_copy_only=False))


def median(column: pa.ChunkedArray) -> int:
    """The middle of the times of a column in nanoseconds; NULL is later than every time."""
    values = column.drop_null().cast(pa.int32() if pa.types.is_date32(column.type) else pa.int64()).to_numpy()
    if 2 * len(values) < len(column):
        return END
    middle = np.partition(values, len(values) // 2)[len(values) // 2] if len(values) else 0
    return int(middle) * ticks_ns(column.type)


def below_any(rows: pa.Table, marks: Sequence[Mark], *, now: bool) -> np.ndarray[Any, Any]:
    """Which rows have a marked column below its bound: the one of this step (now), or that before it."""
    found = np.zeros(rows.num_rows, np.bool_)
    for mark in marks:
        found |= below(rows.column(mark.column), mark.bound.now if now else mark.bound.before)
    return found


def stored(bounds: Sequence[Bound]) -> list[int | None]:
    """The bounds for a checkpoint."""
    return [b.now for b in bounds]


def found_again(bounds: Sequence[Bound], values: Sequence[int | None]) -> None:
    """The bounds of a checkpoint."""
    for bound, value in zip(bounds, values, strict=True):
        bound.now = bound.before = value


Times = Mapping[str, InputTime]
