"""From old and new rows of messages to changes in order: shared by all change-log formats.

A message i may take away a row (before) and bring one (after). In mode `upsert` a removal carries only the key, and a
removal of the same key as the row that follows is left out, since the new row replaces the old one anyway.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.changes import ChangeBatch
from tsdb.connector.serde.serde import Change, Truncate


def interleave(before: pa.Table, before_at: np.ndarray, after: pa.Table, after_at: np.ndarray) -> ChangeBatch:
    """before[i] leaves and after[j] comes, in the order of their messages, before_at[i] and after_at[j]."""
    order = np.argsort(np.concatenate([before_at * 2, after_at * 2 + 1]), kind="stable")
    weights = np.concatenate([np.full(len(before_at), -1, np.int64), np.ones(len(after_at), np.int64)])
    if len(before_at) == 0:
        return ChangeBatch(after, weights)
    return ChangeBatch(pa.concat_tables([before, after]).take(pa.array(order)), weights[order])


def same_key(before: pa.Table, after: pa.Table, key: Sequence[str]) -> np.ndarray:
    """For each row, whether both have the same key. A NULL in the old key counts as the same: it is unknown."""
    same = np.ones(before.num_rows, bool)
    for name in key:
        equal = pc.equal(before[name], after[name])
        same &= pc.fill_null(equal, True).to_numpy()
    return same


def require_key(rows: pa.Table, key: Sequence[str]) -> None:
    """Raises ValueError if a key column has a NULL."""
    for name in key:
        if rows[name].null_count:
            raise ValueError(f"primary-key column `{name}` is NULL or absent")


def require_values(rows: pa.Table, key: Sequence[str] = ()) -> None:
    """Raises ValueError if a whole row has a NULL in a key column or in one that is declared NOT NULL."""
    require_key(rows, key)
    for field, column in zip(rows.schema, rows.columns, strict=True):
        if not field.nullable and column.null_count:
            raise ValueError(f"column `{field.name}` is declared NOT NULL, and it is NULL or absent")


Placed = tuple[Change, np.ndarray]
"""A change, and the message of each of its rows."""


def split(changes: ChangeBatch, places: np.ndarray, truncates: np.ndarray) -> Iterator[Placed]:
    """Cut at the truncates. places: the message of each change, ascending; truncates: messages, ascending."""
    begin = 0
    for cut in np.searchsorted(places, truncates):
        if cut > begin:
            yield ChangeBatch(changes.rows.slice(begin, cut - begin), changes.weights[begin:cut]), places[begin:cut]
        yield Truncate(), places[:0]
        begin = int(cut)
    if begin < changes.num_rows:
        yield ChangeBatch(changes.rows.slice(begin), changes.weights[begin:]), places[begin:]
