"""Where hashes stand in a long run: a table of their first bits, and a byte of the bits that follow, in memory.

A binary search of a run of millions reads a page of it for almost every halving. Hashes are spread evenly, so their
first bits say where they are but for a few rows (`starts`), and the eight bits behind tell those rows apart (`marks`):
what is not in the run is rarely looked for there, and what is costs the run one page. About two bytes a row.

Source: radix tables of in-memory joins; fingerprints as in quotient filters (Bender et al., 2012).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tsdb.row_hash import I64, U64

_MARK_BITS = 8
_FEWER_BITS = 3
"""A run of 2^n rows has a table of 2^(n - 2) places: four to eight rows at each."""


class HashIndex:
    """The index of ascending hashes."""

    def __init__(self, blocks: Sequence[U64]) -> None:
        """blocks: all the hashes, ascending over the blocks too."""
        self._rows = sum(len(block) for block in blocks)
        bits = max(1, self._rows.bit_length() - _FEWER_BITS)
        self._shift = np.uint64(64 - bits)
        self._mark_shift = np.uint64(64 - bits - _MARK_BITS)
        self._marks = np.empty(self._rows, np.uint8)
        kind: Any = np.uint32 if self._rows < 1 << 32 else np.int64
        counts: Any = np.zeros(1 << bits, kind)
        begin = 0
        for block in blocks:
            if not len(block):
                continue
            places = (block >> self._shift).astype(np.int64)
            first, last = int(places[0]), int(places[-1])
            counts[first : last + 1] += np.bincount(places - first).astype(kind)
            self._marks[begin : begin + len(block)] = self._marks_of(block)
            begin += len(block)
        self._starts = np.zeros(len(counts) + 1, kind)
        np.cumsum(counts, out=self._starts[1:])

    @property
    def size_bytes(self) -> int:
        """Bytes of the index."""
        return int(self._starts.nbytes + self._marks.nbytes)

    def spans(self, sought: U64, read: Callable[[I64], U64], widest: int) -> tuple[I64, I64, I64]:
        """(probe, first row, row after the last) of every sought hash that is there.

        read: the hashes at positions of the run. widest: how many rows one hash has at most.
        """
        places = (sought >> self._shift).astype(np.int64)
        low, high = self._starts[places].astype(np.int64), self._starts[places + 1].astype(np.int64)
        marks = self._marks_of(sought)
        low = bounded_search(self._marks.__getitem__, low, high, marks)
        probe = np.flatnonzero((low < high) & (self._marks[np.minimum(low, self._rows - 1)] == marks))
        low, high, marks, sought = low[probe], high[probe], marks[probe], sought[probe]
        high = bounded_search(self._marks.__getitem__, low, high, marks, right=True)
        low = bounded_search(read, low, high, sought)
        there = np.flatnonzero(low < high)
        there = there[read(low[there]) == sought[there]]
        probe, low, high = probe[there], low[there], high[there]
        end = low + 1 if widest == 1 else bounded_search(read, low, high, sought[there], right=True)
        return probe, low, end

    def _marks_of(self, hashes: U64) -> np.ndarray:
        return (hashes >> self._mark_shift).astype(np.uint8)


def bounded_search(
    read: Callable[[I64], np.ndarray], low: I64, high: I64, sought: np.ndarray, *, right: bool = False
) -> I64:
    """`searchsorted` of each sought value among the values at low[i] up to, not including, high[i].

    read: the values at positions; ascending in each of the ranges.
    """
    if not len(low):
        return low
    low = low.copy()
    step = 1 << int((high - low).max()).bit_length() >> 1
    while step:
        # positions out of a range are read at its begin, for nothing
        fits = low + step <= high
        values = read(np.where(fits, low + step - 1, 0))
        before = values <= sought if right else values < sought
        low += step * (fits & before)
        step >>= 1
    return low
