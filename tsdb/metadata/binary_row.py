"""BinaryRow: Paimon's row of bytes, for partitions, keys and statistics in manifests, and for the bucket hash.

Layout, all little-endian: a null-bit area of whole 8-byte words (the first byte is a header, always 0 here; the bit of
field i is bit i + 8), then one 8-byte slot a field, then the variable parts, each padded to 8 bytes. Strings of up to 7
bytes lie in their slot; a longer one has its offset and length there. The serialized form puts the field count before
it, as a big-endian int32. Everything here works on whole columns.
Source: Paimon, `BinaryRow`, `BinaryRowWriter`, `MurmurHashUtils`; checked against vectors written by Paimon Java.
"""

import datetime as dt
import decimal
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.data_types import DataType, TypeRoot, to_arrow
from tsdb.errors import NotSupportedError

UInt64 = npt.NDArray[np.uint64]
Column = Any  # pa.Array or pa.ChunkedArray
_SHORT_MAX = 7
_STRINGS = (TypeRoot.CHAR, TypeRoot.VARCHAR, TypeRoot.BINARY, TypeRoot.VARBINARY)
_TIMESTAMPS = (TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ)


@dataclass(frozen=True, slots=True)
class _Field:
    """One column ready to be laid out. slots: the 8-byte slot (0 where NULL); the rest only for a variable part.

    sizes: bytes of the variable part of each row (0: none), before padding. low: what goes into the lower half of the
    slot beside the offset; a part that is reserved also for NULL has its size there too. fill(buffer, at): writes the
    parts of the rows with sizes > 0 to the byte positions `at`.
    """

    nulls: npt.NDArray[np.bool_]
    slots: UInt64
    sizes: npt.NDArray[np.int64] | None = None
    low: UInt64 | None = None
    fill: Callable[[npt.NDArray[np.uint8], npt.NDArray[np.int64]], None] | None = None


