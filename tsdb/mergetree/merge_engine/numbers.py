"""Functions that compute: `sum`, `product`, `bool_and`, `bool_or`. NULL is passed over.

A result that its column cannot hold is an error, never a number that has wrapped around. Decimals are computed exactly,
as whole numbers of their smallest unit.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.data_types import from_arrow
from tsdb.errors import DataError
from tsdb.mergetree.merge_engine.events import Events, valid

I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
_LOW = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Sum:
    """The sum; a retraction is subtracted."""

    column: str
    name: str = "sum"
    retracts: bool = True

    def fold(self, column: pa.Array, events: Events) -> pa.Array:
        """The sum of each key; NULL for a key without a value."""
        known = valid(column, events.rows)
        values = _numbers(column, events.rows, known)
        if events.retracts is not None:
            values = np.where(events.retracts, -values, values)
        if values.dtype == np.int64 and pa.types.is_decimal(column.type):
            largest = int(np.abs(values).max(initial=0)) * int(events.counts.max(initial=0))
            values = values.astype(object) if largest >= 1 << 63 else values
        sums = events.reduce(np.add, values, 0)
        if pa.types.is_int64(column.type):
            about = events.reduce(np.add, values.astype(np.float64), 0)
            _refuse(np.abs(about - sums.astype(np.float64)) > 2.0**62, self, column.type)
        return _array(sums, _missing(events, known), self, column.type)


@dataclass(frozen=True, slots=True)
class Product:
    """The product; a retraction divides, whole numbers by whole division."""

    column: str
    name: str = "product"
    retracts: bool = True

    def fold(self, column: pa.Array, events: Events) -> pa.Array:
        """The product of each key; NULL for a key without a value."""
        known = valid(column, events.rows)
        some = events if known is None else events.kept(known)
        values = _numbers(column, some.rows, None)
        if not pa.types.is_floating(column.type):
            values = values.astype(object)
        one = 10**column.type.scale if pa.types.is_decimal(column.type) else 1
        products = np.full(events.key_count, one, values.dtype)
        missing = np.ones(events.key_count, np.bool_)
        # a product depends on the order of its rows (it is rounded after each): the n-th rows of all keys go together
        for nth in range(int(some.counts.max(initial=0))):
            keys = np.flatnonzero(some.counts > nth)
            at = some.starts[keys] + nth
            taken = np.zeros(len(at), np.bool_) if some.retracts is None else some.retracts[at]
            added, divided = keys[~taken], keys[taken & ~missing[keys]]
            products[added] = self._times(products[added], values[at[~taken]], one)
            divisors = values[at[taken & ~missing[keys]]]
            products[divided] = self._over(products[divided], divisors, one)
            missing[added] = False
        return _array(products, missing if missing.any() else None, self, column.type)

    def _times(self, left: np.ndarray, right: np.ndarray, one: int) -> np.ndarray:
        return left * right if one == 1 else _rounded(left * right, one)

    def _over(self, left: np.ndarray, right: np.ndarray, one: int) -> np.ndarray:
        if left.dtype != object:
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.asarray(left / right)
        if (right == 0).any():
            raise DataError(f"column `{self.column}`: 'product' cannot take back a 0: there is no dividing by it")
        if one != 1:
            return _rounded(left * one, right)
        signs = np.where((left < 0) != (right < 0), -1, 1)
        return np.asarray(np.abs(left) // np.abs(right) * signs)


@dataclass(frozen=True, slots=True)
class Bool:
    """`bool_and` or `bool_or`."""

    every: bool
    retracts: bool = False

    @property
    def name(self) -> str:
        """`bool_and` or `bool_or`."""
        return "bool_and" if self.every else "bool_or"

    def fold(self, column: pa.Array, events: Events) -> pa.Array:
        """Whether every, or any, value is true; NULL for a key without a value."""
        known = valid(column, events.rows)
        values = np.asarray(column.fill_null(self.every).to_numpy(zero_copy_only=False))[events.rows]
        found = events.reduce(np.logical_and if self.every else np.logical_or, values, self.every)
        return pa.array(found, pa.bool_(), mask=_missing(events, known))


def _missing(events: Events, known: Mask | None) -> Mask | None:
    """The keys without any value."""
    if known is not None:
        return np.asarray(~events.any(known))
    return events.counts == 0 if events.has_empty else None


def _rounded(numerator: np.ndarray, denominator: np.ndarray | int) -> np.ndarray:
    """The quotient to the nearest whole number, halves away from zero."""
    size = np.abs(np.asarray(denominator, object))
    signs = np.where((numerator < 0) != (np.asarray(denominator) < 0), -1, 1)
    return np.asarray((np.abs(numerator) * 2 + size) // (size * 2) * signs)


def _numbers(column: pa.Array, rows: I64, known: Mask | None) -> np.ndarray:
    """The values of rows, NULL as 0: int64, float32, float64, or Python integers; decimals in their smallest unit."""
    kind = column.type
    if pa.types.is_decimal(kind):
        values = _decimal_numbers(column)[rows]
    elif pa.types.is_floating(kind):
        values = np.asarray(column.fill_null(0) if column.null_count else column)[rows]
    else:
        values = np.asarray(column.fill_null(0) if column.null_count else column)[rows].astype(np.int64, copy=False)
    return values if known is None else np.where(known, values, np.zeros(1, values.dtype))


def _decimal_numbers(column: pa.Array) -> np.ndarray:
    if len(column) == 0:
        return np.empty(0, np.int64)
    halves = np.frombuffer(column.buffers()[1], np.int64, 2 * len(column), 16 * column.offset).reshape(-1, 2)
    if column.type.precision <= 18:
        return halves[:, 0]
    return np.asarray(halves[:, 1].astype(object) * (1 << 64) + halves[:, 0].view(np.uint64).astype(object))


def _array(values: np.ndarray, missing: Mask | None, function: Sum | Product, kind: pa.DataType) -> pa.Array:
    """The values in the column's type. Raises DataError if one does not fit."""
    if pa.types.is_floating(kind):
        return pa.array(values, kind, mask=missing)
    if missing is not None:
        values = np.where(missing, 0, values)
    if not pa.types.is_decimal(kind):
        bounds = np.iinfo(kind.to_pandas_dtype())
        _refuse((values < bounds.min) | (values > bounds.max), function, kind)
        return pa.array(values.astype(np.int64), mask=missing).cast(kind)
    _refuse(np.abs(values) >= 10**kind.precision, function, kind)
    halves = np.empty((len(values), 2), np.int64)
    halves[:, 0] = values if values.dtype == np.int64 else (values & _LOW).astype(np.uint64).view(np.int64)
    halves[:, 1] = values >> 63 if values.dtype == np.int64 else (values >> 64).astype(np.int64)
    bits = None if missing is None else pa.array(~missing).buffers()[1]
    return pa.Array.from_buffers(kind, len(values), [bits, pa.py_buffer(halves.tobytes())])


def _refuse(outside: Mask, function: Sum | Product, kind: pa.DataType) -> None:
    if outside.any():
        raise DataError(
            f"column `{function.column}`: '{function.name}' over the rows of a key is out of the range of "
            f"{from_arrow(kind).sql()}; give the column a wider type"
        )
