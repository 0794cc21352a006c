"""Arrangements: keyed Z-sets as a spine of immutable sorted runs.

A run is sorted by the 64-bit hash of the key; a row occurs at most once in a run, with its weight. The arrangement is
the sum of its runs. A new delta becomes a new run. The last four runs are merged when the first of them is no longer
than the others together (the last two while the older is less than twice as long, if the newer takes rows back), so
there are O(log n) runs and a row is moved O(log n) times; merging drops rows whose weights cancel. Lookups are
`searchsorted` over the hashes, then the real keys are compared, so collisions cost time but never a wrong row. NULL
keys equal NULL; whoever wants otherwise (joins) does not put NULL keys in.

Source: Budiu et al., DBSP (spines of batches, after Differential Dataflow); O'Neil et al., The LSM-Tree (1996).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from tsdb.changes import ChangeBatch
from tsdb.exec.streaming.graph import RunStore, StateSize
from tsdb.exec.streaming.watermark import below, median
from tsdb.row_hash import I64, U64, arrays, equal_rows, hash_is_exact, hash_rows, take

_HASH, _ROW_HASH, _WEIGHT = "__hash", "__row_hash", "__weight"
_TIER = 4
_GROWTH = {2: 2, _TIER: 1}


@dataclass(slots=True)
class Run:
    """hashes: of the keys, ascending; row_hashes, weights, rows: alike.

    widest: how many rows there are under one hash at most. stored: its name in a RunStore, if any. middles: medians of
    time columns.
    """

    hashes: U64
    row_hashes: U64
    weights: I64
    rows: pa.Table
    widest: int
    stored: str | None = None
    middles: dict[int, int] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Memory of the run."""
        return int(self.rows.nbytes) + 24 * len(self.hashes)

    def middle(self, column: int) -> int:
        """The median of a time column in nanoseconds, found once."""
        if column not in self.middles:
            self.middles[column] = median(self.rows.column(column))
        return self.middles[column]


@dataclass(frozen=True, slots=True)
class Matches:
    """Row i belongs to the probed key number probe[i], with weights[i]. A row may come in parts that sum up."""

    probe: I64
    rows: pa.Table
    weights: I64


