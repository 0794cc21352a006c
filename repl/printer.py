"""Rows to a stream, as they come: `table`, `csv`, `json` (one object a line) and `arrow` (an IPC stream).

A printer never holds all rows, so it serves queries that end and changes that go on.
"""

import base64
import datetime as dt
import json
import unicodedata
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Protocol, TextIO

import pyarrow as pa

from .text import column_texts, is_number


class Printer(Protocol):
    """Prints the rows of one result."""

    def rows(self, table: pa.Table) -> None:
        """The next rows."""
        ...

    def close(self) -> None:
        """After the last rows."""
        ...


class TablePrinter:
    """Aligned columns. Widths come from the first rows and grow when they must; numbers stand to the right."""

    def __init__(self, schema: pa.Schema, out: TextIO, *, cut: bool, live: bool = False) -> None:
        """cut: shorten long values, for a terminal; live: rows come one by one, so leave room for later ones."""
        self._names = schema.names
        self._right = [is_number(f.type) for f in schema]
        self._width_max = 60 if cut else 1 << 30
        self._widths = [_width(n) for n in self._names]
        if live:
            rooms = [2 if f.name == "op" else _room(f.type) for f in schema]
            self._widths = [max(pair) for pair in zip(self._widths, rooms, strict=True)]
        self._out = out
        self._has_header = False
        if live:
            self._header()

    def rows(self, table: pa.Table) -> None:
        """Lines of cells."""
        columns = [[self._shown(t) for t in column_texts(c)] for c in table.columns]
        if len(columns) == 1:  # EXPLAIN, SHOW CREATE TABLE: a text of several lines is shown as it is
            columns = [[line for t in column_texts(table.column(0)) for line in t.splitlines() or [""]]]
        self._widths = [max([w, *map(_width, c)]) for w, c in zip(self._widths, columns, strict=True)]
        if not self._has_header:
            self._header()
        for row in zip(*columns, strict=True):
            self._out.write(self._line(row))
        self._out.flush()

    def close(self) -> None:
        """An empty result still has its header."""
        if not self._has_header:
            self._header()

    def _header(self) -> None:
        self._has_header = True
        self._out.write(self._line(self._names))
        self._out.write("-+-".join("-" * w for w in self._widths) + "\n")
        self._out.flush()

    def _line(self, cells: Any) -> str:
        padded = [
            " " * (w - _width(c)) + c if right else c + " " * (w - _width(c))
            for c, w, right in zip(cells, self._widths, self._right, strict=True)
        ]
        return " | ".join(padded).rstrip() + "\n"

    def _shown(self, text: str) -> str:
        text = text.replace("\r", "\\r").replace("\n", "\\n").replace("\t", "\\t")
        return text if len(text) <= self._width_max else text[: self._width_max - 1] + "…"


class CsvPrinter:
    """A header and lines; NULL is an empty field, an empty text is `""`."""

    def __init__(self, schema: pa.Schema, out: TextIO) -> None:
        self._out = out
        self._text = [bool(pa.types.is_string(f.type)) for f in schema]
        out.write(",".join(_csv_quoted(n) for n in schema.names) + "\n")
        out.flush()

    def rows(self, table: pa.Table) -> None:
        """One line per row."""
        columns = []
        for column in table.columns:
            valid = [v for chunk in column.chunks for v in chunk.is_valid().to_pylist()]
            texts = column_texts(column, "")
            columns.append([_csv_quoted(t) if ok else "" for t, ok in zip(texts, valid, strict=True)])
        self._out.writelines(",".join(row) + "\n" for row in zip(*columns, strict=True))
        self._out.flush()

    def close(self) -> None:
        """Nothing more."""


class JsonPrinter:
    """One object per line; DECIMAL is a number, BYTES are base64, times are ISO text."""

    def __init__(self, schema: pa.Schema, out: TextIO) -> None:
        self._out = out
        self._names = schema.names

    def rows(self, table: pa.Table) -> None:
        """One line per row."""
        columns = [_json_values(c) for c in table.columns]
        for row in zip(*columns, strict=True):
            cells = ", ".join(
                f"{json.dumps(n, ensure_ascii=False)}: {v}" for n, v in zip(self._names, row, strict=True)
            )
            self._out.write("{" + cells + "}\n")
        self._out.flush()

    def close(self) -> None:
        """Nothing more."""


class ArrowPrinter:
    """An Arrow IPC stream on the bytes under the text stream."""

    def __init__(self, schema: pa.Schema, out: TextIO) -> None:
        out.flush()
        self._out = out.buffer
        self._writer = pa.ipc.new_stream(pa.PythonFile(self._out, "w"), schema)

    def rows(self, table: pa.Table) -> None:
        """Record batches."""
        self._writer.write_table(table)
        self._out.flush()

    def close(self) -> None:
        """The end of the stream."""
        self._writer.close()
        self._out.flush()


FORMATS: Mapping[str, Callable[..., Printer]] = {
    "table": TablePrinter,
    "csv": CsvPrinter,
    "json": JsonPrinter,
    "arrow": ArrowPrinter,
}


def printer(fmt: str, schema: pa.Schema, out: TextIO, *, live: bool = False) -> Printer:
    """The printer of a format; live: for changes that go on."""
    if fmt == "table":
        return TablePrinter(schema, out, cut=out.isatty(), live=live)
    return FORMATS[fmt](schema, out)


def _width(text: str) -> int:
    """Columns on a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _room(kind: pa.DataType) -> int:
    """The width that values of a type usually need."""
    if pa.types.is_timestamp(kind):
        return {"s": 19, "ms": 23, "us": 26}.get(kind.unit, 29)
    if pa.types.is_decimal(kind):
        return min(int(kind.precision) + 2, 14)
    if pa.types.is_date(kind):
        return 10
    return 10 if is_number(kind) else 5 if pa.types.is_boolean(kind) else 12


def _csv_quoted(text: str) -> str:
    needs = text == "" or any(c in text for c in ',"\r\n')
    return '"' + text.replace('"', '""') + '"' if needs else text


def _json_values(values: pa.ChunkedArray) -> list[str]:
    kind = values.type
    if pa.types.is_decimal(kind) or pa.types.is_integer(kind):
        return column_texts(values, "null")
    if pa.types.is_timestamp(kind):
        zone = "Z" if kind.tz else ""
        return ["null" if t == "" else json.dumps(t.replace(" ", "T") + zone) for t in column_texts(values, "")]
    return [json.dumps(_json_ready(v), ensure_ascii=False) for v in values.to_pylist(maps_as_pydicts="lossy")]


def _json_ready(value: Any) -> Any:
    """A Python value as JSON has it."""
    if isinstance(value, dict):
        return {str(k): _json_ready(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_json_ready(v) for v in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, float) and value - value != 0:
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return value
