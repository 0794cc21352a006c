"""The connectors `kafka` and `upsert-kafka`: topics as tables.

A topic is an endless append table, a change log, or (`upsert-kafka`) a table by key whose messages without a value take
rows away. A batch query reads what is there when it begins.
"""

from collections.abc import Iterator

import pyarrow as pa

from tsdb.changes import inserts
from tsdb.connector.connector import ConnectorTable
from tsdb.connector.fold import state_of
from tsdb.connector.kafka.options import KAFKA_OPTIONS, UPSERT_OPTIONS, KafkaOptions, read_options
from tsdb.connector.kafka.records import RecordReader
from tsdb.connector.kafka.sink import KafkaSink
from tsdb.connector.kafka.source import KafkaSource
from tsdb.kafka import connect

_ROWS = 1 << 15


class KafkaConnector:
    """See `Connector`."""

    def __init__(self, name: str, *, upsert: bool) -> None:
        self.name = name
        self.options = UPSERT_OPTIONS if upsert else KAFKA_OPTIONS
        self._upsert = upsert

    def validate(self, table: ConnectorTable) -> None:
        """Checks options, formats and columns, without asking the broker."""
        options = self._read(table)
        RecordReader(table, options)
        connect(options.properties)

    def described(self, table: ConnectorTable) -> str:
        """What is read, and through which client."""
        options = self._read(table)
        topics = "topics " if options.pattern is not None or len(options.topics) > 1 else "topic "
        pattern = options.pattern
        names = [f"'{t}'" for t in options.topics] if pattern is None else [f"matching '{pattern.pattern}'"]
        return f"{topics}{', '.join(names)}, client {connect(options.properties).name}"

    def source(self, table: ConnectorTable, *, bounded: bool) -> KafkaSource:
        """Begins where the options say; the broker is asked now, so that `latest-offset` means now."""
        return KafkaSource(table, self._read(table), bounded=bounded)

    def sink(self, table: ConnectorTable) -> KafkaSink:
        """Writes to the one topic of the table."""
        return KafkaSink(table, self._read(table))

    def read_batch(self, table: ConnectorTable) -> Iterator[pa.RecordBatch]:
        """An append topic as it is read; the state that a change log leads to, in memory."""
        source = self.source(table, bounded=True)
        try:
            yield from state_of(source.rows_until_end(_ROWS), source, f"table `{table.identifier}`")
        finally:
            source.close()

    def write_batch(self, table: ConnectorTable, reader: pa.RecordBatchReader) -> int:
        """Every row, acknowledged; with `exactly-once` all of them in one transaction."""
        sink, count = self.sink(table), 0
        try:
            for batch in reader:
                count += batch.num_rows
                sink.write(inserts(pa.Table.from_batches([batch])))
            committable = sink.prepare(1)
            if committable is not None:
                sink.commit(1, committable)
        finally:
            sink.close()
        return count

    def _read(self, table: ConnectorTable) -> KafkaOptions:
        return read_options(table, upsert=self._upsert)
