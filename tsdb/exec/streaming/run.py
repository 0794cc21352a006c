"""Sorted runs: what an arrangement is made of.

A run is sorted by the 64-bit hash of the key; a row occurs at most once in a run, with its weight. A run in memory is
one block; a run on disk (see `spilled_run.py`) is a list of such blocks, whose arrays are views of a mapped file.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from tsdb.exec.streaming.hash_index import HashIndex
from tsdb.exec.streaming.watermark import median
from tsdb.row_hash import I64, U64, arrays, equal_rows, hash_is_exact, take

_FEW_PROBES = 1000

INDEXED_ROWS = 1 << 15
"""Shorter runs are searched by halves: they are in the caches of the processor."""


@dataclass(slots=True)
class Run:
    """hashes: of the keys, ascending; row_hashes, weights, rows: alike.

    widest: how many rows there are under one hash at most. stored: its name in a RunStore, if any. middles: medians of
    time columns. totals: the sums of the weights before each row, once they were needed.
    """

    hashes: U64
    row_hashes: U64
    weights: I64
    rows: pa.Table
    widest: int
    stored: str | None = None
    middles: dict[int, int] = field(default_factory=dict)
    totals: I64 | None = None
    _index: HashIndex | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes of the run."""
        index = 0 if self._index is None else self._index.size_bytes
        return int(self.rows.nbytes) + (24 if self.totals is None else 32) * len(self.hashes) + index

    @property
    def length(self) -> int:
        """How many rows it has."""
        return len(self.hashes)

    @property
    def blocks(self) -> list["Run"]:
        """Its parts, ascending by hash; rows with one hash are in one of them."""
        return [self]

    @property
    def takes_back(self) -> bool:
        """Whether it makes rows of older runs go."""
        return bool((self.weights < 0).any())

    def middle(self, column: int) -> int:
        """The median of a time column in nanoseconds, found once."""
        if column not in self.middles:
            self.middles[column] = median(self.rows.column(column))
        return self.middles[column]

    @property
    def index(self) -> HashIndex | None:
        """Of a long run, built once."""
        if self._index is None and self.length >= INDEXED_ROWS:
            self._index = HashIndex([self.hashes])
        return self._index

    def spans(self, hashes: U64) -> tuple[I64, I64, I64]:
        """(probe, first row, row after the last) of every hash that is there."""
        if self.index is not None:
            return self.index.spans(hashes, self.hashes.__getitem__, self.widest)
        if len(hashes) > _FEW_PROBES and not is_ascending(hashes):
            order = np.argsort(hashes)
            probe, low, high = self.spans(hashes[order])
            return order[probe], low, high
        low = np.searchsorted(self.hashes, hashes)
        probe = np.flatnonzero(self.hashes[np.minimum(low, len(self.hashes) - 1)] == hashes)
        low = low[probe]
        return probe, low, low + 1 if self.widest == 1 else np.searchsorted(self.hashes, hashes[probe], side="right")

    def weights_at(self, at: I64) -> I64:
        """The weights of these rows."""
        return self.weights[at]

    def take(self, at: I64, columns: Sequence[int]) -> list[pa.Array]:
        """These rows of these columns."""
        return take(arrays(self.rows, columns), at)

    def tells_apart(self, key: Sequence[int]) -> bool:
        """Whether rows with different values of these columns certainly have different hashes."""
        return hash_is_exact(arrays(self.rows, key))

    def weigh(self, probe: I64, low: I64, high: I64, probes: int) -> I64:
        """The sum of the weights of each span; that of one with many rows costs no more than another."""
        sums = np.zeros(probes, np.int64)
        if self.widest == 1:
            sums[probe] = self.weights[low]
        elif len(probe):
            if self.totals is None:
                self.totals = np.concatenate([[0], np.cumsum(self.weights)])
            sums[probe] = self.totals[high] - self.totals[low]
        return sums

    def between(self, first: np.uint64 | None, end: np.uint64 | None) -> "Run":
        """The rows with hashes from `first` up to, not including, `end`; None: no limit. Nothing is copied."""
        begin = 0 if first is None else int(np.searchsorted(self.hashes, first))
        stop = self.length if end is None else int(np.searchsorted(self.hashes, end))
        if begin == 0 and stop == self.length:
            return self
        cut = slice(begin, stop)
        rows = self.rows.slice(begin, stop - begin)
        return Run(self.hashes[cut], self.row_hashes[cut], self.weights[cut], rows, self.widest)

    def where(self, kept: np.ndarray) -> "Run":
        """The rows of a mask."""
        rows, hashes = self.rows.filter(pa.array(kept)), self.hashes[kept]
        return Run(hashes, self.row_hashes[kept], self.weights[kept], rows, widest(hashes))


