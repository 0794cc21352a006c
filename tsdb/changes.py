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
    """rows[i] changes by weights[i]. rows: pa.Table of n rows (may have several chunks); weights: int64, length n, no zeros needed."""

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
