"""The index type `bitmap`: every distinct value of a column, sorted, and a Roaring bitmap of the rows that have it.

Version 2 has a list of blocks of values before them, so that one value is found without reading all. A value of one row
has no bitmap: its offset says the row. Versions 1 and 2 are read, 2 is written.
Source: Paimon, `BitmapFileIndexMeta` and `BitmapFileIndexMetaV2`.
"""

import struct
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.data_types import DataType
from tsdb.metadata.file_index.physical import java_order, key_codec, sorted_codes
from tsdb.metadata.roaring import write_roaring
from tsdb.options import parse_size

_BLOCK_SIZE = "16kb"


class BitmapWriter:
    """Gathers the values of one column."""

    def __init__(self, kind: DataType, options: Mapping[str, str]) -> None:
        """options: `index-block-size`, how many bytes of values stand under one entry of the list of blocks."""
        codec = key_codec(kind)
        assert codec is not None, kind
        self._codec = codec
        self._block_bytes = int(parse_size(options.get("index-block-size", _BLOCK_SIZE), "index-block-size"))
        self._parts: list[pa.Array] = []

    def add(self, values: pa.Array) -> None:
        """More rows."""
        self._parts.append(values)

    def finish(self) -> bytes:
        """The index of all rows."""
        distinct, codes = sorted_codes(pa.concat_arrays(self._parts))
        rows = np.argsort(codes, kind="stable")
        counts = np.bincount(codes[codes >= 0], minlength=len(distinct))
        nulls = rows[: len(rows) - int(counts.sum())].astype(np.uint32)
        ends = len(nulls) + np.cumsum(counts)
        bitmaps, offsets, lengths = _bitmaps(rows, ends, counts, _body_of_nulls(nulls))
        head = struct.pack(">biib", 2, len(codes), len(distinct), len(nulls) > 0)
        if len(nulls):
            offset = -1 - int(nulls[0]) if len(nulls) == 1 else 0
            head += struct.pack(">ii", offset, len(write_roaring(nulls)))
        key_data, key_sizes = self._codec.write(distinct)
        return head + _blocks(key_data.tobytes(), key_sizes, offsets, lengths, self._block_bytes) + bitmaps


def _body_of_nulls(nulls: npt.NDArray[np.uint32]) -> bytes:
    return write_roaring(nulls) if len(nulls) > 1 else b""


def _bitmaps(
    rows: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], first: bytes
) -> tuple[bytes, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """All bitmaps, and the offset and length of each value's. rows: of one value after the other, ending at `ends`."""
    offsets = -1 - rows[ends - 1]
    lengths = np.full(len(ends), -1, np.int64)
    body = bytearray(first)
    several = np.flatnonzero(counts > 1)
    for i, start, end in zip(several.tolist(), (ends - counts)[several].tolist(), ends[several].tolist(), strict=True):
        data = write_roaring(rows[start:end].astype(np.uint32))
        offsets[i], lengths[i] = len(body), len(data)
        body += data
    return bytes(body), offsets, lengths


def _blocks(
    keys: bytes,
    key_sizes: npt.NDArray[np.int64],
    offsets: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
    block_bytes: int,
) -> bytes:
    """The list of blocks, and the blocks: each value with the offset and length of its bitmap."""
    sizes = key_sizes + 8
    ends = np.cumsum(sizes)
    entries = np.empty(int(sizes.sum()), np.uint8)
    tails = (ends - 8)[:, None] + np.arange(8)
    is_key = np.ones(len(entries), np.bool_)
    is_key[tails] = False
    entries[is_key] = np.frombuffer(keys, np.uint8)
    entries[tails] = np.column_stack((offsets, lengths)).astype(">i4").view(np.uint8).reshape(-1, 8)
    data, key_ends = entries.tobytes(), np.cumsum(key_sizes)
    listed, blocks = bytearray(), bytearray()
    count = start = 0
    while start < len(sizes):
        before = int(ends[start] - sizes[start])
        stop = max(start + 1, int(np.searchsorted(ends, before + block_bytes - 4, "right")))
        listed += keys[int(key_ends[start] - key_sizes[start]) : int(key_ends[start])] + struct.pack(">i", len(blocks))
        blocks += struct.pack(">i", stop - start) + data[before : int(ends[stop - 1])]
        count, start = count + 1, stop
    return struct.pack(">i", count) + bytes(listed) + struct.pack(">i", len(blocks)) + bytes(blocks)


class BitmapReader:
    """Answers for one file, from its values alone."""

    def __init__(self, data: bytes, kind: DataType) -> None:
        codec = key_codec(kind)
        if codec is None:
            raise ValueError(f"a bitmap of {kind.sql()}")
        self._data, self._codec = data, codec
        self._count: int
        version, _, self._count, self._has_null = struct.unpack_from(">biib", data)
        at = 10
        if version == 2:
            at += 8 if self._has_null else 0
            (blocks,) = struct.unpack_from(">i", data, at)
            self._firsts: list[Any] = []
            places = []
            at += 4
            for _ in range(blocks):
                key, at = codec.read(data, at)
                self._firsts.append(key)
                places.append(struct.unpack_from(">i", data, at)[0])
                at += 4
            self._places = [at + 4 + place for place in places]
        elif version == 1:
            self._all = sorted(self._keys(at + (4 if self._has_null else 0), self._count, 4))
        else:
            raise ValueError(f"a bitmap index of version {version}")
        self._version = version

    def may_match(self, op: str, values: pa.Array) -> bool:
        """Whether a row may be there."""
        if op in ("is null", "is not null"):
            return bool(self._has_null) if op == "is null" else self._count > 0
        if self._count == 0:
            return False
        wanted = values.to_pylist()
        match op:
            case "=" | "in":
                return any(value in self._near(value) for value in wanted)
            case "!=":
                return self._count > 1 or self._near(None)[0] != wanted[0]
            case "<" | "<=":
                low = self._near(None)[0]
                return bool(low < wanted[0] or (op == "<=" and low == wanted[0]))
            case ">" | ">=":
                high = self._last()
                return bool(high > wanted[0] or (op == ">=" and high == wanted[0]))
        return True

    def _near(self, value: Any) -> list[Any]:
        """The values of the block in which the value would be; None: of the first."""
        if self._version == 1:
            return self._all
        index = 0 if value is None else max(0, bisect_right(self._firsts, java_order(value), key=java_order) - 1)
        return self._block(index)

    def _last(self) -> Any:
        return self._all[-1] if self._version == 1 else self._block(len(self._places) - 1)[-1]

    def _block(self, index: int) -> list[Any]:
        at = self._places[index]
        (count,) = struct.unpack_from(">i", self._data, at)
        return self._keys(at + 4, count, 8)

    def _keys(self, at: int, count: int, gap: int) -> list[Any]:
        """So many values from a place on. gap: what stands behind each."""
        keys = []
        for _ in range(count):
            key, at = self._codec.read(self._data, at)
            keys.append(key)
            at += gap
        return keys
