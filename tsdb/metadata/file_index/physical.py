"""Column values as file indexes see them: numbers of their width, days, milliseconds or microseconds, bytes.

Source: Paimon, `BitmapTypeVisitor` and `FastHash`.
"""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.data_types import DataType, TypeRoot

Bytes = npt.NDArray[np.uint8]

_NUMBERS = {
    TypeRoot.TINYINT: "b", TypeRoot.SMALLINT: "h", TypeRoot.INT: "i", TypeRoot.BIGINT: "q", TypeRoot.DATE: "i",
    TypeRoot.TIME: "i", TypeRoot.TIMESTAMP: "q", TypeRoot.TIMESTAMP_LTZ: "q", TypeRoot.BOOLEAN: "?",
    TypeRoot.FLOAT: "f", TypeRoot.DOUBLE: "d", TypeRoot.DECIMAL: "q",
}  # fmt: skip
_TEXTS = (TypeRoot.CHAR, TypeRoot.VARCHAR)
FLOATS = (TypeRoot.FLOAT, TypeRoot.DOUBLE)
BINARIES = (TypeRoot.BINARY, TypeRoot.VARBINARY)
_COMPACT_DECIMAL_DIGITS = 18


def physical(values: pa.Array, kind: DataType) -> pa.Array:
    """The values (of `to_arrow(kind)`) as an index holds them: integers, floats, booleans or bytes; NULL stays NULL."""
    match kind.root:
        case TypeRoot.CHAR | TypeRoot.VARCHAR | TypeRoot.BINARY | TypeRoot.VARBINARY:
            return values.cast(pa.binary())
        case TypeRoot.DATE:
            return values.cast(pa.date32()).cast(pa.int32())
        case TypeRoot.TIME:
            return values.cast(pa.time32("ms"), safe=False).cast(pa.int32())
        case TypeRoot.TIMESTAMP | TypeRoot.TIMESTAMP_LTZ:
            return _epoch(values, 1000 if kind.precision <= 3 else 1_000_000)
        case TypeRoot.DECIMAL:
            return _unscaled(values)
    return values


def _epoch(values: pa.Array, per_second: int) -> pa.Array:
    """Timestamps as whole units since 1970, rounded down."""
    units = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}[values.type.unit]
    numbers = values.cast(pa.int64())
    if units <= per_second:
        return pc.multiply(numbers, per_second // units)
    valid = numbers.fill_null(0).to_numpy(zero_copy_only=False)
    return pa.array(valid // (units // per_second), pa.int64(), mask=~np.asarray(numbers.is_valid()))


def _unscaled(values: pa.Array) -> pa.Array:
    """Decimals of at most 18 digits as integers: the low words of their 128 bits, which are the unscaled value."""
    words = np.frombuffer(values.buffers()[1], np.int64, 2 * len(values), 16 * values.offset).reshape(-1, 2)[:, 0]
    return pa.array(words, pa.int64(), mask=~np.asarray(values.is_valid()))


@dataclass(frozen=True, slots=True)
class KeyCodec:
    """How one value stands in an index, big-endian; texts after their length."""

    number: str | None  # as `struct` names it; None: bytes

    def read(self, data: bytes, at: int) -> tuple[Any, int]:
        """The value at a place, and the place behind it."""
        if self.number is not None:
            return struct.unpack_from(">" + self.number, data, at)[0], at + struct.calcsize(">" + self.number)
        (length,) = struct.unpack_from(">i", data, at)
        end = at + 4 + length
        if length < 0 or end > len(data):
            raise ValueError(f"a text of {length} bytes at {at}")
        return data[at + 4 : end], end

    def write(self, values: pa.Array) -> tuple[Bytes, npt.NDArray[np.int64]]:
        """All values (none NULL) one after the other, and the length of each."""
        if self.number is not None:
            array = np.asarray(values.to_numpy(zero_copy_only=False)).astype(">" + self.number)
            return array.view(np.uint8), np.full(len(values), array.dtype.itemsize, np.int64)
        data, lengths = text_bytes(values)
        sizes = lengths + 4
        out = np.empty(int(sizes.sum()), np.uint8)
        heads = (np.cumsum(sizes) - sizes)[:, None] + np.arange(4)
        is_text = np.ones(len(out), np.bool_)
        is_text[heads] = False
        out[heads] = lengths.astype(">i4").view(np.uint8).reshape(-1, 4)
        out[is_text] = data
        return out, sizes


def key_codec(kind: DataType) -> KeyCodec | None:
    """The codec of a type; None if such columns cannot be kept in a bitmap index."""
    if kind.root in _TEXTS:
        return KeyCodec(None)
    if kind.root is TypeRoot.DECIMAL and kind.precision > _COMPACT_DECIMAL_DIGITS:
        return None
    number = _NUMBERS.get(kind.root)
    return None if number is None else KeyCodec(number)


def sorted_codes(values: pa.Array) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """The distinct values, ascending as Java compares them, and the place of each row's value in them (-1: NULL)."""
    kind = values.type
    if pa.types.is_floating(kind):
        # by their bits: -0.0 is another value than 0.0, and smaller; NaN is one value, the largest
        bits = pa.int32() if kind.bit_width == 32 else pa.int64()
        numbers = values.fill_null(0).to_numpy()
        raw = np.where(np.isnan(numbers), numbers.dtype.type("nan"), numbers).view(f"i{kind.bit_width // 8}")
        largest = np.iinfo(raw.dtype).max
        ordered = pa.array(np.where(raw < 0, raw ^ largest, raw), bits, mask=~np.asarray(values.is_valid()))
        distinct, codes = sorted_codes(ordered)
        back = distinct.to_numpy()
        return pa.array(np.where(back < 0, back ^ largest, back).astype(raw.dtype).view(numbers.dtype), kind), codes
    encoded = values.dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    found = encoded.indices.fill_null(-1).to_numpy().astype(np.int64)
    codes = np.where(found < 0, -1, rank[found]) if len(rank) else found
    return encoded.dictionary.take(pa.array(order)), codes


def java_order(value: Any) -> tuple[bool, Any]:
    """A key to sort values by, as Java compares them: NaN is greater than all other numbers."""
    return value != value, value


def text_bytes(values: pa.Array) -> tuple[Bytes, npt.NDArray[np.int64]]:
    """The bytes of a binary array without NULLs, one value after the other, and the length of each."""
    _, offset_buffer, data = values.buffers()
    offsets = np.frombuffer(offset_buffer, np.int32, len(values) + 1, 4 * values.offset).astype(np.int64)
    if data is None:
        return np.empty(0, np.uint8), np.diff(offsets)
    return np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]], np.diff(offsets)
