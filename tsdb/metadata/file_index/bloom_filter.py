"""The index type `bloom-filter`: whether a file may hold a value, by some bits of the value's hash.

Source: Bloom, Space/time trade-offs in hash coding with allowable errors (1970); Paimon, `BloomFilter64`.
"""

import math
import struct
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.data_types import DataType, TypeRoot
from tsdb.errors import OptionError
from tsdb.metadata.file_index.hashing import UInt64, hash_values
from tsdb.metadata.file_index.physical import BINARIES, FLOATS, key_codec

_ITEMS, _FPP = "1000000", "0.1"


class BloomFilterWriter:
    """Gathers the values of one column."""

    def __init__(self, kind: DataType, options: Mapping[str, str]) -> None:
        """options: `items`, how many values there may be; `fpp`, the probability of a wrong answer."""
        self._kind = kind
        bit_count, self._hashes = _shape(options)
        self._bits = np.zeros(bit_count, np.bool_)

    def add(self, values: pa.Array) -> None:
        """More values."""
        distinct = values.drop_null().unique()
        for bits in _places(hash_values(distinct, self._kind), self._hashes, len(self._bits)):
            self._bits[bits] = True

    def finish(self) -> bytes:
        """The index of all values."""
        return struct.pack(">i", self._hashes) + np.packbits(self._bits, bitorder="little").tobytes()


class BloomFilterReader:
    """Answers for one file."""

    def __init__(self, data: bytes, kind: DataType) -> None:
        self._kind = kind
        (self._hashes,) = struct.unpack_from(">i", data)
        self._bits = np.frombuffer(data, np.uint8, offset=4)
        if self._hashes < 1 or not len(self._bits):
            raise ValueError("a bloom filter without bits")

    def may_match(self, op: str, values: pa.Array) -> bool:
        """Whether a row may be there. Only equality says anything."""
        if op not in ("=", "in"):
            return True
        hashes = hash_values(values, self._kind)
        found = np.ones(len(hashes), np.bool_)
        for bits in _places(hashes, self._hashes, 8 * len(self._bits)):
            found &= (self._bits[bits >> 3] >> (bits & 7).astype(np.uint8)) & 1 == 1
        return bool(found.any())


def supports(kind: DataType) -> bool:
    """Whether columns of the type can have a bloom filter."""
    if kind.root in (TypeRoot.BOOLEAN, TypeRoot.DECIMAL):
        return False
    return kind.root in (*BINARIES, *FLOATS) or key_codec(kind) is not None


def check_options(options: Mapping[str, str]) -> None:
    """Raises OptionError for options that make no filter."""
    _shape(options)


def _shape(options: Mapping[str, str]) -> tuple[int, int]:
    """How many bits, and how many hash functions."""
    items, fpp = options.get("items", _ITEMS), options.get("fpp", _FPP)
    try:
        count, probability = int(items), float(fpp)
    except ValueError:
        raise OptionError(f"a bloom filter needs 'items' and 'fpp' to be numbers, not '{items}' and '{fpp}'") from None
    if count < 1 or not 0 < probability < 1:
        raise OptionError(f"a bloom filter needs 'items' > 0 and 0 < 'fpp' < 1, not '{items}' and '{fpp}'")
    least = int(-count * math.log(probability) / math.log(2) ** 2)
    bits = least + (8 - least % 8)
    return bits, max(1, math.floor(bits / count * math.log(2) + 0.5))


def _places(hashes: UInt64, functions: int, bit_count: int) -> list[npt.NDArray[np.int64]]:
    """The bits of each hash, one array a function."""
    low = hashes.astype(np.uint32).view(np.int32)
    high = (hashes >> np.uint64(32)).astype(np.uint32).view(np.int32)
    places = []
    with np.errstate(over="ignore"):
        for i in range(1, functions + 1):
            combined = low + np.int32(i) * high
            places.append(np.where(combined < 0, ~combined, combined).astype(np.int64) % bit_count)
    return places
