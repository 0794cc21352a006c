"""The format `avro-confluent`: a zero byte, the id of the writer's schema in a registry, and an Avro record of it.

Each message is read by the schema that it was written with; columns are found by name then. A field that the writer
had not is NULL, one that the table has not is left out, and numbers that fit the column's wider type are taken.

Source: Confluent's documentation of the wire format; options and subjects as in Flink's format of this name.
"""

import io
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import fastavro
import numpy as np
import pyarrow as pa

from tsdb.changes import ChangeBatch, inserts
from tsdb.connector.connector import ChangelogMode
from tsdb.connector.kafka.avro import avro_schema
from tsdb.connector.kafka.registry import Registry, UnknownSchema
from tsdb.connector.serde.row_changes import require_values
from tsdb.connector.serde.serde import BadLine, Change
from tsdb.connector.serde.wire import decimal_of_bytes, fit, timestamp_of_text
from tsdb.data_types import from_arrow
from tsdb.errors import OptionError

FORM = "avro-confluent"
_HEAD = struct.Struct(">bI")
_ERRORS = (ValueError, TypeError, OverflowError, pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError)


class ConfluentReader:
    """See `Reader`."""

    mode: ChangelogMode = "append"

    def __init__(
        self,
        schema: pa.Schema,
        options: Mapping[str, str],
        *,
        form: str = FORM,
        plan: "Callable[[Any, pa.Schema], Plan] | None" = None,
    ) -> None:
        """form: the format whose options are meant. plan: how a schema's messages are read; as rows of `schema`."""
        avro_schema(schema)
        self._schema = schema
        self._registry = Registry(form, options)
        self._plan = plan or _RowPlan
        self._plans: dict[int, Plan] = {}

    def read(self, bodies: Sequence[bytes | None]) -> list[Change]:
        """See `Reader`. Raises Unreachable when the registry is away."""
        there = [body or b"" for body in bodies]
        ids = _ids(there)
        tables, order = [], []
        for schema_id in np.unique(ids).tolist():
            places = np.flatnonzero(ids == schema_id)
            tables.append(self._table(schema_id, [there[i] for i in places.tolist()], places))
            order.append(places)
        rows = pa.concat_tables(tables) if tables else self._schema.empty_table()
        if len(tables) > 1:
            rows = rows.take(pa.array(np.argsort(np.concatenate(order), kind="stable")))
        return [inserts(rows)]

    def _table(self, schema_id: int, bodies: list[bytes], places: np.ndarray) -> pa.Table:
        """The rows of messages with one schema; halves them until the bad one stands alone."""
        if schema_id not in self._plans:
            try:
                self._plans[schema_id] = self._plan(self._registry.schema(schema_id), self._schema)
            except (UnknownSchema, ValueError, TypeError, fastavro.schema.SchemaParseException) as err:
                raise BadLine(int(places[0]), f"{err}", bodies[0]) from err
        try:
            return self._plans[schema_id].table(bodies)
        except _ERRORS as err:
            if len(bodies) == 1:
                reason = str(err).partition("\n")[0] or type(err).__name__
                raise BadLine(int(places[0]), f"written with schema {schema_id}: {reason}", bodies[0]) from err
        half = len(bodies) // 2
        parts = [self._table(schema_id, bodies[cut], places[cut]) for cut in (slice(half), slice(half, None))]
        return pa.concat_tables(parts)


class ConfluentWriter:
    """See `Writer`. The schema is registered with the first row that is written."""

    mode: ChangelogMode = "append"

    def __init__(self, schema: pa.Schema, options: Mapping[str, str], *, form: str = FORM) -> None:
        """form: the format whose options are meant."""
        own = avro_schema(schema)
        text = options.get(f"{form}.schema")
        self._text = json.dumps(own if text is None else _given(form, text, schema), separators=(",", ":"))
        self._avro = fastavro.parse_schema(json.loads(self._text))
        self._registry = Registry(form, options)
        self._subject = options.get(f"{form}.subject", "")
        if not self._subject:
            raise OptionError(f"the format {form} needs the option '{form}.subject' to write")

    def write(self, changes: ChangeBatch) -> list[bytes | None]:
        """See `Writer`. Raises Unreachable when the registry is away."""
        head = _HEAD.pack(0, self._registry.register(self._subject, self._text))
        bodies: list[bytes | None] = []
        for row in changes.rows.to_pylist(maps_as_pydicts="strict"):
            stream = io.BytesIO(head)
            stream.seek(len(head))
            fastavro.schemaless_writer(stream, self._avro, row)
            bodies.append(stream.getvalue())
        return bodies


