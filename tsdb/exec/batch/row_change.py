"""UPDATE and DELETE.

In a table with a primary key, the new rows (or row kinds -D) are simply written: merging does the rest. An append
table has no keys, so the files that hold matching rows are found first, and only those are written anew (copy on
write).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from tsdb.catalog.catalog import ConnectorTable
from tsdb.changes import RowKind
from tsdb.errors import DataError, NotSupportedError
from tsdb.exec.batch.columns import check_castable, real_name, whole_to_decimal
from tsdb.exec.batch.dataset import Readable
from tsdb.exec.batch.query import open_rows, scans
from tsdb.exec.batch.writing import Kinds, write
from tsdb.exec.plan import FILE_NUMBER, QueryPlan
from tsdb.metadata.data_file import DataFileMeta
from tsdb.sql.parameters import literal
from tsdb.sql.statements import Delete, TableName, Update
from tsdb.table.commit_message import CommitMessage
from tsdb.table.deletion_file import DeletionFile
from tsdb.table.read import fragments
from tsdb.table.scan import DataSplit, ScanPlan
from tsdb.table.table import Table


class Planner(Protocol):
    """Plans a query of the statement in batch mode; all of its plans see the same snapshots."""

    def __call__(self, node: exp.Query, *, numbered_files: bool = False) -> QueryPlan:
        """numbered_files: the first table of the query has a column `FILE_NUMBER` more."""
        ...


_MATCH = "__match"
_OLD = "__old_"
_NEW = "__new_"


def update(statement: Update, target: Table | ConnectorTable, plan_of: Planner) -> int:
    """UPDATE; how many rows matched."""
    table = _changeable(target, "UPDATE")
    assignments = {
        # a lone `?` comes as the value that was bound to it
        real_name(name, table.schema, table.identifier): value if isinstance(value, exp.Expr) else literal(value)
        for name, value in statement.assignments.items()
    }
    for name in assignments:
        if name in table.schema.primary_keys or (name in table.schema.partition_keys and table.is_primary_key):
            kind = "the primary key" if name in table.schema.primary_keys else "the partition"
            raise NotSupportedError(
                f"UPDATE of column `{name}`: it is part of {kind} of table `{table.identifier}`; "
                "DELETE the row and INSERT it anew"
            )
    if table.is_primary_key:
        return _update_by_key(statement, table, assignments, plan_of)
    matching = _matching_files(statement.target, table, statement.where, plan_of)
    return _rewrite(table, matching, _updated_rows(statement, table, assignments, matching, plan_of))


def delete(statement: Delete, target: Table | ConnectorTable, plan_of: Planner) -> int:
    """DELETE; how many rows matched."""
    table = _changeable(target, "DELETE")
    if not table.is_primary_key:
        matching = _matching_files(statement.target, table, statement.where, plan_of)
        return _rewrite(table, matching, _kept_rows(statement, table, matching, plan_of))
    if table.options.ignore_delete:
        raise NotSupportedError(
            f"table `{table.identifier}` has 'ignore-delete' = 'true', so rows cannot be deleted from it"
        )
    plan = plan_of(
        _select([exp.column(name, quoted=True) for name in table.schema.names], statement.target, statement.where)
    )
    batches = (pa.Table.from_batches([batch]) for batch in open_rows(plan))
    return write(table, ((rows, np.full(rows.num_rows, RowKind.DELETE, np.int8)) for rows in batches))


def _changeable(target: Table | ConnectorTable, what: str) -> Table:
    if not isinstance(target, Table):
        raise NotSupportedError(
            f"{what} of table `{target.identifier}`: it lives outside the warehouse and takes only INSERT"
        )
    if target.options.merge_engine == "first-row" and target.is_primary_key:
        raise NotSupportedError(
            f"{what} of table `{target.identifier}`: 'merge-engine' = 'first-row' keeps the first row of a key"
        )
    return target


def _update_by_key(statement: Update, table: Table, assignments: Mapping[str, exp.Expr], plan_of: Planner) -> int:
    """The new rows as +U; with changelog-producer `input`, which keeps what comes, each after its old one as -U."""
    names = table.schema.names
    with_old = table.options.changelog_producer == "input"
    items = [_named(assignments.get(name, exp.column(name, quoted=True)).copy(), name) for name in names]
    if with_old:
        items += [_named(exp.column(name, quoted=True), _OLD + name) for name in names]
    plan = plan_of(_select(items, statement.target, statement.where))
    for name, kind in zip(names, plan.schema.types[: len(names)], strict=True):
        check_castable(kind, table.schema, name, table.identifier)
    written = write(table, (_updates(batch, len(names), list(names), with_old, table) for batch in open_rows(plan)))
    return written // 2 if with_old else written


def _updates(
    batch: pa.RecordBatch, width: int, names: list[str], with_old: bool, table: Table
) -> tuple[pa.Table, Kinds]:
    """The rows to write and their kinds, the old row before the new one."""
    schema = table.schema.arrow_schema
    columns = [_cast(batch.column(i), schema.field(name).type, name, table) for i, name in enumerate(names)]
    new = pa.Table.from_arrays(columns, names=names)
    if not with_old:
        return new, np.full(len(batch), RowKind.UPDATE_AFTER, np.int8)
    old = pa.Table.from_arrays(batch.columns[width:], names=names).cast(new.schema)
    order = np.arange(2 * len(batch)).reshape(2, -1).T.ravel()
    kinds = np.tile(np.array([RowKind.UPDATE_BEFORE, RowKind.UPDATE_AFTER], np.int8), len(batch))
    return pa.concat_tables([old, new]).take(pa.array(order)), kinds


# --- append tables


@dataclass(frozen=True, slots=True)
class _FilePart:
    """One file of a table, with a column that says which."""

    number: int
    part: Readable

    @property
    def row_count(self) -> int | None:
        """As the file's."""
        return self.part.row_count

    def to_batches(
        self, columns: Sequence[str] | None, filter: pc.Expression | None, batch_size: int
    ) -> Iterator[pa.RecordBatch]:
        """The rows, then the number of the file where it is asked for."""
        wanted = None if columns is None else [name for name in columns if name != FILE_NUMBER]
        for batch in self.part.to_batches(wanted, filter, batch_size):
            if columns is None or FILE_NUMBER not in columns:
                yield batch
                continue
            numbered = batch.append_column(FILE_NUMBER, pa.repeat(pa.scalar(self.number, pa.int32()), batch.num_rows))
            yield numbered.select(list(columns))


