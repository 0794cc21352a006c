"""What became of the keys that a snapshot touches, where the last row written need not be the row that counts.

With 'sequence.field' a late row may lose against an older one. So the stream of such a table tells, for every key in
the files that a snapshot adds, what that key is in the snapshot itself: its merged row, or that it is gone.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tsdb.metadata.predicate import And, Comparison, Predicate
from tsdb.metadata.snapshot import Snapshot
from tsdb.table.data_file_reader import read_file
from tsdb.table.read import Fragment
from tsdb.table.scan import DataSplit, plan_scan
from tsdb.table.table import Table

LOOKED_UP_MAX = 1000
_ROW = "__row"


def resolved_changes(
    table: Table, snapshot: Snapshot, split: DataSplit, names: Sequence[str]
) -> Iterator[tuple[pa.RecordBatch, bool]]:
    """(rows, True) for the rows that touched keys have now, (rows with the key only, False) for keys that are gone.

    split: the files that the snapshot has added to one bucket. Needs memory for the distinct keys of these files.
    """
    keys = _distinct_keys(table, split, list(table.schema.primary_keys))
    partition = zip(table.schema.partition_keys, split.partition_values, strict=True)
    plan = plan_scan(table, snapshot, _predicate(table, keys, partition))
    splits = [part for part in plan.splits if (part.partition, part.bucket) == (split.partition, split.bucket)]
    yield from _resolved(table, keys, splits, plan.predicate, names)


def rows_of_keys(
    table: Table, snapshot: Snapshot | None, keys: pa.Table, names: Sequence[str]
) -> Iterator[tuple[pa.RecordBatch, bool]]:
    """What the keys are in a snapshot, as `resolved_changes` tells it. keys: distinct; all columns of the key."""
    if table.options.deletion_vectors_enabled:  # what was written last is in level 0, which then is merged, too
        table = table.with_options({"deletion-vectors.enabled": "false"})
    if snapshot is None:
        yield from _resolved(table, keys, (), None, names)
        return
    plan = plan_scan(table, snapshot, _predicate(table, keys, ()))
    yield from _resolved(table, keys, plan.splits, plan.predicate, names)


def _resolved(
    table: Table, keys: pa.Table, splits: Sequence[DataSplit], predicate: Predicate | None, names: Sequence[str]
) -> Iterator[tuple[pa.RecordBatch, bool]]:
    key = list(table.schema.primary_keys)
    found: list[pa.Table] = []
    read = list(dict.fromkeys([*names, *key]))
    for part in splits:
        for batch in Fragment(table, part, predicate).to_batches(read):
            rows = batch.select(key)
            numbered = pa.table(rows).append_column(_ROW, pa.array(np.arange(batch.num_rows)))
            hits = np.sort(numbered.join(keys, keys=key, join_type="left semi")[_ROW].to_numpy())
            if len(hits):
                found.append(pa.table(rows).take(pa.array(hits)))
                yield batch.take(pa.array(hits)).select(list(names)), True
    gone = keys.join(pa.concat_tables(found), keys=key, join_type="left anti") if found else keys
    for batch in gone.to_batches():
        yield _only_key(table, batch, names), False


def _distinct_keys(table: Table, split: DataSplit, key: list[str]) -> pa.Table:
    batches = [batch for file in split.files for batch in read_file(table, file, split.bucket_path, key)]
    return pa.Table.from_batches(batches).group_by(key).aggregate([]).select(key)


def _predicate(table: Table, keys: pa.Table, partition: Iterable[tuple[str, Any]]) -> Predicate | None:
    """Narrow enough to read little: the partition, and the keys themselves if they are few, else their range."""
    parts: list[Predicate] = [
        Comparison("is null", name) if value is None else Comparison("=", name, (value,)) for name, value in partition
    ]
    for name in table.schema.trimmed_primary_keys:
        values = keys[name].unique()
        if len(values) <= LOOKED_UP_MAX:
            parts.append(Comparison("in", name, tuple(values.to_pylist())))
    return And(tuple(parts)) if parts else None


def _only_key(table: Table, keys: pa.RecordBatch, names: Sequence[str]) -> pa.RecordBatch:
    columns = {
        name: keys.column(name) if name in keys.schema.names else pa.nulls(keys.num_rows, field_type)
        for name, field_type in ((n, table.schema.arrow_schema.field(n).type) for n in names)
    }
    return pa.RecordBatch.from_pydict(columns)
