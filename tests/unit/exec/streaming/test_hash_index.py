"""The index of a long run finds what `searchsorted` finds; a column in blocks is read like the column in one."""

import numpy as np
import pyarrow as pa
import pytest

from tsdb.exec.streaming.hash_index import HashIndex, bounded_search
from tsdb.exec.streaming.mapped_column import mapped_column
from tsdb.exec.streaming.run import pairs_of

TOP = np.iinfo(np.uint64).max


def hashes_of(kind: str, random: np.random.Generator) -> np.ndarray:
    """Ascending hashes: as they should be, and as they should not."""
    if kind == "spread":
        return np.sort(random.integers(0, TOP, 5000, np.uint64))
    if kind == "repeated":
        return np.sort(random.choice(random.integers(0, TOP, 50, np.uint64), 3000))
    if kind == "crowded":
        return np.arange(1 << 20, (1 << 20) + 4000, dtype=np.uint64)
    if kind == "ends":
        return np.sort(np.concatenate([np.zeros(9, np.uint64), np.full(7, TOP), random.integers(0, TOP, 3, np.uint64)]))
    return random.integers(0, TOP, 1, np.uint64)


@pytest.mark.parametrize("kind", ["spread", "repeated", "crowded", "ends", "single"])
def test_spans_are_those_of_searchsorted(kind: str) -> None:
    random = np.random.default_rng(11)
    hashes = hashes_of(kind, random)
    index = HashIndex(np.array_split(hashes, 3))
    near = np.concatenate([hashes[::3], hashes[::5] + np.uint64(1), hashes[::7] - np.uint64(1)])
    sought = random.permutation(np.concatenate([near, random.integers(0, TOP, 500, np.uint64)]))
    low, high = np.searchsorted(hashes, sought), np.searchsorted(hashes, sought, side="right")
    there = np.flatnonzero(low < high)
    widest = int((high - low).max())
    probe, first, end = index.spans(sought, hashes.__getitem__, widest)
    assert probe.tolist() == there.tolist()
    assert first.tolist() == low[there].tolist() and end.tolist() == high[there].tolist()
    pairs = [(int(p), row) for p in there for row in range(low[p], high[p])]
    assert list(zip(*(x.tolist() for x in pairs_of(probe, first, end)), strict=True)) == pairs
    assert not len(index.spans(np.empty(0, np.uint64), hashes.__getitem__, widest)[0])


def test_absent_hashes_are_seldom_looked_for_in_the_run() -> None:
    random = np.random.default_rng(2)
    hashes = np.sort(random.integers(0, TOP, 100_000, np.uint64))
    reads = 0

    def read(at: np.ndarray) -> np.ndarray:
        nonlocal reads
        reads += len(at)
        return hashes[at]

    index = HashIndex([hashes])
    assert not len(index.spans(random.integers(0, TOP, 10_000, np.uint64), read, 1)[0])
    assert reads < 1000 and index.size_bytes < 2.1 * len(hashes)
    found, _, _ = index.spans(hashes[::10], read, 1)
    assert len(found) == 10_000 and reads < 35_000


def test_a_search_within_ranges() -> None:
    values = np.array([1, 3, 3, 5, 2, 2, 9])
    low, high, sought = np.array([0, 0, 4, 4, 2]), np.array([4, 4, 7, 4, 4]), np.array([3, 6, 2, 2, 0])
    assert bounded_search(values.__getitem__, low, high, sought).tolist() == [1, 4, 4, 4, 2]
    assert bounded_search(values.__getitem__, low, high, sought, right=True).tolist() == [3, 4, 6, 4, 2]


@pytest.mark.parametrize(
    "kind", [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.float64(), pa.timestamp("ms"), pa.date32()]
)
def test_a_column_in_blocks_is_read_at_positions(kind: pa.DataType) -> None:
    whole = pa.array(np.arange(100) % 90, pa.int64()).cast(pa.int32()).cast(kind) if kind.bit_width == 32 else None
    whole = pa.array(np.arange(100) % 90).cast(kind) if whole is None else whole
    blocks = [whole.slice(0, 30), pa.concat_arrays([whole.slice(30, 1)]), whole.slice(31, 69)]
    column = mapped_column(blocks)
    assert column is not None
    at = np.array([99, 0, 30, 31, 30, 29])
    assert column.take(at, np.array([2, 0, 1, 2, 1, 0])).equals(whole.take(pa.array(at)))


def test_what_has_no_width_or_a_null_is_not_read_in_this_way() -> None:
    assert mapped_column([pa.array(["a"])]) is None
    assert mapped_column([pa.array([True])]) is None
    assert mapped_column([pa.array([1]), pa.array([None], pa.int64())]) is None
