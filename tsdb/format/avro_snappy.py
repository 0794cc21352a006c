"""Snappy blocks of Avro files by Arrow's codec, so that no further library is needed to read Java's.

A block is its length, the compressed bytes, and the CRC-32 of what they hold. Importing the module tells fastavro.
Source: Avro 1.12, "Object Container Files"; Snappy's format description.
"""

import io
import zlib
from typing import Any

import fastavro
import pyarrow as pa
from fastavro import _write

from tsdb.errors import CorruptFile

_CODEC = pa.Codec("snappy")


def read_block(source: Any) -> io.BytesIO:
    """The next block, decompressed. Raises CorruptFile."""
    zigzag = _varint(source)
    block = source.read((zigzag >> 1) ^ -(zigzag & 1))
    data, checksum = block[:-4], block[-4:]
    rows = _CODEC.decompress(data, _varint(io.BytesIO(data)), asbytes=True)
    if zlib.crc32(rows).to_bytes(4, "big") != checksum:
        raise CorruptFile("the checksum of a block is wrong")
    return io.BytesIO(rows)


def write_block(sink: Any, rows: bytes, level: int | None) -> None:
    """A block; Snappy has no levels."""
    data = _CODEC.compress(rows, asbytes=True) + zlib.crc32(rows).to_bytes(4, "big")
    length, encoded = len(data) << 1, bytearray()
    while length > 0x7F:
        encoded.append(length & 0x7F | 0x80)
        length >>= 7
    sink.write(bytes([*encoded, length]) + data)


def _varint(source: Any) -> int:
    value, shift = 0, 0
    while byte := source.read(1):
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return int(value)
        shift += 7
    raise CorruptFile("the file ends within a block")


fastavro.read.BLOCK_READERS["snappy"] = read_block
_write.BLOCK_WRITERS["snappy"] = write_block  # type: ignore[attr-defined]  # its stub lacks the table
