"""COPY … FROM: the rows of local files into a table, in one commit. It is an INSERT that reads files."""

from __future__ import annotations

import pyarrow as pa
from sqlglot import exp

from tsdb.catalog.catalog import ConnectorTable
from tsdb.data_types import DataType, TypeRoot, to_arrow
from tsdb.exec.batch.columns import real_name
from tsdb.exec.local_file import find_files, format_of
from tsdb.sql.dialect import Flink
from tsdb.sql.statements import CopyFrom, Insert
from tsdb.table.table import Table


def as_insert(statement: CopyFrom, target: Table | ConnectorTable) -> Insert:
    """The INSERT of all rows. A CSV file is read in the types of the target's columns, which it has in their order."""
    options = dict(statement.options)
    kind = options.pop("format", format_of(statement.path) or "").lower() or None
    columns = statement.columns or tuple(target.schema.names)
    names = [real_name(name, target.schema, target.identifier) for name in columns]
    kinds = [target.schema.field(name).type for name in names]
    # a moment is read as text first: in a file it may have an offset, or be that of the session's clocks
    types = [pa.string() if of.root is TypeRoot.TIMESTAMP_LTZ else to_arrow(of) for of in kinds]
    reference = exp.Table(this=exp.to_identifier("file", quoted=True))
    source = find_files([statement.path], kind, options, types if kind == "csv" else None)
    reference.meta["file_source"] = source
    items: list[exp.Expr] = [exp.Star()]
    if kind == "csv" and len(source.schema) == len(kinds):
        items = [_item(name, of) for name, of in zip(source.schema.names, kinds, strict=True)]
    query = exp.Select(expressions=items, from_=exp.From(this=reference))
    return Insert(statement.target, statement.columns, None, query)


def _item(name: str, kind: DataType) -> exp.Expr:
    column = exp.column(name, quoted=True)
    if kind.root is not TypeRoot.TIMESTAMP_LTZ:
        return column
    to = exp.DataType.build(kind.with_nullable(True).sql(), dialect=Flink)
    return exp.alias_(exp.Cast(this=column, to=to), name, quoted=True)
