"""What UPDATE, DELETE and MERGE have in common: how they ask for rows, and which tables they may change."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sqlglot import exp

from tsdb.catalog.catalog import ConnectorTable
from tsdb.changes import RowKind
from tsdb.errors import DataError, NotSupportedError
from tsdb.exec.batch.columns import whole_to_decimal
from tsdb.exec.plan import QueryPlan
from tsdb.nearest_floats import with_nearest_floats
from tsdb.nested_nulls import with_hidden_values
from tsdb.options import TableOptions
from tsdb.sql.statements import MergeAction, TableName
from tsdb.table.bucket import BucketMode
from tsdb.table.row_tracking import check_rewritable
from tsdb.table.table import Table


class Planner(Protocol):
    """Plans a query of the statement in batch mode; all of its plans see the same snapshots."""

    def __call__(self, node: exp.Query, *, numbered_files: bool = False) -> QueryPlan:
        """numbered_files: the first table of the query has a column `FILE_NUMBER` more."""
        ...


def changeable(target: Table | ConnectorTable, what: str, actions: Collection[MergeAction]) -> Table:
    """The table whose rows may be changed so. Raises NotSupportedError with the reason."""
    if not isinstance(target, Table):
        raise NotSupportedError(
            f"{what} of table `{target.identifier}`: it lives outside the warehouse and takes only INSERT"
        )
    if not target.is_primary_key:
        keeps_files = target.options.deletion_vectors_enabled and not target.options.flag("data-evolution.enabled")
        if not keeps_files or (what != "UPDATE" and "update" in actions):
            check_rewritable(target, what)
        return target
    where = f"{what} of table `{target.identifier}`"
    if "update" in actions:
        _check_updates(target.options, where)
    if "delete" in actions:
        _check_deletes(target.options, where)
    return target


def _check_updates(options: TableOptions, where: str) -> None:
    if options.merge_engine == "first-row":
        raise NotSupportedError(f"{where}: 'merge-engine' = 'first-row' keeps the first row of a key")
    if options.merge_engine == "aggregation":
        raise NotSupportedError(
            f"{where}: 'merge-engine' = 'aggregation' adds a new row to the old one, so none can be replaced"
        )


def _check_deletes(options: TableOptions, where: str) -> None:
    engine = options.merge_engine
    if engine == "first-row":
        raise NotSupportedError(f"{where}: 'merge-engine' = 'first-row' keeps the first row of a key")
    if engine == "aggregation" and not options.flag("aggregation.remove-record-on-delete"):
        raise NotSupportedError(
            f"{where}: set 'aggregation.remove-record-on-delete' = 'true' when the table is created to delete rows"
        )
    removes = options.flag("partial-update.remove-record-on-delete")
    if engine == "partial-update" and not (removes or options.get("partial-update.remove-record-on-sequence-group")):
        raise NotSupportedError(
            f"{where}: set 'partial-update.remove-record-on-delete' = 'true' (or, with sequence groups, "
            f"'partial-update.remove-record-on-sequence-group') to delete rows"
        )


def moves_rows(table: Table) -> bool:
    """Whether a change of a row's partition column takes the row to another partition."""
    is_moved = table.bucket_mode is BucketMode.CROSS_PARTITION and table.options.merge_engine == "deduplicate"
    return is_moved or not table.is_primary_key


def cast_column(values: pa.Array, kind: pa.DataType, name: str, table: Table) -> pa.Array:
    """Values for a column of the table. Raises DataError for one that does not fit."""
    try:
        return with_nearest_floats(with_hidden_values(whole_to_decimal(values, kind), kind), kind).cast(kind)
    except pa.ArrowInvalid as err:
        declared = table.schema.field(name).type.sql()
        raise DataError(f"column `{name}` of table `{table.identifier}` is {declared}: {err}") from err


def reference(target: TableName, alias: str | None = None) -> exp.Table:
    """target [AS alias], as an item of FROM."""
    parts = [exp.to_identifier(part, quoted=True) for part in reversed(target.parts)]
    table = exp.Table(**dict(zip(("this", "db", "catalog"), parts, strict=False)))
    if alias is not None:
        table.set("alias", exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
    return table


def select(
    items: Sequence[exp.Expr], target: TableName, where: exp.Expr | None, alias: str | None = None
) -> exp.Select:
    """SELECT items FROM target [AS alias] WHERE where."""
    query = exp.Select(expressions=list(items), from_=exp.From(this=reference(target, alias)))
    if where is not None:
        query.set("where", exp.Where(this=where.copy()))
    return query


def old_and_new(old: pa.Table, new: pa.Table) -> tuple[pa.Table, npt.NDArray[np.int8]]:
    """Each old row as -U and its new one as +U behind it."""
    order = np.arange(2 * old.num_rows).reshape(2, -1).T.ravel()
    kinds = np.tile(np.array([RowKind.UPDATE_BEFORE, RowKind.UPDATE_AFTER], np.int8), old.num_rows)
    return pa.concat_tables([old, new]).take(pa.array(order)), kinds


def named(value: exp.Expr, name: str) -> exp.Expr:
    """value AS name."""
    # `alias_` would give a subquery an alias of its own, which is no name of a column
    return exp.Alias(this=value, alias=exp.to_identifier(name, quoted=True))
