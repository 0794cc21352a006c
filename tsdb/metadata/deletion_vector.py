"""Deletion vectors: which rows of a data file are deleted, as Roaring bitmaps of row positions, 32 or 64 bit.

Source: Paimon, `BitmapDeletionVector`, `Bitmap64DeletionVector`; RoaringBitmap's portable serialization.
"""

import struct
import zlib
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tsdb.errors import CorruptFile
from tsdb.fs.file_io import FileIO
from tsdb.metadata.index_file import DeletionRange
from tsdb.metadata.roaring import read_roaring, write_roaring

MAGIC_32 = 1581511376  # big-endian
MAGIC_64 = 1681511377  # little-endian
_VERSION = 1


def read_deletion_vector(file_io: FileIO, path: str, offset: int) -> npt.NDArray[np.int64]:
    """The deleted row positions, ascending, of the block at `offset`. Raises CorruptFile naming the file."""
    try:
        with file_io.open_input(path) as file:
            file.seek(offset)
            (size,) = struct.unpack(">i", file.read(4))
            block = file.read(max(0, size))
            (checksum,) = struct.unpack(">I", file.read(4))
    except FileNotFoundError as err:
        raise CorruptFile(f"deletion vector file {path} is missing") from err
    except struct.error as err:
        raise CorruptFile(f"deletion vector file {path} ends too early") from err
    if zlib.crc32(block) != checksum:
        raise CorruptFile(f"deletion vector file {path}: wrong checksum at offset {offset}")
    try:
        return _positions(block)
    except (struct.error, ValueError) as err:
        raise CorruptFile(f"deletion vector file {path} cannot be read: {err}") from err


def live_mask(deleted: npt.NDArray[np.int64], row_count: int, path: str) -> npt.NDArray[np.bool_]:
    """A mask over the rows of a data file. path: of the deletion vector. Raises CorruptFile for a row that is none."""
    if len(deleted) and not 0 <= int(deleted[0]) <= int(deleted[-1]) < row_count:
        raise CorruptFile(
            f"deletion vector file {path} deletes row {int(deleted[-1])} of a data file that has {row_count} rows"
        )
    mask = np.ones(row_count, np.bool_)
    mask[deleted] = False
    return mask


def _positions(block: bytes) -> npt.NDArray[np.int64]:
    if struct.unpack_from(">i", block)[0] == MAGIC_32:
        return read_roaring(block, 4)[0].astype(np.int64)
    if struct.unpack_from("<i", block)[0] != MAGIC_64:
        raise ValueError(f"unknown magic {block[:4].hex()}")
    (count,) = struct.unpack_from("<q", block, 4)
    at, parts = 12, []
    for _ in range(count):
        (high,) = struct.unpack_from("<i", block, at)
        low, at = read_roaring(block, at + 4)
        parts.append(low.astype(np.int64) | (high << 32))
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def encode_deletion_vectors(
    positions: Mapping[str, npt.NDArray[np.int64]], *, bits: int
) -> tuple[bytes, dict[str, DeletionRange]]:
    """The bytes of a file of deletion vectors, and where in it each one is.

    positions: by data file, ascending, each once. bits: 32 or 64, for the layout; the manifest's length counts
    the checksum and the size of a block only with 64.
    """
    data, ranges = bytearray([_VERSION]), {}
    for name, deleted in positions.items():
        block = _block_32(deleted) if bits == 32 else _block_64(deleted)
        length = len(block) if bits == 32 else len(block) + 8
        ranges[name] = DeletionRange(len(data), length, len(deleted))
        data += struct.pack(">i", len(block)) + block + struct.pack(">I", zlib.crc32(block))
    return bytes(data), ranges


def _block_32(positions: npt.NDArray[np.int64]) -> bytes:
    return struct.pack(">i", MAGIC_32) + write_roaring(positions.astype(np.uint32))


def _block_64(positions: npt.NDArray[np.int64]) -> bytes:
    high = positions >> 32
    keys = np.unique(high)
    parts = [struct.pack("<iq", MAGIC_64, len(keys))]
    for key in keys.tolist():
        low = (positions[high == key] & 0xFFFFFFFF).astype(np.uint32)
        parts.append(struct.pack("<i", key) + write_roaring(low))
    return b"".join(parts)