class Plan(Protocol):
    """How messages of one writer's schema are read; it is made from that schema and the columns."""

    def table(self, bodies: list[bytes]) -> pa.Table:
        """One row a message. Raises one of `_ERRORS`."""
        ...


class _RowPlan:
    """A message is a row."""

    def __init__(self, writer: Any, schema: pa.Schema) -> None:
        self._rows = Rows(writer, schema)
        self._avro = fastavro.parse_schema(raw_record(writer))

    def table(self, bodies: list[bytes]) -> pa.Table:
        """See `Plan`."""
        table = self._rows.table(records_of(bodies, self._avro))
        require_values(table)
        return table


class Rows:
    """How records of one Avro schema become rows: which fields, and how each becomes its column."""

    def __init__(self, record: Any, schema: pa.Schema) -> None:
        if not isinstance(record, dict) or record.get("type") != "record":
            raise ValueError("the writer's schema is no record")
        self._kinds = {field["name"]: _plain(field["type"]) for field in record["fields"]}
        self._schema = schema

    def table(self, rows: list[Any]) -> pa.Table:
        """The columns. Raises one of `_ERRORS`."""
        columns = []
        for field in self._schema:
            if field.name not in self._kinds:
                columns.append(pa.nulls(len(rows), field.type))
                continue
            try:
                columns.append(_column([row[field.name] for row in rows], self._kinds[field.name], field.type))
            except _ERRORS as err:
                raise ValueError(f"column `{field.name}` {from_arrow(field.type).sql()}: {err}") from err
        return pa.table(columns, schema=self._schema)


def raw_record(kind: Any) -> Any:
    """A record, or a union with one, as `records_of` reads it: what `Rows` makes of whole columns is left as it is."""
    if isinstance(kind, list):
        return [raw_record(k) for k in kind]
    if not isinstance(kind, dict) or kind.get("type") != "record":
        return kind
    return {**kind, "fields": [{**field, "type": _stripped(field["type"])} for field in kind["fields"]]}


def records_of(bodies: list[bytes], avro: Any) -> list[Any]:
    """The records behind the heads, all read as one stream: half the time of a stream a message."""
    stream, read = io.BytesIO(b"".join(bodies)), fastavro.schemaless_reader
    rows, end = [], 0
    for body in bodies:
        stream.seek(end + _HEAD.size)
        end += len(body)
        try:
            rows.append(read(stream, avro, None))
        except Exception as err:  # the library raises whatever the bytes lead to
            raise ValueError(f"not Avro of that schema: {type(err).__name__} {err}".strip()) from err
        if stream.tell() != end:
            raise ValueError("not Avro of that schema: the message is longer or shorter than its record")
    return rows


def _ids(bodies: Sequence[bytes]) -> np.ndarray:
    """The schema id of each message. Raises BadLine for one without."""
    for index, body in enumerate(bodies):
        if len(body) < _HEAD.size or body[0] != 0:
            raise BadLine(index, "no Avro with a schema id: it has to begin with a zero byte and four of the id", body)
    heads = np.frombuffer(b"".join(body[1 : _HEAD.size] for body in bodies), ">u4")
    return heads.astype(np.int64)


def _plain(kind: Any) -> Any:
    """The type of a nullable field without its null; other unions stay."""
    if isinstance(kind, list):
        others = [k for k in kind if k != "null"]
        return others[0] if len(others) == 1 else kind
    return kind


def _logical(kind: Any) -> str:
    if not isinstance(kind, dict):
        return ""
    found: str = kind.get("logicalType") or _CONNECT.get(kind.get("connect.name", ""), "")
    return found


def _stripped(kind: Any) -> Any:
    """Without the logical types that whole columns are made of more quickly than values."""
    if isinstance(kind, list):
        return [_stripped(k) for k in kind]
    return {k: v for k, v in kind.items() if k != "logicalType"} if _logical(kind) in _LOGICAL else kind


