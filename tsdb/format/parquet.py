"""Parquet data files: written as Paimon's readers want them, read batch by batch.

Written: zstd level 1, field ids at every level, decimals as integers where they fit, INT96 iff a timestamp has more
than six digits, no Arrow schema. Columns are matched by name when read.
Source: Paimon, `ParquetSchemaConverter`, `SpecialFields`; checked against files written by Paimon Java.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tsdb.data_types import DataField, DataType, TypeRoot, arrow_schema, to_arrow
from tsdb.errors import CorruptFile
from tsdb.format.time_range import check_nanoseconds
from tsdb.fs.file_io import FileIO
from tsdb.options import NO_OPTIONS, TableOptions, parse_size

KEY_PREFIX = "_KEY_"
SEQUENCE_NUMBER, VALUE_KIND, ROW_ID = "_SEQUENCE_NUMBER", "_VALUE_KIND", "_ROW_ID"
_KEY_ID_BASE = 1073741823
_SEQUENCE_NUMBER_ID, _VALUE_KIND_ID, _ROW_ID_ID = 2147483646, 2147483645, 2147483642
_STRUCTURED_ID_BASE, _DEPTH_MAX = 536870911, 1024
_FIELD_ID = b"PARQUET:field_id"

ROW_GROUP_ROWS = 1 << 16
"""At most, in files in key order: who looks up a key reads one row group."""
LARGE_GROUP_ROWS = 1 << 18
"""At most, in files of append tables, which are read from end to end: each group has its own dictionaries and pages."""
BATCH_ROWS = 1 << 16
_DICTIONARY_SAMPLE = 1 << 16
_ROW_GROUP_BYTES_MAX = "64 MB"
_FIRST_ROWS, _FIRST_DISTINCT_MAX = 4096, 3700  # with more, all of the sample would have too many
CODECS = ("zstd", "snappy", "gzip", "lz4", "brotli", "none")
# INT96 takes any time, but it is read as nanoseconds
_INT96 = "which a table that also has a TIMESTAMP of more than six digits cannot hold; declare that one as TIMESTAMP(6)"
_FEW_DISTINCT, _FEW_MORE = 1024, 256  # so few distinct values are always worth a dictionary
_DICTIONARY_RATIO = 0.25  # a column whose first rows have more distinct values than this share is written plain


def physical_schema(fields: Sequence[DataField], key: Sequence[str], *, thin: bool = False) -> pa.Schema:
    """The columns of a data file, with field ids. key: the trimmed primary key; () for an append table."""
    columns = [_arrow_field(f.name, f.type, f.id) for f in fields]
    if not key:
        return pa.schema(columns)
    by_name = {f.name: f for f in fields}
    keys = [_arrow_field(KEY_PREFIX + k, by_name[k].type, _KEY_ID_BASE + by_name[k].id) for k in key]
    system = [
        pa.field(SEQUENCE_NUMBER, pa.int64(), False, _id_metadata(_SEQUENCE_NUMBER_ID)),
        pa.field(VALUE_KIND, pa.int8(), False, _id_metadata(_VALUE_KIND_ID)),
    ]
    return pa.schema([*([] if thin else keys), *system, *columns])


def tracked_schema(physical: pa.Schema) -> pa.Schema:
    """The columns of a file of an append table whose rows bring their ids and snapshots with them."""
    return physical.append(pa.field(ROW_ID, pa.int64(), True, _id_metadata(_ROW_ID_ID))).append(
        pa.field(SEQUENCE_NUMBER, pa.int64(), True, _id_metadata(_SEQUENCE_NUMBER_ID))
    )


def _id_metadata(field_id: int) -> dict[bytes, bytes]:
    return {_FIELD_ID: str(field_id).encode()}


def _arrow_field(name: str, kind: DataType, field_id: int) -> pa.Field:
    return pa.field(name, _arrow_type(kind, field_id, 1), kind.nullable, _id_metadata(field_id))


def _arrow_type(kind: DataType, owner_id: int, depth: int) -> pa.DataType:
    """The Arrow type with ids for nested fields. owner_id: id of the column or ROW field; depth: from 1, below it."""
    element_id = _STRUCTURED_ID_BASE + owner_id * _DEPTH_MAX + depth
    key_id = _STRUCTURED_ID_BASE - owner_id * _DEPTH_MAX - depth
    match kind.root:
        case TypeRoot.ARRAY:
            return pa.list_(_nested("element", kind.element, element_id, owner_id, depth))
        case TypeRoot.MAP:
            assert kind.key is not None
            key = _nested("key", kind.key.with_nullable(False), key_id, owner_id, depth)
            return pa.map_(key, _nested("value", kind.value, element_id, owner_id, depth))
        case TypeRoot.MULTISET:
            assert kind.element is not None
            key = _nested("key", kind.element.with_nullable(False), key_id, owner_id, depth)
            return pa.map_(key, pa.field("value", pa.int32(), False, _id_metadata(element_id)))
        case TypeRoot.ROW:
            return pa.struct([_arrow_field(f.name, f.type, f.id) for f in kind.fields])
    return to_arrow(kind)


def _nested(name: str, kind: DataType | None, field_id: int, owner_id: int, depth: int) -> pa.Field:
    assert kind is not None
    return pa.field(name, _arrow_type(kind, owner_id, depth + 1), kind.nullable, _id_metadata(field_id))


def write_parquet(
    file_io: FileIO, path: str, batches: Iterable[pa.RecordBatch], schema: pa.Schema, options: TableOptions
) -> int:
    """A new file of the batches, which have the columns of `schema`; returns its size in bytes.

    On an exception the file may be there in part: the caller deletes it.
    """
    has_nanos = _has_nanos(schema)
    with file_io.open_output(path) as sink:
        writer: pq.ParquetWriter | None = None
        try:
            for group, rows_max in _row_groups(batches, schema, options):
                if has_nanos:
                    check_nanoseconds(group, _INT96)
                if writer is None:
                    writer = pq.ParquetWriter(sink, schema, **_settings(schema, options, group))
                writer.write_table(group.cast(schema) if group.schema != schema else group, rows_max)
            if writer is None:
                writer = pq.ParquetWriter(sink, schema, **_settings(schema, options, schema.empty_table()))
        finally:
            if writer is not None:
                writer.close()
        return int(sink.tell())


def _row_groups(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, options: TableOptions
) -> Iterator[tuple[pa.Table, int]]:
    """The batches as tables of about one row group each, and how many rows a row group has at most."""
    size_max = parse_size(str(options.get("file.block-size") or _ROW_GROUP_BYTES_MAX), "file.block-size")
    rows_max = 0
    pending: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        if not batch.num_rows:
            continue
        if not rows_max:  # the first rows say how large rows are before compression
            fitting = size_max * batch.num_rows // max(1, batch.nbytes)
            rows_max = min(max(fitting, 1), ROW_GROUP_ROWS if SEQUENCE_NUMBER in schema.names else LARGE_GROUP_ROWS)
        pending.append(batch)
        rows += batch.num_rows
        if rows >= rows_max:
            yield pa.Table.from_batches(pending), rows_max
            pending, rows = [], 0
    if pending:
        yield pa.Table.from_batches(pending), rows_max


def _settings(schema: pa.Schema, options: TableOptions, sample: pa.Table) -> dict[str, Any]:
    codec = (options.get("file.compression") or "zstd").lower()
    level = options.integer("file.compression.zstd-level") if codec == "zstd" else None
    return {
        "compression": codec,
        "compression_level": level,
        "use_dictionary": _dictionary_columns(schema, sample),
        "store_schema": False,
        "store_decimal_as_integer": True,
        "use_deprecated_int96_timestamps": _has_nanos(schema),
        "write_time_adjusted_to_utc": True,
        "version": "2.6",
        "write_statistics": True,
        "write_page_index": SEQUENCE_NUMBER not in schema.names,  # groups are large there: pages are skipped, too
    }


def _has_nanos(kind: pa.Schema | pa.DataType) -> bool:
    """Whether there is a timestamp of more than six digits at any depth: INT64 nanoseconds nobody else reads."""
    if isinstance(kind, pa.Schema):
        return any(_has_nanos(field.type) for field in kind)
    if pa.types.is_timestamp(kind):
        return bool(kind.unit == "ns")
    if pa.types.is_map(kind):
        return _has_nanos(kind.key_type) or _has_nanos(kind.item_type)
    if pa.types.is_list(kind):
        return _has_nanos(kind.value_type)
    return pa.types.is_struct(kind) and any(_has_nanos(field.type) for field in kind)


def _dictionary_columns(schema: pa.Schema, sample: pa.Table) -> list[str]:
    """Columns that repeat themselves: a dictionary of distinct values would be built only to be thrown away."""
    kept: list[str] = []
    tried: set[str] = set()
    for i, field in enumerate(schema):
        nested = pa.types.is_nested(field.type) or _is_wide_decimal(field.type)
        if nested or pa.types.is_boolean(field.type) or field.name == SEQUENCE_NUMBER or sample.num_columns <= i:
            continue
        as_key = KEY_PREFIX + field.name  # the same values once more
        if as_key in kept if as_key in tried else _repeats(sample.column(i).slice(0, _DICTIONARY_SAMPLE)):
            kept.append(field.name)
        tried.add(field.name)
    return kept


def _repeats(head: pa.ChunkedArray) -> bool:
    """Whether few of the values are distinct; the first of them tell it of most columns that do not."""
    distinct_max = max(_FEW_DISTINCT, int(_DICTIONARY_RATIO * len(head)))
    large = len(head) > _FIRST_ROWS
    first, first_max = (_FIRST_ROWS, _FIRST_DISTINCT_MAX) if large else (distinct_max + _FEW_MORE, distinct_max)
    if len(head) > first and len(head.slice(0, first).unique()) > first_max:
        return False
    return len(head) > 0 and len(head.unique()) <= distinct_max


def _is_wide_decimal(kind: pa.DataType) -> bool:
    """Whether it is kept in bytes: Paimon 1.4 seeks a value in a dictionary without the bytes that fill it up."""
    return bool(pa.types.is_decimal(kind)) and kind.precision > 18


def open_parquet(file_io: FileIO, path: str, footer: pq.FileMetaData | None = None) -> pq.ParquetFile:
    """An open file; close it. footer: of this file, if it was read before. Raises CorruptFile naming it."""
    try:
        return pq.ParquetFile(file_io.open_input(path), metadata=footer, pre_buffer=False)
    except FileNotFoundError as err:
        raise CorruptFile(f"data file {path} is missing") from err
    except (pa.ArrowException, OSError) as err:
        raise CorruptFile(f"data file {path} cannot be read: {err}") from err


def read_parquet(
    file_io: FileIO, path: str, fields: Sequence[DataField], options: TableOptions = NO_OPTIONS
) -> Iterator[pa.RecordBatch]:
    """The rows in order, with the columns named by `fields` and typed as they say; NULL for what the file lacks.

    Raises CorruptFile naming the file.
    """
    schema = arrow_schema([DataField(f.id, f.name, f.type.with_nullable(True)) for f in fields])
    with open_parquet(file_io, path) as file:
        present = set(file.schema_arrow.names)
    for batch in read_batches(file_io, path, [name for name in schema.names if name in present]):
        columns = [
            batch.column(field.name).cast(field.type, safe=False)
            if field.name in present
            else pa.nulls(batch.num_rows, field.type)
            for field in schema
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema) if columns else batch


def read_batches(
    file_io: FileIO, path: str, columns: Sequence[str] | None = None, *, row_groups: Sequence[int] | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows in order, in batches, with the named columns (all if None) in that order.

    Raises CorruptFile naming the file.
    """
    with open_parquet(file_io, path) as file:
        names = list(file.schema_arrow.names) if columns is None else list(columns)
        try:
            for batch in file.iter_batches(BATCH_ROWS, row_groups=row_groups, columns=names, use_threads=False):
                yield batch.select(names)
        except (pa.ArrowException, OSError) as err:
            raise CorruptFile(f"data file {path} cannot be read: {err}") from err
