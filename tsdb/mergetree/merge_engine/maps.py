"""Functions that unite maps: of equal keys, `merge_map` keeps the newest, `merge_map_with_keytime` the largest time."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.mergetree.key_order import grouped_order, order_words
from tsdb.mergetree.merge_engine.elements import elements_of, struct_columns
from tsdb.mergetree.merge_engine.events import Events

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class MergeMap:
    """All entries, the newest of equal keys; a retraction removes its keys."""

    name: str = "merge_map"
    retracts: bool = True

    def fold(self, column: pa.Array, events: Events) -> pa.Array:
        """The map of each key; NULL for a key without any."""
        elements = elements_of(column, events)
        same = elements.by_value([elements.columns[0]])
        found = same.latest(same.adds, same.retracts)
        return elements.as_maps(same.rows_at(found[found >= 0]), column.type)


@dataclass(frozen=True, slots=True)
class MergeMapWithKeyTime:
    """All entries, of equal keys the one with the largest text in `time_field` of its row, of equal ones the first.

    An entry without a row removes its key, one without a time is passed over; the first map stays as it is.
    """

    time_field: str
    name: str = "merge_map_with_keytime"
    retracts: bool = False

    def fold(self, column: pa.Array, events: Events) -> pa.Array:
        """The map of each key; NULL for a key without any."""
        elements = elements_of(column, events.in_effect())
        if not len(elements.owners):
            return elements.as_maps(elements.owners, column.type)
        same = elements.by_value([elements.columns[0]])
        first = elements.events.first(elements.known)
        initial = (elements.owners == first[elements.keys])[same.rows]
        absent = np.asarray(elements.columns[1].is_null().to_numpy(zero_copy_only=False))[same.rows]
        times = _ranks(struct_columns(elements.columns[1], (self.time_field,))[0])[same.rows]
        removed = same.last(absent & ~initial)
        eligible = (initial | (times >= 0)) & (np.arange(len(same)) > removed[same.keys])
        scores = np.where(eligible, times, -2)
        found = same.first(eligible & (scores == same.reduce(np.maximum, scores, -2)[same.keys]))
        return elements.as_maps(same.rows_at(found[found >= 0]), column.type)


def _ranks(values: pa.Array) -> I64:
    """Numbers that compare as the values do; -1 for NULL."""
    order, starts = grouped_order(order_words([[pa.chunked_array([values])]])[0])
    ranks = np.empty(len(values), np.int64)
    ranks[order] = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    return np.where(np.asarray(values.is_valid().to_numpy(zero_copy_only=False)), ranks, -1)