_LOGICAL = {
    "date": (pa.int32(), pa.date32()),
    "time-millis": (pa.int32(), pa.time32("ms")),
    "time-micros": (pa.int64(), pa.time64("us")),
    "timestamp-millis": (pa.int64(), pa.timestamp("ms", "UTC")),
    "timestamp-micros": (pa.int64(), pa.timestamp("us", "UTC")),
    "timestamp-nanos": (pa.int64(), pa.timestamp("ns", "UTC")),
    "local-timestamp-millis": (pa.int64(), pa.timestamp("ms")),
    "local-timestamp-micros": (pa.int64(), pa.timestamp("us")),
    "local-timestamp-nanos": (pa.int64(), pa.timestamp("ns")),
    "decimal": (pa.binary(), None),
    "zoned-timestamp": (pa.string(), pa.timestamp("us", "UTC")),
    "uuid": (pa.string(), pa.string()),
}
_CONNECT = {
    "io.debezium.time.Date": "date",
    "io.debezium.time.Time": "time-millis",
    "io.debezium.time.MicroTime": "time-micros",
    "io.debezium.time.Timestamp": "local-timestamp-millis",
    "io.debezium.time.MicroTimestamp": "local-timestamp-micros",
    "io.debezium.time.NanoTimestamp": "local-timestamp-nanos",
    "io.debezium.time.ZonedTimestamp": "zoned-timestamp",
}
"""Types of Debezium's connectors that are plain numbers or texts in Avro."""

_PRIMITIVE = {
    "boolean": pa.bool_(), "int": pa.int32(), "long": pa.int64(), "float": pa.float32(), "double": pa.float64(),
    "string": pa.string(), "bytes": pa.binary(), "enum": pa.string(), "fixed": pa.binary(), "null": pa.null(),
}  # fmt: skip


def _column(values: list[Any], kind: Any, wanted: pa.DataType) -> pa.Array:
    logical, name = _logical(kind), kind.get("type") if isinstance(kind, dict) else kind
    if logical in _LOGICAL:
        raw, typed = _LOGICAL[logical]
        if typed is None:
            typed = pa.decimal128(38, kind.get("scale", 0))
            found = decimal_of_bytes(pa.array(values, raw), kind.get("scale", 0))
        elif logical == "zoned-timestamp":
            found = timestamp_of_text(pa.array(values, raw), typed)
        else:
            found = pa.array(values, raw).cast(typed)
    elif isinstance(name, str) and name in _PRIMITIVE:
        typed = _PRIMITIVE[name]
        found = pa.array(values, typed)
    else:
        if pa.types.is_map(wanted):
            values = [None if v is None else list(v.items()) for v in values]
        return pa.array(values, wanted)
    if _family(typed) != _family(wanted) and not pa.types.is_null(typed):
        raise ValueError(f"the message has {logical or name}")
    return found.cast(wanted) if pa.types.is_null(typed) else fit(_zoned(found, wanted), wanted)


def _zoned(values: pa.Array, wanted: pa.DataType) -> pa.Array:
    """The same moments with or without UTC, as the column has it: older writers have only the type with a zone."""
    if pa.types.is_timestamp(values.type) and values.type.tz != wanted.tz:
        return values.cast(pa.timestamp(values.type.unit, wanted.tz))
    return values


def _family(kind: pa.DataType) -> str:
    for name, is_a in _FAMILIES:
        if is_a(kind):
            return name
    return str(kind)


_FAMILIES = (
    ("number", lambda k: pa.types.is_integer(k) or pa.types.is_floating(k) or pa.types.is_decimal(k)),
    ("text", lambda k: pa.types.is_string(k) or pa.types.is_binary(k) or pa.types.is_fixed_size_binary(k)),
    ("timestamp", pa.types.is_timestamp),
    ("time", pa.types.is_time),
    ("date", pa.types.is_date),
)


def _given(form: str, text: str, schema: pa.Schema) -> Any:
    """The schema of the option, which has to have a field for every column."""
    try:
        given = json.loads(text)
        fields = {field["name"] for field in given["fields"]}
    except (ValueError, TypeError, KeyError) as err:
        raise OptionError(f"'{form}.schema' is no Avro record in JSON: {err}") from err
    missing = [name for name in schema.names if name not in fields]
    if missing:
        raise OptionError(f"'{form}.schema' has no field `{missing[0]}`")
    return given
