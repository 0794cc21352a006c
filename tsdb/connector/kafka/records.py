"""Records of Kafka to changes of a table and back: key, value and metadata put together column by column.

With a format that gives one row a message, the columns of the key, of the value and of the metadata stand side by side.
With a change log (`debezium-json`, …) one message may be several changes, so there are only the columns of the value.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa

from tsdb.changes import ChangeBatch, RowKind, to_row_kinds
from tsdb.connector.connector import ChangelogMode, ConnectorTable
from tsdb.connector.kafka.format_metadata import FORMAT_PREFIX, format_values
from tsdb.connector.kafka.formats import (
    CHANGE_LOG_FORMATS,
    ChangeLogReader,
    Reader,
    Writer,
    reader,
    side_options,
    writer,
)
from tsdb.connector.kafka.metadata import headers_of, is_virtual, metadata_columns, metadata_values, timestamps_of
from tsdb.connector.kafka.options import KafkaOptions
from tsdb.connector.serde.serde import BadLine, Lines, Truncate
from tsdb.errors import NotSupportedError, OptionError, nearest
from tsdb.kafka.client import Fetched, Outgoing


@dataclass(frozen=True, slots=True)
class Layout:
    """Which column stands where. keys, values: the table's columns to the names in the message."""

    schema: pa.Schema
    keys: dict[str, str]
    values: dict[str, str]
    metadata: dict[str, str]
    primary_key: tuple[str, ...]
    key_format: str | None
    value_format: str


def layout_of(table: ConnectorTable, options: KafkaOptions) -> Layout:
    """The layout that the options describe. Raises OptionError or NotSupportedError."""
    values = options.values
    value_format, key_format = _value_format(options), values.get("key.format")
    metadata = metadata_columns(table, value_format)
    physical = [name for name in table.schema.names if name not in metadata]
    primary_key = tuple(table.schema.primary_keys)
    named = primary_key if options.upsert else _key_fields(options.name, values.get("key.fields", ""), physical)
    prefix = values.get("key.fields-prefix", "")
    without = values.get("value.fields-include", "ALL").upper() == "EXCEPT_KEY"
    if options.upsert and not (primary_key and key_format):
        raise OptionError(
            f"table `{options.name}`: upsert-kafka needs PRIMARY KEY (…) NOT ENFORCED and 'key.format'; the messages' "
            "keys are the primary key"
        )
    if bool(key_format) != bool(named):
        raise OptionError(f"table `{options.name}`: 'key.format' and 'key.fields' go together")
    if prefix and not (without and all(f.startswith(prefix) for f in named)):
        raise OptionError(
            f"table `{options.name}`: 'key.fields-prefix' = '{prefix}' needs 'value.fields-include' = 'EXCEPT_KEY', "
            "and every column of 'key.fields' has to begin with it"
        )
    keys = {name: name.removeprefix(prefix) for name in named}
    inside = {name: name for name in physical if not (without and name in keys)}
    return Layout(table.schema.arrow_schema, keys, inside, metadata, primary_key, key_format, value_format)


def _check_key_in_values(layout: Layout, name: str) -> None:
    """Changes are put together by the primary key, as their values have it."""
    absent = [key for key in layout.primary_key if key not in layout.values]
    if absent and layout.value_format in CHANGE_LOG_FORMATS:
        raise NotSupportedError(
            f"table `{name}`: the PRIMARY KEY column `{absent[0]}` stands in the messages' keys only, and a change of "
            f"{layout.value_format} is known by the key in its value; use 'value.fields-include' = 'ALL'"
        )


def _value_format(options: KafkaOptions) -> str:
    words = [options.values[key] for key in ("format", "value.format") if options.values.get(key)]
    if len(words) != 1:
        raise OptionError(f"table `{options.name}`: give either 'format' or 'value.format'")
    return words[0]


def _key_fields(name: str, text: str, columns: list[str]) -> tuple[str, ...]:
    fields = tuple(f.strip() for f in text.split(";") if f.strip())
    for field in fields:
        if field not in columns:
            raise OptionError(f"table `{name}`: 'key.fields' has no column `{field}`.{nearest(field, columns)}")
    return fields


