"""Reading one data file as if it had been written under today's schema.

Columns are found by field id in the schema the file was written with, and read by the name they had then; what the file
lacks is NULL, what has changed in type is converted. Rows keep their order, so masks over the file's rows apply.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tsdb.data_types import DataField, DataType, parse_type, to_arrow
from tsdb.errors import CorruptFile, NotSupportedError
from tsdb.format import FORMATS, read_columns
from tsdb.format.parquet import ROW_ID, SEQUENCE_NUMBER, VALUE_KIND, open_parquet
from tsdb.mergetree.lookup_compaction import ReadRows
from tsdb.mergetree.merge import ReadColumns
from tsdb.metadata.data_file import DataFileMeta
from tsdb.metadata.predicate import Predicate, columns, may_match
from tsdb.metadata.schema import TableSchema
from tsdb.nested_nulls import with_hidden_values
from tsdb.table.evolution import convert
from tsdb.table.table import Table

BATCH_ROWS = 1 << 16
SLICE_ROWS = 1 << 12
"""As much is decoded behind the last wanted row of a row group, at most, where rows are read by their positions."""
Mask = npt.NDArray[np.bool_]
_SYSTEM: Mapping[str, DataType] = {
    SEQUENCE_NUMBER: parse_type("BIGINT NOT NULL"),
    VALUE_KIND: parse_type("TINYINT NOT NULL"),
    ROW_ID: parse_type("BIGINT"),
}


@dataclass(frozen=True, slots=True)
class Member:
    """A wanted column, and the column of the file that it is; None: the file has none."""

    name: str
    type: DataType
    old: DataField | None


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Row group `index` of a file holds its rows start to end - 1."""

    index: int
    start: int
    end: int

    @property
    def count(self) -> int:
        """How many rows."""
        return self.end - self.start


def read_file(
    table: Table,
    file: DataFileMeta,
    directory: str,
    wanted: Sequence[str],
    *,
    mask: Mask | None = None,
    predicate: Predicate | None = None,
    batch_rows: int = BATCH_ROWS,
) -> Iterator[pa.RecordBatch]:
    """The rows of a file in batches, with the wanted columns, by their names of today.

    wanted: table columns, `_SEQUENCE_NUMBER` and `_VALUE_KIND`. mask: over all rows of the file; rows where it is False
    are left out. predicate: row groups that cannot hold a match are left out; other rows come, match or not.
    Raises CorruptFile naming the file.
    """
    path = file.path(directory)
    check_readable(table, file)
    if mask is not None and len(mask) != file.row_count:
        raise CorruptFile(f"data file {path} has {file.row_count} rows, but its deletions are of {len(mask)}")
    members = _members(table.schema, table.schemas.schema(file.schema_id), wanted)
    if not path.endswith(".parquet"):
        yield from _read_other(table, path, members, mask)
        return
    with open_parquet(table.file_io, path) as parquet:
        members = _present(members, parquet)
        groups = _row_groups(parquet.metadata, members, mask, predicate)
        names = list(dict.fromkeys(m.old.name for m in members if m.old is not None))
        if not names:
            for group in groups:
                count = group.count if mask is None else int(np.count_nonzero(mask[group.start : group.end]))
                yield _without_file(_schema(members), count)
            return
        kept = None if mask is None else np.concatenate([mask[g.start : g.end] for g in groups] or [mask[:0]])
        indices = [group.index for group in groups]
        batches = parquet.iter_batches(batch_rows, row_groups=indices, columns=names, use_threads=False)
        try:
            yield from _of_today(_masked(batches if groups else iter(()), kept), members)
        except (pa.ArrowException, OSError) as err:
            raise CorruptFile(f"data file {path} cannot be read: {err}") from err


