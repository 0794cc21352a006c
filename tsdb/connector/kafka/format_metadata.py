"""Metadata that change-log formats have in their messages, under Flink's names: `value.source.table` and the like.

It is read in a pass of its own, and only where a table has such columns.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.connector.serde import json_block
from tsdb.connector.serde.envelope import is_message, messages
from tsdb.connector.serde.serde import Lines
from tsdb.connector.serde.wire import timestamp_of_text

FORMAT_PREFIX = "value."
_MOMENT = pa.timestamp("ms", "UTC")
_TEXTS = pa.list_(pa.string())


@dataclass(frozen=True, slots=True)
class _Fact:
    """Where it stands in the message, as what, and how it becomes the column."""

    path: tuple[str, ...]
    read: pa.DataType
    kind: pa.DataType
    convert: Callable[[pa.Array], pa.Array] = lambda values: values


def _text(*path: str) -> _Fact:
    return _Fact(path, pa.string(), pa.string())


def _names(*path: str) -> _Fact:
    return _Fact(path, _TEXTS, _TEXTS)


def _millis(*path: str) -> _Fact:
    return _Fact(path, pa.int64(), _MOMENT, lambda values: values.cast(_MOMENT))


def _seconds(*path: str) -> _Fact:
    return _Fact(path, pa.int64(), _MOMENT, lambda values: values.cast(pa.timestamp("s", "UTC")).cast(_MOMENT))


def _iso(*path: str) -> _Fact:
    return _Fact(path, pa.string(), _MOMENT, lambda values: timestamp_of_text(values, _MOMENT))


_DEBEZIUM = {
    "value.ingestion-timestamp": _millis("ts_ms"),
    "value.source.timestamp": _millis("source", "ts_ms"),
    "value.source.database": _text("source", "db"),
    "value.source.schema": _text("source", "schema"),
    "value.source.table": _text("source", "table"),
}
_FACTS: Mapping[str, Mapping[str, _Fact]] = {
    "debezium-json": _DEBEZIUM,
    "debezium-avro-confluent": _DEBEZIUM,
    "canal-json": {
        "value.database": _text("database"),
        "value.table": _text("table"),
        "value.pk-names": _names("pkNames"),
        "value.ingestion-timestamp": _millis("ts"),
        "value.event-timestamp": _millis("es"),
    },
    "maxwell-json": {
        "value.database": _text("database"),
        "value.table": _text("table"),
        "value.primary-key-columns": _names("primary_key_columns"),
        "value.ingestion-timestamp": _seconds("ts"),
    },
    "ogg-json": {
        "value.table": _text("table"),
        "value.primary-keys": _names("primary_keys"),
        "value.ingestion-timestamp": _iso("current_ts"),
        "value.event-timestamp": _iso("op_ts"),
    },
}


def format_keys(form: str) -> Sequence[str]:
    """The metadata of a format's messages."""
    return list(_FACTS.get(form, {}))


def format_type(form: str, key: str) -> pa.DataType:
    """What such a column holds."""
    return _FACTS[form][key].kind


def format_values(form: str, wanted: Mapping[str, str], lines: Lines) -> dict[str, pa.Array]:
    """Column → a value for each line; NULL where a line is no message. wanted: column → key.

    Raises ValueError or ArrowInvalid for a value of another type.
    """
    if not wanted:
        return {}
    facts = {column: _FACTS[form][key] for column, key in wanted.items()}
    fields = _fields([(fact.path, fact.read) for fact in facts.values()])
    parts, at = [], []
    for group in messages(lines.select(is_message(lines))):
        read = pa.schema(fields if not group.path else [pa.field(group.path[0], pa.struct(fields))])
        table = json_block.read(group.lines, read)
        parts.append({n: f.convert(_at(table, (*group.path, *f.path)).cast(f.read)) for n, f in facts.items()})
        at.append(np.flatnonzero(is_message(lines))[group.index])
    spots = np.full(len(lines), -1, np.int64)
    if at:
        spots[np.concatenate(at)] = np.arange(sum(map(len, at)))
    index = pa.array(spots, mask=spots < 0)
    return {n: pa.concat_arrays([pa.nulls(0, f.kind), *(p[n] for p in parts)]).take(index) for n, f in facts.items()}


def _fields(paths: Sequence[tuple[tuple[str, ...], pa.DataType]]) -> list[pa.Field]:
    """The fields of the paths, which have one step or two."""
    plain = {path[0]: kind for path, kind in paths if len(path) == 1}
    inner: dict[str, dict[str, pa.DataType]] = {}
    for path, kind in paths:
        if len(path) == 2:
            inner.setdefault(path[0], {})[path[1]] = kind
    return [pa.field(n, k) for n, k in plain.items()] + [
        pa.field(n, pa.struct(list(kinds.items()))) for n, kinds in inner.items()
    ]


def _at(table: pa.Table, path: tuple[str, ...]) -> pa.Array:
    values = table[path[0]].combine_chunks()
    return pc.struct_field(values, list(path[1:])) if len(path) > 1 else values
