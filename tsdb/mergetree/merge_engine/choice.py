"""Functions whose result is one of the values: the first, the last, the smallest, the largest.

NULL is a value for `last_value` and `first_value`, and is passed over by all others.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.mergetree.key_order import grouped_order, order_words
from tsdb.mergetree.merge_engine.events import Events, valid

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LastValue:
    """The last value, NULL included; a retraction makes it NULL."""

    name: str = "last_value"
    retracts: bool = True

    def fold(self, column: pa.Array, events: Events) -> I64:
        """The row of each key that has it."""
        if events.retracts is None and events.late is None:
            return events.rows_at(events.last())
        after = events.adds & events.in_time
        return events.rows_at(Events(events.rows, events.starts).latest(after, events.retracts))


@dataclass(frozen=True, slots=True)
class LastNonNullValue:
    """The last value that is not NULL; a retraction of a value makes it NULL."""

    name: str = "last_non_null_value"
    retracts: bool = True

    def fold(self, column: pa.Array, events: Events) -> I64:
        """The row of each key that has it."""
        known = valid(column, events.rows)
        if events.retracts is None and events.late is None:
            return events.rows_at(events.last(known))
        if known is None:
            known = np.ones(len(events), np.bool_)
        retracts = None if events.retracts is None else known & events.retracts
        return events.rows_at(events.latest(known & events.adds, retracts))


@dataclass(frozen=True, slots=True)
class FirstValue:
    """The value of the first row, NULL included."""

    name: str = "first_value"
    retracts: bool = False

    def fold(self, column: pa.Array, events: Events) -> I64:
        """The row of each key that has it."""
        found = events.first()
        if events.seeds is not None:
            unseeded = events.first(~events.seeds)
            found = np.where((unseeded < 0) | events.had_added(None), found, unseeded)
        if events.late is not None:
            late = events.last(events.late)
            found = np.where(late < 0, found, late)
        return events.rows_at(found)


@dataclass(frozen=True, slots=True)
class FirstNonNullValue:
    """The first value that is not NULL.

    Once there is one, every late row replaces it, even by NULL, as in Paimon.
    """

    name: str = "first_non_null_value"
    retracts: bool = False

    def fold(self, column: pa.Array, events: Events) -> I64:
        """The row of each key that has it."""
        known = valid(column, events.rows)
        if known is None:
            known = np.ones(len(events), np.bool_)
        if events.late is None and events.seeds is None:
            return events.rows_at(events.first(known))
        none = len(events)
        late = np.zeros(none, np.bool_) if events.late is None else events.late
        seeds = np.zeros(none, np.bool_) if events.seeds is None else events.seeds
        # what is there before the first value in time is not yet the first: a late value or a seed
        before = events.first(known & (late | seeds))
        second = events.first(late & (before >= 0)[events.keys] & (np.arange(none) > before[events.keys]))
        first, second = (np.where(at < 0, none, at) for at in (events.first(known & ~late & ~seeds), second))
        found = np.where(first < second, first, before)
        had = events.had_added(column)
        decided = np.where(had, -1, np.minimum(first, second))
        found = np.where(had, events.first(seeds), found)
        last_late = events.last(late)
        return events.rows_at(np.where(last_late > decided, last_late, found))


@dataclass(frozen=True, slots=True)
class Extreme:
    """The smallest or the largest value."""

    largest: bool
    retracts: bool = False

    @property
    def name(self) -> str:
        """`max` or `min`."""
        return "max" if self.largest else "min"

    def fold(self, column: pa.Array, events: Events) -> I64 | pa.Array:
        """The row of each key that has it; of equal ones the first."""
        if pa.types.is_integer(column.type) and column.null_count == 0 and not events.has_empty:
            values = np.asarray(column)[events.rows]
            return pa.array(events.reduce(np.maximum if self.largest else np.minimum, values, 0), column.type)
        known = valid(column, events.rows)
        some = events if known is None else events.kept(known)
        if len(some) == 0:
            return np.full(events.key_count, -1, np.int64)
        words = order_words([[pa.chunked_array([column.take(pa.array(some.rows))])]], descending=self.largest)[0]
        if len(words) == 1:
            best = some.reduce(np.minimum, words[0], np.iinfo(np.int64).max)
            return some.rows_at(some.first(words[0] == best[some.keys]))
        order, starts = grouped_order((some.keys,), words)
        found = np.full(events.key_count, -1, np.int64)
        found[some.keys[order[starts[:-1]]]] = some.rows[order[starts[:-1]]]
        return found


@dataclass(frozen=True, slots=True)
class KeyValue:
    """The value of a primary-key column, which is the same in all rows."""

    name: str = "primary-key"
    retracts: bool = True

    def fold(self, column: pa.Array, events: Events) -> I64:
        """The last row of each key."""
        return events.rows_at(events.last())
