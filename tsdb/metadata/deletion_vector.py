"""Deletion vectors: which rows of a data file are deleted, as Roaring bitmaps of row positions, 32 or 64 bit.

Source: Paimon, `BitmapDeletionVector`, `Bitmap64DeletionVector`; RoaringBitmap's portable serialization.
"""

import struct
import zlib

import numpy as np
import numpy.typing as npt

from tsdb.errors import CorruptFile
from tsdb.fs.file_io import FileIO

MAGIC_32 = 1581511376  # big-endian
MAGIC_64 = 1681511377  # little-endian
_NO_RUNS, _RUNS = 12346, 12347
_ARRAY_MAX = 4096
_OFFSETS_FROM = 4  # with runs, the offsets are there only from so many containers on


def read_deletion_vector(file_io: FileIO, path: str, offset: int) -> npt.NDArray[np.int64]:
    """The deleted row positions, ascending, of the block at `offset`. Raises CorruptFile naming the file."""
    try:
        data = file_io.read_bytes(path)
    except FileNotFoundError as err:
        raise CorruptFile(f"deletion vector file {path} is missing") from err
    try:
        (size,) = struct.unpack_from(">i", data, offset)
        block = data[offset + 4 : offset + 4 + size]
        (checksum,) = struct.unpack_from(">I", data, offset + 4 + size)
    except struct.error as err:
        raise CorruptFile(f"deletion vector file {path} ends too early") from err
    if zlib.crc32(block) != checksum:
        raise CorruptFile(f"deletion vector file {path}: wrong checksum at offset {offset}")
    try:
        return _positions(block)
    except (struct.error, ValueError) as err:
        raise CorruptFile(f"deletion vector file {path} cannot be read: {err}") from err


def _positions(block: bytes) -> npt.NDArray[np.int64]:
    if struct.unpack_from(">i", block)[0] == MAGIC_32:
        return _read_bitmap(block, 4)[0].astype(np.int64)
    if struct.unpack_from("<i", block)[0] != MAGIC_64:
        raise ValueError(f"unknown magic {block[:4].hex()}")
    (count,) = struct.unpack_from("<q", block, 4)
    at, parts = 12, []
    for _ in range(count):
        (high,) = struct.unpack_from("<i", block, at)
        low, at = _read_bitmap(block, at + 4)
        parts.append(low.astype(np.int64) | (high << 32))
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _read_bitmap(data: bytes, at: int) -> tuple[npt.NDArray[np.uint32], int]:
    """A 32-bit Roaring bitmap that begins at `at`, and where it ends."""
    (cookie,) = struct.unpack_from("<I", data, at)
    at += 4
    if cookie & 0xFFFF == _RUNS:
        count = (cookie >> 16) + 1
        run_bytes = (count + 7) // 8
        is_run = np.unpackbits(np.frombuffer(data, np.uint8, run_bytes, at), bitorder="little")[:count].astype(bool)
        at += run_bytes
        has_offsets = count >= _OFFSETS_FROM
    elif cookie == _NO_RUNS:
        (count,) = struct.unpack_from("<I", data, at)
        at += 4
        is_run, has_offsets = np.zeros(count, bool), True
    else:
        raise ValueError(f"unknown bitmap cookie {cookie}")
    headers = np.frombuffer(data, "<u2", 2 * count, at).reshape(-1, 2)
    at += 4 * count + (4 * count if has_offsets else 0)
    parts = []
    for (key, size), run in zip(headers.tolist(), is_run.tolist(), strict=True):
        low, at = _read_container(data, at, size + 1, run)
        parts.append(low.astype(np.uint32) | np.uint32(key << 16))
    return (np.concatenate(parts) if parts else np.empty(0, np.uint32)), at


def _read_container(data: bytes, at: int, cardinality: int, run: bool) -> tuple[npt.NDArray[np.uint32], int]:
    if run:
        (runs,) = struct.unpack_from("<H", data, at)
        pairs = np.frombuffer(data, "<u2", 2 * runs, at + 2).reshape(-1, 2).astype(np.uint32)
        lengths = pairs[:, 1] + 1
        begins = np.repeat(pairs[:, 0], lengths)
        within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return begins + within.astype(np.uint32), at + 2 + 4 * runs
    if cardinality <= _ARRAY_MAX:
        return np.frombuffer(data, "<u2", cardinality, at).astype(np.uint32), at + 2 * cardinality
    bits = np.unpackbits(np.frombuffer(data, np.uint8, 8192, at), bitorder="little")
    return np.flatnonzero(bits).astype(np.uint32), at + 8192