def read_rows(
    table: Table,
    file: DataFileMeta,
    directory: str,
    wanted: Sequence[str],
    positions: npt.NDArray[np.int64],
    groups: Sequence[RowGroup],
    footer: pq.FileMetaData,
) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file at some positions, ascending: only their row groups, and each up to the last of them.

    groups, footer: of the file. Otherwise as `read_file`.
    """
    path = file.path(directory)
    check_readable(table, file)
    members = _members(table.schema, table.schemas.schema(file.schema_id), wanted)
    with open_parquet(table.file_io, path, footer) as parquet:
        members = _present(members, parquet)
        names = list(dict.fromkeys(m.old.name for m in members if m.old is not None))
        if not names:
            yield _without_file(_schema(members), len(positions))
            return
        bounds = np.searchsorted(positions, [group.end for group in groups])
        for group, first, last in zip(groups, [0, *bounds], bounds, strict=False):
            if first == last:
                continue
            try:
                batches = parquet.iter_batches(SLICE_ROWS, row_groups=[group.index], columns=names, use_threads=False)
                yield from _of_today(_at(batches, positions[first:last] - group.start), members)
            except (pa.ArrowException, OSError) as err:
                raise CorruptFile(f"data file {path} cannot be read: {err}") from err


def _at(batches: Iterator[pa.RecordBatch], positions: npt.NDArray[np.int64]) -> Iterator[pa.RecordBatch]:
    """The rows at positions of all batches, which are taken no further than they are needed."""
    start = done = 0
    for batch in batches:
        until = int(np.searchsorted(positions, start + batch.num_rows))
        if until > done:
            yield batch.take(pa.array(positions[done:until] - start))
        start, done = start + batch.num_rows, until
        if done == len(positions):
            return


def row_groups(footer: pq.FileMetaData) -> list[RowGroup]:
    """The row groups of a file, and the rows that each holds."""
    groups, start = [], 0
    for index in range(footer.num_row_groups):
        end = start + footer.row_group(index).num_rows
        groups.append(RowGroup(index, start, end))
        start = end
    return groups


def check_readable(table: Table, file: DataFileMeta) -> None:
    """Raise NotSupportedError for a file that `read_file` cannot read."""
    if file.file_name.rsplit(".", 1)[-1] not in FORMATS:
        raise NotSupportedError(
            f"data file {file.file_name} of table `{table.identifier}` has a format that cannot be read; "
            f"those that can are {', '.join(FORMATS)}"
        )
    if file.write_cols is not None and not set(table.schemas.schema(file.schema_id).names) <= set(file.write_cols):
        raise NotSupportedError(
            f"data file {file.file_name} of table `{table.identifier}` has some of the columns only "
            f"('data-evolution.enabled'), which cannot be read yet"
        )


def column_reader(table: Table, directory: str) -> ReadColumns:
    """Reads columns of the files in a directory, by their names of today, for a merge."""

    def read(file: DataFileMeta, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        return read_file(table, file, directory, names)

    return read


def row_reader(table: Table, directory: str) -> ReadRows:
    """The same, of the rows under a mask."""

    def read(file: DataFileMeta, names: Sequence[str], mask: Mask | None) -> Iterator[pa.RecordBatch]:
        return read_file(table, file, directory, names, mask=mask)

    return read


def _members(now: TableSchema, written: TableSchema, wanted: Sequence[str]) -> list[Member]:
    by_id = {field.id: field for field in written.fields}
    members: list[Member] = []
    for name in wanted:
        if name in _SYSTEM and not now.has(name):
            members.append(Member(name, _SYSTEM[name], DataField(-1, name, _SYSTEM[name])))
            continue
        field = now.field(name)
        old = by_id.get(field.id)
        members.append(Member(name, field.type if old is not None else field.type.with_nullable(True), old))
    return members


def _present(members: Sequence[Member], parquet: pq.ParquetFile) -> list[Member]:
    """The members, without columns that the file lacks although its schema has them."""
    present = set(parquet.schema_arrow.names)
    return [m if m.old is None or m.old.name in present else Member(m.name, m.type, None) for m in members]


def _row_groups(
    metadata: pq.FileMetaData, members: Sequence[Member], mask: Mask | None, predicate: Predicate | None
) -> list[RowGroup]:
    """The row groups that may hold wanted rows."""
    groups = row_groups(metadata)
    if mask is not None:
        groups = [group for group in groups if mask[group.start : group.end].any()]
    if predicate is None:
        return groups
    looked_at = columns(predicate)
    simple = {m.name: m.old.name for m in members if m.old is not None and m.name in looked_at and m.old.type == m.type}
    places = {metadata.schema.column(i).path: i for i in range(metadata.num_columns)}
    return [g for g in groups if _group_may_match(metadata.row_group(g.index), predicate, simple, places)]


def _group_may_match(
    group: pq.RowGroupMetaData, predicate: Predicate, names: Mapping[str, str], places: Mapping[str, int]
) -> bool:
    def ranges(column: str) -> tuple[object, object, int | None, int] | None:
        place = places.get(names.get(column, ""))
        chunk = None if place is None else group.column(place)
        stats = None if chunk is None or not chunk.is_stats_set else chunk.statistics
        if stats is None or not stats.has_null_count:
            return None
        # a float's NaN is in no statistics; other writers may cut strings short, but only so that they still bound
        known = stats.has_min_max and stats.physical_type not in ("FLOAT", "DOUBLE", "INT96")
        return (stats.min if known else None, stats.max if known else None, stats.null_count, group.num_rows)

    return may_match(predicate, ranges)


def _read_other(table: Table, path: str, members: Sequence[Member], mask: Mask | None) -> Iterator[pa.RecordBatch]:
    """A file that is not Parquet: nothing in it can be skipped."""
    fields = {member.old.name: member.old for member in members if member.old is not None}
    for batch in _masked(read_columns(table.file_io, path, list(fields.values()), table.options), mask):
        if fields:
            yield from _of_today(iter([batch]), members)
        else:
            yield _without_file(_schema(members), batch.num_rows)


def _masked(batches: Iterator[pa.RecordBatch], kept: Mask | None) -> Iterator[pa.RecordBatch]:
    """The batches without the rows where `kept` is False. kept: over the rows of all batches."""
    start = 0
    for batch in batches:
        if kept is None:
            yield batch
            continue
        part = kept[start : start + batch.num_rows]
        start += batch.num_rows
        if part.all():
            yield batch
        elif part.any():
            yield batch.filter(pa.array(part)) if batch.num_columns else _without_file(pa.schema([]), int(part.sum()))


def _of_today(batches: Iterator[pa.RecordBatch], members: Sequence[Member]) -> Iterator[pa.RecordBatch]:
    """The batches, whose columns have the names of their time, with the wanted columns."""
    schema = _schema(members)
    for batch in batches:
        yield pa.RecordBatch.from_arrays([_column(batch, member) for member in members], schema=schema)


def _schema(members: Sequence[Member]) -> pa.Schema:
    return pa.schema([pa.field(m.name, to_arrow(m.type), m.type.nullable) for m in members])


def _column(batch: pa.RecordBatch, member: Member) -> pa.Array:
    if member.old is None:
        return pa.nulls(batch.num_rows, to_arrow(member.type))
    array = batch.column(member.old.name)
    written = to_arrow(member.old.type)
    if array.type != written:
        array = with_hidden_values(array, written).cast(written, safe=False)
    return convert(array, member.old.type, member.type)


def _without_file(schema: pa.Schema, count: int) -> pa.RecordBatch:
    """A batch of so many rows in which every column (there may be none) is NULL."""
    if len(schema):
        return pa.RecordBatch.from_arrays([pa.nulls(count, field.type) for field in schema], schema=schema)
    return pa.RecordBatch.from_struct_array(pa.StructArray.from_buffers(pa.struct([]), count, [None]))
