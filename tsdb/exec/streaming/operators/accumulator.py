"""Accumulators of linear aggregates: COUNT, SUM and AVG, kept per slot in flat arrays and exact under retraction.

An accumulator adds weight times value, so taking a row back is adding it with the weight -1. Integers wrap as in
DataFusion; decimals are summed as whole 128-bit numbers; floats are summed exactly (see `exact_sum.py`), so that what
was added and taken back leaves no trace.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from tsdb.exec.streaming.operators.exact_sum import DecimalSum, FloatSum, quotient_of_decimal
from tsdb.row_hash import I64, U64, RowGroups


@dataclass(frozen=True, slots=True)
class Touched:
    """The groups of a delta: keys of every row, rows by group, and per group its key, hash and slot."""

    keys: Sequence[pa.Array]
    groups: RowGroups
    group_keys: Sequence[pa.Array]
    group_hashes: U64
    slots: I64


class Accumulator(Protocol):
    """One aggregate over all groups. state: int64 arrays indexed by slot; zeros mean nothing was added."""

    state: list[I64]

    def add(self, touched: Touched, values: pa.Array | None, weights: I64) -> None:
        """Add weights[i] times values[i] to the slot of row i's group."""
        ...

    def result(self, slots: I64) -> pa.Array:
        """The aggregate of each slot, as DataFusion types it."""
        ...


class Count:
    """COUNT(*) or COUNT(x): the sum of the weights of the rows where x is not NULL."""

    def __init__(self, kind: pa.DataType) -> None:
        """kind: the type of the result."""
        self._kind = kind
        self.state: list[I64] = [np.zeros(0, np.int64)]

    def add(self, touched: Touched, values: pa.Array | None, weights: I64) -> None:
        """Add the weights."""
        self.state[0][touched.slots] += touched.groups.sum(_of_valid(values, weights))

    def result(self, slots: I64) -> pa.Array:
        """The counts."""
        return pa.array(self.state[0][slots]).cast(self._kind)


class IntegerSum:
    """SUM of integers, modulo 2^64 as DataFusion's: NULL if nothing was summed."""

    def __init__(self, kind: pa.DataType) -> None:
        """kind: int64 or uint64."""
        self._kind = kind
        self.state: list[I64] = [np.zeros(0, np.int64), np.zeros(0, np.int64)]

    def add(self, touched: Touched, values: pa.Array | None, weights: I64) -> None:
        """Add weight times value."""
        assert values is not None
        weights = _of_valid(values, weights)
        numbers = np.asarray(values.fill_null(0).to_numpy(zero_copy_only=False))
        count, total = self.state
        count[touched.slots] += touched.groups.sum(weights)
        total[touched.slots] += touched.groups.sum(numbers.astype(np.int64, copy=False) * weights)

    def result(self, slots: I64) -> pa.Array:
        """The sums."""
        count, total = self.state
        sums = total[slots].view(np.uint64) if pa.types.is_uint64(self._kind) else total[slots]
        return pa.array(sums, self._kind, mask=count[slots] <= 0)


class FloatTotal:
    """SUM or AVG of floats: the exact sum, rounded once, divided by the count for AVG."""

    def __init__(self, *, average: bool) -> None:
        """average: divide by the count."""
        self._average = average
        self._sum = FloatSum()
        self._count = np.zeros(0, np.int64)

    @property
    def state(self) -> list[I64]:
        """The count, then the sum's limbs."""
        return [self._count, *self._sum.state]

    @state.setter
    def state(self, arrays: list[I64]) -> None:
        self._count, self._sum.state = arrays[0], list(arrays[1:])

    @property
    def lowest(self) -> int:
        """Where the sum's limbs begin."""
        return self._sum.lowest

    @lowest.setter
    def lowest(self, limb: int) -> None:
        self._sum.lowest = limb

    def add(self, touched: Touched, values: pa.Array | None, weights: I64) -> None:
        """Add weight times value."""
        assert values is not None
        weights = _of_valid(values, weights)
        numbers = np.asarray(values.fill_null(0).to_numpy(zero_copy_only=False), np.float64)
        self._count[touched.slots] += touched.groups.sum(weights)
        self._sum.add(touched.slots, touched.groups, numbers, weights)

    def result(self, slots: I64) -> pa.Array:
        """The sums or averages."""
        count = self._count[slots]
        sums = self._sum.result(slots)
        if self._average:
            sums = sums / np.maximum(count, 1)
        return pa.array(sums, pa.float64(), mask=count <= 0)


class DecimalTotal:
    """SUM or AVG of decimals: 128-bit whole numbers; AVG cuts off towards zero, as DataFusion does."""

    def __init__(self, argument: pa.DataType, kind: pa.DataType, *, average: bool) -> None:
        """argument, kind: decimal128 types of the argument and the result."""
        self._kind = kind
        self._average = average
        self._shift = kind.scale - argument.scale
        self._sum = DecimalSum()
        self._count = np.zeros(0, np.int64)

    @property
    def state(self) -> list[I64]:
        """The count, then the sum's limbs."""
        return [self._count, *self._sum.state]

    @state.setter
    def state(self, arrays: list[I64]) -> None:
        self._count, self._sum.state = arrays[0], list(arrays[1:])

    def add(self, touched: Touched, values: pa.Array | None, weights: I64) -> None:
        """Add weight times value."""
        assert values is not None
        weights = _of_valid(values, weights)
        self._count[touched.slots] += touched.groups.sum(weights)
        self._sum.add(touched.slots, touched.groups, values, weights)

    def result(self, slots: I64) -> pa.Array:
        """The sums or averages."""
        count = self._count[slots]
        words = self._sum.words(slots)
        if self._average:
            words = quotient_of_decimal(words, 10**self._shift, np.maximum(count, 1))
        validity = pa.array(count > 0).buffers()[1]
        return pa.Array.from_buffers(self._kind, len(slots), [validity, pa.py_buffer(np.ascontiguousarray(words))])


def accumulator_of(function: str, argument: pa.DataType, kind: pa.DataType) -> Accumulator | None:
    """The accumulator of an aggregate function over an argument type, or None if there is none."""
    made: Any = None
    if function == "count":
        made = Count(kind)
    elif function == "sum" and pa.types.is_integer(argument) and (pa.types.is_int64(kind) or pa.types.is_uint64(kind)):
        made = IntegerSum(kind)
    elif function in ("sum", "avg") and pa.types.is_floating(argument) and pa.types.is_float64(kind):
        made = FloatTotal(average=function == "avg")
    elif function in ("sum", "avg") and pa.types.is_decimal128(argument) and pa.types.is_decimal128(kind):
        same_scale = kind.scale == argument.scale
        if function == "avg" and 0 <= kind.scale - argument.scale <= 9:
            made = DecimalTotal(argument, kind, average=True)
        elif function == "sum" and same_scale:
            made = DecimalTotal(argument, kind, average=False)
    accumulator: Accumulator | None = made
    return accumulator


def _of_valid(values: pa.Array | None, weights: I64) -> I64:
    if values is None or not values.null_count:
        return weights
    return np.where(np.asarray(values.is_valid().to_numpy(zero_copy_only=False)), weights, 0)