@dataclass(frozen=True, slots=True)
class _Matching:
    """The files of a table that hold matching rows. rows: how many match."""

    splits: tuple[DataSplit, ...]
    rows: int


def _matching_files(target: TableName, table: Table, where: exp.Expr | None, plan_of: Planner) -> _Matching:
    """One query counts the matching rows of each file that the condition does not rule out."""
    number = exp.column(FILE_NUMBER, quoted=True)
    counted = exp.alias_(exp.Anonymous(this="count", expressions=[exp.Star()]), "rows", quoted=True)
    query = _select([number, counted], target, where)
    query.set("group", exp.Group(expressions=[number.copy()]))
    plan = plan_of(query, numbered_files=True)
    files = _one_file_splits(next(iter(scans(plan))).plan)
    parts = [_FilePart(i, part) for i, split in enumerate(files) for part in _parts(table, [split])]
    numbers: list[int] = []
    rows = 0
    for batch in open_rows(plan, parts):
        numbers += batch.column(0).to_pylist()
        rows += pc.sum(batch.column(1)).as_py()
    return _Matching(tuple(files[number] for number in sorted(numbers)), rows)


def _kept_rows(statement: Delete, table: Table, matching: _Matching, plan_of: Planner) -> Iterator[pa.Table]:
    """The rows of the matching files for which the condition is not true."""
    if statement.where is None:
        return
    keeps = exp.Not(this=exp.Is(this=exp.paren(statement.where.copy()), expression=exp.Boolean(this=True)))
    plan = plan_of(_select([exp.column(name, quoted=True) for name in table.schema.names], statement.target, keeps))
    for batch in open_rows(plan, _parts(table, matching.splits)):
        yield pa.Table.from_batches([batch])


