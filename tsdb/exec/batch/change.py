"""What UPDATE, DELETE and MERGE have in common: how they ask for rows, and which tables they may change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa
from sqlglot import exp

from tsdb.catalog.catalog import ConnectorTable
from tsdb.errors import DataError, NotSupportedError
from tsdb.exec.batch.columns import whole_to_decimal
from tsdb.exec.plan import QueryPlan
from tsdb.sql.statements import TableName
from tsdb.table.table import Table


class Planner(Protocol):
    """Plans a query of the statement in batch mode; all of its plans see the same snapshots."""

    def __call__(self, node: exp.Query, *, numbered_files: bool = False) -> QueryPlan:
        """numbered_files: the first table of the query has a column `FILE_NUMBER` more."""
        ...


def changeable(target: Table | ConnectorTable, what: str) -> Table:
    """The table whose rows may be changed. Raises NotSupportedError with the reason."""
    if not isinstance(target, Table):
        raise NotSupportedError(
            f"{what} of table `{target.identifier}`: it lives outside the warehouse and takes only INSERT"
        )
    if target.options.merge_engine == "first-row" and target.is_primary_key:
        raise NotSupportedError(
            f"{what} of table `{target.identifier}`: 'merge-engine' = 'first-row' keeps the first row of a key"
        )
    return target


def cast_column(values: pa.Array, kind: pa.DataType, name: str, table: Table) -> pa.Array:
    """Values for a column of the table. Raises DataError for one that does not fit."""
    try:
        return whole_to_decimal(values, kind).cast(kind)
    except pa.ArrowInvalid as err:
        declared = table.schema.field(name).type.sql()
        raise DataError(f"column `{name}` of table `{table.identifier}` is {declared}: {err}") from err


def select(items: Sequence[exp.Expr], target: TableName, where: exp.Expr | None) -> exp.Select:
    """SELECT items FROM target WHERE where."""
    parts = [exp.to_identifier(part, quoted=True) for part in reversed(target.parts)]
    table = exp.Table(**dict(zip(("this", "db", "catalog"), parts, strict=False)))
    query = exp.Select(expressions=list(items), from_=exp.From(this=table))
    if where is not None:
        query.set("where", exp.Where(this=where.copy()))
    return query


def named(value: exp.Expr, name: str) -> exp.Expr:
    """value AS name."""
    aliased: exp.Expr = exp.alias_(value, name, quoted=True)
    return aliased
