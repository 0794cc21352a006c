"""The format `csv`: one row per line, columns by position, by pyarrow's vectorised reader.

A value may be quoted but not hold a line break. An empty field that is not quoted is NULL, also for STRING; `""` is the
empty text. TIMESTAMP and DATE are ISO text, TIMESTAMP_LTZ is UTC if it has no zone, BYTES are base64.
"""

import base64
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pac

from tsdb.changes import ChangeBatch, inserts
from tsdb.connector.connector import ChangelogMode
from tsdb.connector.serde.json_block import PARSE_ERRORS
from tsdb.connector.serde.json_writer import lines_of
from tsdb.connector.serde.row_changes import require_values
from tsdb.connector.serde.serde import Decoded, Decoder, Encoder, Lines, decode_all
from tsdb.connector.serde.wire import base64_bytes, time_of_text, timestamp_of_text
from tsdb.data_types import from_arrow
from tsdb.errors import NotSupportedError, OptionError
from tsdb.options import OptionSpec, parse_bool


class CsvDecoder:
    """See the module."""

    mode: ChangelogMode = "append"

    def __init__(self, schema: pa.Schema, options: Mapping[str, str]) -> None:
        self._schema = schema
        self._skip = parse_bool("csv.ignore-parse-errors", options.get("csv.ignore-parse-errors", "false"))
        self._parse_options = pac.ParseOptions(
            delimiter=_delimiter(options), quote_char=_quote(options) or False, escape_char=_escape(options) or False
        )
        texts = {f.name: pa.string() if _is_text(f.type) else f.type for f in schema}
        null = options.get("csv.null-literal", "")
        self._convert_options = pac.ConvertOptions(
            column_types=texts,
            null_values=[null],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["true", "TRUE", "True", "1"],
            false_values=["false", "FALSE", "False", "0"],
        )

    def decode(self, lines: Lines) -> Decoded:
        """One row per line that is not blank."""
        parts, skipped = decode_all(
            lines, lambda part: [self._rows(part)], PARSE_ERRORS, skip=self._skip, reason=_reason
        )
        return Decoded([inserts(pa.concat_tables(parts))] if parts else [], skipped)

    def _rows(self, lines: Lines) -> pa.Table:
        text = lines.raw()
        table = pac.read_csv(
            pa.BufferReader(text),
            read_options=pac.ReadOptions(column_names=self._schema.names, block_size=max(1 << 20, len(text))),
            parse_options=self._parse_options,
            convert_options=self._convert_options,
        )
        if table.num_rows != len(lines):
            raise ValueError("a quoted value is not closed on its line")
        columns = [_convert(table[f.name].combine_chunks(), f) for f in self._schema]
        rows = pa.table(columns, schema=self._schema)
        require_values(rows)
        return rows


class CsvEncoder:
    """One line per row; texts are quoted only where they have to be."""

    mode: ChangelogMode = "append"

    def __init__(self, schema: pa.Schema, options: Mapping[str, str]) -> None:
        self._delimiter, self._quote, self._escape = _delimiter(options), _quote(options), _escape(options)
        self._null = options.get("csv.null-literal", "")

    def encode(self, changes: ChangeBatch) -> bytes:
        """Complete lines."""
        columns = [self._texts(column.combine_chunks()) for column in changes.rows.columns]
        return lines_of(pc.binary_join_element_wise(*columns, _text(self._delimiter)))

    def _texts(self, values: pa.Array) -> pa.Array:
        if _is_bytes(values.type):
            coded = [None if v is None else base64.b64encode(v).decode() for v in values.to_pylist()]
            return pc.fill_null(self._quoted(pa.array(coded, pa.large_string())), self._null)
        texts = pc.cast(values, pa.large_string())
        if pa.types.is_string(values.type):
            texts = self._quoted(texts)
        return pc.fill_null(texts, self._null)

    def _quoted(self, texts: pa.Array) -> pa.Array:
        """Texts that would be read otherwise, between quotes."""
        if pc.any(pc.match_substring_regex(texts, r"[\n\r]")).as_py():
            raise NotSupportedError("csv cannot hold a text with a line break here; use the format json")
        marks = [c for c in (self._delimiter, self._quote, self._escape) if c]
        special = pc.match_substring_regex(texts, "|".join(f"\\x{{{ord(c):x}}}" for c in marks))
        needs = pc.fill_null(pc.or_(special, pc.equal(texts, self._null)), False)
        if not self._quote:
            if pc.any(needs).as_py():
                value = texts.filter(needs)[0].as_py()
                raise NotSupportedError(
                    f"csv without quotes cannot hold the text '{value}': it has the delimiter, or is what NULL is "
                    "written as; set 'csv.null-literal', or leave out 'csv.disable-quote-character'"
                )
            return texts
        for mark in (self._escape, self._quote):
            if mark:
                texts = pc.replace_substring(texts, mark, mark * 2)
        quoted = pc.binary_join_element_wise(_text(self._quote), texts, _text(self._quote), _text(""))
        return pc.if_else(needs, quoted, texts)


