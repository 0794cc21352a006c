"""The bodies of messages: the formats of lines, one line a message, and those that are no lines, `raw` and `avro`.

A reader gives for the bodies of several messages either one row each, or changes; it is always strict, so that what
becomes of a bad message is decided in one place.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.changes import ChangeBatch, inserts
from tsdb.connector.connector import ChangelogMode
from tsdb.connector.kafka import avro_confluent, debezium_avro
from tsdb.connector.kafka.avro import AvroReader, AvroWriter
from tsdb.connector.serde import SERDES
from tsdb.connector.serde.serde import BadLine, Change, Decoded, Decoder, Encoder, Lines
from tsdb.errors import NotSupportedError, OptionError, nearest

BINARY_FORMATS = ("raw", "avro", avro_confluent.FORM, debezium_avro.FORM)
CHANGE_LOG_FORMATS = ("debezium-json", "canal-json", "maxwell-json", "ogg-json", debezium_avro.FORM)
_OTHERS = {
    "protobuf": "messages of Protocol Buffers need the classes of their schema; write them as avro or json",
    "protobuf-confluent": "messages of Protocol Buffers need the classes of their schema; write them as avro-confluent",
    "json-schema": "JSON with the id of its schema in a registry; the format json reads messages without that id",
    "json-schema-confluent": "JSON with the id of its schema in a registry; the format json reads messages without it",
    "debezium-json-schema": "debezium-json reads messages with and without their inline schema; use that",
    "parquet": "it is for files, not for messages; use 'connector' = 'filesystem'",
    "orc": "it is for files, not for messages; use 'connector' = 'filesystem'",
}
"""Formats that people know from elsewhere, and what to do instead."""


class Reader(Protocol):
    """Bodies to rows or changes."""

    @property
    def mode(self) -> ChangelogMode:
        """append: one row a body."""
        ...

    def read(self, bodies: Sequence[bytes | None]) -> list[Change]:
        """The changes, in order; only `raw` takes a body that is None. Raises BadLine with the index of a bad body."""
        ...


@runtime_checkable
class ChangeLogReader(Reader, Protocol):
    """A reader of changes that also tells of which message each is."""

    def lines(self, bodies: Sequence[bytes | None]) -> tuple[Lines, list[bytes]]:
        """The bodies as lines, and as they are. Raises BadLine."""
        ...

    def placed(self, lines: Lines) -> Decoded:
        """The changes, with the message of each row. Raises BadLine."""
        ...


class Writer(Protocol):
    """Changes to bodies."""

    @property
    def mode(self) -> ChangelogMode:
        """append: only new rows can be written."""
        ...

    def write(self, changes: ChangeBatch) -> list[bytes | None]:
        """One body for each change. Weights are 1 or -1; 1 when the mode is `append`."""
        ...


def reader(word: str, schema: pa.Schema, key: Sequence[str], options: Mapping[str, str]) -> Reader:
    """The reader of a format. Raises OptionError if there is none, NotSupportedError for columns that it has not."""
    if word == "raw":
        return _RawReader(schema)
    if word == "avro":
        return AvroReader(schema)
    if word == avro_confluent.FORM:
        return avro_confluent.ConfluentReader(schema, options)
    if word == debezium_avro.FORM:
        return debezium_avro.DebeziumAvroReader(schema, key, options)
    strict = {k: v for k, v in options.items() if not k.endswith("ignore-parse-errors")}
    return LineReader(_serde(word).decoder(schema, key, strict))


def writer(word: str, schema: pa.Schema, options: Mapping[str, str]) -> Writer:
    """The writer of a format; raises as `reader`, and NotSupportedError for a format that is only read."""
    if word == "raw":
        return _RawWriter(schema)
    if word == "avro":
        return AvroWriter(schema)
    if word == avro_confluent.FORM:
        return avro_confluent.ConfluentWriter(schema, options)
    if word == debezium_avro.FORM:
        return debezium_avro.DebeziumAvroWriter(schema, options)
    return _LineWriter(_serde(word).encoder(schema, options))


def side_options(values: Mapping[str, str], side: str) -> dict[str, str]:
    """The options of formats for one side: `json.x`, and over it `key.json.x` or `value.json.x`."""
    own = {k.removeprefix(f"{side}."): v for k, v in values.items() if k.startswith(f"{side}.")}
    return {**values, **own}


def _serde(word: str) -> "SerdeOfLines":
    serde = SERDES.get(word)
    if serde is None and word in _OTHERS:
        raise NotSupportedError(f"the format '{word}' is not supported: {_OTHERS[word]}")
    if serde is None:
        known = sorted({*SERDES, *BINARY_FORMATS})
        raise OptionError(f"there is no format '{word}'.{nearest(word, known)} Formats: {', '.join(known)}")
    return serde


class SerdeOfLines(Protocol):
    """The part of a serde that is used here."""

    def decoder(self, schema: pa.Schema, key: Sequence[str], options: Mapping[str, str]) -> Decoder:
        """See `Serde`."""
        ...

    def encoder(self, schema: pa.Schema, options: Mapping[str, str]) -> Encoder:
        """See `Serde`."""
        ...


class LineReader:
    """Bodies as lines; a body may be written over several lines, as white space between its parts."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self.mode: ChangelogMode = decoder.mode

    def read(self, bodies: Sequence[bytes | None]) -> list[Change]:
        """See `Reader`."""
        lines, there = self.lines(bodies)
        changes = self._decoder.decode(lines).changes
        if self.mode == "append":
            self._check_blank(lines, there)
        return changes

    def placed(self, lines: Lines) -> Decoded:
        """The changes of a change log, with the message of each row."""
        return self._decoder.decode(lines)

    def lines(self, bodies: Sequence[bytes | None]) -> tuple[Lines, list[bytes]]:
        """The bodies as lines, and as they are."""
        there = [body for body in bodies if body is not None]
        assert len(there) == len(bodies), "bodies of lines are never absent"
        lengths = np.fromiter(map(len, there), np.int64, len(there))
        data = b"\n".join([*there, b""])
        if data.count(b"\n") != len(there):
            data = b"\n".join([*(body.replace(b"\n", b" ") for body in there), b""])
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths + 1)])
        return Lines(data, starts), there

    def _check_blank(self, lines: Lines, bodies: Sequence[bytes]) -> None:
        blank = lines.first_bytes() == 0
        if blank.any():
            index = int(np.flatnonzero(blank)[0])
            raise BadLine(index, "the message is empty", bodies[index])


class _LineWriter:
    """A line is a body."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.mode: ChangelogMode = encoder.mode

    def write(self, changes: ChangeBatch) -> list[bytes | None]:
        """See `Writer`."""
        bodies: list[bytes | None] = [*self._encoder.encode(changes).split(b"\n")[:-1]]
        return bodies


class _RawReader:
    """The body is the value of the only column, as it is."""

    mode: ChangelogMode = "append"

    def __init__(self, schema: pa.Schema) -> None:
        _check_raw(schema)
        self._schema = schema

    def read(self, bodies: Sequence[bytes | None]) -> list[Change]:
        """See `Reader`."""
        values = pa.array(bodies, pa.binary())
        try:
            return [inserts(pa.table([values.cast(self._schema.field(0).type)], schema=self._schema))]
        except pa.ArrowInvalid:
            raise _bad_text(bodies) from None


def _bad_text(bodies: Sequence[bytes | None]) -> BadLine:
    """The first body that is not UTF-8."""
    for index, body in enumerate(bodies):
        try:
            (body or b"").decode("utf-8")
        except UnicodeDecodeError as err:
            return BadLine(index, f"not UTF-8 at byte {err.start + 1}; declare the column as BYTES", body or b"")
    raise AssertionError("a body that is not UTF-8 was expected")


class _RawWriter:
    """NULL is a message without a body."""

    mode: ChangelogMode = "append"

    def __init__(self, schema: pa.Schema) -> None:
        _check_raw(schema)

    def write(self, changes: ChangeBatch) -> list[bytes | None]:
        """See `Writer`."""
        bodies: list[bytes | None] = pc.cast(changes.rows.column(0), pa.binary()).to_pylist()
        return bodies


def _check_raw(schema: pa.Schema) -> None:
    kinds = schema.types
    if len(kinds) != 1 or not (pa.types.is_string(kinds[0]) or pa.types.is_binary(kinds[0])):
        raise NotSupportedError("the format raw is for one column, of type STRING or BYTES")
