"""Single values in the bytes of a BinaryRow: reading any, and writing those of structured types.

An array has its size (int32), null bits in whole 4-byte words, and elements of their own width, all padded to 8 bytes;
a map is the byte length of its key array (int32), the key array and the value array; a row is a BinaryRow.
Source: Paimon, `BinaryArray`, `BinaryMap`, `BinaryRow`; checked against vectors written by Paimon Java.
"""

import datetime as dt
import decimal
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tsdb.data_types import DataType, TypeRoot
from tsdb.errors import NotSupportedError

STRUCTURED = (TypeRoot.ARRAY, TypeRoot.MAP, TypeRoot.MULTISET, TypeRoot.ROW)
_INT = DataType(TypeRoot.INT, False)
_EPOCH = dt.datetime(1970, 1, 1)
_EPOCH_DATE = dt.date(1970, 1, 1)
_STRINGS = (TypeRoot.CHAR, TypeRoot.VARCHAR)
_BYTES = (TypeRoot.BINARY, TypeRoot.VARBINARY)
_TIMESTAMPS = (TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ)
_CODES = {
    TypeRoot.TINYINT: "<b", TypeRoot.SMALLINT: "<h", TypeRoot.INT: "<i", TypeRoot.BIGINT: "<q",
    TypeRoot.FLOAT: "<f", TypeRoot.DOUBLE: "<d", TypeRoot.BOOLEAN: "<?", TypeRoot.DATE: "<i", TypeRoot.TIME: "<i",
}  # fmt: skip


def null_bytes(count: int) -> int:
    """The size of the header and null bits of a row of so many fields."""
    return (count + 63 + 8) // 64 * 8


def read_row(row: memoryview, types: Sequence[DataType]) -> tuple[Any, ...]:
    """The values of a BinaryRow without its field count. Raises ValueError or struct.error if it ends too early."""
    first = null_bytes(len(types))
    if len(row) < first + 8 * len(types):
        raise ValueError(f"not a row of {len(types)} fields: {bytes(row[:16]).hex()}")
    return tuple(
        None if row[(i + 8) >> 3] & (1 << ((i + 8) & 7)) else _read(row, first + 8 * i, kind)
        for i, kind in enumerate(types)
    )


def read_field(row: memoryview, count: int, index: int, kind: DataType) -> Any:
    """One value of a BinaryRow of `count` fields, as `read_row` gives it."""
    first = null_bytes(count)
    if len(row) < first + 8 * count:
        raise ValueError(f"not a row of {count} fields: {bytes(row[:16]).hex()}")
    return None if row[(index + 8) >> 3] & (1 << ((index + 8) & 7)) else _read(row, first + 8 * index, kind)


def _read(data: memoryview, at: int, kind: DataType) -> Any:
    """The value whose slot is at byte `at`; offsets in slots count from the begin of `data`."""
    root = kind.root
    if root in _CODES:
        return _from_number(struct.unpack_from(_CODES[root], data, at)[0], root)
    if root in _STRINGS:
        return _part(data, at).tobytes().decode()
    if root in _BYTES:
        return _part(data, at).tobytes()
    if root is TypeRoot.DECIMAL:
        if kind.precision <= 18:
            (unscaled,) = struct.unpack_from("<q", data, at)
        else:
            unscaled = int.from_bytes(_part(data, at), "big", signed=True)
        return decimal.Decimal(unscaled).scaleb(-kind.scale, decimal.Context(prec=40))
    if root in _TIMESTAMPS:
        return _read_timestamp(data, at, kind)
    if root is TypeRoot.ROW:
        return dict(zip((f.name for f in kind.fields), read_row(_part(data, at), _types(kind)), strict=True))
    if root is TypeRoot.ARRAY:
        return _read_array(_part(data, at), _child(kind.element))
    if root in STRUCTURED:
        key, value = _map_types(kind)
        part = _part(data, at)
        (size,) = struct.unpack_from("<i", part)
        return list(zip(_read_array(part[4 : 4 + size], key), _read_array(part[4 + size :], value), strict=True))
    raise NotSupportedError(f"a row of bytes with a field of type {kind.sql()} cannot be read")


def _from_number(number: Any, root: TypeRoot) -> Any:
    if root is TypeRoot.DATE:
        return _EPOCH_DATE + dt.timedelta(days=number)
    if root is TypeRoot.TIME:
        return (_EPOCH + dt.timedelta(milliseconds=number)).time()
    return number


