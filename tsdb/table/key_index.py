"""Where the row of each primary key of a table is: partition and bucket, for all keys in memory.

A few sorted runs of 64-bit hashes, the newer ones smaller; a lookup is a binary search of all keys at once, from the
newest run to the oldest, and what has the same hash is compared. One integer key needs no comparison: its hash is a
bijection, and only hash, partition and bucket are kept (16 bytes a key).

Source: Paimon keeps this index in RocksDB (`GlobalIndexAssigner`); the sorted runs are those of an LSM tree.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.row_hash import equal_rows, group_rows, hash_is_exact, hash_rows, take

Ints = npt.NDArray[np.int32]
Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class KeyPlaces:
    """A partition number and a bucket for each of n keys; partition -1: the key is not known."""

    partitions: Ints
    buckets: Ints

    def take(self, rows: Positions) -> "KeyPlaces":
        """Those of some of the keys."""
        return KeyPlaces(self.partitions[rows], self.buckets[rows])


@dataclass(frozen=True, slots=True)
class Keys:
    """Key columns and their hashes. columns: () where the hash says all."""

    hashes: npt.NDArray[np.uint64]
    columns: tuple[pa.Array, ...]

    def take(self, rows: Positions) -> "Keys":
        """Some of the keys."""
        return Keys(self.hashes[rows], tuple(take(self.columns, rows)))


def keys_of(rows: pa.Table, names: Sequence[str]) -> Keys:
    """The keys of some rows. names: the primary-key columns."""
    columns = [_one_array(rows[name]) for name in names]
    hashes = hash_rows(columns, rows.num_rows)
    return Keys(hashes, () if hash_is_exact(columns) else tuple(columns))


def same_keys(keys: Keys) -> tuple[Positions, npt.NDArray[np.bool_]]:
    """The rows with equal keys side by side, each group in order of position, and where a group begins."""
    labels = group_rows(keys.columns, keys.hashes).ids() if keys.columns else keys.hashes
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    fresh = np.ones(len(order), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=fresh[1:])
    return order, fresh


class KeyIndex:
    """The places of keys. Not thread-safe."""

    def __init__(self) -> None:
        self._runs: list[tuple[Keys, KeyPlaces]] = []

    def find(self, keys: Keys) -> KeyPlaces:
        """The place of each key."""
        found = KeyPlaces(np.full(len(keys.hashes), -1, np.int32), np.zeros(len(keys.hashes), np.int32))
        pending = np.arange(len(keys.hashes))
        for run, places in reversed(self._runs):
            at, hit = _search(run, keys, pending)
            found.partitions[pending[hit]] = places.partitions[at[hit]]
            found.buckets[pending[hit]] = places.buckets[at[hit]]
            pending = pending[~hit]
        return found

    def put(self, keys: Keys, places: KeyPlaces) -> None:
        """New places of distinct keys."""
        if not len(keys.hashes):
            return
        order = np.argsort(keys.hashes, kind="stable")
        self._runs.append((keys.take(order), places.take(order)))
        while len(self._runs) > 1 and len(self._runs[-2][1].buckets) < 2 * len(self._runs[-1][1].buckets):
            self._runs[-2:] = [_merged(*self._runs[-2:])]


def _merged(old: tuple[Keys, KeyPlaces], new: tuple[Keys, KeyPlaces]) -> tuple[Keys, KeyPlaces]:
    columns = tuple(pa.concat_arrays([a, b]) for a, b in zip(old[0].columns, new[0].columns, strict=True))
    keys = Keys(np.concatenate([old[0].hashes, new[0].hashes]), columns)
    places = KeyPlaces(
        np.concatenate([old[1].partitions, new[1].partitions]), np.concatenate([old[1].buckets, new[1].buckets])
    )
    order, fresh = same_keys(keys)
    last = order[np.append(fresh[1:], True)]  # of each key, what came last
    last = last[np.argsort(keys.hashes[last], kind="stable")]
    return keys.take(last), places.take(last)


def _search(run: Keys, keys: Keys, pending: Positions) -> tuple[Positions, npt.NDArray[np.bool_]]:
    """Where in the run the pending keys are, and whether they are there at all."""
    at = np.searchsorted(run.hashes, keys.hashes[pending]).astype(np.int64)
    hit = np.zeros(len(pending), np.bool_)
    open_ = np.arange(len(pending))
    while len(open_):
        inside = at[open_] < len(run.hashes)
        open_ = open_[inside]
        open_ = open_[run.hashes[at[open_]] == keys.hashes[pending[open_]]]
        if not keys.columns:
            hit[open_] = True
            break
        same = equal_rows(take(run.columns, at[open_]), take(keys.columns, pending[open_]), len(open_))
        hit[open_[same]] = True
        open_ = open_[~same]
        at[open_] += 1  # another key of the same hash
    return np.minimum(at, len(run.hashes) - 1), hit


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    """As one array, with offsets that do not overflow when many of them are joined."""
    if pa.types.is_string(column.type):
        column = column.cast(pa.large_string())
    elif pa.types.is_binary(column.type):
        column = column.cast(pa.large_binary())
    whole: pa.Array = column.combine_chunks()
    return whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole
