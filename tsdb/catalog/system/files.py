"""`t$files`: every data file of the newest snapshot, with its statistics. `t$file_key_ranges`: less of the same."""

import datetime as dt
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from tsdb.catalog.system.rows import (
    REQUIRED_TIME,
    bigint,
    listed,
    mapped,
    partition_text,
    required_bigint,
    required_string,
    string,
    table_of,
)
from tsdb.data_types import DataType, TypeRoot, to_arrow
from tsdb.metadata.binary_row import decode_row
from tsdb.metadata.data_file import DataFileMeta
from tsdb.metadata.manifest import ManifestEntry
from tsdb.metadata.stats import column_ranges
from tsdb.table.evolution import convert
from tsdb.table.refs import resolve_snapshot
from tsdb.table.scan import live_files, partition_values
from tsdb.table.table import Table

FILES = pa.schema(
    [
        string("partition"),
        pa.field("bucket", pa.int32(), False),
        required_string("file_path"),
        required_string("file_format"),
        required_bigint("schema_id"),
        pa.field("level", pa.int32(), False),
        required_bigint("record_count"),
        required_bigint("file_size_in_bytes"),
        string("min_key"),
        string("max_key"),
        required_string("null_value_counts"),
        required_string("min_value_stats"),
        required_string("max_value_stats"),
        bigint("min_sequence_number"),
        bigint("max_sequence_number"),
        pa.field("creation_time", REQUIRED_TIME),
        bigint("deleteRowCount"),
        string("file_source"),
        bigint("first_row_id"),
        pa.field("write_cols", pa.list_(pa.string())),
    ]
)
_KEY_RANGES = (
    "partition", "bucket", "file_path", "file_format", "schema_id", "level", "record_count", "file_size_in_bytes",
    "min_key", "max_key", "first_row_id",
)  # fmt: skip
KEY_RANGES = pa.schema([FILES.field(name) for name in _KEY_RANGES])
_SOURCES = {0: "APPEND", 1: "COMPACT"}


def files(table: Table) -> pa.Table:
    """One row a live file of the newest snapshot, with its statistics; of another with a version."""
    snapshot = resolve_snapshot(table, table.options.values)
    return table_of([_row(table, entry) for entry in live_files(table, snapshot)], FILES)


def file_key_ranges(table: Table) -> pa.Table:
    """Place, size and key range of the live files."""
    return files(table).select(list(_KEY_RANGES))


def _row(table: Table, entry: ManifestEntry) -> tuple[object, ...]:
    file = entry.file
    values = partition_values(table, entry.partition)
    directory = table.paths.bucket(dict(zip(table.schema.partition_keys, values, strict=True)), entry.bucket)
    low, high, nulls = zip(*_ranges(table, file), strict=True)
    return (
        partition_text(values, table.schema.partition_types),
        entry.bucket,
        file.path(directory),
        file.file_name.rsplit(".", 1)[-1],
        file.schema_id,
        file.level,
        file.row_count,
        file.file_size,
        _key(table, file.min_key),
        _key(table, file.max_key),
        mapped(table.schema.names, nulls),
        mapped(table.schema.names, low),
        mapped(table.schema.names, high),
        file.min_sequence_number,
        file.max_sequence_number,
        file.creation_time_millis,
        file.delete_row_count,
        _SOURCES.get(file.file_source) if file.file_source is not None else None,
        file.first_row_id,
        None if file.write_cols is None else list(file.write_cols),
    )


def _ranges(table: Table, file: DataFileMeta) -> Iterator[tuple[object, object, object]]:
    """What the statistics say of each column of today: its values then as values of its type now."""
    written = table.schemas.schema(file.schema_id)
    by_id, ranges = {field.id: field for field in written.fields}, column_ranges(file, written)
    for now in table.schema.fields:
        old = by_id.get(now.id)
        if old is None:
            yield None, None, file.row_count
        else:
            low, high, nulls = ranges.get(old.name, (None, None, None))
            yield _today(low, old.type, now.type), _today(high, old.type, now.type), nulls


def _today(value: object, old: DataType, new: DataType) -> object:
    if value is None or old.with_nullable(True) == new.with_nullable(True):
        return _inner(value, old)
    return _inner(convert(pa.array([value], to_arrow(old)), old, new)[0].as_py(), new)


def _key(table: Table, key: bytes) -> str | None:
    names = table.schema.trimmed_primary_keys
    kinds = [table.schema.field(n).type for n in names]
    values = decode_row(key, kinds) if names else ()
    return listed(map(_inner, values, kinds), "[]") if names else None


def _inner(value: object, kind: DataType) -> object:
    """A value as Paimon holds it: dates are days since 1970, times are milliseconds of the day."""
    match value:
        case float() if kind.root is TypeRoot.FLOAT:
            return np.float32(value)
        case dt.datetime():
            return value
        case dt.date():
            return (value - dt.date(1970, 1, 1)).days
        case dt.time():
            return ((value.hour * 60 + value.minute) * 60 + value.second) * 1000 + value.microsecond // 1000
    return value