def _read_timestamp(data: memoryview, at: int, kind: DataType) -> dt.datetime | np.datetime64:
    (word,) = struct.unpack_from("<Q", data, at)
    millis, nanos = (struct.unpack_from("<q", data, at)[0], 0)
    if kind.precision > 3:
        millis, nanos = struct.unpack_from("<q", data, word >> 32)[0], word & 0xFFFFFFFF
    if kind.precision > 6:
        return np.datetime64(millis * 1_000_000 + nanos, "ns")
    value = _EPOCH + dt.timedelta(milliseconds=millis, microseconds=nanos // 1000)
    return value.replace(tzinfo=dt.UTC) if kind.root is TypeRoot.TIMESTAMP_LTZ else value


def _part(data: memoryview, at: int) -> memoryview:
    """The bytes of a value of any length, in its slot or behind the slots."""
    last = data[at + 7]
    if last & 0x80:
        if last > 0x87:
            raise ValueError(f"a value of {last & 0x7F} bytes does not fit its slot")
        return data[at : at + (last & 0x7F)]
    (word,) = struct.unpack_from("<Q", data, at)
    offset, length = word >> 32, word & 0xFFFFFFFF
    if offset + length > len(data):
        raise ValueError(f"a value of {length} bytes at {offset} lies outside its row of {len(data)} bytes")
    return data[offset : offset + length]


def _read_array(data: memoryview, kind: DataType) -> list[Any]:
    (size,) = struct.unpack_from("<i", data)
    first, width = _array_header(size), _width(kind)
    return [None if data[4 + (i >> 3)] & (1 << (i & 7)) else _read(data, first + width * i, kind) for i in range(size)]


def nested_bytes(value: Any, kind: DataType) -> bytes:
    """The variable part of an array (a list), a map (pairs or a mapping) or a row (a mapping by name or a sequence)."""
    if kind.root is TypeRoot.ROW:
        values = [value[f.name] for f in kind.fields] if isinstance(value, Mapping) else list(value)
        return _slots(values, _types(kind), null_bytes(len(values)), [8] * len(values), null_bits_at=8)
    if kind.root is TypeRoot.ARRAY:
        return _array_bytes(value, _child(kind.element))
    key, item = _map_types(kind)
    pairs = list(value.items()) if isinstance(value, Mapping) else list(value)
    keys = _array_bytes([k for k, _ in pairs], key)
    return struct.pack("<i", len(keys)) + keys + _array_bytes([v for _, v in pairs], item)


def _array_bytes(values: Sequence[Any], kind: DataType) -> bytes:
    first = _array_header(len(values))
    data = _slots(values, [kind] * len(values), first, [_width(kind)] * len(values), null_bits_at=32)
    return struct.pack("<i", len(values)) + data[4:]


def _slots(
    values: Sequence[Any], types: Sequence[DataType], first: int, widths: Sequence[int], *, null_bits_at: int
) -> bytes:
    """Header (its first bits zero), slots from byte `first`, and variable parts; null_bits_at: bit of value 0."""
    out = bytearray(_whole_words(first + sum(widths)))
    at = first
    for i, (value, kind, width) in enumerate(zip(values, types, widths, strict=True)):
        if value is None:
            bit = null_bits_at + i
            out[bit >> 3] |= 1 << (bit & 7)
        fixed, low, part = _encoded(value, kind)
        if part is None:
            out[at : at + width] = fixed.ljust(width, b"\0")
        else:
            out[at : at + 8] = struct.pack("<II", low, len(out))
            out += part.ljust(_whole_words(len(part)), b"\0")
        at += width
    return bytes(out)


def _encoded(value: Any, kind: DataType) -> tuple[bytes, int, bytes | None]:
    """(the slot, 0, None), or (nothing, the lower half of the slot, the variable part)."""
    root = kind.root
    if root is TypeRoot.DECIMAL and kind.precision > 18:
        unscaled = 0 if value is None else int(value.scaleb(kind.scale, decimal.Context(prec=40)))
        bits = (unscaled if unscaled >= 0 else ~unscaled).bit_length() + 1
        data = unscaled.to_bytes((bits + 7) // 8, "big", signed=True)
        return b"", 0 if value is None else len(data), (b"" if value is None else data).ljust(16, b"\0")
    if root in _TIMESTAMPS and kind.precision > 3:
        micros = 0 if value is None else (value.replace(tzinfo=None) - _EPOCH) // dt.timedelta(microseconds=1)
        return b"", micros % 1000 * 1000, struct.pack("<q", micros // 1000)
    if value is None:
        return b"", 0, None
    if root in _STRINGS or root in _BYTES:
        data = value.encode() if root in _STRINGS else value
        short = data.ljust(7, b"\0") + bytes([0x80 | len(data)])
        return (short, 0, None) if len(data) <= 7 else (b"", len(data), data)
    if root in STRUCTURED:
        data = nested_bytes(value, kind)
        return b"", len(data), data
    return _number_bytes(value, kind), 0, None


def _number_bytes(value: Any, kind: DataType) -> bytes:
    root = kind.root
    if root is TypeRoot.DECIMAL:
        return struct.pack("<q", int(value.scaleb(kind.scale, decimal.Context(prec=40))))
    if root in _TIMESTAMPS:
        return struct.pack("<q", (value.replace(tzinfo=None) - _EPOCH) // dt.timedelta(milliseconds=1))
    if root is TypeRoot.DATE:
        value = (value - _EPOCH_DATE).days
    elif root is TypeRoot.TIME:
        value = ((value.hour * 60 + value.minute) * 60 + value.second) * 1000 + value.microsecond // 1000
    elif root not in _CODES:
        raise NotSupportedError(f"a row of bytes cannot hold a field of type {kind.sql()}")
    return struct.pack(_CODES[root], value)


def _width(kind: DataType) -> int:
    """Bytes of an element of an array."""
    return struct.calcsize(_CODES[kind.root]) if kind.root in _CODES else 8


def _array_header(size: int) -> int:
    return 4 + (size + 31) // 32 * 4


def _whole_words(size: int) -> int:
    return (size + 7) // 8 * 8


def _types(kind: DataType) -> list[DataType]:
    return [f.type for f in kind.fields]


def _map_types(kind: DataType) -> tuple[DataType, DataType]:
    if kind.root is TypeRoot.MULTISET:
        return _child(kind.element), _INT
    return _child(kind.key), _child(kind.value)


def _child(kind: DataType | None) -> DataType:
    assert kind is not None
    return kind