class CsvSerde:
    """The format `csv`."""

    name = "csv"
    options = (
        OptionSpec("csv.field-delimiter", "string", ",", "The character between two fields."),
        OptionSpec("csv.quote-character", "string", '"', "The character around a quoted field."),
        OptionSpec("csv.disable-quote-character", "bool", "false", "Quotes are text like any other."),
        OptionSpec("csv.escape-character", "string", None, "The character that makes the next one text."),
        OptionSpec("csv.null-literal", "string", "", "The text, not quoted, that is NULL."),
        OptionSpec("csv.ignore-parse-errors", "bool", "false", "Skip and count malformed lines instead of failing."),
    )

    def decoder(self, schema: pa.Schema, key: Sequence[str], options: Mapping[str, str]) -> Decoder:
        """See `Serde`."""
        _refuse_nested(schema)
        return CsvDecoder(schema, options)

    def encoder(self, schema: pa.Schema, options: Mapping[str, str]) -> Encoder:
        """See `Serde`."""
        _refuse_nested(schema)
        return CsvEncoder(schema, options)


def _delimiter(options: Mapping[str, str]) -> str:
    return _character("csv.field-delimiter", options.get("csv.field-delimiter", ",").replace("\\t", "\t"))


def _quote(options: Mapping[str, str]) -> str:
    """'' if quotes are text."""
    if parse_bool("csv.disable-quote-character", options.get("csv.disable-quote-character", "false")):
        if "csv.quote-character" in options:
            raise OptionError("give either 'csv.quote-character' or 'csv.disable-quote-character', not both")
        return ""
    return _character("csv.quote-character", options.get("csv.quote-character", '"'))


def _escape(options: Mapping[str, str]) -> str:
    """'' if there is none."""
    value = options.get("csv.escape-character")
    return "" if value is None else _character("csv.escape-character", value)


def _character(key: str, value: str) -> str:
    if len(value) != 1 or ord(value) > 127:
        raise OptionError(f"'{key}' is one ASCII character, not '{value}'")
    return value


def _is_text(kind: pa.DataType) -> bool:
    """Types whose text is converted here, not by pyarrow's reader."""
    return bool(pa.types.is_timestamp(kind) or pa.types.is_time(kind) or _is_bytes(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind))


def _text(value: str) -> pa.Scalar:
    return pa.scalar(value, pa.large_string())


def _convert(values: pa.Array, field: pa.Field) -> pa.Array:
    try:
        if pa.types.is_timestamp(field.type):
            return timestamp_of_text(values, field.type)
        if pa.types.is_time(field.type):
            return time_of_text(values, field.type)
        return base64_bytes(values).cast(field.type) if _is_bytes(field.type) else values
    except PARSE_ERRORS as err:
        raise ValueError(f"column `{field.name}` {from_arrow(field.type).sql()}: {err}") from err


def _reason(line: bytes, err: Exception) -> str:
    text = str(err).splitlines()[0]
    for noise in ("In CSV column #", "CSV parse error: ", "Row #1: "):
        text = text.replace(noise, "column " if "column" in noise else "")
    return text


def _refuse_nested(schema: pa.Schema) -> None:
    for field in schema:
        if pa.types.is_nested(field.type):
            raise NotSupportedError(f"column `{field.name}`: csv has no {field.type}; use the format json")