class Arrangement:
    """A Z-set that can be asked for the rows of many keys at once."""

    def __init__(self, schema: pa.Schema, key: Sequence[int]) -> None:
        """key: the positions of the key columns; without any, all rows are under one key."""
        self._schema = schema
        self._key = tuple(key)
        self._runs: list[Run] = []

    @property
    def rows(self) -> int:
        """How many rows are kept (parts of the same row in several runs count each)."""
        return sum(len(r.hashes) for r in self._runs)

    def keys_of(self, rows: pa.Table) -> list[pa.Array]:
        """The key columns of rows of this arrangement."""
        return arrays(rows, self._key)

    def insert(self, delta: ChangeBatch) -> None:
        """Add a Z-set."""
        if not delta.num_rows:
            return
        columns = arrays(delta.rows)
        row_hashes = hash_rows(columns, delta.num_rows)
        hashes = hash_rows([columns[k] for k in self._key], delta.num_rows)
        run = _consolidated(hashes, row_hashes, delta.weights, columns, self._schema)
        if len(run.hashes):
            self._runs.append(run)
            self._merge_neighbours()

    def lookup(self, keys: Sequence[pa.Array], hashes: U64, columns: Sequence[int] | None = None) -> Matches:
        """The rows under each of these keys. hashes: hash_rows of the keys, best ascending. columns: only these."""
        probes, parts, weights = [], [], []
        for run in self._runs:
            probe, at = _candidates(run, hashes)
            if len(at) and self._key:
                kept = arrays(run.rows, self._key)
                if not (hash_is_exact(keys) and hash_is_exact(kept)):
                    same = equal_rows(take(kept, at), take(keys, probe), len(at))
                    probe, at = probe[same], at[same]
            if len(at):
                probes.append(probe)
                parts.append((run.rows if columns is None else run.rows.select(columns)).take(pa.array(at)))
                weights.append(run.weights[at])
        if not parts:
            nothing = self._schema.empty_table()
            nothing = nothing if columns is None else nothing.select(columns)
            return Matches(np.empty(0, np.int64), nothing, np.empty(0, np.int64))
        return Matches(np.concatenate(probes), pa.concat_tables(parts), np.concatenate(weights))

    def fan_out(self, hashes: U64) -> I64:
        """At most how many rows are found under each key with these hashes."""
        counts = np.zeros(len(hashes), np.int64)
        for run in self._runs:
            low = np.searchsorted(run.hashes, hashes)
            counts += np.searchsorted(run.hashes, hashes, side="right") - low
        return counts

    @property
    def fan_out_max(self) -> int:
        """At most how many rows are found under one key."""
        return sum(r.widest for r in self._runs)

    def everything(self) -> ChangeBatch:
        """All rows, consolidated."""
        if len(self._runs) > 1:
            self._merge_last(len(self._runs))
        if not self._runs:
            return ChangeBatch(self._schema.empty_table(), np.empty(0, np.int64))
        return ChangeBatch(self._runs[0].rows, self._runs[0].weights)

    def parts(self) -> list[ChangeBatch]:
        """The runs; the Z-set is their sum."""
        return [ChangeBatch(r.rows, r.weights) for r in self._runs]

    def forget(self, column: int, bound: int | None) -> None:
        """Drop rows whose value of a time column is below the bound, of every run that half consists of such."""
        if bound is None:
            return
        for i, run in enumerate(self._runs):
            if bound > run.middle(column):
                kept = ~below(run.rows.column(column), bound)
                rows = run.rows.filter(pa.array(kept))
                hashes = run.hashes[kept]
                self._runs[i] = Run(hashes, run.row_hashes[kept], run.weights[kept], rows, _widest(hashes))
        self._runs = [run for run in self._runs if len(run.hashes)]

    def state_size(self) -> StateSize:
        """Rows and bytes of all runs."""
        return StateSize(self.rows, sum(r.size_bytes for r in self._runs))

    def checkpoint(self, store: RunStore) -> list[str]:
        """The names of the runs, oldest first; only runs that are new are put into the store."""
        for run in self._runs:
            if run.stored is None:
                table = run.rows
                for name, column in ((_HASH, run.hashes), (_ROW_HASH, run.row_hashes), (_WEIGHT, run.weights)):
                    table = table.append_column(name, pa.array(column))
                run.stored = store.put(table)
        return [r.stored for r in self._runs if r.stored is not None]

    def restore(self, names: Sequence[str], store: RunStore) -> None:
        """Take the runs of a checkpoint; they are read where they lie."""
        self._runs = [self._restored(store.get(name), name) for name in names]

    def _restored(self, table: pa.Table, name: str) -> Run:
        columns = {c: arrays(table.select([c]))[0].to_numpy() for c in (_HASH, _ROW_HASH, _WEIGHT)}
        hashes = columns[_HASH]
        rows = pa.Table.from_arrays(arrays(table, range(len(self._schema))), schema=self._schema)
        return Run(hashes, columns[_ROW_HASH], columns[_WEIGHT], rows, _widest(hashes), name)

    def _merge_neighbours(self) -> None:
        """Put the last runs together while they are of a size: four of them, or two if the last one takes rows back."""
        while len(self._runs) > 1:
            count = 2 if (self._runs[-1].weights < 0).any() else _TIER
            first, *rest = (len(run.hashes) for run in self._runs[-count:])
            if len(rest) + 1 < count or first > _GROWTH[count] * sum(rest):
                return
            self._merge_last(count)

    def _merge_last(self, count: int) -> None:
        last = self._runs[-count:]
        merged = _consolidated(
            np.concatenate([run.hashes for run in last]),
            np.concatenate([run.row_hashes for run in last]),
            np.concatenate([run.weights for run in last]),
            arrays(pa.concat_tables([run.rows for run in last])),
            self._schema,
        )
        self._runs[-count:] = [merged] if len(merged.hashes) else []


def _candidates(run: Run, hashes: U64) -> tuple[I64, I64]:
    """(probe, position in the run) of every pair of equal hashes."""
    low = np.searchsorted(run.hashes, hashes)
    found = np.flatnonzero(run.hashes[np.minimum(low, len(run.hashes) - 1)] == hashes)
    low = low[found]
    if run.widest == 1 or not len(found):
        return found, low
    counts = np.searchsorted(run.hashes, hashes[found], side="right") - low
    ends = np.cumsum(counts)
    at = np.arange(ends[-1]) + np.repeat(low - ends + counts, counts)
    return np.repeat(found, counts), at


def _consolidated(hashes: U64, row_hashes: U64, weights: I64, columns: Sequence[pa.Array], schema: pa.Schema) -> Run:
    """A run of these rows: sorted by (hash, row hash), equal rows summed, zeros dropped."""
    order = _sorted_order(hashes, row_hashes)
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
    return Run(hashes, row_hashes, weights, rows, _widest(hashes))


def _sorted_order(hashes: U64, row_hashes: U64) -> I64:
    """The order by hash, equal rows side by side. The second sort only touches rows that share a hash."""
    order: Any = np.argsort(hashes)
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


def _widest(hashes: U64) -> int:
    starts = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1], [True]])) if len(hashes) else [0, 1]
    return int(np.diff(starts).max())
