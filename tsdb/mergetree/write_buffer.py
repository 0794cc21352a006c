"""Rows that wait in memory to become level-0 files, of all buckets of a writer.

Rows are put together by their group (a bucket of a partition) as they come, while they are in the processor's caches,
and in a keyed table brought near to the order of the key: so the rows of a file are gathered from memory that is read
almost in order, and is that of their bucket alone. Law: draining gives every row once; the rows of a group are in order
of arrival, in a keyed table those of a key.
"""

from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.mergetree.key_order import near_order

# so many rows are put together at once; of fewer than the second number the order of arrival is kept
_PART_ROWS = 1 << 16
_SORTED_ROWS_MIN = 1 << 12
_SPREAD_MAX = 2  # rows to be looked through for one that is taken
_PIECES_MAX, _PIECE_ROWS_MIN = 1 << 12, 1 << 9  # more or smaller pieces cost more than to put all rows in order

Kinds = npt.NDArray[np.int8]
Groups = npt.NDArray[np.int32]


class BufferedRows:
    """The rows of one group. kinds: None means all +I."""

    def __init__(self, group: int, rows: pa.Table, kinds: Kinds | None) -> None:
        self.group = group
        self.rows = rows
        self.kinds = kinds
        self._piece_of: npt.NDArray[np.uint16] | None = None

    def take(self, positions: npt.NDArray[np.int64]) -> pa.Table:
        """The rows at these positions, some at least, which are in order of the key."""
        first = int(positions[0])
        if bool(np.all(positions == np.arange(first, first + len(positions)))):
            return self.rows.slice(first, len(positions))
        bounds = self._bounds()
        if len(bounds) > 2:
            # of each piece a few rows, one after the other
            ordered = np.sort(positions)
            cuts = np.searchsorted(ordered, bounds)
            present = np.flatnonzero(cuts[1:] > cuts[:-1])
            starts, ends = ordered[cuts[present]], ordered[cuts[present + 1] - 1] + 1
            lengths = ends - starts
            if int(lengths.sum()) <= _SPREAD_MAX * len(positions):
                shifts = np.zeros(len(bounds), np.int64)
                shifts[present] = starts - np.cumsum(lengths) + lengths
                pieces = [self.rows.slice(*piece) for piece in zip(starts.tolist(), lengths.tolist(), strict=True)]
                return pa.concat_tables(pieces).take(pa.array(positions - shifts[self._pieces(bounds)[positions]]))
            self.rows = self.rows.combine_chunks()  # taking rows out of many chunks costs more
        return self.rows.take(pa.array(positions))

    def _bounds(self) -> npt.NDArray[np.int64]:
        """Where the pieces start, and the end."""
        lengths = [len(chunk) for chunk in self.rows.column(0).chunks]
        return np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))

    def _pieces(self, bounds: npt.NDArray[np.int64]) -> npt.NDArray[np.uint16]:
        """Of each row the number of its piece."""
        if self._piece_of is None:
            self._piece_of = np.repeat(np.arange(len(bounds) - 1, dtype=np.uint16), np.diff(bounds))
        return self._piece_of


@dataclass(frozen=True, slots=True)
class _Part:
    """Some rows. groups: of each row, equal ones side by side."""

    rows: pa.Table
    kinds: Kinds | None
    groups: Groups


