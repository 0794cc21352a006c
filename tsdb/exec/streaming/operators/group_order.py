"""The order of rows within groups, column after column, as DataFusion sorts them.

Only rows that are equal so far are looked at by the next column, so the second column of an order costs little.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.row_hash import I64, U64

_BITS = 64


@dataclass(frozen=True, slots=True)
class OrderColumn:
    """A column of an ORDER BY."""

    column: int
    ascending: bool
    nulls_first: bool


def can_order(kind: pa.DataType) -> bool:
    """Whether values of this type are compared here."""
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_temporal(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal128(kind)
        or pa.types.is_string(kind)
        or pa.types.is_binary(kind)
    ) and not (pa.types.is_interval(kind) or pa.types.is_float16(kind))


def ordered(groups: I64, order: Sequence[OrderColumn], values: Callable[[int, I64], pa.Array]) -> I64:
    """The rows by group (numbers from 0), then by the order, then as they are.

    values: the values of a column for rows at some positions.
    """
    everything = np.arange(len(groups))
    result, ties = everything, groups
    rows = everything
    places = everything
    for column in order:
        # rows: those that may still change places, at `places` of the result; ties: what they have in common
        sort_key = _sort_key(values(column.column, rows), column)
        by = _by_two(ties, sort_key)
        rows, ties, sort_key = rows[by], ties[by], sort_key[by]
        result = result if result is not everything else everything.copy()
        result[places] = rows
        same = (ties[1:] == ties[:-1]) & (sort_key[1:] == sort_key[:-1])
        if not same.any():
            return result
        shared = np.zeros(len(rows), np.bool_)
        shared[1:] |= same
        shared[:-1] |= same
        ties = np.concatenate([[0], np.cumsum(~same)])[shared]
        rows, places = rows[shared], places[shared]
    by = _by_two(ties, rows.astype(np.uint64))
    result = result if result is not everything else everything.copy()
    result[places] = rows[by]
    return result


def _by_two(first: I64, second: U64) -> I64:
    """The order by two columns; first: numbers from 0. Equal pairs come in any order."""
    if not len(first):
        return np.empty(0, np.int64)
    least = second.min()
    second = second - least
    bits = int(second.max()).bit_length()
    if bits + int(first.max()).bit_length() > _BITS:
        by_second = np.argsort(second)
        in_order = second[by_second]
        rank = np.empty(len(second), np.uint64)
        rank[by_second] = np.concatenate([[0], np.cumsum(in_order[1:] != in_order[:-1])]).astype(np.uint64)
        second, bits = rank, len(second).bit_length()
    words = (first.astype(np.uint64) << np.uint64(bits)) | second
    return np.asarray(np.argsort(words))


def _sort_key(values: pa.Array, column: OrderColumn) -> U64:
    """Words whose order is the one that is asked for."""
    nulls = None
    if values.null_count:
        nulls = np.asarray(values.is_null().to_numpy(zero_copy_only=False))
    words = _words(values)
    if not column.ascending:
        words = ~words
    if nulls is None:
        return words
    # make room for NULL on one side
    known = words[~nulls]
    distinct, ranks = np.unique(known, return_inverse=True)
    result = np.zeros(len(words), np.uint64)
    result[~nulls] = ranks.astype(np.uint64) + np.uint64(1)
    if not column.nulls_first:
        result[nulls] = np.uint64(len(distinct) + 1)
    return result


def _words(values: pa.Array) -> U64:
    """Unsigned words in the order of the values; what stands for NULL is undefined."""
    kind: Any = values.type
    if pa.types.is_boolean(kind):
        return np.asarray(values.cast(pa.uint8()).fill_null(0).to_numpy(zero_copy_only=False)).astype(np.uint64)
    if pa.types.is_floating(kind):
        floats = np.asarray(values.cast(pa.float64()).fill_null(0).to_numpy(zero_copy_only=False))
        bits = floats.view(np.int64)
        return _unsigned(np.where(bits < 0, bits ^ np.int64(0x7FFFFFFFFFFFFFFF), bits))
    if pa.types.is_unsigned_integer(kind):
        return np.asarray(values.fill_null(0).to_numpy(zero_copy_only=False)).astype(np.uint64)
    if pa.types.is_integer(kind):
        return _unsigned(np.asarray(values.fill_null(0).to_numpy(zero_copy_only=False)).astype(np.int64))
    if pa.types.is_temporal(kind):
        numbers = values.view(pa.int32() if kind.bit_width == 32 else pa.int64()).fill_null(0)
        return _unsigned(np.asarray(numbers.to_numpy(zero_copy_only=False)).astype(np.int64))
    ranks = pc.rank(values, sort_keys="ascending", tiebreaker="dense")
    return np.asarray(ranks.to_numpy(zero_copy_only=False)).astype(np.uint64)


def _unsigned(numbers: I64) -> U64:
    return np.asarray(numbers.view(np.uint64) ^ np.uint64(1 << 63))