def _updated_rows(
    statement: Update, table: Table, assignments: Mapping[str, exp.Expr], matching: _Matching, plan_of: Planner
) -> Iterator[pa.Table]:
    """All rows of the matching files, with the new values where the condition is true.

    The values are chosen here and not by CASE in the query: that would cast the old values to the type of the new ones.
    """
    where = statement.where or exp.Boolean(this=True)
    matches = exp.Is(this=exp.paren(where.copy()), expression=exp.Boolean(this=True))
    items: list[exp.Expr] = [exp.column(name, quoted=True) for name in table.schema.names]
    for name, value in assignments.items():
        chosen = exp.Case(ifs=[exp.If(this=exp.paren(where.copy()), true=value.copy())])
        items.append(_named(chosen, _NEW + name))
    items.append(_named(matches, _MATCH))
    plan = plan_of(_select(items, statement.target, None))
    for name in assignments:
        check_castable(plan.schema.field(_NEW + name).type, table.schema, name, table.identifier)
    schema = table.schema.arrow_schema
    for batch in open_rows(plan, _parts(table, matching.splits)):
        columns = {name: batch.column(i) for i, name in enumerate(schema.names)}
        for name in assignments:
            new = _cast(batch.column(_NEW + name), schema.field(name).type, name, table)
            columns[name] = pc.if_else(batch.column(_MATCH), new, columns[name].cast(schema.field(name).type))
        yield pa.table(columns)


def _rewrite(table: Table, matching: _Matching, rows: Iterable[pa.Table]) -> int:
    """Put the rows in the place of the matching files."""
    if matching.rows == 0:
        return 0
    replaced = [
        CommitMessage(split.partition, split.bucket, split.total_buckets, deleted_files=split.files)
        for split in matching.splits
    ]
    write(table, ((part, None) for part in rows), replaced=replaced)
    return matching.rows


def _one_file_splits(plan: ScanPlan | None) -> list[DataSplit]:
    splits = plan.splits if plan is not None else ()
    return [replace(split, files=(file,), deletions=_of(split, file)) for split in splits for file in split.files]


def _of(split: DataSplit, file: DataFileMeta) -> Mapping[str, DeletionFile]:
    return {name: deletion for name, deletion in split.deletions.items() if name == file.file_name}


def _parts(table: Table, splits: Sequence[DataSplit]) -> list[Readable]:
    """The files to read as a whole: no predicate skips rows of them."""
    return list(fragments(table, ScanPlan(None, tuple(splits))))


def _cast(values: pa.Array, kind: pa.DataType, name: str, table: Table) -> pa.Array:
    try:
        return whole_to_decimal(values, kind).cast(kind)
    except pa.ArrowInvalid as err:
        declared = table.schema.field(name).type.sql()
        raise DataError(f"column `{name}` of table `{table.identifier}` is {declared}: {err}") from err


def _select(items: Sequence[exp.Expr], target: TableName, where: exp.Expr | None) -> exp.Select:
    """SELECT items FROM target WHERE where."""
    parts = [exp.to_identifier(part, quoted=True) for part in reversed(target.parts)]
    table = exp.Table(**dict(zip(("this", "db", "catalog"), parts, strict=False)))
    query = exp.Select(expressions=list(items), from_=exp.From(this=table))
    if where is not None:
        query.set("where", exp.Where(this=where.copy()))
    return query


def _named(value: exp.Expr, name: str) -> exp.Expr:
    named: exp.Expr = exp.alias_(value, name, quoted=True)
    return named