def hash_rows(columns: Sequence[Column], types: Sequence[DataType]) -> npt.NDArray[np.int32]:
    """The Murmur3 hash (seed 42) of the BinaryRow of each row. columns: of one length n; returns int32, length n."""
    fields = [_field(_whole(c), t) for c, t in zip(columns, types, strict=True)]
    if all(f.sizes is None for f in fields):
        return _hash_fixed(fields)
    buffer, starts, lengths = _lay_out(fields)
    return _hash_buffer(buffer.view(np.uint32), starts // 4, lengths // 4)


def bucket_of(hashes: npt.NDArray[np.int32], buckets: int) -> npt.NDArray[np.int32]:
    """The bucket of each hash: |hash % buckets| with Java's remainder."""
    return (np.abs(hashes.astype(np.int64)) % buckets).astype(np.int32)


def encode_rows(columns: Sequence[Column], types: Sequence[DataType]) -> list[bytes]:
    """The serialized BinaryRow of each row."""
    if not columns:
        return [bytes(12)]
    fields = [_field(_whole(c), t) for c, t in zip(columns, types, strict=True)]
    buffer, starts, lengths = _lay_out(fields)
    data, prefix = buffer.tobytes(), struct.pack(">i", len(types))
    return [prefix + data[s : s + n] for s, n in zip(starts.tolist(), lengths.tolist(), strict=True)]


def encode_row(values: Sequence[Any], types: Sequence[DataType]) -> bytes:
    """The serialized BinaryRow of Python values."""
    return encode_rows([pa.array([v], to_arrow(t)) for v, t in zip(values, types, strict=True)], types)[0]


def decode_row(data: bytes, types: Sequence[DataType]) -> tuple[Any, ...]:
    """The Python values of a serialized BinaryRow (timestamps in microseconds; LTZ in UTC).

    Raises ValueError if it is none.
    """
    if len(data) < 12 or struct.unpack_from(">i", data)[0] != len(types):
        raise ValueError(f"not a row of {len(types)} fields: {data[:16].hex()}")
    row = memoryview(data)[4:]
    null_bytes = _null_bytes(len(types))
    out = []
    for i, kind in enumerate(types):
        null = row[(i + 8) >> 3] & (1 << ((i + 8) & 7))
        out.append(None if null else _decode(row, null_bytes + 8 * i, kind))
    return tuple(out)


def _null_bytes(count: int) -> int:
    return (count + 63 + 8) // 64 * 8


def _whole(column: Column) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


# --- columns to slots


def _field(array: pa.Array, kind: DataType) -> _Field:
    array = array if array.type == to_arrow(kind) else array.cast(to_arrow(kind))
    nulls = np.asarray(pc.is_null(array).to_numpy(zero_copy_only=False))
    if kind.root in _STRINGS:
        return _string_field(array, nulls)
    if kind.root in _TIMESTAMPS and kind.precision > 3:
        return _timestamp_field(array, nulls)
    if kind.root is TypeRoot.DECIMAL and kind.precision > 18:
        return _decimal_field(array, nulls)
    return _Field(nulls, _fixed_slots(array, nulls, kind))


_UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


def _fixed_slots(array: pa.Array, nulls: npt.NDArray[np.bool_], kind: DataType) -> UInt64:
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
    values[nulls] = 0
    return values


_FIXED = (
    TypeRoot.TINYINT, TypeRoot.SMALLINT, TypeRoot.INT, TypeRoot.BIGINT, TypeRoot.FLOAT, TypeRoot.DOUBLE,
    TypeRoot.DATE, TypeRoot.TIME, TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ,
)  # fmt: skip


def _decimal_words(array: pa.Array) -> UInt64:
    """The two 64-bit words of each decimal128, low word first."""
    words = np.frombuffer(array.buffers()[1], np.uint64) if len(array) else np.empty(0, np.uint64)
    return words.reshape(-1, 2)[array.offset : array.offset + len(array)]


def _string_field(array: pa.Array, nulls: npt.NDArray[np.bool_]) -> _Field:
    count = len(array)
    _, offset_buffer, data_buffer = array.buffers()
    offsets = np.frombuffer(offset_buffer, np.int32)[array.offset : array.offset + count + 1].astype(np.int64)
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer is not None else np.empty(0, np.uint8)
    begins = offsets[:-1]
    sizes = np.where(nulls, 0, np.diff(offsets))
    short = sizes <= _SHORT_MAX
    slots = np.zeros(count, np.uint64)
    for i in range(_SHORT_MAX):  # byte i of every short string that has one
        rows = np.flatnonzero(short & (sizes > i))
        slots[rows] |= data[begins[rows] + i].astype(np.uint64) << np.uint64(8 * i)
    slots |= np.where(short & ~nulls, (np.uint64(0x80) | sizes.astype(np.uint64)) << np.uint64(56), np.uint64(0))
    long_sizes = np.where(short, 0, sizes)

    def fill(buffer: npt.NDArray[np.uint8], at: npt.NDArray[np.int64]) -> None:
        rows = np.flatnonzero(long_sizes)
        lengths = long_sizes[rows]
        within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        buffer[np.repeat(at[rows], lengths) + within] = data[np.repeat(begins[rows], lengths) + within]

    return _Field(nulls, slots, long_sizes, sizes.astype(np.uint64), fill)


def _timestamp_field(array: pa.Array, nulls: npt.NDArray[np.bool_]) -> _Field:
    per_milli = {"us": 1000, "ns": 1_000_000}[array.type.unit]
    values = np.asarray(pc.fill_null(array.cast(pa.int64()), 0).to_numpy(zero_copy_only=False))
    millis, rest = np.divmod(values, per_milli)
    nanos = (rest * (1_000_000 // per_milli)).astype(np.uint64)
    millis[nulls], nanos[nulls] = 0, 0

    def fill(buffer: npt.NDArray[np.uint8], at: npt.NDArray[np.int64]) -> None:
        buffer.view(np.int64)[at // 8] = millis

    return _Field(nulls, np.zeros(len(values), np.uint64), np.full(len(values), 8), nanos, fill)


def _decimal_field(array: pa.Array, nulls: npt.NDArray[np.bool_]) -> _Field:
    """Minimal big-endian two's complement in 16 reserved bytes."""
    count = len(array)
    big_endian = np.ascontiguousarray(_decimal_words(array)).view(np.uint8).reshape(count, 16)[:, ::-1]
    sign_byte = np.where(big_endian[:, 0] >= 128, 255, 0).astype(np.uint8)
    differs = big_endian != sign_byte[:, None]
    first = np.where(differs.any(axis=1), differs.argmax(axis=1), 15)
    # the leading byte must show the sign
    wrong_sign = (big_endian[np.arange(count), first] >= 128) != (sign_byte == 255)
    first = np.where(wrong_sign, first - 1, first)
    sizes = np.where(nulls, 0, 16 - first)
    source = np.minimum(np.arange(16)[None, :] + first[:, None], 15)
    kept = np.arange(16)[None, :] < sizes[:, None]
    content = np.where(kept, np.take_along_axis(big_endian, source, axis=1), 0).astype(np.uint8)

    def fill(buffer: npt.NDArray[np.uint8], at: npt.NDArray[np.int64]) -> None:
        buffer[at[:, None] + np.arange(16)[None, :]] = content

    return _Field(nulls, np.zeros(count, np.uint64), np.full(count, 16), sizes.astype(np.uint64), fill)


# --- slots to bytes


def _null_words(fields: Sequence[_Field]) -> list[UInt64]:
    words = [np.zeros(len(fields[0].nulls), np.uint64) for _ in range(_null_bytes(len(fields)) // 8)]
    for i, field in enumerate(fields):
        word, bit = divmod(i + 8, 64)
        words[word] |= field.nulls.astype(np.uint64) << np.uint64(bit)
    return words


def _lay_out(
    fields: Sequence[_Field],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """All rows in one buffer; starts[i], lengths[i]: the bytes of row i, multiples of 8."""
    count = len(fields[0].nulls)
    null_words = _null_words(fields)
    at = np.full(count, 8 * (len(null_words) + len(fields)), np.int64)
    slots, parts = [], []
    for field in fields:
        if field.sizes is None:
            slots.append(field.slots)
            continue
        assert field.low is not None
        has_part = field.sizes > 0
        slots.append(np.where(has_part, (at.astype(np.uint64) << np.uint64(32)) | field.low, field.slots))
        parts.append((field, at.copy()))
        at += (field.sizes + 7) // 8 * 8
    starts = np.cumsum(at) - at
    buffer = np.zeros(int(at.sum()), np.uint8)
    words = buffer.view(np.uint64)
    for i, word in enumerate([*null_words, *slots]):
        words[starts // 8 + i] = word
    for field, offset in parts:
        assert field.fill is not None
        field.fill(buffer, starts + offset)
    return buffer, starts, at


# --- Murmur3

_C1, _C2 = np.uint32(0xCC9E2D51), np.uint32(0x1B873593)


def _rotate(x: npt.NDArray[np.uint32], by: int) -> npt.NDArray[np.uint32]:
    return (x << np.uint32(by)) | (x >> np.uint32(32 - by))


def _mix(h: npt.NDArray[np.uint32], word: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    k = _rotate(word * _C1, 15) * _C2
    return _rotate(h ^ k, 13) * np.uint32(5) + np.uint32(0xE6546B64)


def _finish(h: npt.NDArray[np.uint32], length_bytes: npt.NDArray[np.uint32]) -> npt.NDArray[np.int32]:
    h = h ^ length_bytes
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return (h ^ (h >> np.uint32(16))).view(np.int32)


_BLOCK = 1 << 16  # rows hashed at a time: the intermediate arrays stay in the cache


def _hash_fixed(fields: Sequence[_Field]) -> npt.NDArray[np.int32]:
    words = [*_null_words(fields), *(f.slots for f in fields)]
    count = len(words[0])
    out = np.empty(count, np.int32)
    length = np.array([8 * len(words)], np.uint32)
    for begin in range(0, count, _BLOCK):
        h = np.full(min(_BLOCK, count - begin), 42, np.uint32)
        for word in words:
            pair = np.ascontiguousarray(word[begin : begin + _BLOCK]).view(np.uint32)
            h = _mix(_mix(h, pair[0::2]), pair[1::2])
        out[begin : begin + _BLOCK] = _finish(h, length)
    return out


def _hash_buffer(
    words: npt.NDArray[np.uint32], starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> npt.NDArray[np.int32]:
    """Rows of one length are hashed together."""
    out = np.empty(len(starts), np.int32)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        for begin in range(0, len(rows), _BLOCK):
            some = rows[begin : begin + _BLOCK]
            first = starts[some]
            h = np.full(len(some), 42, np.uint32)
            for i in range(int(length)):
                h = _mix(h, words[first + i])
            out[some] = _finish(h, np.array([4 * int(length)], np.uint32))
    return out


# --- bytes to values

_EPOCH = dt.datetime(1970, 1, 1)
_CODES = {
    TypeRoot.TINYINT: "<b", TypeRoot.SMALLINT: "<h", TypeRoot.INT: "<i", TypeRoot.BIGINT: "<q",
    TypeRoot.FLOAT: "<f", TypeRoot.DOUBLE: "<d", TypeRoot.BOOLEAN: "<?",
}  # fmt: skip


def _decode(row: memoryview, slot: int, kind: DataType) -> Any:
    root = kind.root
    if root in _CODES:
        return struct.unpack_from(_CODES[root], row, slot)[0]
    if root is TypeRoot.DATE:
        return dt.date(1970, 1, 1) + dt.timedelta(days=struct.unpack_from("<i", row, slot)[0])
    if root is TypeRoot.TIME:
        return (_EPOCH + dt.timedelta(milliseconds=struct.unpack_from("<i", row, slot)[0])).time()
    if root in _STRINGS:
        data = _bytes(row, slot)
        return data if root in (TypeRoot.BINARY, TypeRoot.VARBINARY) else data.decode()
    if root is TypeRoot.DECIMAL:
        if kind.precision <= 18:
            unscaled = struct.unpack_from("<q", row, slot)[0]
        else:
            unscaled = int.from_bytes(_bytes(row, slot), "big", signed=True)
        return decimal.Decimal(unscaled).scaleb(-kind.scale, decimal.Context(prec=40))
    if root in _TIMESTAMPS:
        return _decode_timestamp(row, slot, kind)
    raise NotSupportedError(f"a row of bytes with a field of type {kind.sql()} cannot be read")


def _decode_timestamp(row: memoryview, slot: int, kind: DataType) -> dt.datetime:
    millis, nanos = struct.unpack_from("<q", row, slot)[0], 0
    if kind.precision > 3:
        word = millis & 0xFFFFFFFFFFFFFFFF
        millis, nanos = struct.unpack_from("<q", row, word >> 32)[0], word & 0xFFFFFFFF
    value = _EPOCH + dt.timedelta(milliseconds=millis, microseconds=nanos // 1000)
    return value.replace(tzinfo=dt.UTC) if kind.root is TypeRoot.TIMESTAMP_LTZ else value


def _bytes(row: memoryview, slot: int) -> bytes:
    last = row[slot + 7]
    if last & 0x80:
        return bytes(row[slot : slot + (last & 0x7F)])
    word = struct.unpack_from("<Q", row, slot)[0]
    offset, length = word >> 32, word & 0xFFFFFFFF
    return bytes(row[offset : offset + length])
