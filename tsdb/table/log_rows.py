"""Rows of a log's messages in the columns of a table, whatever schema they were written with.

Columns are found by their ids, so that one that was renamed is still the same, and one that was added is NULL in rows
from before.
"""

from collections.abc import Sequence

import pyarrow as pa

from tsdb.log.format import Bodies
from tsdb.log.topic import LogTopic
from tsdb.table.log import format_of
from tsdb.table.stream_scan import Kinds
from tsdb.table.table import Table


class AnotherSchema(Exception):
    """Rows of a schema that does not fit the reader's: snapshots know how to read them."""


class LogRows:
    """Reads the rows of one log into some columns of a table as the reader knows it."""

    def __init__(self, table: Table, log: LogTopic, names: Sequence[str]) -> None:
        self._table = table
        self._log = log
        fields = {field.name: field for field in table.schema.fields}
        self._ids = [fields[name].id for name in names]
        self._schema = pa.schema([table.schema.arrow_schema.field(name) for name in names])
        self._sources: dict[int, list[str | None]] = {table.schema.id: list(names)}

    def read(self, schema_id: int, keys: Bodies, values: Bodies) -> tuple[pa.Table, Kinds]:
        """The rows and kinds of messages. Raises AnotherSchema."""
        sources = self._sources.get(schema_id)
        if sources is None:
            sources = self._sources[schema_id] = self._found(schema_id)
        rows, kinds = format_of(self._table, self._log, schema_id).read(keys, values)
        columns = [
            pa.nulls(rows.num_rows, field.type) if name is None else rows[name].cast(field.type)
            for name, field in zip(sources, self._schema, strict=True)
        ]
        return pa.table(columns, schema=self._schema), kinds

    def _found(self, schema_id: int) -> list[str | None]:
        """Under which names the columns stand in rows of that schema; None: it has no such column."""
        try:
            written = self._table.schemas.schema(schema_id)
        except (FileNotFoundError, KeyError) as err:
            raise AnotherSchema from err
        fields = {field.id: field.name for field in written.fields}
        names = [fields.get(field_id) for field_id in self._ids]
        for name, field in zip(names, self._schema, strict=True):
            if name is not None and written.arrow_schema.field(name).type != field.type:
                raise AnotherSchema
        return names
