"""The index type `bsi`: the numbers of a column, bit by bit, a Roaring bitmap a bit; negative ones apart. Read only.

Source: Paimon, `BitSliceIndexBitmapFileIndex`; O'Neil and Quass, Improved query performance (1997).
"""

import struct

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.data_types import DataType
from tsdb.metadata.file_index.physical import FLOATS, key_codec
from tsdb.metadata.roaring import read_roaring


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
