"""The general way to be incremental: recompute what was touched.

Any operator whose output for one partition depends on nothing but the rows of that partition can run so: every
aggregate function, with DISTINCT, FILTER and ORDER BY, and every window function. DataFusion's own operator runs on
just the touched partitions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.changes import ChangeBatch, consolidate, inserts, negate, plus
from tsdb.exec.streaming.arrangement import Arrangement
from tsdb.exec.streaming.graph import RunStore, StatefulOperator, StateSize
from tsdb.exec.streaming.state_ttl import (
    dropped,
    keys_due,
    last_writes,
    ttl_text,
    without_missing,
    writes_found,
    writes_kept,
)
from tsdb.exec.streaming.watermark import Mark, below_any
from tsdb.row_hash import arrays, group_rows, hash_rows, take


@dataclass(frozen=True, slots=True)
class PartitionedQuery:
    """A batch operator and how it is partitioned.

    run: the output for complete partitions of the input; input_key, output_key: positions of the same partition
    values on both sides. rows_without_input: whether there is output even without any input (a global aggregate).
    final: of a column of the output; rows below its bound have nothing to do with what comes. run_new: for an operator
    that extends rows which come in an order that later rows do not change: the output for those that are marked.
    top: makes the operator that does the same for rows with a rank up to a number, if there is one.
    """

    run: Callable[[pa.Table], pa.Table]
    input_schema: pa.Schema
    input_key: tuple[int, ...]
    output_schema: pa.Schema
    output_key: tuple[int, ...]
    text: str
    rows_without_input: bool = False
    extends_rows: bool = False
    rank: int | None = None
    final: Mark | None = None
    run_new: Callable[[pa.Table, np.ndarray], pa.Table] | None = None
    top: Callable[[int], StatefulOperator] | None = None


class Recompute:
    """Δout = Q((I(in) + Δin)[P]) - I(out)[P], where P are the partitions that Δin touches.

    State: the input and the previous output, both by partition. The previous output is kept rather than computed
    again, because Q may choose freely between ties, and what is retracted must be what was emitted.
    """

    def __init__(self, query: PartitionedQuery) -> None:
        """query: the batch operator."""
        by_time = query.final is not None or query.run_new is not None
        self._writes = None if by_time else last_writes()
        # the rows of a heap have no time to live
        self._query = query = query if self._writes is None else replace(query, top=None)
        self._input = None if query.extends_rows else Arrangement(query.input_schema, query.input_key)
        self._output = Arrangement(query.output_schema, query.output_key)
        self._best: int | None = None
        self._started = False

    @property
    def rank(self) -> int | None:
        """The output column with a row's number, if it never gets smaller."""
        return self._query.rank

    @property
    def number(self) -> int | None:
        """The output column with a row's number, if a bound on it makes less work."""
        return self._query.rank if self._query.top is None else len(self._query.input_schema)

    def top(self, most: int) -> StatefulOperator | None:
        """Another operator for rows with a rank of `most` at the most, if there is one."""
        return None if self._query.top is None else self._query.top(most)

    def keep_best(self, most: int) -> None:
        """Forget, and do not emit, rows with a rank above `most`; whoever reads the output drops them anyway."""
        assert self._query.extends_rows and self._query.rank is not None
        self._best = most

    def step(self, deltas: Sequence[ChangeBatch]) -> ChangeBatch:
        """The new output of the touched partitions less their old one."""
        (delta,) = deltas
        query = self._query
        first, self._started = not self._started, True
        if not delta.num_rows and not (first and query.rows_without_input):
            return ChangeBatch(query.output_schema.empty_table(), np.empty(0, np.int64))
        touched = _touched(arrays(delta.rows, query.input_key), delta.num_rows)
        hashes = hash_rows(touched, 1)
        if self._writes is not None:
            self._writes.touch(hashes)
        found = self._output.lookup(touched, hashes)
        old = ChangeBatch(found.rows, found.weights)
        if query.final is not None:
            old = _without(old, below_any(old.rows, [query.final], now=False))
        if self._input is None:
            width = len(query.input_schema)
            before = ChangeBatch(old.rows.select(range(width)), old.weights)
            delta = delta if self._writes is None else without_missing(before, delta)
        else:
            matches = self._input.lookup(touched, hashes)
            before = ChangeBatch(matches.rows, matches.weights)
            delta = delta if self._writes is None else without_missing(before, delta)
            self._input.insert(delta)
        if query.run_new is not None:
            return self._extended(query.run_new, before, delta)
        now = consolidate(plus([before, delta], query.input_schema))
        after = query.run(expanded(now)).cast(query.output_schema)
        if self._best is not None and query.rank is not None:
            after = after.filter(pc.less_equal(after.column(query.rank), self._best))
        change = consolidate(plus([negate(old), inserts(after)], query.output_schema))
        self._output.insert(change)
        return change

    def _extended(
        self, run_new: Callable[[pa.Table, np.ndarray], pa.Table], before: ChangeBatch, delta: ChangeBatch
    ) -> ChangeBatch:
        """The output for new rows, behind those that were there."""
        old, new = expanded(consolidate(before)), expanded(delta)
        marks = np.repeat([False, True], [old.num_rows, new.num_rows])
        change = inserts(run_new(pa.concat_tables([old, new]), marks).cast(self._query.output_schema))
        self._output.insert(change)
        return change

    def forget(self, mark: Mark) -> None:
        """Drop partitions for which nothing comes any more. mark: of the output's key, by its place in that."""
        for arrangement, key in ((self._input, self._query.input_key), (self._output, self._query.output_key)):
            if arrangement is not None:
                arrangement.forget(key[mark.column], mark.bound.now)

    def forget_final(self, mark: Mark) -> None:
        """Drop rows that have become final. mark: of a column of the output."""
        self._output.forget(mark.column, mark.bound.now)

    def expire(self) -> None:
        """Drop partitions that nothing has touched for the time to live."""
        due = keys_due(self._writes)
        for arrangement in (self._input, self._output) if len(due) else ():
            if arrangement is not None:
                dropped(arrangement, due)

    def describe(self) -> str:
        """The operator and its partition columns."""
        key = list(self._query.input_key)
        best = "" if self._best is None else f" best={self._best}"
        return f"{self._query.text} key={key} mode=recompute touched partitions{best}{ttl_text(self._writes)}"

    def checkpoint(self, store: RunStore) -> dict[str, Any]:
        """Both arrangements."""
        return {
            "input": [] if self._input is None else self._input.checkpoint(store),
            "output": self._output.checkpoint(store),
            "started": self._started,
            **writes_kept(self._writes, store),
        }

    def restore(self, manifest: dict[str, Any], store: RunStore) -> None:
        """Both arrangements."""
        if self._input is not None:
            self._input.restore(manifest["input"], store)
        self._output.restore(manifest["output"], store)
        self._started = bool(manifest["started"])
        writes_found(self._writes, manifest, store)

    def state_size(self) -> StateSize:
        """Input and output together."""
        sizes = [a.state_size() for a in (self._input, self._output) if a is not None]
        return StateSize(sum(s.rows for s in sizes), sum(s.size_bytes for s in sizes))


def _without(batch: ChangeBatch, gone: np.ndarray) -> ChangeBatch:
    if not gone.any():
        return batch
    return ChangeBatch(batch.rows.filter(pa.array(~gone)), batch.weights[~gone])


def expanded(batch: ChangeBatch) -> pa.Table:
    """The rows as a bag: each as often as it weighs; a row that weighs nothing or less is not there."""
    weights = batch.weights
    if (weights == 1).all():
        return batch.rows
    return batch.rows.take(pa.array(np.repeat(np.arange(len(weights)), np.maximum(weights, 0))))


def _touched(keys: Sequence[pa.Array], rows: int) -> list[pa.Array]:
    """The distinct keys; none stands for the one partition that is everything."""
    return take(keys, group_rows(keys, hash_rows(keys, rows)).first) if keys else []
