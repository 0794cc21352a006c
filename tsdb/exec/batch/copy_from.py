"""COPY … FROM: the rows of local files into a table, in one commit. It is an INSERT that reads files."""

from __future__ import annotations

from sqlglot import exp

from tsdb.catalog.catalog import ConnectorTable
from tsdb.data_types import to_arrow
from tsdb.exec.batch.columns import real_name
from tsdb.exec.local_file import find_files, format_of
from tsdb.sql.statements import CopyFrom, Insert
from tsdb.table.table import Table


def as_insert(statement: CopyFrom, target: Table | ConnectorTable) -> Insert:
    """The INSERT of all rows. A CSV file is read in the types of the target's columns, which it has in their order."""
    options = dict(statement.options)
    kind = options.pop("format", format_of(statement.path) or "").lower() or None
    columns = statement.columns or tuple(target.schema.names)
    names = [real_name(name, target.schema, target.identifier) for name in columns]
    types = [to_arrow(target.schema.field(name).type) for name in names] if kind == "csv" else None
    reference = exp.Table(this=exp.to_identifier("file", quoted=True))
    reference.meta["file_source"] = find_files([statement.path], kind, options, types)
    query = exp.Select(expressions=[exp.Star()], from_=exp.From(this=reference))
    return Insert(statement.target, statement.columns, None, query)