def _renamed(schema: pa.Schema, names: dict[str, str]) -> pa.Schema:
    return pa.schema([schema.field(column).with_name(inside) for column, inside in names.items()])


class RecordReader:
    """Records to changes."""

    def __init__(self, table: ConnectorTable, options: KafkaOptions) -> None:
        layout = layout_of(table, options)
        self._layout = layout
        schema = _renamed(layout.schema, layout.values)
        _check_key_in_values(layout, options.name)
        values = side_options(options.values, "value")
        self._values: Reader = reader(layout.value_format, schema, layout.primary_key, values)
        self._keys: Reader | None = None
        if layout.key_format:
            key_schema = _renamed(layout.schema, layout.keys)
            self._keys = reader(layout.key_format, key_schema, (), side_options(options.values, "key"))
        self._upsert = options.upsert
        self._check(options)
        self.mode: ChangelogMode = "upsert" if options.upsert else self._values.mode

    @property
    def wants_times(self) -> bool:
        """Whether a column holds the messages' timestamps, or of which type they are."""
        return any(key.startswith("timestamp") for key in self._layout.metadata.values())

    def _check(self, options: KafkaOptions) -> None:
        layout, is_log = self._layout, self._values.mode != "append"
        if self._keys is not None and self._keys.mode != "append":
            raise OptionError(f"table `{options.name}`: 'key.format' = '{layout.key_format}' is no format for keys")
        if is_log and options.upsert:
            raise OptionError(f"table `{options.name}`: upsert-kafka takes no change log such as {layout.value_format}")
        if layout.metadata and self._values.mode == "all":
            raise OptionError(
                f"table `{options.name}`: a row of {layout.value_format} leaves with another message than it came "
                "with, so METADATA columns need a PRIMARY KEY (…) NOT ENFORCED"
            )
        if layout.primary_key and not is_log and not options.upsert:
            raise OptionError(
                f"table `{options.name}`: messages in {layout.value_format} are new rows, so they have no PRIMARY KEY; "
                "use 'connector' = 'upsert-kafka', or leave the key out"
            )

    def read(self, records: Fetched) -> list[ChangeBatch]:
        """The changes of the records, in order. Raises BadLine with the index of a record that cannot be read."""
        if self._values.mode != "append":
            return self._changes(records)
        if self._upsert:
            return self._upserts(records)
        # in `raw` a message without a value is a row with NULL; in the other formats it is nothing
        alive = np.arange(len(records)) if self._layout.value_format == "raw" else _alive(records)
        if len(alive) < len(records):
            records = _chosen(records, alive)
        if not len(alive):
            return []
        return [ChangeBatch(self._rows(records, alive), np.ones(len(alive), np.int64))]

    def _changes(self, records: Fetched) -> list[ChangeBatch]:
        alive = [i for i, value in enumerate(records.values) if value is not None]
        bodies = [value for value in records.values if value is not None]
        assert isinstance(self._values, ChangeLogReader), "change logs are lines, or become some"
        if not bodies:
            return []
        try:
            lines, _ = self._values.lines(bodies)
            decoded = self._values.placed(lines)
        except BadLine as bad:
            raise _at(bad, alive[bad.index], bodies[bad.index]) from bad
        beside = self._metadata_of(records, np.array(alive), lines) | self._keys_of(records, np.array(alive))
        topic, number = records.partition
        changes: list[ChangeBatch] = []
        for change, places in zip(decoded.changes, decoded.places, strict=True):
            if isinstance(change, Truncate):
                raise NotSupportedError(
                    f"topic '{topic}', partition {number}, offsets {records.offsets[0]} to {records.offsets[-1]}: a "
                    "message says that the source table was emptied, which a topic cannot undo; leave such messages "
                    "out at the source (Debezium: 'skipped.operations' = 't')"
                )
            changes.append(self._with(change, {n: c.take(pa.array(places)) for n, c in beside.items()}))
        return changes

    def _metadata_of(self, records: Fetched, alive: np.ndarray, lines: Lines) -> dict[str, pa.Array]:
        """The metadata columns of the messages that have a value. lines: their values."""
        layout = self._layout
        if not layout.metadata:
            return {}
        own = {name: key for name, key in layout.metadata.items() if key.startswith(FORMAT_PREFIX)}
        columns = format_values(layout.value_format, own, lines)
        for name, key in layout.metadata.items():
            if name not in own:
                columns[name] = metadata_values(key, records, layout.schema.field(name).type).take(pa.array(alive))
        return columns

    def _keys_of(self, records: Fetched, alive: np.ndarray) -> dict[str, pa.Array]:
        """The columns that stand in the keys only, of the messages that have a value; else the value says them."""
        layout = self._layout
        only = {name: inside for name, inside in layout.keys.items() if name not in layout.values}
        if not only:
            return {}
        rows = self._key_rows(_chosen(records, alive), alive)
        return {name: rows[inside].combine_chunks() for name, inside in only.items()}

    def _with(self, change: ChangeBatch, beside: dict[str, pa.Array]) -> ChangeBatch:
        """With the columns that do not stand in the values."""
        if not beside:
            return change
        columns = [
            beside[f.name].cast(f.type) if f.name in beside else change.rows[f.name] for f in self._layout.schema
        ]
        return ChangeBatch(pa.table(columns, schema=self._layout.schema), change.weights)

    def _upserts(self, records: Fetched) -> list[ChangeBatch]:
        """Messages without a value take the row of their key away."""
        for index, key in enumerate(records.keys):
            if key is None:
                raise BadLine(index, "the message has no key", records.values[index] or b"")
        keys = self._key_rows(records, np.arange(len(records)))
        alive = _alive(records)
        weights = np.full(len(records), -1, np.int64)
        weights[alive] = 1
        place = np.full(len(records), -1, np.int64)
        place[alive] = np.arange(len(alive))
        values = self._value_rows(_chosen(records, alive), alive) if len(alive) else None
        spots = pa.array(place, mask=place < 0)
        columns = []
        for field in self._layout.schema:
            if field.name in self._layout.keys:
                columns.append(keys[self._layout.keys[field.name]])
            elif field.name in self._layout.metadata:
                columns.append(metadata_values(self._layout.metadata[field.name], records, field.type))
            elif values is None:
                columns.append(pa.nulls(len(records), field.type))
            else:
                columns.append(values[field.name].take(spots))
        return [ChangeBatch(pa.table(columns, schema=self._layout.schema), weights)]

    def _rows(self, records: Fetched, places: np.ndarray) -> pa.Table:
        """One row a record. places: where each stood in what was given to `read`."""
        values = self._value_rows(records, places)
        layout = self._layout
        keys = self._key_rows(records, places) if self._keys is not None and layout.keys else None
        columns = []
        for field in layout.schema:
            if field.name in layout.metadata:
                columns.append(metadata_values(layout.metadata[field.name], records, field.type))
            elif field.name in layout.values:
                columns.append(values[field.name])
            else:
                assert keys is not None, field.name
                columns.append(keys[layout.keys[field.name]])
        return pa.table(columns, schema=layout.schema)

    def _value_rows(self, records: Fetched, places: np.ndarray) -> pa.Table:
        return _read_rows(self._values, records.values, places)

    def _key_rows(self, records: Fetched, places: np.ndarray) -> pa.Table:
        """The rows of the keys; a message without a key has NULLs."""
        assert self._keys is not None
        there = [i for i, key in enumerate(records.keys) if key is not None]
        rows = (
            _read_rows(self._keys, [key for key in records.keys if key is not None], places[there]) if there else None
        )
        if rows is None:
            schema = _renamed(self._layout.schema, self._layout.keys)
            return pa.table([pa.nulls(len(records), f.type) for f in schema], names=schema.names)
        rows = _read_rows(self._keys, [key for key in records.keys if key is not None], places[there])
        if len(there) == len(records):
            return rows
        spots = np.full(len(records), -1, np.int64)
        spots[there] = np.arange(len(there))
        return rows.take(pa.array(spots, mask=spots < 0))


