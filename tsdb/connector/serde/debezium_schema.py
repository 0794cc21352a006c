"""Wires from the inline schema of a Debezium message: the schema says what a number or a text means.

Without it the same number may be milliseconds or microseconds, and base64 has no scale.
Source: Debezium's semantic types (`io.debezium.time.*`, `io.debezium.data.*`) and Kafka Connect's logical types.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tsdb.connector.serde.json_rows import RowPlan
from tsdb.connector.serde.wire import Wire, base64_bytes, decimal_of_bytes, fit, time_of_text, timestamp_of_text

Field = Mapping[str, Any]
WireOf = Callable[[Field, pa.DataType], Wire]

_PRIMITIVES: Mapping[str, pa.DataType] = {
    "int8": pa.int8(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float": pa.float32(),
    "float32": pa.float32(),
    "double": pa.float64(),
    "float64": pa.float64(),
    "boolean": pa.bool_(),
    "string": pa.string(),
}


def _number(storage: pa.DataType, meaning: pa.DataType) -> WireOf:
    def make(field: Field, kind: pa.DataType) -> Wire:
        zone = kind.tz if pa.types.is_timestamp(kind) and pa.types.is_timestamp(meaning) else None
        typed = pa.timestamp(meaning.unit, zone) if zone else meaning
        return Wire(storage, lambda numbers: fit(pc.cast(numbers, typed), kind))

    return make


def _decimal(field: Field, kind: pa.DataType) -> Wire:
    scale = int((field.get("parameters") or {}).get("scale", "0"))
    return Wire(pa.string(), lambda texts: _fit_decimal(decimal_of_bytes(base64_bytes(texts), scale), kind))


def _variable_decimal(field: Field, kind: pa.DataType) -> Wire:
    read = pa.struct([("scale", pa.int32()), ("value", pa.string())])

    def convert(values: pa.Array) -> pa.Array:
        scales, texts = values.field("scale"), values.field("value")
        whole = decimal_of_bytes(base64_bytes(texts), 0).cast(pa.string())
        exact = pc.binary_join_element_wise(whole, pc.cast(pc.negate(scales), pa.string()), "e")
        decimal = kind if pa.types.is_decimal(kind) else pa.decimal128(38, 18)
        return fit(pc.if_else(values.is_valid(), exact, None).cast(decimal), kind)

    return Wire(read, convert)


def _fit_decimal(values: pa.Array, kind: pa.DataType) -> pa.Array:
    return fit(values, kind)


def _zoned_timestamp(field: Field, kind: pa.DataType) -> Wire:
    target = kind if pa.types.is_timestamp(kind) else pa.timestamp("us", "UTC")
    if target.tz is None:
        return Wire(pa.string(), lambda texts: fit(timestamp_of_text(texts, pa.timestamp(target.unit, "UTC")), kind))
    return Wire(pa.string(), lambda texts: fit(timestamp_of_text(texts, target), kind))


def _zoned_time(field: Field, kind: pa.DataType) -> Wire:
    return Wire(pa.string(), (lambda t: time_of_text(t, kind)) if pa.types.is_time(kind) else (lambda t: fit(t, kind)))


def _bytes(field: Field, kind: pa.DataType) -> Wire:
    return Wire(pa.string(), lambda texts: fit(base64_bytes(texts), kind))


_SEMANTIC: Mapping[str, WireOf] = {
    "org.apache.kafka.connect.data.Decimal": _decimal,
    "org.apache.kafka.connect.data.Date": _number(pa.int32(), pa.date32()),
    "org.apache.kafka.connect.data.Time": _number(pa.int32(), pa.time32("ms")),
    "org.apache.kafka.connect.data.Timestamp": _number(pa.int64(), pa.timestamp("ms")),
    "io.debezium.data.VariableScaleDecimal": _variable_decimal,
    "io.debezium.time.Date": _number(pa.int32(), pa.date32()),
    "io.debezium.time.Time": _number(pa.int32(), pa.time32("ms")),
    "io.debezium.time.MicroTime": _number(pa.int64(), pa.time64("us")),
    "io.debezium.time.NanoTime": _number(pa.int64(), pa.time64("ns")),
    "io.debezium.time.Timestamp": _number(pa.int64(), pa.timestamp("ms")),
    "io.debezium.time.MicroTimestamp": _number(pa.int64(), pa.timestamp("us")),
    "io.debezium.time.NanoTimestamp": _number(pa.int64(), pa.timestamp("ns")),
    "io.debezium.time.ZonedTimestamp": _zoned_timestamp,
    "io.debezium.time.ZonedTime": _zoned_time,
}


def plan_of_schema(row: Field, schema: pa.Schema) -> RowPlan:
    """The plan for the struct `before` or `after`; columns that it lacks become NULL.

    Raises ValueError for a declared column of a type that cannot be read.
    """
    wires: dict[str, Wire] = {}
    free: list[str] = []
    fields = {f["field"]: f for f in row.get("fields") or ()}
    for column in schema:
        field = fields.get(column.name)
        if field is None:
            continue
        made = _wire(field, column.type)
        if made is None:
            free.append(column.name)
        else:
            wires[column.name] = made
    return RowPlan(schema, wires, tuple(free))


def _wire(field: Field, kind: pa.DataType) -> Wire | None:
    """None: a nested value, that Python reads."""
    semantic = _SEMANTIC.get(field.get("name") or "")
    if semantic is not None:
        return semantic(field, kind)
    if field["type"] == "bytes":
        return _bytes(field, kind)
    primitive = _PRIMITIVES.get(field["type"])
    if primitive is None:
        return None
    return Wire(primitive, lambda values: _checked(fit(values, kind)))


def _checked(values: pa.Array) -> pa.Array:
    if pa.types.is_string(values.type):
        values.validate(full=True)  # UTF-8
    return values
