"""The columns of merged files, kept in memory for the next query.

A file of which a merge leaves only some rows is decoded as a whole at every read, which is most of what a warm query
costs. So columns that are asked for a second time are kept as the rows that live, in a budget of bytes for the process;
what is read once takes no memory. Data files never change and have names of their own, so nothing here gets stale:
other rows live under another mask, and that is another entry.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.metadata.data_file import DataFileMeta
from tsdb.metadata.predicate import Predicate
from tsdb.table.data_file_reader import read_file
from tsdb.table.sized_cache import SizedCache
from tsdb.table.table import Table

Mask = npt.NDArray[np.bool_]

CACHED_BYTES_MAX = 128 << 20
_FILE_BYTES_MAX = CACHED_BYTES_MAX // 4
_ASKED_MAX = 8192

_CACHE = SizedCache(CACHED_BYTES_MAX)
_ASKED: OrderedDict[Hashable, None] = OrderedDict()


@dataclass(frozen=True, slots=True)
class _Kept:
    """A column's living rows."""

    field: pa.Field
    rows: pa.Array


def read_live(
    table: Table,
    file: DataFileMeta,
    directory: str,
    columns: Sequence[str],
    mask: Mask,
    identity: Hashable,
    predicate: Predicate | None,
    batch_rows: int,
) -> Iterator[pa.RecordBatch]:
    """As `read_file`, of the rows under a mask; from memory where all the columns are there.

    identity: what the mask follows from; equal ones of a file go with equal masks.
    """
    path = file.path(directory)
    names = [(path, table.schema.id, identity, column) for column in columns]
    kept = [_CACHE.get(name) for name in names]
    if columns and all(k is not None for k in kept):
        yield from _sliced([k.rows for k in kept], pa.schema([k.field for k in kept]), batch_rows)
        return
    batches = read_file(
        table, file, directory, columns, mask=mask, predicate=predicate, batch_rows=batch_rows
    )  # fmt: skip
    if predicate is not None or not columns or not _asked_before(names):
        yield from batches
        return
    taken: list[pa.RecordBatch] | None = []
    size = 0
    for batch in batches:
        yield batch
        if taken is not None:
            size += batch.nbytes
            taken = [*taken, batch] if size <= _FILE_BYTES_MAX else None
    if taken:
        for name, field, column in zip(names, taken[0].schema, pa.Table.from_batches(taken).columns, strict=True):
            rows = pa.concat_arrays(column.chunks)
            _CACHE.put(name, _Kept(field, rows), rows.nbytes)


def _asked_before(names: Sequence[Hashable]) -> bool:
    """Whether all of them were asked for before, as far as is remembered; from now on they were."""
    known = all(name in _ASKED for name in names)
    for name in names:
        _ASKED[name] = None
        _ASKED.move_to_end(name)
    while len(_ASKED) > _ASKED_MAX:
        _ASKED.popitem(last=False)
    return known


def _sliced(columns: Sequence[pa.Array], schema: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
    whole = pa.RecordBatch.from_arrays(list(columns), schema=schema)
    for start in range(0, whole.num_rows, batch_rows):
        yield whole.slice(start, batch_rows)
