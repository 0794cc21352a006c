"""The format `avro`: a body is one Avro record without a header, of the schema that follows from the columns.

The schema is the one that Flink derives: a record `record`, each column that may be NULL a union with null. Avro has no
blocks of messages, so this format goes message by message, in the library's compiled code.
"""

import io
from collections.abc import Sequence
from typing import Any

import fastavro
import pyarrow as pa

from tsdb.changes import ChangeBatch, inserts
from tsdb.connector.connector import ChangelogMode
from tsdb.connector.serde.serde import BadLine, Change
from tsdb.errors import NotSupportedError


class AvroReader:
    """See `Reader`."""

    mode: ChangelogMode = "append"

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._avro = fastavro.parse_schema(avro_schema(schema))

    def read(self, bodies: Sequence[bytes | None]) -> list[Change]:
        """See `Reader`."""
        rows = [self._row(index, body or b"") for index, body in enumerate(bodies)]
        columns = [_column([row[f.name] for row in rows], f.type) for f in self._schema]
        return [inserts(pa.table(columns, schema=self._schema))]

    def _row(self, index: int, body: bytes) -> dict[str, Any]:
        stream = io.BytesIO(body)
        try:
            row: Any = fastavro.schemaless_reader(stream, self._avro, None)
        except Exception as err:  # the library raises whatever the bytes lead to
            raise BadLine(index, f"not Avro of the table's schema: {type(err).__name__} {err}".strip(), body) from err
        if stream.tell() != len(body):
            left = len(body) - stream.tell()
            raise BadLine(index, f"not Avro of the table's schema: {left} bytes are left over", body)
        plain: dict[str, Any] = row
        return plain


class AvroWriter:
    """See `Writer`."""

    mode: ChangelogMode = "append"

    def __init__(self, schema: pa.Schema) -> None:
        self._avro = fastavro.parse_schema(avro_schema(schema))

    def write(self, changes: ChangeBatch) -> list[bytes | None]:
        """See `Writer`."""
        bodies: list[bytes | None] = []
        for row in changes.rows.to_pylist():
            stream = io.BytesIO()
            fastavro.schemaless_writer(stream, self._avro, row)
            bodies.append(stream.getvalue())
        return bodies


def avro_schema(schema: pa.Schema) -> dict[str, Any]:
    """Flink's Avro schema of a row. Raises NotSupportedError for a type that it has not."""
    return _record("record", list(schema))


def _record(name: str, fields: Sequence[pa.Field]) -> dict[str, Any]:
    parts = [{"name": f.name, "type": _nullable(f, f"{name}_{f.name}")} for f in fields]
    return {"type": "record", "name": name, "fields": parts}


def _nullable(field: pa.Field, name: str) -> Any:
    kind = _type(field.type, name)
    return ["null", kind] if field.nullable else kind


def _type(kind: pa.DataType, name: str) -> Any:
    for is_a, avro in _PLAIN:
        if is_a(kind):
            return avro
    if pa.types.is_decimal(kind):
        return {"type": "bytes", "logicalType": "decimal", "precision": kind.precision, "scale": kind.scale}
    if pa.types.is_timestamp(kind) and kind.unit in ("s", "ms", "us"):
        unit = "micros" if kind.unit == "us" else "millis"
        local = "" if kind.tz else "local-"
        return {"type": "long", "logicalType": f"{local}timestamp-{unit}"}
    if pa.types.is_list(kind):
        return {"type": "array", "items": _nullable(kind.value_field, name)}
    if pa.types.is_struct(kind):
        return _record(name, list(kind))
    if pa.types.is_map(kind) and pa.types.is_string(kind.key_type):
        return {"type": "map", "values": _nullable(kind.item_field, name)}
    raise NotSupportedError(f"the format avro has no {kind}")


_PLAIN = (
    (pa.types.is_boolean, "boolean"),
    (lambda k: pa.types.is_int8(k) or pa.types.is_int16(k) or pa.types.is_int32(k), "int"),
    (pa.types.is_int64, "long"),
    (pa.types.is_float32, "float"),
    (pa.types.is_float64, "double"),
    (pa.types.is_string, "string"),
    (lambda k: pa.types.is_binary(k) or pa.types.is_fixed_size_binary(k), "bytes"),
    (pa.types.is_date, {"type": "int", "logicalType": "date"}),
    (pa.types.is_time32, {"type": "int", "logicalType": "time-millis"}),
    (pa.types.is_time64, {"type": "long", "logicalType": "time-micros"}),
)


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_map(kind):
        values = [None if v is None else list(v.items()) for v in values]
    return pa.array(values, kind)
