"""A column as BinaryRow sees it: the 8-byte slot of each row, and the variable part that some rows have besides.

Everything is vectorised but structured types, which cannot be keys or partition columns and so are never many.
Source: Paimon, `BinaryRowWriter`; Arrow's columnar format.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.data_types import DataType, TypeRoot, to_arrow
from tsdb.errors import NotSupportedError
from tsdb.metadata.binary_value import STRUCTURED, nested_bytes
from tsdb.metadata.murmur import Rows, UInt64

_SHORT_MAX = 7
_WORD = 8
_STRINGS = (TypeRoot.CHAR, TypeRoot.VARCHAR, TypeRoot.BINARY, TypeRoot.VARBINARY)
_TIMESTAMPS = (TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ)
_FIXED = (
    TypeRoot.TINYINT, TypeRoot.SMALLINT, TypeRoot.INT, TypeRoot.BIGINT, TypeRoot.FLOAT, TypeRoot.DOUBLE,
    TypeRoot.DATE, TypeRoot.TIME, TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ,
)  # fmt: skip
_UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
_LOWEST_BYTES = np.array([(1 << (8 * n)) - 1 for n in range(_WORD + 1)], np.uint64)  # a mask of the first n bytes


@dataclass(frozen=True, slots=True)
class VariablePart:
    """What lies behind the slots. sizes: words of each row's part (0: none). low: the lower half of the slot.

    word(j, rows): the j-th word of the parts of the rows, each of which has more than j.
    """

    sizes: npt.NDArray[np.int64]
    low: UInt64
    word: Callable[[int, Rows], UInt64]


@dataclass(frozen=True, slots=True)
class BinaryColumn:
    """A column of n rows. nulls: length n, or None if there are none. slots: of the rows without a variable part."""

    nulls: npt.NDArray[np.bool_] | None
    slots: UInt64
    part: VariablePart | None = None


def binary_column(array: pa.Array, kind: DataType) -> BinaryColumn:
    """The slots and parts of a column. Raises NotSupportedError for a type that rows cannot hold."""
    array = array if array.type == to_arrow(kind) else array.cast(to_arrow(kind))
    nulls = np.asarray(pc.is_null(array).to_numpy(zero_copy_only=False)) if array.null_count else None
    if kind.root in _STRINGS:
        return _strings(array, nulls)
    if kind.root in _TIMESTAMPS and kind.precision > 3:
        return _timestamps(array, nulls)
    if kind.root is TypeRoot.DECIMAL and kind.precision > 18:
        return _wide_decimals(array, nulls)
    if kind.root in STRUCTURED:
        values = [None if value is None else nested_bytes(value, kind) for value in array.to_pylist()]
        return _strings(pa.array(values, pa.binary()), nulls, short_max=-1)
    return BinaryColumn(nulls, _fixed(array, nulls, kind))


def _fixed(array: pa.Array, nulls: npt.NDArray[np.bool_] | None, kind: DataType) -> UInt64:
    if kind.root is TypeRoot.BOOLEAN:
        return np.asarray(pc.fill_null(array, False).to_numpy(zero_copy_only=False)).astype(np.uint64)
    if kind.root is TypeRoot.DECIMAL:
        values = _decimal_words(array)[:, 0].copy()
    elif kind.root in _FIXED:
        width = array.type.bit_width // 8
        raw = np.frombuffer(array.buffers()[1], _UNSIGNED[width]) if len(array) else np.empty(0, _UNSIGNED[width])
        values = raw[array.offset : array.offset + len(array)].astype(np.uint64)
    else:
        raise NotSupportedError(f"a column of type {kind.sql()} cannot be a key or partition column")
    if nulls is not None:
        values[nulls] = 0
    return values


def _decimal_words(array: pa.Array) -> UInt64:
    """The two 64-bit words of each decimal128, low word first."""
    words = np.frombuffer(array.buffers()[1], np.uint64) if len(array) else np.empty(0, np.uint64)
    return words.reshape(-1, 2)[array.offset : array.offset + len(array)]


def _strings(array: pa.Array, nulls: npt.NDArray[np.bool_] | None, *, short_max: int = _SHORT_MAX) -> BinaryColumn:
    """Values of up to short_max bytes lie in their slot, with 0x80 | size as its last byte; longer ones behind."""
    count = len(array)
    _, offset_buffer, data_buffer = array.buffers()
    offsets = np.frombuffer(offset_buffer, np.int32)[array.offset : array.offset + count + 1].astype(np.int64)
    data = _padded(data_buffer, int(offsets[0]), int(offsets[-1]))
    begins = offsets[:-1] - offsets[0]
    lengths = np.diff(offsets)
    if nulls is not None:
        lengths[nulls] = 0
    words = np.where(lengths > short_max, (lengths + _WORD - 1) // _WORD, 0)
    slots = np.zeros(count, np.uint64)
    short = np.flatnonzero(words == 0)
    if len(short):
        sizes = lengths[short]
        tag = (np.uint64(0x80) | sizes.astype(np.uint64)) << np.uint64(56)
        slots[short] = (_unaligned(data, begins[short]) & _LOWEST_BYTES.take(sizes)) | tag
        if nulls is not None:
            slots[nulls] = 0
    if len(short) == count:
        return BinaryColumn(nulls, slots)

    def word(j: int, rows: Rows) -> UInt64:
        rest = np.minimum(lengths[rows] - _WORD * j, _WORD)
        masks: UInt64 = _LOWEST_BYTES.take(rest)
        return _unaligned(data, begins[rows] + _WORD * j) & masks

    return BinaryColumn(nulls, slots, VariablePart(words, lengths.astype(np.uint64), word))


def _padded(buffer: pa.Buffer | None, begin: int, end: int) -> UInt64:
    """The bytes as whole words, with two more behind, so that a word can be read at any of the bytes."""
    size = end - begin
    words = np.zeros(size // _WORD + 3, np.uint64)
    if buffer is not None and size:
        words.view(np.uint8)[:size] = np.frombuffer(buffer, np.uint8, size, begin)
    return words


def _unaligned(words: UInt64, at: npt.NDArray[np.int64]) -> UInt64:
    """The 8 bytes from each byte position, put together from two aligned words."""
    index = at >> 3
    shift = ((at & 7) << 3).astype(np.uint64)
    low: UInt64 = words.take(index) >> shift
    # by 64 - shift in two steps, because a shift by 64 is none
    high: UInt64 = (words.take(index + 1) << np.uint64(1)) << (np.uint64(63) - shift)
    return low | high


def _timestamps(array: pa.Array, nulls: npt.NDArray[np.bool_] | None) -> BinaryColumn:
    """Milliseconds behind the slots, which have the nanoseconds of the millisecond; also behind a NULL, as 0."""
    per_milli = {"us": 1000, "ns": 1_000_000}[array.type.unit]
    values = np.asarray(pc.fill_null(array.cast(pa.int64()), 0).to_numpy(zero_copy_only=False))
    millis, rest = np.divmod(values, per_milli)
    nanos = (rest * (1_000_000 // per_milli)).astype(np.uint64)
    words = millis.view(np.uint64)
    part = VariablePart(np.ones(len(values), np.int64), nanos, lambda _, rows: words[rows])
    return BinaryColumn(nulls, np.zeros(len(values), np.uint64), part)


def _wide_decimals(array: pa.Array, nulls: npt.NDArray[np.bool_] | None) -> BinaryColumn:
    """Minimal big-endian two's complement in 16 bytes, which are reserved for a NULL too."""
    count = len(array)
    big_endian = np.ascontiguousarray(_decimal_words(array)).view(np.uint8).reshape(count, 16)[:, ::-1]
    sign_byte = np.where(big_endian[:, 0] >= 128, 255, 0).astype(np.uint8)
    differs = big_endian != sign_byte[:, None]
    first = np.where(differs.any(axis=1), differs.argmax(axis=1), 15)
    # the leading byte must show the sign
    wrong_sign = (big_endian[np.arange(count), first] >= 128) != (sign_byte == 255)
    first = np.where(wrong_sign, first - 1, first)
    sizes = 16 - first if nulls is None else np.where(nulls, 0, 16 - first)
    source = np.minimum(np.arange(16)[None, :] + first[:, None], 15)
    kept = np.arange(16)[None, :] < sizes[:, None]
    content = np.where(kept, np.take_along_axis(big_endian, source, axis=1), 0).astype(np.uint8)
    words = np.ascontiguousarray(content).view(np.uint64).reshape(count, 2)
    part = VariablePart(np.full(count, 2), sizes.astype(np.uint64), lambda j, rows: words[rows, j])
    return BinaryColumn(nulls, np.zeros(count, np.uint64), part)