_LISTS = [field.name for field in fields(Fetched)][1:]


def _read_rows(of: Reader, bodies: Sequence[bytes | None], places: np.ndarray) -> pa.Table:
    try:
        (change,) = of.read(bodies)
    except BadLine as bad:
        raise _at(bad, int(places[bad.index]), bodies[bad.index] or b"") from bad
    assert isinstance(change, ChangeBatch) and change.num_rows == len(bodies), "one row a message"
    return change.rows


def _at(bad: BadLine, index: int, body: bytes) -> BadLine:
    return BadLine(index, bad.reason, body)


def _alive(records: Fetched) -> np.ndarray:
    """Which records have a value."""
    return np.array([i for i, value in enumerate(records.values) if value is not None], np.int64)


def _chosen(records: Fetched, index: np.ndarray) -> Fetched:
    """Some of the records."""
    picked = index.tolist()
    columns: list[Any] = [[getattr(records, name)[i] for i in picked] for name in _LISTS]
    return Fetched(records.partition, *columns)


class RecordWriter:
    """Changes to messages for one topic."""

    def __init__(self, table: ConnectorTable, options: KafkaOptions) -> None:
        layout = layout_of(table, options)
        self._layout = layout
        self._topic = options.topic()
        self._values: Writer = writer(
            layout.value_format, _renamed(layout.schema, layout.values), _writing(options, "value")
        )
        self._keys: Writer | None = None
        if layout.key_format:
            key_schema = _renamed(layout.schema, layout.keys)
            self._keys = writer(layout.key_format, key_schema, _writing(options, "key"))
        self._written = {key: column for column, key in layout.metadata.items() if not is_virtual(table, column)}
        self._upsert = options.upsert
        self.mode: ChangelogMode = "all" if options.upsert else self._values.mode

    def messages(self, changes: ChangeBatch) -> Outgoing:
        """The messages of the changes, in order. Raises NotSupportedError for a row taken back in `append`."""
        layout = self._layout
        deleted: np.ndarray | None = None
        if self._upsert:
            rows, kinds = to_row_kinds(changes, layout.primary_key)
            kept = kinds != RowKind.UPDATE_BEFORE
            rows, deleted = rows.filter(pa.array(kept)), kinds[kept] == RowKind.DELETE
            signs = np.ones(rows.num_rows, np.int64)
        else:
            if self.mode == "append" and (changes.weights < 0).any():
                raise NotSupportedError(
                    f"topic '{self._topic}' can only take new rows in {layout.value_format}, but the query takes rows "
                    "back; use 'connector' = 'upsert-kafka', or the format debezium-json"
                )
            index = np.repeat(np.arange(changes.num_rows), np.abs(changes.weights))
            rows, signs = changes.rows.take(pa.array(index)), np.sign(changes.weights)[index]
        values = self._values.write(ChangeBatch(_part(rows, layout.values), signs))
        if deleted is not None and deleted.any():
            gone = deleted.tolist()
            values = [None if is_gone else value for value, is_gone in zip(values, gone, strict=True)]
        keys: list[bytes | None] = [None] * rows.num_rows
        if self._keys is not None:
            keys = self._keys.write(ChangeBatch(_part(rows, layout.keys), np.ones(rows.num_rows, np.int64)))
        times = timestamps_of(rows[self._written["timestamp"]]) if "timestamp" in self._written else None
        headers = headers_of(rows[self._written["headers"]]) if "headers" in self._written else None
        return Outgoing(self._topic, keys, values, None, times, headers)


def _writing(options: KafkaOptions, side: str) -> dict[str, str]:
    """The side's options; subjects of a registry are named as everybody does unless told."""
    subject = f"{options.topic()}-{side}"
    return {
        "avro-confluent.subject": subject,
        "debezium-avro-confluent.subject": subject,
        **side_options(options.values, side),
    }


def _part(rows: pa.Table, names: dict[str, str]) -> pa.Table:
    return rows.select(list(names)).rename_columns(list(names.values()))
