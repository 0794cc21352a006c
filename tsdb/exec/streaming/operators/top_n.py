"""ORDER BY … LIMIT and LIMIT, maintained."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from datafusion import DataFrame
from datafusion.expr import SortExpr

from tsdb.changes import ChangeBatch, consolidate, inserts, negate, plus
from tsdb.exec.streaming.arrangement import Arrangement
from tsdb.exec.streaming.expression import Frames
from tsdb.exec.streaming.graph import GraphBuilder, RunStore, StateSize, Stream
from tsdb.exec.streaming.operators.recompute import expanded

_SPARE_ROWS = 1000
_OLD = "#old"


@dataclass(frozen=True, slots=True)
class Bound:
    """Which rows of an order are wanted: skip some, then at most `fetch` (None: all that follow)."""

    skip: int
    fetch: int | None


class TopN:
    """Δout = top(I(in) + Δin) - I(out): the wanted rows of the order, less those that were there before.

    State: all of the input (unless it only grows), and the head: its first rows in order, some more than are wanted.
    What comes is sorted into the head, what leaves is taken out of it; only when the head gets too short it is made
    anew from the whole input. Without an order any rows will do, and those that are in the head stay.
    """

    def __init__(self, frames: Frames, stream: Stream, order: Sequence[SortExpr], bound: Bound, text: str) -> None:
        """order: sort expressions over the columns of the stream."""
        self._frames = frames
        self._schema = stream.schema
        self._names = stream.names
        self._order = list(order)
        self._bound = bound
        self._text = text
        self._wanted = None if bound.fetch is None else bound.skip + bound.fetch
        self._input = None if stream.append_only else Arrangement(stream.schema, range(len(stream.schema)))
        self._head = stream.schema.empty_table()
        self._head_is_all = True
        self._stored_head: str | None = None

    def step(self, deltas: Sequence[ChangeBatch]) -> ChangeBatch:
        """What enters and leaves the wanted rows."""
        (delta,) = deltas
        if not delta.num_rows:
            return delta
        if self._input is not None:
            self._input.insert(delta)
            delta = consolidate(delta)
        before = self._visible()
        comes, leaves = delta.weights > 0, delta.weights < 0
        stays = self._head
        if leaves.any():
            gone = ChangeBatch(delta.rows.filter(pa.array(leaves)), delta.weights[leaves])
            stays = expanded(consolidate(plus([inserts(self._head), gone], self._schema)))
        new = expanded(ChangeBatch(delta.rows.filter(pa.array(comes)), delta.weights[comes]))
        self._sort_in(stays, new)
        if self._wanted is not None and self._head.num_rows < self._wanted and not self._head_is_all:
            self._refill()
        return consolidate(plus([negate(inserts(before)), inserts(self._visible())], self._schema))

    def describe(self) -> str:
        """The order and the bounds."""
        return f"TopN {self._text} skip={self._bound.skip} fetch={self._bound.fetch}"

    def checkpoint(self, store: RunStore) -> dict[str, Any]:
        """The input's runs and the head."""
        runs = [] if self._input is None else self._input.checkpoint(store)
        if self._stored_head is None:
            self._stored_head = store.put(self._head)
        return {"input": runs, "head": self._stored_head, "head_is_all": self._head_is_all}

    def restore(self, manifest: dict[str, Any], store: RunStore) -> None:
        """The input's runs and the head."""
        if self._input is not None:
            self._input.restore(manifest["input"], store)
        self._stored_head = str(manifest["head"])
        self._head = store.get(self._stored_head)
        self._head_is_all = bool(manifest["head_is_all"])

    def state_size(self) -> StateSize:
        """Input and head."""
        size = StateSize(0, 0) if self._input is None else self._input.state_size()
        return StateSize(size.rows + self._head.num_rows, size.size_bytes + int(self._head.nbytes))

    def _visible(self) -> pa.Table:
        return self._head.slice(self._bound.skip, self._bound.fetch)

    def _sort_in(self, stays: pa.Table, new: pa.Table) -> None:
        old = np.concatenate([np.ones(stays.num_rows, np.bool_), np.zeros(new.num_rows, np.bool_)])
        rows, old = self._sorted(pa.concat_tables([stays, new]), old)
        if not self._head_is_all:
            # beyond the last row of the old head there may be rows of the input that come first
            last = np.flatnonzero(old)
            rows = rows.slice(0, int(last[-1]) + 1 if len(last) else 0)
        self._keep(rows)

    def _refill(self) -> None:
        if self._input is None:
            return
        everything = expanded(self._input.everything())
        self._head_is_all = True
        self._keep(self._sorted(everything, np.ones(everything.num_rows, np.bool_))[0])

    def _keep(self, rows: pa.Table) -> None:
        if self._wanted is not None and rows.num_rows > self._wanted + _SPARE_ROWS:
            rows = rows.slice(0, self._wanted + _SPARE_ROWS)
            self._head_is_all = False
        self._head = rows.combine_chunks()
        self._stored_head = None

    def _sorted(self, rows: pa.Table, old: np.ndarray) -> tuple[pa.Table, np.ndarray]:
        if not self._order or not rows.num_rows:
            return rows, old
        named = rows.rename_columns(self._names).append_column(_OLD, pa.array(old))

        def sort(frame: DataFrame) -> DataFrame:
            return frame.sort(*self._order)

        result = self._frames.run(named, sort)
        flags = np.asarray(result.column(_OLD).to_numpy())
        return result.drop_columns([_OLD]).rename_columns(self._schema.names).cast(self._schema), flags


def add_top_n(stream: Stream, order: Sequence[Any], bound: Bound, graph: GraphBuilder, text: str) -> Stream:
    """The wanted rows of a stream. order: the plan's sort expressions, may be none."""
    bound_order = [graph.bind(s.expr(), stream).sort(s.ascending(), s.nulls_first()) for s in order]
    operator = TopN(graph.frames, stream, bound_order, bound, text)
    return graph.add(operator, [stream], stream.columns, stream.schema, key=stream.key)
