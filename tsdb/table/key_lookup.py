"""Finding the rows of a few keys in a data file, decoding as little of it as possible.

Row groups are chosen by the statistics of their key columns; the keys of a row group are read once and kept, within a
budget; of the other columns nothing behind the last wanted row is decoded. Files never change, so what is kept stays
true for as long as the path means the same file.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tsdb.data_types import TypeRoot, to_arrow
from tsdb.errors import CorruptFile
from tsdb.format.parquet import open_parquet
from tsdb.metadata.data_file import DataFileMeta
from tsdb.metadata.predicate import And, Comparison, Predicate
from tsdb.table.data_file_reader import Mask, read_file
from tsdb.table.table import Table

_BATCH_ROWS = 1 << 12  # as much is decoded behind the last wanted row, at most
_CACHED_BYTES_MAX = 96 << 20

Positions = npt.NDArray[np.int64]
Keys = tuple[Comparison, ...]
"""One comparison, `=` or `in`, for each column of the key."""


def fixed_key(table: Table, predicate: Predicate | None) -> Keys | None:
    """The part of the predicate that fixes every column of the key to some values, if there is one."""
    children = predicate.children if isinstance(predicate, And) else (predicate,)
    fixed = {c.column: c for c in children if isinstance(c, Comparison) and c.op in ("=", "in")}
    keys = table.schema.trimmed_primary_keys
    if not keys or any(key not in fixed for key in keys):
        return None
    return tuple(fixed[key] for key in keys)


def has_key(rows: pa.RecordBatch, keys: Keys) -> npt.NDArray[np.bool_]:
    """Which rows have one of the keys; rows: with the key columns among others."""
    return _has_key([rows.column(key.column) for key in keys], keys)


def rows_with_key(
    table: Table, file: DataFileMeta, directory: str, wanted: Sequence[str], keys: Keys, live: Mask | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of a file that have one of the keys, in order, with the wanted columns. See `read_file`.

    live: over all rows of the file; the others are left out.
    """
    path = file.external_path or f"{directory}/{file.file_name}"
    names = _names_then(table, file, keys)
    if names is None or not path.endswith(".parquet"):
        batches = read_file(table, file, directory, [key.column for key in keys])
        found = np.concatenate([np.zeros(0, np.bool_), *(has_key(batch, keys) for batch in batches)])
        positions = np.flatnonzero(found)
    else:
        positions = _positions(table, path, names, keys)
    if not len(positions):
        return
    if positions[-1] >= file.row_count:
        raise CorruptFile(f"the manifest says {file.row_count} rows, but there are more in {path}")
    if live is not None:
        positions = positions[live[positions]]
        if not len(positions):
            return
    mask = np.zeros(file.row_count, np.bool_)
    mask[positions] = True
    known = _constants(table, keys)
    left = len(positions)
    unknown = [name for name in wanted if name not in known]
    for batch in read_file(table, file, directory, unknown, mask=mask, batch_rows=_BATCH_ROWS):
        yield _with_constants(batch, wanted, known)
        left -= batch.num_rows
        if left <= 0:
            return


def _constants(table: Table, keys: Keys) -> dict[str, pa.Scalar]:
    """The key columns whose values need not be read: those of one value that equals no other."""
    types = {key.column: table.schema.field(key.column).type for key in keys if len(key.values) == 1}
    exact = {name for name, kind in types.items() if kind.root not in (TypeRoot.FLOAT, TypeRoot.DOUBLE)}
    return {key.column: pa.scalar(key.values[0], to_arrow(types[key.column])) for key in keys if key.column in exact}


def _with_constants(rows: pa.RecordBatch, wanted: Sequence[str], known: Mapping[str, pa.Scalar]) -> pa.RecordBatch:
    columns = [pa.repeat(known[n], rows.num_rows) if n in known else rows.column(n) for n in wanted]
    return pa.RecordBatch.from_arrays(columns, names=list(wanted)) if columns else rows


def _names_then(table: Table, file: DataFileMeta, keys: Keys) -> list[str] | None:
    """What the key columns were called when the file was written; None if one was of another type."""
    then = {field.id: field for field in table.schemas.schema(file.schema_id).fields}
    names = []
    for key in keys:
        now = table.schema.field(key.column)
        old = then.get(now.id)
        if old is None or old.type != now.type:
            return None
        names.append(old.name)
    return names


