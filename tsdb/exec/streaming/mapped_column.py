"""A column of values of one width in many blocks, read at positions of the whole.

Arrow takes from one array at once, from many by putting them together first, which would load a mapped file. The
blocks of a file lie in one stretch of memory, so the value at a position has an address, and numpy reads them all.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tsdb.row_hash import I64

_WIDTHS: Mapping[int, np.dtype[Any]] = {
    1: np.dtype(np.uint8),
    2: np.dtype(np.uint16),
    4: np.dtype(np.uint32),
    8: np.dtype(np.uint64),
}


class MappedColumn:
    """Values of a width of 1, 2, 4 or 8 bytes, none of them NULL."""

    def __init__(self, blocks: Sequence[pa.Array], width: int) -> None:
        self._type = blocks[0].type
        addresses = [block.buffers()[1].address + block.offset * width for block in blocks]
        first = min(addresses)
        end = max(at + len(block) * width for at, block in zip(addresses, blocks, strict=True))
        # what is between the blocks is never read, and `blocks` keeps their memory alive
        stretch = pa.foreign_buffer(first, end - first, base=list(blocks))
        self._values = np.frombuffer(stretch, _WIDTHS[width])
        begins = np.cumsum([0, *(len(block) for block in blocks[:-1])])
        self._offsets: I64 = (np.array(addresses) - first) // width - begins

    def values(self, at: I64, block: I64) -> np.ndarray:
        """The values at these positions, as unsigned words; block: in which block each of them is."""
        return np.asarray(self._values[at + self._offsets[block]])

    def take(self, at: I64, block: I64) -> pa.Array:
        """The values at these positions."""
        return pa.Array.from_buffers(self._type, len(at), [None, pa.py_buffer(self.values(at, block))])


def mapped_column(blocks: Sequence[pa.Array]) -> MappedColumn | None:
    """The blocks of a column as one, if its values can be read in this way."""
    kind = blocks[0].type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_temporal(kind)):
        return None
    width = kind.bit_width // 8
    if width not in _WIDTHS or any(block.null_count for block in blocks):
        return None
    starts = {(block.buffers()[1].address + block.offset * width) % width for block in blocks}
    return MappedColumn(blocks, width) if starts == {0} else None