def merged(parts: Sequence[Run], schema: pa.Schema) -> Run:
    """The sum of runs, in memory."""
    return consolidated(
        np.concatenate([r.hashes for r in parts]),
        np.concatenate([r.row_hashes for r in parts]),
        np.concatenate([r.weights for r in parts]),
        arrays(pa.concat_tables([r.rows for r in parts])),
        schema,
        in_parts=True,
    )


def consolidated(
    hashes: U64, row_hashes: U64, weights: I64, columns: Sequence[pa.Array], schema: pa.Schema, *, in_parts: bool
) -> Run:
    """A run of these rows: sorted by (hash, row hash), equal rows summed, zeros dropped.

    in_parts: the hashes are a few ascending sequences one after the other, which merge faster than they sort.
    """
    order = _sorted_order(hashes, row_hashes, "stable" if in_parts else "quicksort")
    hashes, row_hashes, weights = hashes[order], row_hashes[order], weights[order]
    again = np.flatnonzero((hashes[1:] == hashes[:-1]) & (row_hashes[1:] == row_hashes[:-1])) + 1
    if len(again):
        same = equal_rows(take(columns, order[again]), take(columns, order[again - 1]), len(again))
        # a collision of whole rows leaves equal rows that are not neighbours apart; their weights still sum up
        fresh = np.ones(len(order), np.bool_)
        fresh[again[same]] = False
        starts = np.flatnonzero(fresh)
        weights = np.add.reduceat(weights, starts)
        hashes, row_hashes, order = hashes[starts], row_hashes[starts], order[starts]
    kept = weights != 0
    if not kept.all():
        hashes, row_hashes, weights, order = hashes[kept], row_hashes[kept], weights[kept], order[kept]
    rows = pa.Table.from_arrays(take(columns, order), schema=schema)
    return Run(hashes, row_hashes, weights, rows, widest(hashes))


def pairs_of(probe: I64, low: I64, high: I64) -> tuple[I64, I64]:
    """(probe, row) of every row of spans."""
    counts = high - low
    if not len(low) or counts.max() == 1:
        return probe, low
    ends = np.cumsum(counts)
    return np.repeat(probe, counts), np.arange(ends[-1]) + np.repeat(low - ends + counts, counts)


def is_ascending(hashes: np.ndarray) -> bool:
    """Whether probes come in the order of a run, in which one is found near the one before."""
    return bool((hashes[1:] >= hashes[:-1]).all())


def widest(hashes: U64) -> int:
    """How often the most frequent of ascending hashes is there."""
    starts = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1], [True]])) if len(hashes) else [0, 1]
    return int(np.diff(starts).max())


def _sorted_order(hashes: U64, row_hashes: U64, kind: Literal["stable", "quicksort"]) -> I64:
    """The order by hash, equal rows side by side. The second sort only touches rows that share a hash."""
    order: Any = np.argsort(hashes, kind=kind)
    in_order = hashes[order]
    equal = in_order[1:] == in_order[:-1]
    if not equal.any():
        return np.asarray(order)
    shared = np.zeros(len(order), np.bool_)
    shared[1:] |= equal
    shared[:-1] |= equal
    among = order[shared]
    # one word to sort by: the number of the hash above, the leading bits of the row hash below
    number = np.concatenate([[0], np.cumsum(~equal)])[shared].astype(np.uint64)
    below = np.uint64(64 - int(number[-1]).bit_length())
    words = (number << below) | (row_hashes[among] >> (np.uint64(64) - below)) if below < 64 else row_hashes[among]
    order[shared] = among[np.argsort(words)]
    return np.asarray(order)
