"""The index type `range-bitmap`: the smallest and largest value, a dictionary of all, and bit slices of their codes.

Whether a file has a value follows from the dictionary alone. Read only.
Source: Paimon, `RangeBitmap` and `ChunkedDictionary`; O'Neil and Quass, Improved query performance (1997).
"""

import struct
from bisect import bisect_right
from typing import Any

import pyarrow as pa

from tsdb.data_types import DataType
from tsdb.metadata.file_index.physical import key_codec
from tsdb.metadata.roaring import read_roaring


class RangeBitmapReader:
    """Answers for one file."""

    def __init__(self, data: bytes, kind: DataType) -> None:
        codec = key_codec(kind)
        if codec is None:
            raise ValueError(f"a range bitmap of {kind.sql()}")
        self._data, self._codec = data, codec
        (head,) = struct.unpack_from(">i", data)
        self._rows: int
        self._count: int
        version, self._rows, self._count = struct.unpack_from(">bii", data, 4)
        if version != 1:
            raise ValueError(f"a range bitmap of version {version}")
        at = 13
        if self._count > 0:
            self._low, at = codec.read(data, at)
            self._high, at = codec.read(data, at)
        (dictionary_size,) = struct.unpack_from(">i", data, at)
        self._dictionary = 4 + head
        self._slices = self._dictionary + dictionary_size

    def may_match(self, op: str, values: pa.Array) -> bool:
        """Whether a row may be there."""
        if op == "is null":
            return self._count <= 0 or self._valid() < self._rows
        if self._count <= 0:
            return False
        if op == "is not null":
            return True
        wanted = values.to_pylist()
        match op:
            case "=" | "in":
                return any(self._low <= value <= self._high and self._has(value) for value in wanted)
            case "!=":
                return self._count > 1 or self._low != wanted[0]
            case "<":
                return bool(self._low < wanted[0])
            case "<=":
                return bool(self._low <= wanted[0])
            case ">":
                return bool(self._high > wanted[0])
            case ">=":
                return bool(self._high >= wanted[0])
        return True

    def _valid(self) -> int:
        """How many rows are not NULL."""
        (head,) = struct.unpack_from(">i", self._data, self._slices)
        return len(read_roaring(self._data, self._slices + 4 + head)[0])

    def _has(self, value: Any) -> bool:
        """Whether the dictionary has the value; it is not smaller than its first."""
        data, at = self._data, self._dictionary
        (head,) = struct.unpack_from(">i", data, at)
        _, size, offsets_size, chunks_size = struct.unpack_from(">biii", data, at + 4)
        body = at + 4 + head
        offsets = struct.unpack_from(f">{size}i", data, body)
        chunks = [body + offsets_size + offset for offset in offsets]
        index = bisect_right(chunks, value, key=lambda place: self._codec.read(data, place + 1)[0]) - 1
        return value in self._chunk(chunks[index], body + offsets_size + chunks_size)

    def _chunk(self, at: int, keys_at: int) -> list[Any]:
        """The values of a chunk."""
        data = self._data
        first, at = self._codec.read(data, at + 1)
        _, offset, size, length = struct.unpack_from(">iiii", data, at)
        place = keys_at + offset + (length if self._codec.number is None else 0)  # texts come after their places
        found = [first]
        for _ in range(size):
            key, place = self._codec.read(data, place)
            found.append(key)
        return found
