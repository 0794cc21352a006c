"""Hive's hash of a row, for tables with 'bucket-function.type' = 'hive'.

h = 31 * h + hash(column) over the columns, with Java's 32-bit overflow; the bucket is (h & 0x7fffffff) % buckets.
Source: Paimon, `HiveBucketFunction` and `HiveHasher`; Hive, `ObjectInspectorUtils.hashCode`.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.data_types import DataType, TypeRoot, to_arrow
from tsdb.errors import NotSupportedError

_SMALL = (TypeRoot.BOOLEAN, TypeRoot.TINYINT, TypeRoot.SMALLINT, TypeRoot.INT, TypeRoot.DATE)
_TEXT = (TypeRoot.CHAR, TypeRoot.VARCHAR, TypeRoot.BINARY, TypeRoot.VARBINARY)
_NUMBERS = (TypeRoot.BIGINT, TypeRoot.FLOAT, TypeRoot.DOUBLE)
_PRIME = np.uint32(31)


def hive_bucket_of(
    columns: Sequence[pa.Array | pa.ChunkedArray], types: Sequence[DataType], buckets: int
) -> npt.NDArray[np.int32]:
    """The bucket of each row. Raises NotSupportedError for a type that `check_hive_type` refuses."""
    hashes = np.zeros(len(columns[0]), np.uint32)
    for column, kind in zip(columns, types, strict=True):
        check_hive_type(kind)
        whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        hashes = hashes * _PRIME + _hash(whole.cast(to_arrow(kind)), kind)
    return ((hashes & np.uint32(0x7FFFFFFF)) % np.uint32(buckets)).astype(np.int32)


def check_hive_type(kind: DataType) -> None:
    """Raise for a type whose Hive hash is not known here."""
    if kind.root not in (*_SMALL, *_TEXT, *_NUMBERS):
        raise NotSupportedError(
            f"'bucket-function.type' = 'hive' with a bucket key of type {kind.sql()} is not supported; "
            f"use 'bucket-function.type' = 'default'"
        )


def _hash(column: pa.Array, kind: DataType) -> npt.NDArray[np.uint32]:
    if kind.root in _TEXT:
        return _bytes_hash(column)
    missing = np.asarray(column.is_null().to_numpy(zero_copy_only=False))
    if kind.root is TypeRoot.DATE:
        column = column.cast(pa.int32())
    values = column.fill_null(False if kind.root is TypeRoot.BOOLEAN else 0).to_numpy(zero_copy_only=False)
    if kind.root in _SMALL:
        out = values.astype(np.int32).view(np.uint32)
    elif kind.root is TypeRoot.FLOAT:
        out = _without_minus_zero(values, np.float32).view(np.uint32)
    else:
        whole = values if kind.root is TypeRoot.BIGINT else _without_minus_zero(values, np.float64)
        words = whole.view(np.uint64)
        out = (words ^ (words >> np.uint64(32))).astype(np.uint32)
    return np.where(missing, np.uint32(0), out)


def _without_minus_zero(values: npt.NDArray[np.floating], kind: type[np.floating]) -> npt.NDArray[np.floating]:
    """Java's bits of a number: one zero, one NaN."""
    values = np.where(values == 0, kind(0), values.astype(kind))
    return np.where(np.isnan(values), kind(np.nan), values).astype(kind)


def _bytes_hash(column: pa.Array) -> npt.NDArray[np.uint32]:
    """h = 31 * h + byte over the bytes of each value, signed as in Java; a step takes one byte of every value."""
    binary = column.cast(pa.large_binary()).fill_null(b"")
    offsets = np.frombuffer(binary.buffers()[1], np.int64)[binary.offset : binary.offset + len(binary) + 1]
    data = binary.buffers()[2]
    bytes_ = np.zeros(0, np.int8) if data is None else np.frombuffer(data, np.int8)
    lengths = np.diff(offsets)
    order = np.argsort(-lengths, kind="stable")
    starts, sizes = offsets[:-1][order], lengths[order]
    hashes = np.zeros(len(binary), np.uint32)
    left = len(binary)
    for j in range(int(lengths.max(initial=0))):
        left = int(np.searchsorted(-sizes[:left], -j, side="left"))  # those with more than j bytes
        hashes[:left] = hashes[:left] * _PRIME + bytes_[starts[:left] + j].astype(np.int32).view(np.uint32)
    out = np.empty_like(hashes)
    out[order] = hashes
    return out
