"""The format `raw`: a line is the value of the table's only column, STRING or BYTES."""

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from tsdb.changes import ChangeBatch, inserts
from tsdb.connector.connector import ChangelogMode
from tsdb.connector.serde.json_writer import lines_of
from tsdb.connector.serde.serde import BadLine, Decoded, Decoder, Encoder, Lines
from tsdb.errors import NotSupportedError
from tsdb.options import OptionSpec


class RawDecoder:
    """Blank lines are rows too."""

    mode: ChangelogMode = "append"

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema

    def decode(self, lines: Lines) -> Decoded:
        """One row per line."""
        if len(lines) == 0:
            return Decoded()
        kind = self._schema.field(0).type
        values = pc.replace_substring_regex(lines.array(), r"\r?\n$", "").cast(pa.binary())
        try:
            column = values.cast(kind)
        except pa.ArrowInvalid:
            raise _bad_text(lines) from None
        return Decoded([inserts(pa.table([column], schema=self._schema))])


class RawEncoder:
    """NULL is a blank line."""

    mode: ChangelogMode = "append"

    def encode(self, changes: ChangeBatch) -> bytes:
        """Complete lines."""
        values = pc.fill_null(changes.rows.column(0).combine_chunks().cast(pa.large_binary()), b"")
        return lines_of(pc.cast(values, pa.large_string(), safe=False))


class RawSerde:
    """The format `raw`."""

    name = "raw"
    options: tuple[OptionSpec, ...] = ()

    def decoder(self, schema: pa.Schema, key: Sequence[str], options: Mapping[str, str]) -> Decoder:
        """See `Serde`."""
        _check(schema)
        return RawDecoder(schema)

    def encoder(self, schema: pa.Schema, options: Mapping[str, str]) -> Encoder:
        """See `Serde`."""
        _check(schema)
        return RawEncoder()


def _check(schema: pa.Schema) -> None:
    if len(schema) != 1 or not (pa.types.is_string(schema.field(0).type) or pa.types.is_binary(schema.field(0).type)):
        raise NotSupportedError("the format raw is for a table with one column, of type STRING or BYTES")


def _bad_text(lines: Lines) -> BadLine:
    """The first line that is not UTF-8."""
    for index in range(len(lines)):
        line = lines.line(index)
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as err:
            return BadLine(index, f"not UTF-8 at byte {err.start + 1} of the line; declare the column as BYTES", line)
    raise AssertionError("a line that is not UTF-8 was expected")
