"""The index type `range-bitmap`: the smallest and largest value, a dictionary of all, and bit slices of their codes.

Whether a file has a value follows from the dictionary alone; the slices let others find its rows.
Source: Paimon, `RangeBitmap` and `ChunkedDictionary`; O'Neil and Quass, Improved query performance (1997).
"""

import struct
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.data_types import DataType, TypeRoot
from tsdb.metadata.file_index.bit_slices import bit_slices
from tsdb.metadata.file_index.physical import java_order, key_codec, sorted_codes
from tsdb.metadata.roaring import read_roaring, write_roaring
from tsdb.options import parse_size

_SMALL = (TypeRoot.BOOLEAN, TypeRoot.TINYINT, TypeRoot.SMALLINT)  # their values are not put into chunks
_NO_VALUE_SLICES = 64  # of a file in which all is NULL


class RangeBitmapWriter:
    """Gathers the values of one column."""

    def __init__(self, kind: DataType, options: Mapping[str, str]) -> None:
        """options: `chunk-size`, how many bytes of values stand under one entry of the dictionary."""
        codec = key_codec(kind)
        assert codec is not None, kind
        self._codec = codec
        default = "0 b" if kind.root in _SMALL else "16 kb"
        self._chunk_bytes = int(parse_size(options.get("chunk-size", default), "chunk-size"))
        self._parts: list[pa.Array] = []

    def add(self, values: pa.Array) -> None:
        """More rows."""
        self._parts.append(values)

    def finish(self) -> bytes:
        """The index of all rows."""
        distinct, codes = sorted_codes(pa.concat_arrays(self._parts))
        data, sizes = self._codec.write(distinct)
        keys, ends = data.tobytes(), np.cumsum(sizes)
        low_and_high = b""
        if len(distinct):
            low_and_high = keys[: int(sizes[0])] + keys[int(ends[-1] - sizes[-1]) :]
        dictionary = self._dictionary(keys, sizes, ends)
        head = struct.pack(">bii", 1, len(codes), len(distinct)) + low_and_high + struct.pack(">i", len(dictionary))
        rows = np.flatnonzero(codes >= 0)
        count = max((len(distinct) - 1).bit_length(), 1) if len(distinct) else _NO_VALUE_SLICES
        return struct.pack(">i", len(head)) + head + dictionary + _slices(rows, codes[rows], count)

    def _dictionary(self, keys: bytes, sizes: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> bytes:
        """Chunks of values: the first in the chunk itself, with the place of the others behind all chunks."""
        places, chunks, rest = bytearray(), bytearray(), bytearray()
        count = start = 0
        while start < len(sizes):
            stop = self._chunk_end(start, ends)
            first_end, end = int(ends[start]), int(ends[stop - 1])
            others = keys[first_end:end]
            places += struct.pack(">i", len(chunks))
            chunks += b"\1" + keys[first_end - int(sizes[start]) : first_end]
            chunks += struct.pack(">iii", start, len(rest), stop - start - 1)
            if self._codec.number is None:
                offsets = (ends[start + 1 : stop] - sizes[start + 1 : stop] - first_end).astype(">i4").tobytes()
                chunks += struct.pack(">ii", len(offsets), len(others))
                rest += offsets + others
            else:
                chunks += struct.pack(">ii", len(others), int(sizes[start]))
                rest += others
            count, start = count + 1, stop
        head = struct.pack(">ibiii", 13, 1, count, len(places), len(chunks))
        return head + bytes(places) + bytes(chunks) + bytes(rest)

    def _chunk_end(self, start: int, ends: npt.NDArray[np.int64]) -> int:
        """Behind the last value of the chunk that begins here."""
        end = int(np.searchsorted(ends, int(ends[start]) + self._chunk_bytes, "right"))
        return max(start + 1, min(end, start + 1 + self._chunk_bytes // 4))


def _slices(rows: npt.NDArray[np.int64], codes: npt.NDArray[np.int64], count: int) -> bytes:
    """The bits of the codes."""
    there, slices = write_roaring(rows.astype(np.uint32)), bit_slices(rows, codes, count)
    lengths = np.array([len(data) for data in slices], np.int64)
    index = np.column_stack((np.cumsum(lengths) - lengths, lengths)).astype(">i4").tobytes()
    head = struct.pack(">bbii", 1, count, len(there), len(index)) + index
    return struct.pack(">i", len(head)) + head + there + b"".join(slices)


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
                return any(self._is_between(value) and self._has(value) for value in wanted)
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

    def _is_between(self, value: Any) -> bool:
        return java_order(self._low) <= java_order(value) <= java_order(self._high)

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
        index = bisect_right(chunks, java_order(value), key=self._first_of) - 1
        return value in self._chunk(chunks[index], body + offsets_size + chunks_size)

    def _first_of(self, chunk: int) -> tuple[bool, Any]:
        return java_order(self._codec.read(self._data, chunk + 1)[0])

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
