"""The state that changes lead to: what a batch query sees of a change log."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from tsdb.changes import ChangeBatch, consolidate, plus
from tsdb.connector.connector import Source
from tsdb.errors import DataError


def state_of(changes: Iterable[ChangeBatch], source: Source, name: str) -> Iterator[pa.RecordBatch]:
    """What all changes of a bounded source lead to: an append log as it is read; else the state, in memory."""
    if source.mode == "append":
        for change in changes:
            yield from change.rows.to_batches()
    elif source.upsert_key:
        yield from fold_by_key(list(changes), source.upsert_key, source.schema).to_batches()
    else:
        yield from fold_all(list(changes), source.schema, name).to_batches()


def fold_by_key(changes: Sequence[ChangeBatch], key: Sequence[str], schema: pa.Schema) -> pa.Table:
    """For each key its last row, unless its last change took it away. changes: upserts in order of arrival."""
    every = plus(changes, schema)
    rows, last = _last_of_key(every, key)
    return rows.take(pa.array(last[every.weights[last] > 0]))


def removals(changes: Sequence[ChangeBatch], key: Sequence[str], schema: pa.Schema) -> ChangeBatch:
    """A -1 for every key that occurs: in mode `upsert` the source table was emptied."""
    every = plus(changes, schema)
    rows, last = _last_of_key(every, key)
    return ChangeBatch(rows.take(pa.array(last)), np.full(len(last), -1, np.int64))


def fold_all(changes: Sequence[ChangeBatch], schema: pa.Schema, name: str) -> pa.Table:
    """Each row as often as its weights sum up to. Raises DataError if a row was taken away more often than it came."""
    net = consolidate(plus(changes, schema))
    if (net.weights < 0).any():
        row = net.rows.slice(int(np.flatnonzero(net.weights < 0)[0]), 1).to_pylist()[0]
        raise DataError(
            f"{name}: the row {row} is deleted more often than inserted. If the source table has a primary key, "
            "declare it (PRIMARY KEY (…) NOT ENFORCED): then deletes need only the key"
        )
    return net.rows.take(pa.array(np.repeat(np.arange(net.num_rows), net.weights)))


def _last_of_key(every: ChangeBatch, key: Sequence[str]) -> tuple[pa.Table, np.ndarray]:
    """The rows, and the index of each key's last one, ascending."""
    indexed = every.rows.select(list(key)).append_column("", pa.array(np.arange(every.num_rows)))
    grouped = indexed.group_by(list(key)).aggregate([("", "max")])
    return every.rows, np.sort(grouped["_max"].to_numpy())
