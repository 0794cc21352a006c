"""Rows under numbers: where an operator keeps rows that it finds by an index of its own.

Rows get ascending numbers and lie in chunks in that order; they are never sorted, hashed or compared, so that wide rows
cost no more than being copied. Law: a number gives the row that was put under it until it is freed. Chunks are
immutable; small neighbours are put together, and a chunk half of whose rows are freed is written anew.

Source: the separation of keys and values in Lu et al., WiscKey (2016).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tsdb.exec.streaming.graph import RunStore, StateSize
from tsdb.exec.streaming.state_memory import StateMemory, current_state_memory
from tsdb.row_hash import I64, Mask, arrays

_NUMBER = "__number"
_CHUNK_ROWS = 1 << 16


@dataclass(slots=True)
class Chunk:
    """numbers: ascending; live: which of the rows are not freed. stored: its name in a RunStore, if any.

    held_bytes: what its rows take in memory; 0: they lie in a mapped file.
    """

    numbers: I64
    rows: pa.Table
    live: Mask
    stored: str | None = None
    held_bytes: int = 0

    @property
    def live_rows(self) -> int:
        """How many are not freed."""
        return int(np.count_nonzero(self.live))


class RowHeap:
    """Rows by number. Not thread-safe."""

    def __init__(self, schema: pa.Schema) -> None:
        """schema: of the rows."""
        self.schema = self._schema = schema
        self._chunks: list[Chunk] = []
        self._next = 0
        self._memory = current_state_memory()
        self._member = 0 if self._memory is None else self._memory.join(self)

    @property
    def rows(self) -> int:
        """How many rows are kept."""
        return sum(c.live_rows for c in self._chunks)

    def add(self, rows: pa.Table) -> I64:
        """Keep the rows; their numbers, which are greater than all before."""
        numbers = np.arange(self._next, self._next + rows.num_rows)
        self._next += rows.num_rows
        if rows.num_rows:
            rows = pa.Table.from_arrays(arrays(rows), schema=self._schema)
            self._chunks.append(_in_memory(numbers, rows, np.ones(rows.num_rows, np.bool_)))
            self._merge_neighbours()
            self._weigh()
        return numbers

    def take(self, numbers: I64, columns: Sequence[int] | None = None) -> pa.Table:
        """The rows under numbers, which are there. columns: only these."""
        order = np.argsort(numbers)
        parts = []
        for chunk, at, _ in self._places(numbers[order]):
            some = chunk.rows if columns is None else chunk.rows.select(columns)
            parts.append(some.take(pa.array(at)))
        if not parts:
            nothing = self._schema.empty_table()
            return nothing if columns is None else nothing.select(columns)
        rows = pa.concat_tables(parts)
        if (order[1:] > order[:-1]).all():
            return rows
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        whole = pa.Table.from_arrays(arrays(rows), schema=rows.schema)
        return whole.take(pa.array(back))

    def everything(self, columns: Sequence[int]) -> tuple[I64, pa.Table]:
        """All numbers, and these columns of their rows."""
        parts = [c if c.live.all() else _without_freed(c) for c in self._chunks]
        rows = [c.rows.select(columns) for c in parts] or [self._schema.empty_table().select(columns)]
        return np.concatenate([np.empty(0, np.int64), *(c.numbers for c in parts)]), pa.concat_tables(rows)

    def free(self, numbers: I64) -> None:
        """Forget the rows under these numbers."""
        for chunk, at, place in self._places(np.sort(numbers)):
            chunk.live[at] = False
            if 2 * chunk.live_rows < len(chunk.live):
                self._chunks[place] = _without_freed(chunk)
        self._chunks = [c for c in self._chunks if len(c.numbers)]
        self._merge_neighbours()
        self._weigh()

    def state_size(self) -> StateSize:
        """The rows, and what their chunks take."""
        return StateSize(self.rows, sum(int(c.rows.nbytes) + 9 * len(c.numbers) for c in self._chunks))

    def checkpoint(self, store: RunStore) -> list[str]:
        """The names of the chunks in order; only those that are new are put into the store."""
        for chunk in self._chunks:
            if chunk.stored is None:
                chunk.stored = store.put(chunk.rows.append_column(_NUMBER, pa.array(chunk.numbers)))
        return [c.stored for c in self._chunks if c.stored is not None]

    def restore(self, names: Sequence[str], store: RunStore, live: I64 | None) -> None:
        """Take the chunks of a checkpoint. live: the numbers that are in use; None: all."""
        self._chunks, self._next = [], 0
        for name in names:
            table = store.get(name)
            numbers = np.array(table.column(_NUMBER).to_numpy())
            rows = pa.Table.from_arrays(arrays(table, range(len(self._schema))), schema=self._schema)
            used = np.ones(len(numbers), np.bool_) if live is None else np.isin(numbers, live)
            self._chunks.append(Chunk(numbers, rows, used, name))
            self._next = int(numbers[-1]) + 1

    @property
    def largest_bytes(self) -> int:
        """The size of the largest chunk in memory."""
        return max((c.held_bytes for c in self._chunks), default=0)

    def spill(self) -> None:
        """Put the largest chunk in memory on disk."""
        assert self._memory is not None, "only a budget puts rows on disk"
        chunk = max(self._chunks, key=lambda c: c.held_bytes)
        chunk.rows = mapped(chunk.rows, self._memory)
        chunk.held_bytes = 0
        self._memory.held(self._member, self._held_bytes())

    def _held_bytes(self) -> int:
        return sum(c.held_bytes for c in self._chunks)

    def _weigh(self) -> None:
        if self._memory is not None:
            self._memory.holds(self._member, self._held_bytes())

    def _places(self, numbers: I64) -> list[tuple[Chunk, I64, int]]:
        """For each chunk that holds any of the numbers (ascending): it, the positions in it, and its place."""
        if not len(numbers):
            return []
        cuts = np.searchsorted(numbers, [c.numbers[0] for c in self._chunks[1:]])
        places = []
        for place, (first, last) in enumerate(zip([0, *cuts], [*cuts, len(numbers)], strict=True)):
            if first < last:
                chunk = self._chunks[place]
                at = np.searchsorted(chunk.numbers, numbers[first:last])
                assert (chunk.numbers[at] == numbers[first:last]).all(), "a number that was freed, or never given"
                places.append((chunk, at, place))
        return places

    def _merge_neighbours(self) -> None:
        """Put small chunks together, each with its like, so that a row is copied O(log n) times."""
        merged: list[Chunk] = []
        for chunk in self._chunks:
            merged.append(chunk)
            while len(merged) > 1:
                older, newer = len(merged[-2].numbers), len(merged[-1].numbers)
                if older >= 2 * newer or older + newer > _CHUNK_ROWS:
                    break
                merged[-2:] = [_together(*merged[-2:])]
        self._chunks = merged


def mapped(rows: pa.Table, memory: StateMemory) -> pa.Table:
    """The same rows in a mapped file."""

    def fill(file: pa.NativeFile) -> None:
        with pa.ipc.new_file(file, rows.schema) as writer:
            writer.write_table(rows)

    return pa.ipc.open_file(memory.write(fill)).read_all()


def _in_memory(numbers: I64, rows: pa.Table, live: Mask) -> Chunk:
    return Chunk(numbers, rows, live, held_bytes=int(rows.nbytes))


def _without_freed(chunk: Chunk) -> Chunk:
    numbers = chunk.numbers[chunk.live]
    return _in_memory(numbers, chunk.rows.filter(pa.array(chunk.live)), np.ones(len(numbers), np.bool_))


def _together(older: Chunk, newer: Chunk) -> Chunk:
    rows = pa.concat_tables([older.rows, newer.rows])
    both = _in_memory(
        np.concatenate([older.numbers, newer.numbers]),
        pa.Table.from_arrays(arrays(rows), schema=rows.schema),
        np.concatenate([older.live, newer.live]),
    )
    return both if both.live.all() else _without_freed(both)