@dataclass(frozen=True, slots=True)
class _Group:
    """A row group: its place among the rows of the file, and the smallest and largest value of each key column."""

    start: int
    rows: int
    bounds: tuple[tuple[Any, Any] | None, ...]


class _Cache:
    """Row groups of files and key columns of row groups, the least recently used ones dropped. Thread-safe."""

    def __init__(self, size_bytes_max: int) -> None:
        self._size_bytes_max = size_bytes_max
        self._size_bytes = 0
        self._lock = threading.Lock()
        self._known: OrderedDict[Any, tuple[Any, int]] = OrderedDict()

    def get(self, name: Any) -> Any:
        with self._lock:
            if name not in self._known:
                return None
            self._known.move_to_end(name)
            return self._known[name][0]

    def put(self, name: Any, value: Any, size_bytes: int) -> None:
        with self._lock:
            self._size_bytes += size_bytes - self._known.pop(name, (None, 0))[1]
            self._known[name] = (value, size_bytes)
            while self._size_bytes > self._size_bytes_max:
                self._size_bytes -= self._known.popitem(last=False)[1][1]


_CACHE = _Cache(_CACHED_BYTES_MAX)


def _positions(table: Table, path: str, names: list[str], keys: Keys) -> Positions:
    """Where in the file the keys are; names: of the key columns in the file."""
    groups = _CACHE.get((path, *names))
    if groups is None:
        with open_parquet(table.file_io, path) as parquet:
            groups = _groups(parquet.metadata, names)
        _CACHE.put((path, *names), groups, 100 * len(groups) * (1 + len(names)))
    found = []
    for index, group in enumerate(groups):
        if _may_have(group, keys):
            columns = _key_columns(table, path, index, names)
            columns = [_typed(column, table, key) for column, key in zip(columns, keys, strict=True)]
            found.append(np.flatnonzero(_has_key(columns, keys)) + group.start)
    return np.concatenate([np.zeros(0, np.int64), *found])


def _groups(metadata: pq.FileMetaData, names: Sequence[str]) -> list[_Group]:
    places = {metadata.schema.column(i).path: i for i in range(metadata.num_columns)}
    groups, start = [], 0
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        bounds = tuple(_bounds(group.column(places[name])) for name in names)
        groups.append(_Group(start, group.num_rows, bounds))
        start += group.num_rows
    return groups


def _may_have(group: _Group, keys: Keys) -> bool:
    for key, bounds in zip(keys, group.bounds, strict=True):
        if bounds is None:
            continue
        low, high = bounds
        try:
            if not any(low <= value <= high for value in key.values):
                return False
        except TypeError:  # statistics of another type than the constant: they decide nothing
            continue
    return True


def _bounds(chunk: pq.ColumnChunkMetaData) -> tuple[Any, Any] | None:
    stats = chunk.statistics if chunk.is_stats_set else None
    if stats is None or not stats.has_min_max or stats.physical_type in ("FLOAT", "DOUBLE", "INT96"):
        return None
    return stats.min, stats.max


def _key_columns(table: Table, path: str, group: int, names: list[str]) -> list[pa.Array]:
    cached: list[pa.Array] | None = _CACHE.get((path, group, *names))
    if cached is not None:
        return cached
    try:
        with open_parquet(table.file_io, path) as parquet:
            rows = parquet.read_row_group(group, columns=names, use_threads=False).combine_chunks()
    except (pa.ArrowException, OSError) as err:
        raise CorruptFile(f"data file {path} cannot be read: {err}") from err
    columns = [rows[name].combine_chunks() if rows[name].num_chunks != 1 else rows[name].chunk(0) for name in names]
    _CACHE.put((path, group, *names), columns, rows.nbytes)
    return columns


def _typed(column: pa.Array, table: Table, key: Comparison) -> pa.Array:
    wanted = to_arrow(table.schema.field(key.column).type)
    return column if column.type == wanted else column.cast(wanted, safe=False)


def _has_key(columns: Sequence[pa.Array], keys: Keys) -> npt.NDArray[np.bool_]:
    masks = [_equals(column, key.values) for column, key in zip(columns, keys, strict=True)]
    return reduce(np.logical_and, masks)


def _equals(column: pa.Array, values: Sequence[Any]) -> npt.NDArray[np.bool_]:
    if len(values) == 1:
        mask = pc.equal(column, pa.scalar(values[0], column.type))
    else:
        mask = pc.is_in(column, value_set=pa.array(values, column.type))
    return np.asarray(mask.fill_null(False).to_numpy(zero_copy_only=False))
