"""Rows to a stream, as they come: `table`, `markdown`, `csv`, `json` (one object a line) and `arrow` (an IPC stream).

A printer never holds all rows, so it serves queries that end and changes that go on.
"""

import base64
import datetime as dt
import json
import shutil
import unicodedata
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Protocol, TextIO

import pyarrow as pa

from .text import column_texts, is_number

_CELL_MAX, _CELL_MIN = 60, 8
"""How wide a column may be on a terminal, and how narrow it is made for the others to have room."""


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

    def __init__(self, schema: pa.Schema, out: TextIO, *, room: int | None = None, live: bool = False) -> None:
        """room: columns of the terminal, into which long values are cut; live: rows come one by one, so leave room for
        later ones.
        """
        self._names = schema.names
        self._right = [is_number(f.type) for f in schema]
        self._room = room
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
        if self._room is not None and len(columns) > 1:
            self._widths = _fitted(self._widths, self._room)
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
        rule = "-+-".join("-" * w for w in self._widths)
        self._out.write(rule[: self._room] + "\n")
        self._out.flush()

    def _line(self, cells: Any) -> str:
        shown = [_cut(c, w) for c, w in zip(cells, self._widths, strict=True)]
        padded = [
            " " * (w - _width(c)) + c if right else c + " " * (w - _width(c))
            for c, w, right in zip(shown, self._widths, self._right, strict=True)
        ]
        return " | ".join(padded).rstrip() + "\n"

    def _shown(self, text: str) -> str:
        return text.replace("\r", "\\r").replace("\n", "\\n").replace("\t", "\\t")


class MarkdownPrinter:
    """A table of Markdown; numbers stand to the right."""

    def __init__(self, schema: pa.Schema, out: TextIO) -> None:
        self._out = out
        self._line(schema.names)
        self._line(["---:" if is_number(f.type) else "---" for f in schema])

    def rows(self, table: pa.Table) -> None:
        """One line per row."""
        for row in zip(*(column_texts(c) for c in table.columns), strict=True):
            self._line([t.replace("|", "\\|").replace("\r", "").replace("\n", "<br>") for t in row])
        self._out.flush()

    def close(self) -> None:
        """Nothing more."""

    def _line(self, cells: list[str]) -> None:
        self._out.write("| " + " | ".join(cells) + " |\n")


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
    "markdown": MarkdownPrinter,
    "csv": CsvPrinter,
    "json": JsonPrinter,
    "arrow": ArrowPrinter,
}


def printer(fmt: str, schema: pa.Schema, out: TextIO, *, live: bool = False) -> Printer:
    """The printer of a format; live: for changes that go on."""
    if fmt == "table":
        return TablePrinter(schema, out, room=shutil.get_terminal_size().columns if out.isatty() else None, live=live)
    return FORMATS[fmt](schema, out)


def _width(text: str) -> int:
    """Columns on a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _cut(text: str, width: int) -> str:
    """What of a text a column shows."""
    if _width(text) <= width:
        return text
    kept, used = [], 1
    for c in text:
        used += _width(c)
        if used > width:
            break
        kept.append(c)
    return "".join(kept) + "…"


def _fitted(widths: list[int], room: int) -> list[int]:
    """Widths that fit into `room` with what stands between them: the widest give way, but none below `_CELL_MIN`."""
    fitted = [min(w, _CELL_MAX) for w in widths]
    spare = room - 3 * (len(widths) - 1)
    while sum(fitted) > spare and max(fitted) > _CELL_MIN:
        fitted[fitted.index(max(fitted))] -= 1
    return fitted


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
