"""Avro data files are written row by row with the schema that Paimon gives them.

As when they are read, rows pass through Python objects; times, dates and decimals are prepared as whole columns.
A timestamp of more than six digits has no form in Avro.
Source: Paimon, `AvroSchemaConverter`.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import fastavro
import pyarrow as pa
from fastavro.write import Writer as AvroWriter

from tsdb.errors import NotSupportedError
from tsdb.format import avro_snappy as _snappy  # noqa: F401  # tells fastavro of the codec
from tsdb.fs.file_io import FileIO
from tsdb.options import TableOptions

_NAMESPACE = "org.apache.paimon.avro.generated"
CODECS = {
    "zstd": "zstandard",
    "zstandard": "zstandard",
    "snappy": "snappy",
    "deflate": "deflate",
    "gzip": "deflate",
    "bzip2": "bzip2",
    "xz": "xz",
    "none": "null",
    "null": "null",
}
_SCALARS: tuple[tuple[Any, Any], ...] = (
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_int64, "long"),
    (pa.types.is_integer, "int"),
    (pa.types.is_float32, "float"),
    (pa.types.is_float64, "double"),
    (pa.types.is_string, "string"),
    (pa.types.is_binary, "bytes"),
    (pa.types.is_date32, {"type": "int", "logicalType": "date"}),
    (pa.types.is_time32, {"type": "int", "logicalType": "time-millis"}),
)
_DAYS_AND_TIMES = (pa.types.is_date, pa.types.is_time, pa.types.is_timestamp)


def write_avro(
    file_io: FileIO, path: str, batches: Iterable[pa.RecordBatch], schema: pa.Schema, options: TableOptions
) -> int:
    """A new file of the batches, which have the columns of `schema`; returns its size in bytes.

    On an exception the file may be there in part: the caller deletes it.
    """
    record = fastavro.parse_schema(avro_schema(schema))
    codec = CODECS[(options.get("file.compression") or "zstd").lower()]
    level = options.integer("file.compression.zstd-level") if codec == "zstandard" else None
    with file_io.open_output(path) as sink:
        writer = AvroWriter(sink, record, codec=codec, compression_level=level)
        for row in _rows(batches, schema):
            writer.write(row)
        writer.flush()
        return int(sink.tell())


def avro_schema(schema: pa.Schema) -> dict[str, Any]:
    """The schema as Paimon writes it. Raises NotSupportedError for a column that Avro has no form for."""
    return {
        "type": "record",
        "name": "record",
        "namespace": _NAMESPACE,
        "fields": [_field(field, f"record_{field.name}") for field in schema],
    }


def _field(field: pa.Field, name: str) -> dict[str, Any]:
    kind = _nullable(field, name)
    return {"name": field.name, "type": kind, **({"default": None} if field.nullable else {})}


def _nullable(field: pa.Field, name: str) -> Any:
    """name: what a record inside is called; records of one file have different names."""
    kind = _type(field.type, field.name, name)
    return ["null", kind] if field.nullable else kind


def _type(kind: pa.DataType, column: str, name: str) -> Any:
    for is_a, avro in _SCALARS:
        if is_a(kind):
            return avro
    if pa.types.is_decimal(kind):
        return {"type": "bytes", "logicalType": "decimal", "precision": kind.precision, "scale": kind.scale}
    if pa.types.is_timestamp(kind) and kind.unit in ("ms", "us"):
        word = ("local-" if kind.tz else "") + ("timestamp-millis" if kind.unit == "ms" else "timestamp-micros")
        return {"type": "long", "logicalType": word}
    if pa.types.is_map(kind):
        return _map(kind, name)
    if pa.types.is_list(kind):
        return {"type": "array", "items": _nullable(kind.value_field, name)}
    if pa.types.is_struct(kind):
        fields = [_field(field, f"{name}_{field.name}") for field in kind]
        return {"type": "record", "name": name, "namespace": _NAMESPACE, "fields": fields}
    raise NotSupportedError(
        f"column `{column}`: Avro data files cannot hold a timestamp of more than six digits; "
        f"use TIMESTAMP(6), or 'file.format' = 'parquet'"
    )


def _map(kind: pa.MapType, name: str) -> Any:
    """A map whose keys are no strings is an array of records."""
    if pa.types.is_string(kind.key_type):
        return {"type": "map", "values": _nullable(kind.item_field, f"{name}_value")}
    entry = [_field(kind.key_field, f"{name}_key"), _field(kind.item_field, f"{name}_value")]
    record = {"type": "record", "name": name, "namespace": _NAMESPACE, "fields": entry}
    return {"type": "array", "logicalType": "map", "items": record}


def _rows(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[dict[str, Any]]:
    names = schema.names
    for batch in batches:
        columns = [_values(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
        for values in zip(*columns, strict=True):
            yield dict(zip(names, values, strict=True))


def _values(column: pa.Array, kind: pa.DataType) -> list[Any]:
    """The values of a column as fastavro takes them."""
    if any(is_a(kind) for is_a in _DAYS_AND_TIMES):
        wide = pa.int64() if pa.types.is_timestamp(kind) else pa.int32()
        return list(column.view(wide).to_pylist())
    if pa.types.is_map(kind):
        return _maps(column, kind)
    if pa.types.is_list(kind):
        return _cut(column, _values(column.values, kind.value_type))
    if pa.types.is_struct(kind):
        parts = [_values(column.field(i), field.type) for i, field in enumerate(kind)]
        names = [field.name for field in kind]
        rows = zip(*parts, strict=True) if parts else ((),) * len(column)
        nulls = column.is_null().to_pylist()
        return [None if null else dict(zip(names, row, strict=True)) for null, row in zip(nulls, rows, strict=True)]
    return list(column.to_pylist())


def _maps(column: pa.MapArray, kind: pa.MapType) -> list[Any]:
    keys, items = _values(column.keys, kind.key_type), _values(column.items, kind.item_type)
    rows = _cut(column, list(zip(keys, items, strict=True)))
    if pa.types.is_string(kind.key_type):
        return [None if row is None else dict(row) for row in rows]
    return [None if row is None else [{"key": k, "value": v} for k, v in row] for row in rows]


def _cut(column: pa.Array, values: list[Any]) -> list[Any]:
    """The values below a list column, as one list for each of its rows."""
    offsets = column.offsets.to_pylist()
    nulls = column.is_null().to_pylist()
    return [None if null else values[start:end] for null, start, end in zip(nulls, offsets, offsets[1:], strict=False)]
