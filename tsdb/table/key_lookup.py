"""Finding the rows of a few keys in a data file, decoding as little of it as possible.

Row groups are chosen by the statistics of their key columns; the keys of a row group are read once and kept, within a
budget; of the other columns nothing behind the last wanted row is decoded. Files never change, so what is kept stays
true for as long as the path means the same file.
"""

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
from tsdb.table.data_file_reader import Mask, RowGroup, read_file, read_rows, row_groups
from tsdb.table.sized_cache import SizedCache
from tsdb.table.table import Table

_CACHED_BYTES_MAX = 96 << 20
_FOOTER_FACTOR = 6  # a footer in memory, against the file's

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
    path = file.path(directory)
    names = _names_then(table, file, keys)
    known = _constants(table, keys)
    unknown = [name for name in wanted if name not in known]
    if not path.endswith(".parquet"):
        found = _found(table, file, directory, keys)
        mask = found if live is None else found & live
        batches = read_file(table, file, directory, unknown, mask=mask)
    else:
        layout = _layout(table, path)
        if names is None:
            positions = np.flatnonzero(_found(table, file, directory, keys))
        else:
            positions = _positions(table, path, layout, names, keys)
        if len(positions) and positions[-1] >= file.row_count:
            raise CorruptFile(f"the manifest says {file.row_count} rows, but there are more in {path}")
        if live is not None:
            positions = positions[live[positions]]
        if not len(positions):
            return
        batches = read_rows(table, file, directory, unknown, positions, layout.groups, layout.footer)
    for batch in batches:
        yield _with_constants(batch, wanted, known)


def _found(table: Table, file: DataFileMeta, directory: str, keys: Keys) -> Mask:
    """Which rows of the file have one of the keys, after all keys were read."""
    batches = read_file(table, file, directory, [key.column for key in keys])
    return np.concatenate([np.zeros(0, np.bool_), *(has_key(batch, keys) for batch in batches)])


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
class _Layout:
    """What a Parquet file says about itself. bounds: by the name of a column; filled when asked for."""

    footer: pq.FileMetaData
    groups: Sequence[RowGroup]
    bounds: dict[str, "_Bounds"]

    @property
    def size_bytes(self) -> int:
        """About what it takes in memory, with the bounds of some columns."""
        return _FOOTER_FACTOR * int(self.footer.serialized_size) + 500 * len(self.groups)

    def bounds_of(self, column: str) -> "_Bounds":
        """The smallest and the largest value of a column in each row group."""
        found = self.bounds.get(column)
        if found is None:
            schema = self.footer.schema
            place = next(i for i in range(self.footer.num_columns) if schema.column(i).path == column)
            chunks = (self.footer.row_group(group.index).column(place) for group in self.groups)
            found = self.bounds[column] = _bounds_of([_bounds(chunk) for chunk in chunks])
        return found


@dataclass(frozen=True, slots=True)
class _Bounds:
    """The smallest and the largest value of a column in each row group; None: not known. integers: the same as two
    rows of numbers, where they are such.
    """

    values: Sequence[tuple[Any, Any] | None]
    integers: npt.NDArray[np.int64] | None

    def may_have(self, wanted: Sequence[Any]) -> Mask:
        """Which row groups may have one of some values."""
        if self.integers is not None and len(wanted) == 1 and type(wanted[0]) is int:
            low, high = self.integers
            return np.asarray((low <= wanted[0]) & (wanted[0] <= high))
        return np.array([_may_have(bounds, wanted) for bounds in self.values], np.bool_)


def _bounds_of(values: Sequence[tuple[Any, Any] | None]) -> _Bounds:
    known = [bounds for bounds in values if bounds is not None]
    if len(known) < len(values) or any(type(value) is not int for bounds in known for value in bounds):
        return _Bounds(values, None)
    return _Bounds(values, np.array(known, np.int64).reshape(-1, 2).T)


def _may_have(bounds: tuple[Any, Any] | None, values: Sequence[Any]) -> bool:
    if bounds is None:
        return True
    low, high = bounds
    try:
        return any(low <= value <= high for value in values)
    except TypeError:  # statistics of another type than the constant: they decide nothing
        return True


_CACHE = SizedCache(_CACHED_BYTES_MAX)


def _layout(table: Table, path: str) -> _Layout:
    layout: _Layout | None = _CACHE.get(path)
    if layout is None:
        with open_parquet(table.file_io, path) as parquet:
            footer = parquet.metadata
        layout = _Layout(footer, row_groups(footer), {})
        _CACHE.put(path, layout, layout.size_bytes)
    return layout


def _positions(table: Table, path: str, layout: _Layout, names: Sequence[str], keys: Keys) -> Positions:
    """Where in the file the keys are, ascending; names: of the key columns in the file."""
    may_have = np.ones(len(layout.groups), np.bool_)
    for key, name in zip(keys, names, strict=True):
        may_have &= layout.bounds_of(name).may_have(key.values)
    found = [np.zeros(0, np.int64)]
    for index in np.flatnonzero(may_have).tolist():
        columns = _key_columns(table, path, layout, index, names)
        columns = [_typed(column, table, key) for column, key in zip(columns, keys, strict=True)]
        found.append(np.flatnonzero(_has_key(columns, keys)) + layout.groups[index].start)
    return np.concatenate(found)


def _bounds(chunk: pq.ColumnChunkMetaData) -> tuple[Any, Any] | None:
    stats = chunk.statistics if chunk.is_stats_set else None
    if stats is None or not stats.has_min_max or stats.physical_type in ("FLOAT", "DOUBLE", "INT96"):
        return None
    return stats.min, stats.max


def _key_columns(table: Table, path: str, layout: _Layout, group: int, names: Sequence[str]) -> list[pa.Array]:
    cached: list[pa.Array] | None = _CACHE.get((path, group, *names))
    if cached is not None:
        return cached
    try:
        with open_parquet(table.file_io, path, layout.footer) as parquet:
            rows = parquet.read_row_group(group, columns=list(names), use_threads=False).combine_chunks()
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
