"""What happens to one column of many keys: the rows of every key in order of time, some of them retractions, some late.

All reductions go over all keys at once; a key may have no events.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Events:
    """Key i has the events starts[i] to starts[i + 1] - 1, the oldest first; event j is row rows[j] of the table.

    retracts: which events take a row back (None: none). late: which of them came with an older sequence than what was
    there, so that they count as if they had come first. seeds: which are what a deletion left behind as the state to go
    on from; earlier: what came before these.
    """

    rows: I64
    starts: I64
    retracts: Mask | None = None
    late: Mask | None = None
    seeds: Mask | None = None
    earlier: "tuple[Events, ...]" = ()

    @property
    def key_count(self) -> int:
        """How many keys."""
        return len(self.starts) - 1

    def __len__(self) -> int:
        """How many events."""
        return len(self.rows)

    @cached_property
    def counts(self) -> I64:
        """How many events each key has."""
        return np.diff(self.starts)

    @cached_property
    def keys(self) -> I64:
        """The key of each event."""
        return np.repeat(np.arange(self.key_count), self.counts)

    @cached_property
    def adds(self) -> Mask:
        """Which events are no retractions."""
        return np.ones(len(self), np.bool_) if self.retracts is None else ~self.retracts

    @cached_property
    def in_time(self) -> Mask:
        """Which events are not late."""
        return np.ones(len(self), np.bool_) if self.late is None else ~self.late

    @cached_property
    def has_empty(self) -> bool:
        """Whether some key has no event."""
        return bool((self.counts == 0).any())

    def kept(self, mask: Mask) -> "Events":
        """Only the events for which the mask is true."""
        if mask.all():
            return self
        before = np.concatenate(([0], np.cumsum(mask)))
        return self._selected(mask, before[self.starts])

    def _selected(self, chosen: Mask | I64, starts: I64) -> "Events":
        def of(part: Mask | None) -> Mask | None:
            return None if part is None else part[chosen]

        return Events(self.rows[chosen], starts, of(self.retracts), of(self.late), of(self.seeds), self.earlier)

    def in_effect(self) -> "Events":
        """The same events in the order in which they count: late ones before the others, the latest first."""
        if self.late is None or not self.late.any():
            return replace(self, late=None)
        at = np.arange(len(self))
        order = np.lexsort((np.where(self.late, -1 - at, at), self.keys))
        return replace(self._selected(order, self.starts), late=None)

    def from_seeds(self, seeds: I64) -> "Events":
        """The events of each key from the given one on, as the state to go on from; -1: all of the key's events."""
        found = seeds[seeds >= 0]
        if not len(found):
            return self
        marks = np.zeros(len(self), np.bool_) if self.seeds is None else self.seeds.copy()
        marks[found] = True
        retracts = None if self.retracts is None else self.retracts & ~marks
        kept = np.arange(len(self)) >= seeds[self.keys]
        return Events(self.rows, self.starts, retracts, self.late, marks, (*self.earlier, self.kept(~kept))).kept(kept)

    def reduce(self, function: np.ufunc, values: np.ndarray, empty: object) -> np.ndarray:
        """The function over the values of the events of each key; `empty` for a key without any."""
        if not self.has_empty:
            return np.asarray(function.reduceat(values, self.starts[:-1])) if len(values) else values[:0]
        filled = np.append(values, np.array([empty], values.dtype))
        reduced = np.asarray(function.reduceat(filled, self.starts[:-1]))
        reduced[self.counts == 0] = empty
        return reduced

    def had_added(self, column: pa.Array | None) -> Mask:
        """For each key, whether anything was added before its seed: a value of the column that is not NULL."""
        added = np.zeros(self.key_count, np.bool_)
        for part in self.earlier:
            mask = part.adds if part.seeds is None else part.adds & ~part.seeds
            known = None if column is None else valid(column, part.rows)
            added |= part.any(mask if known is None else mask & known)
        return added

    def any(self, mask: Mask) -> Mask:
        """For each key, whether the mask is true for one of its events."""
        return self.last(mask) >= 0

    def last(self, mask: Mask | None = None) -> I64:
        """For each key, its last event for which the mask is true; -1: none."""
        if mask is None:
            return np.where(self.counts > 0, self.starts[1:] - 1, -1)
        return self.reduce(np.maximum, np.where(mask, np.arange(len(self)), -1), -1)

    def first(self, mask: Mask | None = None) -> I64:
        """For each key, its first event for which the mask is true; -1: none."""
        if mask is None:
            return np.where(self.counts > 0, self.starts[:-1], -1)
        none = len(self)
        found = self.reduce(np.minimum, np.where(mask, np.arange(none), none), none)
        return np.where(found == none, -1, found)

    def latest(self, adds: Mask, retracts: Mask | None) -> I64:
        """For each key, the event whose value stands: the last of `adds` in time after the last of `retracts`, or if
        there is none the first late one; -1: none.
        """
        if retracts is not None and retracts.any():
            adds = adds & (np.arange(len(self)) > self.last(retracts)[self.keys])
        found = self.last(adds & self.in_time if self.late is not None else adds)
        if self.late is not None:
            found = np.where(found < 0, self.first(adds & self.late), found)
        return found

    def rows_at(self, found: I64) -> I64:
        """The rows of events; -1 stays -1."""
        return np.where(found < 0, -1, self.rows[found]) if len(self.rows) else found


def valid(column: pa.Array, rows: I64) -> Mask | None:
    """Which of the rows are not NULL; None: all."""
    if column.null_count == 0:
        return None
    return np.asarray(column.is_valid().to_numpy(zero_copy_only=False))[rows]


def take(column: pa.Array, rows: I64) -> pa.Array:
    """The values of rows; -1 is NULL."""
    absent = rows < 0
    return column.take(pa.array(rows, mask=absent) if absent.any() else pa.array(rows))
