"""The format `debezium-avro-confluent`: Debezium's change events as Avro, with the id of their schema in a registry.

An event has `before`, `after` and `op`. Its rows are read column by column, by the schema they were written with, and
then they are the events that `debezium-json` reads: what an event means is decided in one place.

Source: Debezium's documentation of the Avro converter; options, subjects and what is written as Flink has them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import fastavro
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.changes import ChangeBatch, inserts
from tsdb.connector.connector import ChangelogMode
from tsdb.connector.kafka.avro_confluent import ConfluentReader, ConfluentWriter, Rows, raw_record, records_of
from tsdb.connector.serde.debezium_json import DebeziumSerde
from tsdb.connector.serde.json_writer import json_objects, lines_of
from tsdb.connector.serde.serde import BadLine, Change, Decoded, Lines

FORM = "debezium-avro-confluent"
_SIDES = ("before", "after")
_FACTS = ("op", "source", "ts_ms")


class DebeziumAvroReader:
    """See `Reader`; a body is at most one change of a row."""

    def __init__(self, schema: pa.Schema, key: Sequence[str], options: Mapping[str, str]) -> None:
        self._events = ConfluentReader(schema, options, form=FORM, plan=_EventPlan)
        self._decoder = DebeziumSerde().decoder(schema, key, {})
        self.mode: ChangelogMode = self._decoder.mode

    def read(self, bodies: Sequence[bytes | None]) -> list[Change]:
        """See `Reader`."""
        return self.placed(self.lines(bodies)[0]).changes

    def lines(self, bodies: Sequence[bytes | None]) -> tuple[Lines, list[bytes]]:
        """The events as those of `debezium-json`, and the bodies. Raises BadLine, Unreachable."""
        there = [body for body in bodies if body is not None]
        (events,) = self._events.read(there)
        assert isinstance(events, ChangeBatch), "rows without a change log"
        texts = events.rows.column(0).combine_chunks()
        lengths = np.asarray(pc.binary_length(texts)).astype(np.int64)
        return Lines(lines_of(texts), np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths + 1)])), there

    def placed(self, lines: Lines) -> Decoded:
        """The changes, with the message of each row. Raises BadLine."""
        try:
            return self._decoder.decode(lines)
        except BadLine as bad:
            raise BadLine(bad.index, bad.reason, b"") from bad


class DebeziumAvroWriter:
    """See `Writer`. A row that comes is `c` with `after`, one that leaves is `d` with `before`."""

    mode: ChangelogMode = "all"

    def __init__(self, schema: pa.Schema, options: Mapping[str, str]) -> None:
        row: Any = pa.struct(list(schema))
        self._schema = pa.schema([("before", row), ("after", row), pa.field("op", pa.string())])
        self._events = ConfluentWriter(self._schema, options, form=FORM)

    def write(self, changes: ChangeBatch) -> list[bytes | None]:
        """See `Writer`."""
        rows = changes.rows.combine_chunks().to_struct_array()
        rows = rows.combine_chunks() if isinstance(rows, pa.ChunkedArray) else rows
        rows = rows.cast(self._schema.field("after").type)
        comes, none = pa.array(changes.weights > 0), pa.scalar(None, rows.type)
        columns = [pc.if_else(comes, none, rows), pc.if_else(comes, rows, none), pc.if_else(comes, "c", "d")]
        return self._events.write(inserts(pa.table(columns, schema=self._schema)))


class _EventPlan:
    """How events of one schema become those of `debezium-json`: a table with one column of text."""

    def __init__(self, writer: Any, schema: pa.Schema) -> None:
        kinds = {field["name"]: field["type"] for field in writer["fields"]} if _is_record(writer) else {}
        if not {"before", "after", "op"} <= kinds.keys():
            raise ValueError("the writer's schema is no change event of Debezium: it has no `before`, `after` and `op`")
        records = {side: _record_of(kinds[side]) for side in _SIDES}
        known = [record for record in records.values() if record is not None]
        if not known:
            raise ValueError("the writer's schema has no record for `before` and `after`")
        # the second one names the first where both are alike
        self._rows = {side: Rows(record or known[0], schema) for side, record in records.items()}
        fields = [{**f, "type": raw_record(f["type"]) if f["name"] in _SIDES else f["type"]} for f in writer["fields"]]
        self._avro = fastavro.parse_schema({**writer, "fields": fields})
        self._facts = [name for name in _FACTS if name in kinds]

    def table(self, bodies: list[bytes]) -> pa.Table:
        """One event a message. Raises one of the errors that the reader takes for a bad message."""
        events = records_of(bodies, self._avro)
        parts: list[Any] = []
        for side in _SIDES:
            there = np.array([event[side] is not None for event in events], bool)
            texts = json_objects(self._rows[side].table([event[side] for event in events if event[side] is not None]))
            spots = np.where(there, np.cumsum(there) - 1, -1)
            parts += [_text(f'{"{" if side == "before" else ","}"{side}":')]
            parts += [pc.fill_null(texts.take(pa.array(spots, mask=~there)), "null")]
        facts = [orjson.dumps({name: event[name] for name in self._facts}, default=str)[1:] for event in events]
        parts += [_text(","), pa.array([fact.decode() for fact in facts], pa.large_string()), _text("")]
        return pa.table({"event": pc.binary_join_element_wise(*parts)})


def _record_of(kind: Any) -> Any | None:
    """The record of a field that may be null; None where it is only named."""
    return next((k for k in (kind if isinstance(kind, list) else [kind]) if _is_record(k)), None)


def _is_record(kind: Any) -> bool:
    return isinstance(kind, dict) and kind.get("type") == "record"


def _text(value: str) -> pa.Scalar:
    return pa.scalar(value, pa.large_string())
