"""MIN and MAX of strings per slot."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.changes import ChangeBatch
from tsdb.exec.streaming.arrangement import Arrangement
from tsdb.exec.streaming.expression import positional
from tsdb.exec.streaming.operators.accumulator import Touched
from tsdb.exec.streaming.row_heap import RowHeap
from tsdb.row_hash import I64, Mask, arrays, group_equal

_NONE = np.int64(np.iinfo(np.int64).max)


class TextExtremum:
    """MIN or MAX of strings or bytes, in the order of their bytes: the best value per slot, improved by what comes.

    State: per slot the number of values, and where the best one lies in a heap (its number there and one; 0: none);
    and, unless the input only grows, all values by group, where the new best is looked up when values leave.
    """

    def __init__(self, kind: pa.DataType, values: Arrangement | None, *, maximum: bool, owner: bool) -> None:
        """As `Extremum`."""
        self._kind = kind
        self._maximum = maximum
        self._owner = owner
        self.values = values
        self.texts = RowHeap(positional([kind]))
        self.state: list[I64] = [np.zeros(0, np.int64), np.zeros(0, np.int64)]

    def add(self, touched: Touched, values: pa.Array | None, weights: I64) -> None:
        """Take in the values that come; where values leave, look for the best that is left."""
        assert values is not None
        count = self.state[0]
        weights = np.where(np.asarray(values.is_valid().to_numpy(zero_copy_only=False)), weights, 0)
        groups, slots = touched.groups, touched.slots
        count[slots] += groups.sum(weights)
        leaves = groups.sum((weights < 0).astype(np.int64)) > 0
        if self.values is not None and self._owner:
            used = pa.array(np.flatnonzero(weights))
            columns = [c.take(used) for c in (*touched.keys, values)]
            kinds = positional([c.type for c in columns])
            self.values.insert(ChangeBatch(pa.Table.from_arrays(columns, schema=kinds), weights[weights != 0]))
        comes = np.flatnonzero((weights > 0) & ~leaves[groups.ids()] if leaves.any() else weights > 0)
        self._improve(slots, values.take(pa.array(comes)), groups.ids()[comes])
        if leaves.any():
            self._look_up(touched, np.flatnonzero(leaves))

    def result(self, slots: I64) -> pa.Array:
        """The extrema."""
        there = self.state[1][slots] > 0
        (texts,) = arrays(self.texts.take(self.state[1][slots][there] - 1))
        at = np.cumsum(there) - 1
        return texts.take(pa.array(at, mask=~there)) if len(slots) else texts

    def release(self, slots: I64) -> None:
        """The slots are as new from now on."""
        place = self.state[1]
        numbers = place[slots]
        self.texts.free(numbers[numbers > 0] - 1)
        place[slots] = 0

    @property
    def live(self) -> I64:
        """The numbers in the heap that are in use."""
        place = self.state[1]
        return place[place > 0] - 1

    def _improve(self, slots: I64, values: pa.Array, groups: I64) -> None:
        """Put the best of these values of each group into its slot, if it is better than what is there."""
        if not len(values):
            return
        encoded = values.dictionary_encode()
        codes = np.asarray(encoded.indices.to_numpy(zero_copy_only=False)).astype(np.int64)
        order = np.asarray(pc.array_sort_indices(encoded.dictionary).to_numpy()).astype(np.int64)
        if self._maximum:
            order = order[::-1]
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        best = np.full(len(slots), _NONE)
        np.minimum.at(best, groups, rank[codes])
        some = np.flatnonzero(best != _NONE)
        texts = encoded.dictionary.take(pa.array(order[best[some]]))
        better = self._is_better(texts, self.result(slots[some]))
        self._put(slots[some][better], texts.filter(pa.array(better)))

    def _is_better(self, new: pa.Array, old: pa.Array) -> Mask:
        compared = pc.greater(new, old) if self._maximum else pc.less(new, old)
        return np.asarray(compared.fill_null(True).to_numpy(zero_copy_only=False))

    def _put(self, slots: I64, texts: pa.Array) -> None:
        self.release(slots)
        kinds = self.texts.schema
        self.state[1][slots] = self.texts.add(pa.Table.from_arrays([texts.cast(kinds.types[0])], schema=kinds)) + 1

    def _look_up(self, touched: Touched, groups: I64) -> None:
        assert self.values is not None
        keys = [k.take(pa.array(groups)) for k in touched.group_keys]
        found = self.values.lookup(keys, touched.group_hashes[groups])
        slots = touched.slots[groups]
        self.release(slots)
        if not len(found.probe):
            return
        columns: Sequence[pa.Array] = [pa.array(found.probe), *arrays(found.rows, [len(keys)])]
        same = group_equal(columns, len(found.probe))
        there = same.first[same.sum(found.weights) > 0]
        self._improve(slots, columns[1].take(pa.array(there)), found.probe[there])


def has_text_extremum(kind: pa.DataType) -> bool:
    """Whether values of this type are kept here."""
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))
