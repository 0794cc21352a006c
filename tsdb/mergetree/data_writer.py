"""Rows become data files of one bucket: physical columns, statistics, and a new file whenever one is large enough.

A file of a primary-key table holds `_KEY_<pk>` columns, `_SEQUENCE_NUMBER`, `_VALUE_KIND` and all table columns, in key
order; a file of an append table holds the table columns. Rows stream through: a file is never in memory as a whole.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsdb import clock
from tsdb.cancellation import check_cancelled
from tsdb.format.choice import FileChoice, choose
from tsdb.format.parquet import KEY_PREFIX, SEQUENCE_NUMBER, physical_schema, tracked_schema
from tsdb.fs.file_io import FileIO
from tsdb.mergetree.merge import is_add, kinds_of
from tsdb.metadata.binary_row import encode_rows
from tsdb.metadata.data_file import EMPTY_ROW, EMPTY_STATS, DataFileMeta, SimpleStats, local_path
from tsdb.metadata.file_index import FileIndexWriter, wanted_indexes
from tsdb.metadata.paths import FileNames
from tsdb.metadata.schema import TableSchema
from tsdb.metadata.stats import KEY_MODE, compute_stats, stats_modes
from tsdb.nested_nulls import with_hidden_values
from tsdb.options import TableOptions, parse_size

FILE_SOURCE_APPEND, FILE_SOURCE_COMPACT = 0, 1
_WORD_DIGITS, _WORD_BITS = 18, 64  # so many digits fit into the low half of a decimal, its sign included


@dataclass(frozen=True, slots=True)
class DataWriter:
    """Writes the files of one bucket into its directory, or into those outside of the table, if there are any."""

    file_io: FileIO
    directory: str
    names: FileNames
    schema: TableSchema
    options: TableOptions
    external: tuple[str, ...] = ()

    def write(
        self,
        tables: Iterator[pa.Table],
        *,
        level: int,
        source: int,
        rows_per_file: int | None = None,
        changelog: bool = False,
        tracked: bool = False,
    ) -> list[DataFileMeta]:
        """Write the tables, one after the other, into as many files as rows_per_file demands (None: one).

        tables: table columns in order, preceded or followed by `_SEQUENCE_NUMBER` and `_VALUE_KIND` in a
        primary-key table; for an append table `_SEQUENCE_NUMBER` alone. tracked: of older rows of an append table, with
        `_ROW_ID` and `_SEQUENCE_NUMBER`, which go into the file. None of the files written remains if an
        exception comes out of here.
        """
        files: list[DataFileMeta] = []
        try:
            for part in _cut(tables, rows_per_file):
                files.append(self._write_file(part, level, source, changelog, tracked))
        except BaseException:
            self.delete(files)
            raise
        return files

    def delete(self, files: Iterable[DataFileMeta]) -> None:
        """Delete files of this bucket."""
        for file in files:
            for path in file.paths(self.directory):
                self.file_io.delete(path)

    def _write_file(
        self, tables: Iterator[pa.Table], level: int, source: int, changelog: bool, tracked: bool
    ) -> DataFileMeta:
        """One file with all of the rows, which are not empty."""
        choice = choose(self.options, level, changelog)
        new_name = self.names.new_changelog_file if changelog else self.names.new_data_file
        name = new_name(choice.extension)
        outside = f"{self.external[zlib.crc32(name.encode()) % len(self.external)]}/{name}" if self.external else None
        path = f"{self.directory}/{name}" if outside is None else local_path(outside)
        key = self.schema.trimmed_primary_keys if self.schema.primary_keys else ()
        physical = physical_schema(self.schema.fields, key, thin=self.options.flag("data-file.thin-mode"))
        physical = tracked_schema(physical) if tracked else physical
        seen = _Seen(self.schema, choice)

        wanted = [] if changelog else wanted_indexes(self.options.values, self.schema.fields)
        index = FileIndexWriter(wanted, self.schema.fields)

        def batches() -> Iterator[pa.RecordBatch]:
            for table in tables:
                check_cancelled()
                seen.add(table)
                index.add(table)
                yield from _physical(table, physical).to_batches()

        try:
            size = choice.format.write(self.file_io, path, batches(), physical, choice.options)
            meta = replace(seen.meta(name, size, level, source), external_path=outside)
            if tracked:
                stats_columns = meta.value_stats_cols or tuple(self.schema.names)
                meta = replace(meta, write_cols=tuple(physical.names), value_stats_cols=stats_columns)
            return self._with_index(meta, index.finish())
        except BaseException:
            self.file_io.delete(path)
            raise

    def _with_index(self, meta: DataFileMeta, index: bytes | None) -> DataFileMeta:
        """The file with its index: a small one in the manifest, another beside it."""
        if index is None:
            return meta
        if len(index) <= parse_size(self.options.get("file-index.in-manifest-threshold") or ""):
            return replace(meta, embedded_file_index=index)
        name = f"{meta.file_name}.index"
        self.file_io.write_bytes(f"{meta.directory(self.directory)}/{name}", index)
        return replace(meta, extra_files=(name,))


def _physical(table: pa.Table, physical: pa.Schema) -> pa.Table:
    """The columns of the file, in its order; a key column is its table column again."""
    names = (name if name in table.column_names else name.removeprefix(KEY_PREFIX) for name in physical.names)
    columns = (with_hidden_values(table[name], field.type) for name, field in zip(names, physical, strict=True))
    return pa.Table.from_arrays(list(columns), schema=physical)


class _Seen:
    """What the metadata of a file says about its rows, gathered while they pass."""

    def __init__(self, schema: TableSchema, choice: FileChoice) -> None:
        self._options = choice.options
        self._schema = schema
        self._keyed = bool(schema.primary_keys)
        self._key_names = list(schema.trimmed_primary_keys)
        self._rows = 0
        self._deletes = 0
        self._sequence: list[int] = []
        self._first_key: pa.Table | None = None
        self._last_key: pa.Table | None = None
        self._extremes: list[pa.Table] = []
        self._nulls = np.zeros(len(schema.fields), np.int64)

    def add(self, table: pa.Table) -> None:
        """The next rows of the file."""
        self._rows += table.num_rows
        low, high = pc.min_max(table[SEQUENCE_NUMBER]).values()
        self._sequence += [bound.as_py() for bound in (low, high) if bound.is_valid]
        if self._keyed:
            self._deletes += int(np.count_nonzero(~is_add(kinds_of(table))))
            keys = table.select(self._key_names)
            self._first_key = keys.slice(0, 1) if self._first_key is None else self._first_key
            self._last_key = keys.slice(keys.num_rows - 1, 1)
        columns = [table[name] for name in self._schema.names]
        self._nulls += [column.null_count for column in columns]
        self._extremes.append(pa.Table.from_arrays([_extremes(c) for c in columns], names=list(self._schema.names)))

    def meta(self, name: str, size_bytes: int, level: int, source: int) -> DataFileMeta:
        """The metadata of the file that has all rows seen."""
        extremes = pa.concat_tables(self._extremes)
        value_stats, value_stats_columns = compute_stats(
            extremes,
            self._schema.fields,
            modes=stats_modes(self._options, self._schema.names),
            dense=self._options.flag("metadata.stats-dense-store"),
        )
        by_name = dict(zip(self._schema.names, self._nulls.tolist(), strict=True))
        counted = self._schema.names if value_stats_columns is None else value_stats_columns
        value_stats = _with_nulls(value_stats, by_name, counted)
        key_stats, min_key, max_key = EMPTY_STATS, EMPTY_ROW, EMPTY_ROW
        if self._first_key is not None and self._last_key is not None:
            key_fields = [self._schema.field(k) for k in self._key_names]
            key_stats = compute_stats(extremes.select(self._key_names), key_fields, mode=KEY_MODE)[0]
            key_stats = _with_nulls(key_stats, by_name, self._key_names)
            types = [field.type for field in key_fields]
            ends = pa.concat_tables([self._first_key, self._last_key])
            min_key, max_key = encode_rows(ends.columns, types)
        return DataFileMeta(
            file_name=name, file_size=size_bytes, row_count=self._rows, min_key=min_key, max_key=max_key,
            key_stats=key_stats, value_stats=value_stats, value_stats_cols=value_stats_columns,
            min_sequence_number=min(self._sequence, default=0), max_sequence_number=max(self._sequence, default=0),
            schema_id=self._schema.id, level=level, delete_row_count=self._deletes, file_source=source,
            creation_time_millis=clock.current().now_ms(),
        )  # fmt: skip


def _extremes(column: pa.ChunkedArray) -> pa.Array:
    """Two rows that have the smallest and the largest value of the column, or nulls where they could not bound it.

    They cannot for types without order, and not where there is NaN or an infinity: engines disagree on its place.
    """
    kind = column.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind):
        return pa.nulls(2, kind)
    if pa.types.is_floating(kind) and not pc.all(pc.is_finite(column)).as_py() and column.null_count < len(column):
        return pa.nulls(2, kind)
    if pa.types.is_decimal128(kind) and kind.precision <= _WORD_DIGITS and not column.null_count and len(column):
        return _word_extremes(column)
    low, high = pc.min_max(column).values()
    return pa.concat_arrays([pa.array([low], kind), pa.array([high], kind)])


def _word_extremes(column: pa.ChunkedArray) -> pa.Array:
    """Those of short decimals without nulls, by their low words: several times faster than by all of their digits."""
    words = [
        np.frombuffer(chunk.buffers()[1], np.int64)[2 * chunk.offset : 2 * (chunk.offset + len(chunk)) : 2]
        for chunk in column.chunks
        if len(chunk)
    ]
    low, high = min(int(part.min()) for part in words), max(int(part.max()) for part in words)
    whole = np.array([low, low >> _WORD_BITS - 1, high, high >> _WORD_BITS - 1], np.int64)
    return pa.Array.from_buffers(column.type, 2, [None, pa.py_buffer(whole)])


def _with_nulls(stats: SimpleStats, nulls: dict[str, int], names: Sequence[str]) -> SimpleStats:
    if stats.null_counts is None:
        return stats
    known = zip(stats.null_counts, names, strict=True)
    return replace(stats, null_counts=tuple(None if count is None else nulls[name] for count, name in known))


def _cut(tables: Iterator[pa.Table], rows_per_file: int | None) -> Iterator[Iterator[pa.Table]]:
    """The same rows as consecutive streams of rows_per_file rows each; each stream must be read before the next is
    asked for.
    """
    rest = next((table for table in tables if table.num_rows), None)

    def part() -> Iterator[pa.Table]:
        nonlocal rest
        room = rows_per_file
        while rest is not None and room != 0:
            table = rest if room is None else rest.slice(0, room)
            room = None if room is None else room - table.num_rows
            rest = rest.slice(table.num_rows) if table.num_rows < rest.num_rows else None
            yield table
            if rest is None:
                rest = next((t for t in tables if t.num_rows), None)

    while rest is not None:
        yield part()
