"""Rows that wait in memory to become level-0 files, of all buckets of a writer.

Rows are kept as they came, each with the number of its group (a bucket of a partition), so that a row is copied only
twice more: all into one chunk, and when its file is written. Law: draining gives every row once, each group in order of
arrival.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_CHUNKS_MAX = 8  # taking rows out of more chunks costs more than the copy that joins them


@dataclass(frozen=True, slots=True)
class BufferedRows:
    """The rows of one group: rows[positions], ascending; kinds belongs to `rows`; None means all +I."""

    group: int
    rows: pa.Table
    kinds: npt.NDArray[np.int8] | None
    positions: npt.NDArray[np.int64]


class WriteBuffer:
    """Rows of several groups. Not thread-safe."""

    def __init__(self) -> None:
        self._rows: list[pa.Table] = []
        self._kinds: list[npt.NDArray[np.int8] | None] = []
        self._groups: list[npt.NDArray[np.int32]] = []
        self.size_bytes = 0

    def clear(self) -> None:
        """Forget all rows."""
        self._rows, self._kinds, self._groups = [], [], []
        self.size_bytes = 0

    def add(self, rows: pa.Table, kinds: npt.NDArray[np.int8] | None, groups: npt.NDArray[np.int32]) -> None:
        """Append rows; kinds (None: all +I) and groups have one element a row."""
        assert rows.num_rows == len(groups) and (kinds is None or len(kinds) == len(groups))
        self._rows.append(rows)
        self._kinds.append(kinds)
        self._groups.append(groups)
        self.size_bytes += rows.nbytes

    def drain(self, *, keep_small: bool = False) -> list[BufferedRows]:
        """Empty the buffer, largest group first.

        keep_small: groups that together hold under a quarter of the rows stay, so that cold partitions do not
        get tiny files.
        """
        if not self._rows:
            return []
        rows = pa.concat_tables(self._rows)
        if len(self._rows) > _CHUNKS_MAX:
            rows = rows.combine_chunks()
        groups = np.concatenate(self._groups)
        kinds = _concat_kinds(self._kinds, [len(g) for g in self._groups])
        self.clear()
        split = _split(groups)
        split.sort(key=lambda item: -len(item[1]))
        drained: list[BufferedRows] = []
        taken, wanted = 0, len(groups) * 3 // 4 if keep_small else len(groups)
        for i, (group, positions) in enumerate(split):
            if taken >= wanted:
                rest = np.sort(np.concatenate([p for _, p in split[i:]]))
                self.add(rows.take(rest), None if kinds is None else kinds[rest], groups[rest])
                break
            taken += len(positions)
            drained.append(BufferedRows(group, rows, kinds, positions))
        return drained


def _concat_kinds(parts: list[npt.NDArray[np.int8] | None], lengths: list[int]) -> npt.NDArray[np.int8] | None:
    if all(part is None for part in parts):
        return None
    return np.concatenate([np.zeros(n, np.int8) if p is None else p for p, n in zip(parts, lengths, strict=True)])


def _split(groups: npt.NDArray[np.int32]) -> list[tuple[int, npt.NDArray[np.int64]]]:
    """Each group with the ascending positions of its rows."""
    smallest, largest = int(groups.min()), int(groups.max())
    if smallest == largest:
        return [(smallest, np.arange(len(groups)))]
    if largest - smallest < 8:
        return [(g, p) for g in range(smallest, largest + 1) if len(p := np.flatnonzero(groups == g))]
    narrow = (groups - smallest).astype(np.uint16) if largest - smallest < 1 << 16 else groups  # 16 bits: a radix sort
    order = np.argsort(narrow, kind="stable")
    ordered = groups[order]
    starts = np.concatenate(([0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1, [len(groups)]))
    return [(int(ordered[s]), order[s:e]) for s, e in pairwise(starts)]
