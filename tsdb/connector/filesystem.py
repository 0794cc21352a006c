"""The connector `filesystem`: lines of local files, in any format of `SERDES`."""

import os
from collections.abc import Iterator, Mapping
from urllib.parse import unquote, urlparse

import pyarrow as pa

from tsdb.changes import inserts
from tsdb.connector.connector import ConnectorTable
from tsdb.connector.connector_options import check, require
from tsdb.connector.file_sink import FileSink
from tsdb.connector.file_source import FileSource
from tsdb.connector.fold import state_of
from tsdb.connector.serde import SERDES
from tsdb.connector.serde.serde import Serde
from tsdb.errors import NotSupportedError, OptionError, nearest
from tsdb.options import OptionSpec

_ROWS = 1 << 16


class FilesystemConnector:
    """See `Connector`."""

    name = "filesystem"
    options = (
        OptionSpec("path", "string", None, "A file, or a directory of files; relative to the working directory."),
        OptionSpec("format", "string", None, "How lines are written: json, csv, raw, debezium-json."),
    )

    def validate(self, table: ConnectorTable) -> None:
        """Checks the options and that the format has the columns' types."""
        serde, options = self._parts(table)
        _path(table, options)
        serde.decoder(table.schema.arrow_schema, table.schema.primary_keys, options)

    def source(self, table: ConnectorTable, *, bounded: bool) -> FileSource:
        """Reads from the beginning of the files."""
        serde, options = self._parts(table)
        schema, key = table.schema.arrow_schema, tuple(table.schema.primary_keys)
        decoder = serde.decoder(schema, key, options)
        return FileSource(str(table.identifier), _path(table, options), decoder, schema, key, bounded=bounded)

    def sink(self, table: ConnectorTable) -> FileSink:
        """Appends lines or adds files."""
        serde, options = self._parts(table)
        encoder = serde.encoder(table.schema.arrow_schema, options)
        extension = "csv" if serde.name == "csv" else "txt" if serde.name == "raw" else "json"
        return FileSink(str(table.identifier), _path(table, options), encoder, extension)

    def read_batch(self, table: ConnectorTable) -> Iterator[pa.RecordBatch]:
        """An append log as it is read; the state that a change log leads to, in memory."""
        source = self.source(table, bounded=True)
        changes = (change for delta in iter(lambda: source.poll(_ROWS), None) for change in delta.changes)
        yield from state_of(changes, source, f"table `{table.identifier}`")

    def write_batch(self, table: ConnectorTable, reader: pa.RecordBatchReader) -> int:
        """Append all rows, or none if reading them fails."""
        sink, count = self.sink(table), 0
        try:
            for batch in reader:
                count += batch.num_rows
                sink.write(inserts(pa.Table.from_batches([batch])))
            committable = sink.prepare(0)
            if committable is not None:
                sink.commit(0, committable)
        finally:
            sink.close()
        return count

    def _parts(self, table: ConnectorTable) -> tuple[Serde, Mapping[str, str]]:
        """The serde and the checked options."""
        word = require(table, table.options, "format")
        serde = SERDES.get(word)
        if serde is None:
            known = ", ".join(sorted(SERDES))
            raise OptionError(
                f"table `{table.identifier}`: there is no format '{word}'.{nearest(word, SERDES)} Formats: {known}"
            )
        return serde, check(table, (*self.options, *serde.options))


def _path(table: ConnectorTable, options: Mapping[str, str]) -> str:
    location = require(table, options, "path")
    url = urlparse(location)
    if url.scheme and len(url.scheme) > 1:
        if url.scheme != "file":
            raise NotSupportedError(
                f"table `{table.identifier}`: 'path' is a local path or a file: URL, not '{location}'"
            )
        location = unquote(url.path)
    return os.path.abspath(os.path.expanduser(location))
