"""MIN and MAX per slot."""

from typing import Any

import numpy as np
import pyarrow as pa

from tsdb.changes import ChangeBatch
from tsdb.exec.streaming.arrangement import Arrangement
from tsdb.exec.streaming.expression import positional
from tsdb.exec.streaming.operators.accumulator import Touched
from tsdb.row_hash import I64, Mask, arrays, group_rows, hash_rows

_WORST = np.int64(np.iinfo(np.int64).max)


class Extremum:
    """MIN or MAX of numbers and times: the best value per slot, improved in place by what comes.

    State: the best value and the number of values per slot; and, unless the input only grows, all values by group,
    where the new best is looked up when the best one leaves. Values are compared as int64 keys in DataFusion's order:
    floats by total order, MAX by the complement.
    """

    def __init__(self, kind: pa.DataType, values: Arrangement | None, *, maximum: bool, owner: bool) -> None:
        """kind: of the argument and the result. values: all values by group, None if the input only grows.

        owner: MIN and MAX of one argument share the values, and the first of them is the one that puts them in.
        """
        self._kind = kind
        self._flip = np.int64(-1) if maximum else np.int64(0)
        self._owner = owner
        self.values = values
        self.state: list[I64] = [np.zeros(0, np.int64), np.zeros(0, np.int64)]

    def add(self, touched: Touched, values: pa.Array | None, weights: I64) -> None:
        """Take in the values that come, and look for the next best where the best one leaves."""
        assert values is not None
        count, best = self.state
        valid = np.asarray(values.is_valid().to_numpy(zero_copy_only=False))
        weights = np.where(valid, weights, 0)
        ordered = self._ordered(values)
        groups, slots = touched.groups, touched.slots
        fresh = count[slots] <= 0
        count[slots] += groups.sum(weights)
        came = np.minimum.reduceat(np.where(weights > 0, ordered, _WORST)[groups.order], groups.starts)
        left = np.minimum.reduceat(np.where(weights < 0, ordered, _WORST)[groups.order], groups.starts)
        before = np.where(fresh, _WORST, best[slots])
        best[slots] = np.minimum(before, came)
        if self.values is None:
            return
        if self._owner:
            used = np.flatnonzero(weights)
            columns = [c.take(pa.array(used)) for c in (*touched.keys, values)]
            kinds = positional([c.type for c in columns])
            self.values.insert(ChangeBatch(pa.Table.from_arrays(columns, schema=kinds), weights[used]))
        gone = (left <= best[slots]) & (left != _WORST) | (groups.sum((weights < 0).astype(np.int64)) > 0) & fresh
        if gone.any():
            self._look_up(touched, np.flatnonzero(gone))

    def result(self, slots: I64) -> pa.Array:
        """The extrema."""
        count, best = self.state
        keys = best[slots] ^ self._flip
        if pa.types.is_floating(self._kind):
            numbers: Any = np.where(keys < 0, keys ^ np.int64(0x7FFFFFFFFFFFFFFF), keys).view(np.float64)
        elif pa.types.is_unsigned_integer(self._kind):
            numbers = keys.view(np.uint64) ^ np.uint64(1 << 63)
        else:
            numbers = keys
        return _from_numbers(numbers, self._kind, count[slots] <= 0)

    def _ordered(self, values: pa.Array) -> I64:
        """The values as int64 whose order is the one that is asked for; smallest is best."""
        numbers = _to_numbers(values, self._kind)
        if pa.types.is_floating(self._kind):
            bits = numbers.view(np.int64)
            keys = np.where(bits < 0, bits ^ np.int64(0x7FFFFFFFFFFFFFFF), bits)
        elif pa.types.is_unsigned_integer(self._kind):
            keys = (numbers.astype(np.uint64) ^ np.uint64(1 << 63)).view(np.int64)
        else:
            keys = numbers.astype(np.int64)
        return np.asarray(keys ^ self._flip)

    def _look_up(self, touched: Touched, groups: I64) -> None:
        assert self.values is not None
        keys = [k.take(pa.array(groups)) for k in touched.group_keys]
        found = self.values.lookup(keys, touched.group_hashes[groups])
        best = np.full(len(groups), _WORST)
        if len(found.probe):
            (values,) = arrays(found.rows, [len(keys)])
            columns = [pa.array(found.probe), values]
            same = group_rows(columns, hash_rows(columns, len(found.probe)))
            there = same.first[same.sum(found.weights) > 0]
            np.minimum.at(best, found.probe[there], self._ordered(values)[there])
        self.state[1][touched.slots[groups]] = best


def values_by_group(keys: pa.Schema, kind: pa.DataType) -> Arrangement:
    """Where the values of extrema are kept. keys: the group columns."""
    return Arrangement(positional([*keys.types, kind]), range(len(keys)))


def has_extremum(kind: pa.DataType) -> bool:
    """Whether values of this type fit the int64 keys."""
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_float64(kind)
        or pa.types.is_float32(kind)
        or pa.types.is_date(kind)
        or pa.types.is_time(kind)
        or pa.types.is_timestamp(kind)
        or pa.types.is_boolean(kind)
    )


def _to_numbers(values: pa.Array, kind: pa.DataType) -> np.ndarray:
    if pa.types.is_boolean(kind):
        values = values.cast(pa.int8())
    elif pa.types.is_float32(kind):
        values = values.cast(pa.float64())
    elif not pa.types.is_integer(kind) and not pa.types.is_floating(kind):
        values = values.view(pa.int32() if kind.bit_width == 32 else pa.int64())
    return np.asarray(values.fill_null(0).to_numpy(zero_copy_only=False))


def _from_numbers(numbers: np.ndarray, kind: pa.DataType, nulls: Mask) -> pa.Array:
    numbers = np.where(nulls, numbers.dtype.type(0), numbers)
    array = pa.array(numbers, mask=nulls)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return array.cast(kind)
    return array.cast(pa.int32()).view(kind) if kind.bit_width == 32 else array.view(kind)
