"""Arrangements: keyed Z-sets as a spine of immutable sorted runs.

A run is sorted by the 64-bit hash of the key; a row occurs at most once in a run, with its weight. The arrangement is
the sum of its runs. A new delta becomes a new run. The last four runs are merged when the first of them is no longer
than the others together (the last two while the older is less than twice as long, if the newer takes rows back), so
there are O(log n) runs and a row is moved O(log n) times; merging drops rows whose weights cancel. Lookups are
`searchsorted` over the hashes, then the real keys are compared, so collisions cost time but never a wrong row. NULL
keys equal NULL; whoever wants otherwise (joins) does not put NULL keys in.

Source: Budiu et al., DBSP (spines of batches, after Differential Dataflow); O'Neil et al., The LSM-Tree (1996).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tsdb.changes import ChangeBatch, plus
from tsdb.exec.streaming.graph import RunStore, StateSize
from tsdb.exec.streaming.run import Run, consolidated, merged, pairs_of
from tsdb.exec.streaming.spilled_run import AnyRun, SpilledRun, merged_on_disk, opened, run_table, spilled, written
from tsdb.exec.streaming.state_memory import current_state_memory
from tsdb.exec.streaming.watermark import below
from tsdb.row_hash import I64, U64, arrays, equal_rows, hash_is_exact, hash_rows, take

_TIER = 4
_GROWTH = {2: 2, _TIER: 1}


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
        self._runs: list[AnyRun] = []
        self._memory = current_state_memory()
        self._number = 0 if self._memory is None else self._memory.join(self)

    @property
    def rows(self) -> int:
        """How many rows are kept (parts of the same row in several runs count each)."""
        return sum(r.length for r in self._runs)

    def keys_of(self, rows: pa.Table) -> list[pa.Array]:
        """The key columns of rows of this arrangement."""
        return arrays(rows, self._key)

    def insert(self, delta: ChangeBatch, ascending: U64 | None = None) -> None:
        """Add a Z-set. ascending: the hashes of its keys, if its rows are in their order."""
        if not delta.num_rows:
            return
        columns = arrays(delta.rows)
        row_hashes = hash_rows(columns, delta.num_rows)
        if ascending is not None:
            hashes = ascending
        else:
            every = self._key == tuple(range(len(columns)))
            hashes = row_hashes if every else hash_rows([columns[k] for k in self._key], delta.num_rows)
        in_parts = ascending is not None
        run = consolidated(hashes, row_hashes, delta.weights, columns, self._schema, in_parts=in_parts)
        if len(run.hashes):
            self._runs.append(run)
            self._merge_neighbours()
            self._weigh()

    def lookup(self, keys: Sequence[pa.Array], hashes: U64, columns: Sequence[int] | None = None) -> Matches:
        """The rows under each of these keys. hashes: hash_rows of the keys, best ascending. columns: only these."""
        chosen = range(len(self._schema)) if columns is None else columns
        schema = pa.schema([self._schema.field(c) for c in chosen])
        probes, parts, weights = [np.empty(0, np.int64)], [schema.empty_table()], [np.empty(0, np.int64)]
        if self._memory is not None:
            self._memory.looked()
        for run in self._runs:
            probe, at = self._same(keys, run, *pairs_of(*run.spans(hashes)))
            if len(at):
                probes.append(probe)
                parts.append(_table(run, at, chosen, schema))
                weights.append(run.weights_at(at))
        return Matches(np.concatenate(probes), pa.concat_tables(parts), np.concatenate(weights))

    def under(self, hashes: U64) -> ChangeBatch:
        """The rows of keys with these hashes, ascending; a row may come in parts."""
        parts = []
        for run in self._runs:
            _, at = pairs_of(*run.spans(hashes))
            parts.append(ChangeBatch(_table(run, at, range(len(self._schema)), self._schema), run.weights_at(at)))
        return plus(parts, self._schema)

    def weigh(self, keys: Sequence[pa.Array], hashes: U64) -> I64:
        """The sum of the weights under each of these keys. hashes: as for `lookup`."""
        sums = np.zeros(len(hashes), np.int64)
        for run in self._runs:
            probe, low, high = run.spans(hashes)
            if isinstance(run, Run) and (not self._key or (hash_is_exact(keys) and run.tells_apart(self._key))):
                sums += run.weigh(probe, low, high, len(hashes))
                continue
            probe, at = self._same(keys, run, *pairs_of(probe, low, high))
            np.add.at(sums, probe, run.weights_at(at))
        return sums

    def fan_out(self, hashes: U64) -> I64:
        """At most how many rows are found under each key with these hashes."""
        counts = np.zeros(len(hashes), np.int64)
        for run in self._runs:
            probe, low, high = run.spans(hashes)
            counts[probe] += high - low
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
        blocks = self._runs[0].blocks
        if len(blocks) == 1:
            return ChangeBatch(blocks[0].rows, blocks[0].weights)
        rows = pa.concat_tables([b.rows for b in blocks])
        return ChangeBatch(rows, np.concatenate([b.weights for b in blocks]))

    def parts(self) -> list[ChangeBatch]:
        """The blocks of all runs; the Z-set is their sum."""
        return [ChangeBatch(b.rows, b.weights) for r in self._runs for b in r.blocks]

    def forget(self, column: int, bound: int | None) -> None:
        """Drop rows whose value of a time column is below the bound, of every run that half consists of such."""
        if bound is None:
            return
        kept: list[AnyRun | None] = []
        for run in self._runs:
            if bound <= run.middle(column):
                kept.append(run)
            elif isinstance(run, Run):
                kept.append(run.where(~below(run.rows.column(column), bound)))
            else:
                left = (b.where(~below(b.rows.column(column), bound)) for b in run.blocks)
                kept.append(self._on_disk(left))
        self._runs = [run for run in kept if run is not None and run.length]
        self._weigh()

    def state_size(self) -> StateSize:
        """Rows and bytes of all runs."""
        return StateSize(self.rows, sum(r.size_bytes for r in self._runs))

    def checkpoint(self, store: RunStore) -> list[str]:
        """The names of the runs, oldest first; only runs that are new are put into the store."""
        for run in self._runs:
            if run.stored is None:
                run.stored = store.put(run_table(run))
        return [r.stored for r in self._runs if r.stored is not None]

    def restore(self, names: Sequence[str], store: RunStore) -> None:
        """Take the runs of a checkpoint; they are read where they lie."""
        lazily = self._memory is not None
        self._runs = [opened(store.get(name), self._schema, name, lazily=lazily) for name in names]
        self._weigh()

    @property
    def largest_bytes(self) -> int:
        """The size of the largest run in memory."""
        return max((r.size_bytes for r in self._runs if isinstance(r, Run)), default=0)

    def spill(self) -> None:
        """Put the largest run in memory on disk."""
        sizes = [r.size_bytes if isinstance(r, Run) else -1 for r in self._runs]
        at = int(np.argmax(sizes))
        run = self._runs[at]
        assert self._memory is not None and isinstance(run, Run), "there is something to spill"
        moved = spilled(run, self._schema, self._memory)
        assert moved is not None, "a run has rows"
        moved.stored = run.stored
        self._runs[at] = moved
        self._memory.held(self._number, self._held_bytes())

    def _same(self, keys: Sequence[pa.Array], run: AnyRun, probe: I64, at: I64) -> tuple[I64, I64]:
        """Those pairs of equal hashes that have equal keys."""
        if not self._key or not len(at):
            return probe, at
        if hash_is_exact(keys) and run.tells_apart(self._key):
            return probe, at
        same = equal_rows(run.take(at, self._key), take(keys, probe), len(at))
        return probe[same], at[same]

    def _held_bytes(self) -> int:
        return sum(r.size_bytes for r in self._runs if isinstance(r, Run))

    def _weigh(self) -> None:
        if self._memory is not None:
            self._memory.holds(self._number, self._held_bytes())

    def _on_disk(self, blocks: Iterable[Run]) -> SpilledRun | None:
        assert self._memory is not None, "only a budget puts runs on disk"
        return written(blocks, self._schema, self._memory)

    def _merge_neighbours(self) -> None:
        """Put the last runs together while they are of a size: four of them, or two if the last one takes rows back."""
        while len(self._runs) > 1:
            count = 2 if self._runs[-1].takes_back else _TIER
            first, *rest = (run.length for run in self._runs[-count:])
            if len(rest) + 1 < count or first > _GROWTH[count] * sum(rest):
                return
            self._merge_last(count)

    def _merge_last(self, count: int) -> None:
        last = self._runs[-count:]
        in_memory = [run for run in last if isinstance(run, Run)]
        if len(in_memory) == len(last) and self._fit(in_memory):
            whole: AnyRun | None = merged(in_memory, self._schema)
        else:
            assert self._memory is not None, "only a budget puts runs on disk"
            whole = merged_on_disk(last, self._schema, self._memory)
        self._runs[-count:] = [whole] if whole is not None and whole.length else []

    def _fit(self, runs: Sequence[Run]) -> bool:
        """Whether the sum of the runs may be in memory beside them."""
        return self._memory is None or sum(run.size_bytes for run in runs) <= self._memory.limit_bytes // 4


def _table(run: AnyRun, at: I64, columns: Sequence[int], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_arrays(run.take(at, columns), schema=schema)
