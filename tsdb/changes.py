"""Changes: rows with integer weights (Z-sets), and row kinds at the edges.

Inside the streaming engine a change is a row with a weight; `+I -U +U -D` exist only where changes enter and leave.
Law: accumulating the weights of all changes of a query up to a version gives exactly the batch result at that version.

Source: Budiu et al., DBSP (VLDB 2023); row kinds as in Flink and Paimon.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import pyarrow as pa

from tsdb.row_hash import arrays, group_equal


class RowKind(IntEnum):
    """The kind of a changelog row; the number is the one Paimon stores in `_VALUE_KIND`."""

    INSERT = 0
    UPDATE_BEFORE = 1
    UPDATE_AFTER = 2
    DELETE = 3

    @property
    def symbol(self) -> str:
        """`+I`, `-U`, `+U` or `-D`."""
        return ROW_KIND_SYMBOLS[self]


ROW_KIND_SYMBOLS: tuple[str, ...] = ("+I", "-U", "+U", "-D")

_WEIGHT_OF_KIND = np.array([1, -1, 1, -1], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class ChangeBatch:
    """rows[i] changes by weights[i]. rows: n rows (may have several chunks); weights: int64, length n."""

    rows: pa.Table
    weights: np.ndarray

    def __post_init__(self) -> None:
        """Both sides have the same length."""
        assert self.rows.num_rows == len(self.weights), (self.rows.num_rows, len(self.weights))

    @property
    def num_rows(self) -> int:
        """How many weighted rows."""
        return len(self.weights)

    @property
    def schema(self) -> pa.Schema:
        """The schema of the rows."""
        return self.rows.schema


def empty(schema: pa.Schema) -> ChangeBatch:
    """No change."""
    return ChangeBatch(schema.empty_table(), np.empty(0, np.int64))


def inserts(rows: pa.Table) -> ChangeBatch:
    """Every row once."""
    return ChangeBatch(rows, np.ones(rows.num_rows, np.int64))


def from_row_kinds(rows: pa.Table, kinds: np.ndarray) -> ChangeBatch:
    """`+I`/`+U` weigh 1, `-U`/`-D` weigh -1. kinds: RowKind numbers, any integer dtype."""
    return ChangeBatch(rows, _WEIGHT_OF_KIND[kinds])


def negate(changes: ChangeBatch) -> ChangeBatch:
    """Every weight with the other sign."""
    return ChangeBatch(changes.rows, -changes.weights)


def plus(batches: Sequence[ChangeBatch], schema: pa.Schema) -> ChangeBatch:
    """The sum of Z-sets, not consolidated."""
    some = [b for b in batches if b.num_rows]
    if not some:
        return empty(schema)
    if len(some) == 1:
        return some[0]
    return ChangeBatch(pa.concat_tables([b.rows for b in some]), np.concatenate([b.weights for b in some]))


def consolidate(batch: ChangeBatch) -> ChangeBatch:
    """The same Z-set with each row at most once and no zero weights; NULL = NULL, NaN = NaN, -0.0 = 0.0."""
    if batch.num_rows > 1:
        columns = arrays(batch.rows)
        groups = group_equal(columns, batch.num_rows)
        if groups.count < batch.num_rows:
            weights = groups.sum(batch.weights)
            kept = weights != 0
            first, weights = groups.first[kept], weights[kept]
            in_order = np.argsort(first)
            return ChangeBatch(batch.rows.take(pa.array(first[in_order])), weights[in_order])
    if np.count_nonzero(batch.weights) != batch.num_rows:
        kept = batch.weights != 0
        return ChangeBatch(batch.rows.filter(pa.array(kept)), batch.weights[kept])
    return batch


def to_row_kinds(batch: ChangeBatch, key: Sequence[str] | None) -> tuple[pa.Table, np.ndarray]:
    """The rows of a net change with their row kinds (int8), a row of weight n being n rows.

    With a key: what leaves and what comes under one key become -U, +U side by side; the rest is -D or +I.
    Without: every -D, then every +I.
    """
    if (batch.weights > 0).all():
        rows = batch.rows
        if (batch.weights != 1).any():
            rows = rows.take(pa.array(np.repeat(np.arange(batch.num_rows), batch.weights)))
        return rows, np.full(rows.num_rows, RowKind.INSERT, np.int8)
    net = consolidate(batch)
    copies = np.abs(net.weights)
    at = np.repeat(np.arange(net.num_rows), copies)
    leaves = np.repeat(net.weights < 0, copies)
    kinds = np.where(leaves, np.int8(RowKind.DELETE), np.int8(RowKind.INSERT))
    if key is None:
        order = np.argsort(~leaves, kind="stable")
        return net.rows.take(pa.array(at[order])), kinds[order]
    groups = group_equal(arrays(net.rows.select(list(key))), net.num_rows)
    group = groups.first[groups.ids()][at] if net.num_rows else at
    # the n-th row that leaves a group pairs with the n-th that comes
    by_side = np.lexsort((~leaves, group))
    side = group[by_side] * 2 + ~leaves[by_side]
    begins = np.concatenate([[True], side[1:] != side[:-1]]) if len(side) else np.empty(0, np.bool_)
    nth = np.empty(len(at), np.int64)
    nth[by_side] = np.arange(len(side)) - np.maximum.accumulate(np.where(begins, np.arange(len(side)), 0))
    order = np.lexsort((~leaves, nth, group))
    group, nth, kinds = group[order], nth[order], kinds[order]
    pairs = np.flatnonzero((group[1:] == group[:-1]) & (nth[1:] == nth[:-1]))
    kinds[pairs] = RowKind.UPDATE_BEFORE
    kinds[pairs + 1] = RowKind.UPDATE_AFTER
    return net.rows.take(pa.array(at[order])), kinds