class WriteBuffer:
    """Rows of several groups. Not thread-safe. key: the first column of a key, by which rows may change places."""

    def __init__(self, key: str | None = None) -> None:
        self._key = key
        self._new: list[_Part] = []
        self._parts: list[_Part] = []
        self.size_bytes = 0

    def clear(self) -> None:
        """Forget all rows."""
        self._new, self._parts = [], []
        self.size_bytes = 0

    def add(self, rows: pa.Table, kinds: Kinds | None, groups: Groups) -> None:
        """Append rows; kinds (None: all +I) and groups have one element a row."""
        assert rows.num_rows == len(groups) and (kinds is None or len(kinds) == len(groups))
        self._new.append(_Part(rows, kinds, groups))
        self.size_bytes += rows.nbytes
        if sum(len(part.groups) for part in self._new) >= _PART_ROWS:
            self._settle()

    def drain(self, *, keep_small: bool = False) -> list[BufferedRows]:
        """Empty the buffer, largest group first.

        keep_small: groups that together hold under a quarter of the rows stay, so that cold partitions do not
        get tiny files.
        """
        self._settle()
        parts = self._parts
        self.clear()
        count = sum(len(part.groups) for part in parts)
        groups = _by_group(parts)
        groups.sort(key=lambda rows: -rows.rows.num_rows)
        drained: list[BufferedRows] = []
        taken, wanted = 0, count * 3 // 4 if keep_small else count
        for rows in groups:
            if taken < wanted:
                drained.append(rows)
                taken += rows.rows.num_rows
            else:  # a copy, because a slice would keep the rows around it in memory
                copied = rows.rows.take(pa.array(np.arange(rows.rows.num_rows)))
                self._parts.append(_Part(copied, rows.kinds, np.full(copied.num_rows, rows.group, np.int32)))
                self.size_bytes += copied.nbytes
        return drained

    def _settle(self) -> None:
        """Put the rows that came last in order."""
        if self._new:
            joined = _joined(self._new)
            self._new = []
            for start in range(0, len(joined.groups), _PART_ROWS):
                self._parts.append(self._ordered(_slice(joined, start, start + _PART_ROWS)))

    def _ordered(self, part: _Part) -> _Part:
        sorts = self._key is not None and len(part.groups) >= _SORTED_ROWS_MIN
        order = near_order(part.groups, part.rows[self._key] if sorts else None)
        if order is None:
            return part
        rows = part.rows.take(pa.array(order))
        return _Part(rows, None if part.kinds is None else part.kinds[order], part.groups[order])


def _by_group(parts: list[_Part]) -> list[BufferedRows]:
    """The rows of each group. The parts are taken apart."""
    starts = [_starts(part.groups) for part in parts]
    pieces, count = sum(len(s) - 1 for s in starts), sum(len(part.groups) for part in parts)
    if pieces > max(_PIECES_MAX, count // _PIECE_ROWS_MIN):
        parts = [_grouped(parts)]
        starts = [_starts(parts[0].groups)]
    found = [
        (int(part.groups[start]), _slice(part, start, end))
        for part, ends in zip(parts, starts, strict=True)
        for start, end in pairwise(ends.tolist())
    ]
    found.sort(key=itemgetter(0))
    return [_group(group, [piece for _, piece in same]) for group, same in groupby(found, key=itemgetter(0))]


def _group(group: int, pieces: list[_Part]) -> BufferedRows:
    joined = _joined(pieces)
    return BufferedRows(group, joined.rows, joined.kinds)


def _grouped(parts: list[_Part]) -> _Part:
    """All rows as one part. The parts are taken apart."""
    joined = _joined(parts)
    parts.clear()
    groups, kinds, schema, columns = joined.groups, joined.kinds, joined.rows.schema, joined.rows.columns[::-1]
    del joined
    smallest, largest = int(groups.min()), int(groups.max())
    narrow = (groups - smallest).astype(np.uint16) if largest - smallest < 1 << 16 else groups  # 16 bits: a radix sort
    order = np.argsort(narrow, kind="stable")
    taken = []
    while columns:  # a column that is done is let go, so that the rows are never in memory twice
        taken.append(columns.pop().take(pa.array(order)))
    return _Part(pa.Table.from_arrays(taken, schema=schema), None if kinds is None else kinds[order], groups[order])


def _starts(groups: Groups) -> npt.NDArray[np.int64]:
    """Where each group starts, and the end."""
    return np.concatenate(([0], np.flatnonzero(groups[1:] != groups[:-1]) + 1, [len(groups)]))


def _slice(part: _Part, start: int, end: int) -> _Part:
    if start == 0 and end >= len(part.groups):
        return part
    kinds = None if part.kinds is None else part.kinds[start:end]
    return _Part(part.rows.slice(start, end - start), kinds, part.groups[start:end])


def _joined(parts: list[_Part]) -> _Part:
    if len(parts) == 1:
        return parts[0]
    rows, groups = pa.concat_tables([part.rows for part in parts]), np.concatenate([part.groups for part in parts])
    if all(part.kinds is None for part in parts):
        return _Part(rows, None, groups)
    kinds = [np.zeros(len(part.groups), np.int8) if part.kinds is None else part.kinds for part in parts]
    return _Part(rows, np.concatenate(kinds), groups)
