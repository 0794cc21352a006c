"""The index type `bsi`: the numbers of a column, bit by bit, a Roaring bitmap a bit; negative ones apart.

Source: Paimon, `BitSliceIndexBitmapFileIndex`; O'Neil and Quass, Improved query performance (1997).
"""

import struct
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.data_types import DataType
from tsdb.metadata.file_index.physical import FLOATS, key_codec
from tsdb.metadata.roaring import read_roaring, write_roaring


class BitSliceWriter:
    """Gathers the numbers of one column."""

    def __init__(self, kind: DataType, options: Mapping[str, str]) -> None:
        """options: there are none."""
        del kind, options
        self._parts: list[pa.Array] = []

    def add(self, values: pa.Array) -> None:
        """More rows."""
        self._parts.append(values)

    def finish(self) -> bytes | None:
        """The index of all rows; None if there is the one number whose amount is no BIGINT."""
        values = pa.concat_arrays(self._parts)
        numbers = values.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
        if len(numbers) and numbers.min() == np.iinfo(np.int64).min:
            return None
        valid = np.asarray(values.is_valid())
        data = struct.pack(">bi", 1, len(numbers))
        for rows in (np.flatnonzero(valid & (numbers >= 0)), np.flatnonzero(valid & (numbers < 0))):
            data += struct.pack(">?", len(rows) > 0)
            if len(rows):
                amounts = np.abs(numbers[rows])
                high = int(amounts.max())
                slices = bit_slices(rows, amounts, high.bit_length())
                data += struct.pack(">bqq", 1, 0, high) + write_roaring(rows.astype(np.uint32))
                data += struct.pack(">i", len(slices)) + b"".join(slices)
        return data


def bit_slices(rows: npt.NDArray[np.int64], numbers: npt.NDArray[np.int64], count: int) -> list[bytes]:
    """A bitmap a bit, from the lowest on: the rows whose number has it. rows: ascending."""
    return [write_roaring(rows[(numbers >> bit) & 1 == 1].astype(np.uint32)) for bit in range(count)]


def supports(kind: DataType) -> bool:
    """Whether columns of the type can have bit slices."""
    codec = key_codec(kind)
    return codec is not None and codec.number not in (None, "?") and kind.root not in FLOATS


class BitSliceReader:
    """Answers for one file, from its numbers, which are put together again."""

    def __init__(self, data: bytes, kind: DataType) -> None:
        codec = key_codec(kind)
        if codec is None or codec.number is None or kind.root in FLOATS:
            raise ValueError(f"bit slices of {kind.sql()}")
        self._rows: int
        version, self._rows, has_positive = struct.unpack_from(">bib", data)
        if version != 1:
            raise ValueError(f"bit slices of version {version}")
        at = 6
        positive = negative = np.empty(0, np.int64)
        if has_positive:
            positive, at = _numbers(data, at)
        if data[at]:
            negative, at = _numbers(data, at + 1)
        self._values = np.concatenate([positive, -negative])

    def may_match(self, op: str, values: pa.Array) -> bool:
        """Whether a row may be there."""
        here = self._values
        if op == "is null":
            return len(here) < self._rows
        if op == "is not null" or not len(here):
            return len(here) > 0
        wanted = np.asarray(values.to_numpy(zero_copy_only=False)).astype(np.int64)
        match op:
            case "=" | "in":
                return bool(np.isin(wanted, here).any())
            case "!=":
                return bool((here != wanted[0]).any())
            case "<":
                return bool(here.min() < wanted[0])
            case "<=":
                return bool(here.min() <= wanted[0])
            case ">":
                return bool(here.max() > wanted[0])
            case ">=":
                return bool(here.max() >= wanted[0])
        return True


def _numbers(data: bytes, at: int) -> tuple[npt.NDArray[np.int64], int]:
    """The numbers of the rows that have one, and where the slices end."""
    version, low, _ = struct.unpack_from(">bqq", data, at)
    if version != 1:
        raise ValueError(f"bit slices of version {version}")
    rows, at = read_roaring(data, at + 17)
    (count,) = struct.unpack_from(">i", data, at)
    at += 4
    numbers = np.zeros(len(rows), np.int64)
    for bit in range(count):
        members, at = read_roaring(data, at)
        numbers[np.searchsorted(rows, members)] |= np.int64(1) << np.int64(bit)
    return numbers + low, at
