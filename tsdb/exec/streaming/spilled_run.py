"""A run that lies in a file: blocks of Arrow record batches, each with the hashes of its rows, mapped into memory.

The file is the one that a checkpoint stores, so a run found again is opened, not loaded. Blocks are cut between hashes.
A look-up asks the index of the hashes, which is in memory, and reads of the file what it found. Runs are
merged range of hashes by range of hashes, so a merge needs the memory of a few blocks, whatever the size of the runs.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from tsdb.exec.streaming.hash_index import HashIndex
from tsdb.exec.streaming.mapped_column import MappedColumn, mapped_column
from tsdb.exec.streaming.run import Run, is_ascending, merged, widest
from tsdb.exec.streaming.state_memory import StateMemory
from tsdb.row_hash import I64, U64, arrays, hash_is_exact

HASH, ROW_HASH, WEIGHT = "__hash", "__row_hash", "__weight"
_WIDEST = b"widest"
_ONCE = b"once"
"""Every row has the weight 1."""

_BLOCK_ROWS = 1 << 19
_BLOCK_BYTES = 32 << 20


class SpilledRun:
    """A run as a table of its blocks; `table` has the columns of the rows and then HASH, ROW_HASH and WEIGHT."""

    def __init__(self, table: pa.Table, schema: pa.Schema, stored: str | None = None) -> None:
        """schema: of the rows. Raises KeyError for a table that is no run."""
        self.table = table
        self.stored = stored
        self.length = table.num_rows
        self.widest = int((table.schema.metadata or {})[_WIDEST])
        batches = [b for b in table.to_batches() if b.num_rows]
        self.blocks = [_block(b, schema, self.widest) for b in batches]
        self._firsts: U64 = np.array([b.hashes[0] for b in self.blocks], np.uint64)
        self._begins: I64 = np.cumsum([0, *(b.length for b in self.blocks[:-1])])
        self._hashes, self._weights = (_words([batch.column(c) for batch in batches]) for c in (HASH, WEIGHT))
        self._once = _ONCE in (table.schema.metadata or {})
        self._index: HashIndex | None = None
        self._mapped: dict[int, MappedColumn | None] = {}

    @property
    def size_bytes(self) -> int:
        """Bytes of the run, on disk."""
        return int(self.table.nbytes)

    @property
    def takes_back(self) -> bool:
        """Whether it makes rows of older runs go; about, as the first block says."""
        return self.blocks[0].takes_back

    def middle(self, column: int) -> int:
        """About the median of a time column: hashes are a fair sample, so the first block stands for all."""
        return self.blocks[0].middle(column)

    def spans(self, hashes: U64) -> tuple[I64, I64, I64]:
        """(probe, first row, row after the last) of every hash that is there."""
        if self._index is None:
            self._index = HashIndex([block.hashes for block in self.blocks])
        return self._index.spans(hashes, lambda at: self._hashes.values(at, self._block_of(at)), self.widest)

    def weights_at(self, at: I64) -> I64:
        """The weights of these rows."""
        if self._once:
            return np.ones(len(at), np.int64)
        return self._weights.values(at, self._block_of(at)).view(np.int64)

    def take(self, at: I64, columns: Sequence[int]) -> list[pa.Array]:
        """These rows of these columns."""
        block = self._block_of(at)
        return [self._taken(at, block, column) for column in columns]

    def tells_apart(self, key: Sequence[int]) -> bool:
        """Whether rows with different values of these columns certainly have different hashes."""
        return all(self._column(c) for c in key) and hash_is_exact(arrays(self.blocks[0].rows, key))

    def _column(self, column: int) -> MappedColumn | None:
        if column not in self._mapped:
            self._mapped[column] = mapped_column([b.rows.column(column).chunk(0) for b in self.blocks])
        return self._mapped[column]

    def _taken(self, at: I64, block: I64, column: int) -> pa.Array:
        mapped = self._column(column)
        if mapped is not None:
            return mapped.take(at, block)
        order = np.argsort(block, kind="stable")
        numbers, begins = np.unique(block[order], return_index=True)
        parts = []
        for number, begin, end in zip(numbers, begins, [*begins[1:], len(at)], strict=True):
            rows = at[order[begin:end]] - self._begins[number]
            parts.append(self.blocks[number].rows.column(column).chunk(0).take(pa.array(rows)))
        if not parts:
            return pa.array([], self.blocks[0].rows.schema.types[column])
        taken = pa.concat_arrays(parts)
        return taken if is_ascending(block) else taken.take(pa.array(np.argsort(order)))

    def _block_of(self, at: I64) -> I64:
        return np.searchsorted(self._begins, at, side="right") - 1

    def between(self, first: np.uint64 | None, end: np.uint64 | None) -> list[Run]:
        """The rows with hashes from `first` up to, not including, `end`, in parts."""
        begin = 0 if first is None else max(int(np.searchsorted(self._firsts, first, side="right")) - 1, 0)
        stop = len(self.blocks) if end is None else int(np.searchsorted(self._firsts, end))
        parts = [block.between(first, end) for block in self.blocks[begin:stop]]
        return [p for p in parts if p.length]


AnyRun: TypeAlias = Run | SpilledRun


def run_table(run: AnyRun) -> pa.Table:
    """The run as a table for a store."""
    if isinstance(run, SpilledRun):
        return run.table
    return _with_hashes(run).replace_schema_metadata(_metadata(run.widest, once=bool((run.weights == 1).all())))


def opened(table: pa.Table, schema: pa.Schema, name: str, *, lazily: bool) -> AnyRun:
    """The run of a table from a store. lazily: its rows stay where they are."""
    if lazily and _WIDEST in (table.schema.metadata or {}):
        return SpilledRun(table, schema, name)
    columns = {c: np.asarray(arrays(table.select([c]))[0].to_numpy()) for c in (HASH, ROW_HASH, WEIGHT)}
    rows = pa.Table.from_arrays(arrays(table, range(len(schema))), schema=schema)
    hashes = columns[HASH]
    return Run(hashes, columns[ROW_HASH], columns[WEIGHT], rows, widest(hashes), name)


def spilled(run: AnyRun, schema: pa.Schema, memory: StateMemory) -> SpilledRun | None:
    """The run on disk; None if it has no rows."""
    return written(_cut(run), schema, memory)


def merged_on_disk(runs: Sequence[AnyRun], schema: pa.Schema, memory: StateMemory) -> SpilledRun | None:
    """The sum of runs, on disk; None if it has no rows."""
    return written((merged(parts, schema) for parts in _ranges(runs)), schema, memory)


def written(blocks: Iterable[Run], schema: pa.Schema, memory: StateMemory) -> SpilledRun | None:
    """A run of these blocks, written one after the other."""
    most, rows, once = 1, 0, True

    def fill(file: pa.NativeFile) -> None:
        nonlocal most, rows, once
        with pa.ipc.new_file(file, _file_schema(schema)) as writer:
            for block in blocks:
                if block.length:
                    writer.write_table(_with_hashes(block))
                    most, rows = max(most, block.widest), rows + block.length
                    once = once and bool((block.weights == 1).all())

    buffer = memory.write(fill)
    if not rows:
        return None
    table = pa.ipc.open_file(pa.BufferReader(buffer)).read_all()
    return SpilledRun(table.replace_schema_metadata(_metadata(most, once=once)), schema)


def _ranges(runs: Sequence[AnyRun]) -> Iterator[list[Run]]:
    """The blocks of runs, range of hashes by range of hashes: those of the longest one cut the others too."""
    ends: list[Any] = [block.hashes[0] for block in _cut(max(runs, key=lambda r: r.length))][1:]
    for first, end in zip([None, *ends], [*ends, None], strict=True):
        parts = [part for run in runs for part in _between(run, first, end)]
        if parts:
            yield parts


def _between(run: AnyRun, first: Any, end: Any) -> Sequence[Run]:
    found = run.between(first, end)
    return found if isinstance(found, list) else [found]


def _cut(run: AnyRun) -> Iterator[Run]:
    """The run in blocks of a handy size, cut between hashes."""
    rows = max(1, min(_BLOCK_ROWS, int(_BLOCK_BYTES * run.length // max(run.size_bytes, 1))))
    for block in run.blocks:
        hashes = block.hashes[::rows]
        ends: list[Any] = list(np.unique(hashes))[1:] if len(hashes) > 1 else []
        for first, end in zip([None, *ends], [*ends, None], strict=True):
            part = block.between(first, end)
            if part.length:
                yield part


def _with_hashes(run: Run) -> pa.Table:
    table = run.rows
    for name, column in ((HASH, run.hashes), (ROW_HASH, run.row_hashes), (WEIGHT, run.weights)):
        table = table.append_column(name, pa.array(column))
    return table


def _file_schema(schema: pa.Schema) -> pa.Schema:
    for name, kind in ((HASH, pa.uint64()), (ROW_HASH, pa.uint64()), (WEIGHT, pa.int64())):
        schema = schema.append(pa.field(name, kind))
    return schema


def _block(batch: pa.RecordBatch, schema: pa.Schema, most: int) -> Run:
    hashes, row_hashes, weights = (np.asarray(batch.column(c).to_numpy()) for c in (HASH, ROW_HASH, WEIGHT))
    rows = pa.Table.from_arrays(batch.columns[: len(schema)], schema=schema)
    return Run(hashes, row_hashes, weights, rows, most)


def _words(blocks: Sequence[pa.Array]) -> MappedColumn:
    column = mapped_column(blocks)
    assert column is not None, "hashes and weights are whole words"
    return column


def _metadata(most: int, *, once: bool) -> dict[bytes, bytes]:
    return {_WIDEST: str(most).encode(), **({_ONCE: b""} if once else {})}
