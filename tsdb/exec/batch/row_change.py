"""UPDATE and DELETE.

In a table with a primary key, the new rows (or row kinds -D) are simply written: merging does the rest. An append
table has no keys. With deletion vectors the matching rows are marked as deleted where they are; without, the files that
hold matching rows are found first, and only those are written anew (copy on write).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from tsdb.catalog.catalog import ConnectorTable
from tsdb.changes import RowKind
from tsdb.errors import NotSupportedError
from tsdb.exec.batch.change import Planner, cast_column, changeable, moves_rows, named, old_and_new, select
from tsdb.exec.batch.columns import check_castable, real_name
from tsdb.exec.batch.copy_on_write import Matching, matching_files, rewrite, whole_files
from tsdb.exec.batch.query import open_rows
from tsdb.exec.batch.row_places import placed_rows
from tsdb.exec.batch.time_text import assigned_times
from tsdb.exec.batch.writing import Kinds, write
from tsdb.exec.plan import FILE_NUMBER
from tsdb.sql.parameters import literal
from tsdb.sql.statements import Delete, Update
from tsdb.table.partial_row import check_assigned, deleted_rows, updated_rows
from tsdb.table.row_tracking import tracks_rows
from tsdb.table.table import Table
from tsdb.table.tracked_write import write_with_ids

_MATCH = "__match"
_OLD = "__old_"
_NEW = "__new_"


def update(statement: Update, target: Table | ConnectorTable, plan_of: Planner) -> int:
    """UPDATE; how many rows matched."""
    table = changeable(target, "UPDATE", ["update"])
    assignments = {
        # a lone `?` comes as the value that was bound to it
        real_name(name, table.schema, table.identifier): value if isinstance(value, exp.Expr) else literal(value)
        for name, value in statement.assignments.items()
    }
    assignments = assigned_times(assignments, table.schema)
    for name in assignments:
        if name in table.schema.primary_keys or (name in table.schema.partition_keys and not moves_rows(table)):
            kind = "the primary key" if name in table.schema.primary_keys else "the partition"
            raise NotSupportedError(
                f"UPDATE of column `{name}`: it is part of {kind} of table `{table.identifier}`; "
                "DELETE the row and INSERT it anew"
            )
    if table.is_primary_key:
        return _update_by_key(statement, table, assignments, plan_of)
    if table.options.deletion_vectors_enabled:
        return _update_by_place(statement, table, assignments, plan_of)
    matching = matching_files(statement.target, table, statement.where, plan_of, statement.alias)
    return rewrite(table, matching, _updated_rows(statement, table, assignments, matching, plan_of))


def delete(statement: Delete, target: Table | ConnectorTable, plan_of: Planner) -> int:
    """DELETE; how many rows matched."""
    table = changeable(target, "DELETE", ["delete"])
    if not table.is_primary_key and table.options.deletion_vectors_enabled:
        return _delete_by_place(statement, table, plan_of)
    if not table.is_primary_key:
        matching = matching_files(statement.target, table, statement.where, plan_of, statement.alias)
        return rewrite(table, matching, _kept_rows(statement, table, matching, plan_of))
    if table.options.ignore_delete:
        raise NotSupportedError(
            f"table `{table.identifier}` has 'ignore-delete' = 'true', so rows cannot be deleted from it"
        )
    plan = plan_of(
        select(
            [exp.column(name, quoted=True) for name in table.schema.names],
            statement.target,
            statement.where,
            statement.alias,
        )
    )

    def rows() -> Iterator[tuple[pa.Table, Kinds]]:
        for batch in open_rows(plan):
            deleted = deleted_rows(table, pa.Table.from_batches([batch]))
            yield deleted, np.full(deleted.num_rows, RowKind.DELETE, np.int8)

    return write(table, rows())


def _update_by_key(statement: Update, table: Table, assignments: Mapping[str, exp.Expr], plan_of: Planner) -> int:
    """The new rows as +U; with changelog-producer `input`, which keeps what comes, each after its old one as -U."""
    names = table.schema.names
    partial = table.options.merge_engine == "partial-update"
    check_assigned(table, assignments)
    with_old = table.options.changelog_producer == "input" and not partial
    items = [named(assignments.get(name, exp.column(name, quoted=True)).copy(), name) for name in names]
    if with_old:
        items += [named(exp.column(name, quoted=True), _OLD + name) for name in names]
    plan = plan_of(select(items, statement.target, statement.where, statement.alias))
    for name, kind in zip(names, plan.schema.types[: len(names)], strict=True):
        check_castable(kind, table.schema, name, table.identifier, plan.zone)

    def rows() -> Iterator[tuple[pa.Table, Kinds]]:
        for batch in open_rows(plan):
            new, kinds = _updates(batch, len(names), list(names), with_old, table)
            yield updated_rows(table, assignments, new) if partial else new, kinds

    written = write(table, rows())
    return written // 2 if with_old else written


def _updates(
    batch: pa.RecordBatch, width: int, names: list[str], with_old: bool, table: Table
) -> tuple[pa.Table, Kinds]:
    """The rows to write and their kinds, the old row before the new one."""
    schema = table.schema.arrow_schema
    columns = [cast_column(batch.column(i), schema.field(name).type, name, table) for i, name in enumerate(names)]
    new = pa.Table.from_arrays(columns, names=names)
    if not with_old:
        return new, np.full(len(batch), RowKind.UPDATE_AFTER, np.int8)
    old = pa.Table.from_arrays(batch.columns[width:], names=names).cast(new.schema)
    return old_and_new(old, new)


# --- append tables


def _delete_by_place(statement: Delete, table: Table, plan_of: Planner) -> int:
    """The matching rows leave by a deletion vector."""
    plan = plan_of(
        select([exp.column(FILE_NUMBER, quoted=True)], statement.target, statement.where, statement.alias),
        numbered_files=True,
    )
    places, batches = placed_rows(table, plan)
    for _ in batches:  # what is read is counted there
        pass
    if places.count:
        write(table, (), replaced=places.messages())
    return places.count


def _update_by_place(statement: Update, table: Table, assignments: Mapping[str, exp.Expr], plan_of: Planner) -> int:
    """The matching rows leave by a deletion vector, and come back with their new values."""
    schema = table.schema.arrow_schema
    items = [named(assignments.get(name, exp.column(name, quoted=True)).copy(), name) for name in schema.names]
    items.append(exp.column(FILE_NUMBER, quoted=True))
    plan = plan_of(select(items, statement.target, statement.where, statement.alias), numbered_files=True)
    for name in assignments:
        check_castable(plan.schema.field(name).type, table.schema, name, table.identifier, plan.zone)
    places, batches = placed_rows(table, plan)
    rows = (
        pa.table({f.name: cast_column(batch.column(f.name), f.type, f.name, table) for f in schema})
        for batch in batches
    )
    if tracks_rows(table):
        written = write_with_ids(table, ((part, places.ids()) for part in rows))
        write(table, (), replaced=itertools.chain(written, places.messages()))
    else:
        write(table, ((part, None) for part in rows), replaced=places.messages())
    return places.count


def _kept_rows(statement: Delete, table: Table, matching: Matching, plan_of: Planner) -> Iterator[pa.Table]:
    """The rows of the matching files for which the condition is not true."""
    if statement.where is None:
        return
    keeps = exp.Not(this=exp.Is(this=exp.paren(statement.where.copy()), expression=exp.Boolean(this=True)))
    plan = plan_of(
        select([exp.column(name, quoted=True) for name in table.schema.names], statement.target, keeps, statement.alias)
    )
    for batch in open_rows(plan, whole_files(table, matching.splits)):
        yield pa.Table.from_batches([batch])


def _updated_rows(
    statement: Update, table: Table, assignments: Mapping[str, exp.Expr], matching: Matching, plan_of: Planner
) -> Iterator[pa.Table]:
    """All rows of the matching files, with the new values where the condition is true.

    The values are chosen here and not by CASE in the query: that would cast the old values to the type of the new ones.
    """
    where = statement.where or exp.Boolean(this=True)
    matches = exp.Is(this=exp.paren(where.copy()), expression=exp.Boolean(this=True))
    items: list[exp.Expr] = [exp.column(name, quoted=True) for name in table.schema.names]
    for name, value in assignments.items():
        chosen = exp.Case(ifs=[exp.If(this=exp.paren(where.copy()), true=value.copy())])
        items.append(named(chosen, _NEW + name))
    items.append(named(matches, _MATCH))
    plan = plan_of(select(items, statement.target, None, statement.alias))
    for name in assignments:
        check_castable(plan.schema.field(_NEW + name).type, table.schema, name, table.identifier, plan.zone)
    schema = table.schema.arrow_schema
    for batch in open_rows(plan, whole_files(table, matching.splits)):
        columns = {name: batch.column(i) for i, name in enumerate(schema.names)}
        for name in assignments:
            new = cast_column(batch.column(_NEW + name), schema.field(name).type, name, table)
            columns[name] = pc.if_else(batch.column(_MATCH), new, columns[name].cast(schema.field(name).type))
        yield pa.table(columns)


def _stored(table: Table) -> list[exp.Expr]:
    """Every column."""
    return [exp.column(name, quoted=True) for name in table.schema.names]
