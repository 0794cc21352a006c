"""Sorted runs and sections of one bucket.

A sorted run is a list of data files, ordered by key, whose key ranges do not overlap: each level-0 file is one, and so
is each higher level. A section is a set of runs whose ranges overlap one another but no other section's, so sections
can be merged independently, in any order.

Source: Paimon, `SortedRun`, `Levels` and `IntervalPartition`; O'Neil et al., The Log-Structured Merge-Tree (1996).
"""

import math
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tsdb.data_types import DataType
from tsdb.metadata.binary_row import decode_row
from tsdb.metadata.data_file import DataFileMeta

Key = tuple[Any, ...]
KeyRange = tuple[Key, Key]


@dataclass(frozen=True, slots=True)
class SortedRun:
    """files: ordered by key, disjoint."""

    level: int
    files: tuple[DataFileMeta, ...]

    @property
    def size_bytes(self) -> int:
        """The size of all files."""
        return sum(file.file_size for file in self.files)

    @property
    def sequence_range(self) -> tuple[int, int]:
        """The smallest and the largest sequence number."""
        return min(f.min_sequence_number for f in self.files), max(f.max_sequence_number for f in self.files)


def key_ranges(key_types: Sequence[DataType]) -> Callable[[DataFileMeta], KeyRange]:
    """A function that decodes a file's smallest and largest key to values that Python compares as Paimon does."""

    def key_range(file: DataFileMeta) -> KeyRange:
        low, high = decode_row(file.min_key, key_types), decode_row(file.max_key, key_types)
        return tuple(map(_comparable, low)), tuple(map(_comparable, high))

    return key_range


def sorted_runs(files: Iterable[DataFileMeta], key_range: Callable[[DataFileMeta], KeyRange]) -> tuple[SortedRun, ...]:
    """The runs of a bucket from the newest to the oldest: level 0 by sequence number downwards, then level 1, 2, ….

    Raises AssertionError if two files of a level above 0 overlap.
    """
    levels: dict[int, list[DataFileMeta]] = {}
    for file in files:
        levels.setdefault(file.level, []).append(file)
    newest_first = sorted(
        levels.pop(0, []),
        key=lambda f: (-f.max_sequence_number, -f.min_sequence_number, -(f.creation_time_millis or 0), f.file_name),
    )
    runs = [SortedRun(0, (file,)) for file in newest_first]
    for level in sorted(levels):
        ordered = sorted(levels[level], key=lambda f: key_range(f)[0])
        for left, right in pairwise(ordered):
            assert key_range(left)[1] <= key_range(right)[0], (
                f"files {left.file_name} and {right.file_name} of level {level} overlap"
            )
        runs.append(SortedRun(level, tuple(ordered)))
    return tuple(runs)


def sections(runs: Sequence[SortedRun], key_range: Callable[[DataFileMeta], KeyRange]) -> list[tuple[SortedRun, ...]]:
    """The sections in key order; the runs of a section keep the order of `runs`."""
    members = sorted(
        ((*key_range(file), i, file) for i, run in enumerate(runs) for file in run.files), key=lambda m: (m[0], m[2])
    )
    found: list[tuple[SortedRun, ...]] = []
    here: dict[int, list[DataFileMeta]] = {}
    reach: Key = ()
    for low, high, i, file in members:
        if here and low > reach:
            found.append(_section(runs, here))
            here = {}
        reach = max(reach, high) if here else high
        here.setdefault(i, []).append(file)
    if here:
        found.append(_section(runs, here))
    return found


def _section(runs: Sequence[SortedRun], members: dict[int, list[DataFileMeta]]) -> tuple[SortedRun, ...]:
    return tuple(SortedRun(runs[i].level, tuple(members[i])) for i in sorted(members))


def _comparable(value: Any) -> Any:
    """None first; floats as Java compares them: -0.0 before 0.0, NaN last."""
    if isinstance(value, float):
        bits: int = struct.unpack("<q", struct.pack("<d", math.nan if math.isnan(value) else value))[0]
        value = bits if bits >= 0 else bits ^ 0x7FFF_FFFF_FFFF_FFFF
    return (value is not None, value)
