"""The connectors `print` and `blackhole`: sinks to look at changes, and to throw them away."""

import sys
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from tsdb.changes import ROW_KIND_SYMBOLS, ChangeBatch, inserts, plus, to_row_kinds
from tsdb.connector.connector import ChangelogMode, ConnectorTable, Json, Sink, Source
from tsdb.connector.connector_options import check
from tsdb.connector.serde.json_writer import json_values, lines_of
from tsdb.errors import NotSupportedError
from tsdb.options import OptionSpec

_SYMBOLS = pa.array(ROW_KIND_SYMBOLS, pa.large_string())


class _SinkOnly:
    """What both connectors share: they cannot be read."""

    name = ""
    options: tuple[OptionSpec, ...] = ()

    def validate(self, table: ConnectorTable) -> None:
        """Checks the options."""
        check(table, self.options)

    def source(self, table: ConnectorTable, *, bounded: bool) -> Source:
        """There is none."""
        raise self._unreadable(table)

    def read_batch(self, table: ConnectorTable) -> Iterator[pa.RecordBatch]:
        """There is nothing to read."""
        raise self._unreadable(table)

    def sink(self, table: ConnectorTable) -> Sink:
        """See `Connector`."""
        raise NotImplementedError

    def write_batch(self, table: ConnectorTable, reader: pa.RecordBatchReader) -> int:
        """Every row."""
        sink, count = self.sink(table), 0
        for batch in reader:
            count += batch.num_rows
            sink.write(inserts(pa.Table.from_batches([batch])))
            sink.prepare(0)
        return count

    def _unreadable(self, table: ConnectorTable) -> NotSupportedError:
        return NotSupportedError(f"table `{table.identifier}`: the connector '{self.name}' can only be written to")


class PrintConnector(_SinkOnly):
    """Changes on standard output, one a line: `+I[1, ann]`."""

    name = "print"
    options = (
        OptionSpec("print-identifier", "string", None, "Text before every line."),
        OptionSpec("standard-error", "bool", "false", "Print to standard error instead."),
    )

    def sink(self, table: ConnectorTable) -> Sink:
        """See `Connector`."""
        options = check(table, self.options)
        prefix = options.get("print-identifier")
        return PrintSink(
            tuple(table.schema.primary_keys),
            f"{prefix}:" if prefix else "",
            to_error=options.get("standard-error", "false").lower() == "true",
        )


class BlackholeConnector(_SinkOnly):
    """Takes everything and keeps nothing: to measure a query without its sink."""

    name = "blackhole"

    def sink(self, table: ConnectorTable) -> Sink:
        """See `Connector`."""
        check(table, self.options)
        return BlackholeSink()


class BlackholeSink:
    """Forgets."""

    accepts: ChangelogMode = "all"

    def write(self, changes: ChangeBatch) -> None:
        """Nothing is kept."""

    def prepare(self, version: int) -> Json | None:
        """Nothing to commit."""
        return None

    def commit(self, version: int, committable: Json) -> None:
        """Nothing to commit."""

    def abort(self) -> None:
        """Nothing to forget."""

    def close(self) -> None:
        """Nothing to free."""


class PrintSink(BlackholeSink):
    """Prints whole versions; after a crash the last may be printed again. key: pairs -U with +U."""

    def __init__(self, key: tuple[str, ...], prefix: str, *, to_error: bool) -> None:
        self._key = key
        self._prefix = prefix
        self._to_error = to_error
        self._held: list[ChangeBatch] = []

    def write(self, changes: ChangeBatch) -> None:
        """Hold them back: they may be a part of a version."""
        self._held.append(changes)

    def prepare(self, version: int) -> Json | None:
        """One line per change."""
        held, self._held = self._held, []
        if held:
            self._print(plus(held, held[0].schema))
        return None

    def abort(self) -> None:
        """Forget what was not printed."""
        self._held = []

    def _print(self, changes: ChangeBatch) -> None:
        rows, kinds = to_row_kinds(changes, self._key or None)
        if rows.num_rows == 0:
            return
        cells = [_cells(column.combine_chunks()) for column in rows.columns]
        joined = pc.binary_join_element_wise(*cells, _text(", "))
        symbols = pc.binary_join_element_wise(_text(self._prefix), _SYMBOLS.take(pa.array(kinds)), _text(""))
        text = lines_of(pc.binary_join_element_wise(symbols, _text("["), joined, _text("]"), _text(""))).decode()
        (sys.stderr if self._to_error else sys.stdout).write(text)
        (sys.stderr if self._to_error else sys.stdout).flush()


def _cells(values: pa.Array) -> pa.Array:
    """Values as text; NULL for NULL."""
    if pa.types.is_nested(values.type) or pa.types.is_binary(values.type):
        texts = json_values(values)
    else:
        texts = pc.cast(values, pa.large_string())
    return pc.fill_null(pc.if_else(values.is_valid(), texts, None), "NULL")


def _text(value: str) -> pa.Scalar:
    return pa.scalar(value, pa.large_string())
