"""MERGE INTO: each row of the target that matches the source is updated or deleted, each row of the source without a
match inserted, in one commit.

Three queries give the rows to write, one for each kind of WHEN clause; a fourth proves that no row of the target is
changed twice, which SQL forbids. In a table with a primary key the rows are written with their kinds and merging does
the rest. Of an append table with deletion vectors, a fifth query finds the places of the rows to change, which are
marked as deleted there; without, the files that hold them are written anew, and that query gives their other rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from tsdb.catalog.catalog import ConnectorTable
from tsdb.changes import RowKind
from tsdb.errors import BindError, DataError, NotSupportedError
from tsdb.exec.batch.change import Planner, cast_column, changeable, moves_rows, named, old_and_new, reference, select
from tsdb.exec.batch.columns import check_castable, real_name
from tsdb.exec.batch.copy_on_write import Matching, matching_files, replacements, whole_files
from tsdb.exec.batch.query import open_rows
from tsdb.exec.batch.row_places import placed_rows
from tsdb.exec.batch.time_text import assigned_times
from tsdb.exec.batch.writing import Kinds, write
from tsdb.exec.plan import FILE_NUMBER
from tsdb.sql.statements import MergeClause, MergeInto, MergeMatch
from tsdb.table.commit_message import CommitMessage
from tsdb.table.partial_row import check_assigned, deleted_rows, updated_rows
from tsdb.table.table import Table

_ACTION = "__action"
_OLD = "__old_"
_NEW = "__new_"

Part = tuple[pa.Table, Kinds]


def merge(statement: MergeInto, target: Table | ConnectorTable, plan_of: Planner) -> int:
    """MERGE INTO; how many rows were inserted, updated or deleted."""
    table = changeable(target, statement.word, {clause.action for clause in statement.clauses})
    merging = _Merging(_with_clear_aliases(statement, table, plan_of), table, plan_of)
    merging.check()
    if table.is_primary_key:
        return merging.by_key()
    return merging.by_place() if table.options.deletion_vectors_enabled else merging.by_file()


@dataclass(frozen=True, slots=True)
class _Clause:
    """A clause with the real names of the columns it gives values to; number: from 1, in the statement's order."""

    number: int
    clause: MergeClause
    values: Mapping[str, exp.Expr]


class _Merging:
    """One MERGE, with the queries that it asks."""

    def __init__(self, statement: MergeInto, table: Table, plan_of: Planner) -> None:
        self.table = table
        self._statement = statement
        self._plan_of = plan_of
        self._alias = statement.alias or statement.target.name
        self._source = statement.source.alias_or_name
        self._is_partial = table.is_primary_key and table.options.merge_engine == "partial-update"
        self._clauses = [_Clause(i + 1, clause, self._values(clause)) for i, clause in enumerate(statement.clauses)]
        for clause in self._clauses:
            if clause.clause.action == "update":
                check_assigned(table, clause.values)

    # --- what is asked

    def check(self) -> None:
        """No row of the target may be changed for two rows of the source. Raises DataError."""
        condition = self._condition("matched")
        if condition is None:
            return
        pairs = self._joined([_count_all()]).where(condition, copy=False)
        if self._statement.repeats:
            self._plan_of(pairs)  # names that both sides have are refused here
            return
        joined = self._count(pairs)
        if not joined:
            return
        rows = exp.Select(expressions=[_count_all()], from_=exp.From(this=self._target()))
        exists = exp.Exists(this=self._from_source([exp.Literal.number(1)], self._on(), condition))
        rows.set("where", exp.Where(this=exists))
        if joined != self._count(rows):
            raise DataError(
                f"{self._statement.word} would change a row of table `{self.table.identifier}` for more than one row "
                "of the source; let it have one row for each, by GROUP BY or ROW_NUMBER()"
            )

    def by_key(self) -> int:
        """Write what the clauses give, each row with its kind."""
        if self.table.options.ignore_delete and any(c.clause.action == "delete" for c in self._clauses):
            raise NotSupportedError(
                f"table `{self.table.identifier}` has 'ignore-delete' = 'true', so rows cannot be deleted from it"
            )
        changed = 0

        def rows() -> Iterator[Part]:
            nonlocal changed
            for part, kinds in self._changes():
                changed += int((kinds != RowKind.UPDATE_BEFORE).sum())
                yield part, kinds

        write(self.table, rows())
        return changed

    def by_place(self) -> int:
        """Mark the rows to change as deleted where they are, and write what the clauses give."""
        where = self._touched()
        messages: Iterator[CommitMessage] = iter(())
        if where is not None:
            number = exp.column(FILE_NUMBER, quoted=True)
            query = select([number], self._statement.target, where, self._alias)
            places, batches = placed_rows(self.table, self._plan_of(query, numbered_files=True))
            for _ in batches:  # what is read is counted there
                pass
            messages = places.messages()
        changed = 0

        def rows() -> Iterator[tuple[pa.Table, None]]:
            nonlocal changed
            for part, kinds in self._changes():
                changed += part.num_rows
                yield part.filter(pa.array(kinds != RowKind.DELETE)), None

        write(self.table, rows(), replaced=messages)
        return changed

    def _touched(self) -> exp.Expr | None:
        """Of a row of the target: a clause changes it; None: none does."""
        touched = [condition for condition in (self._is_matched(), self._is_left()) if condition is not None]
        return exp.or_(*touched, copy=False) if touched else None

    def by_file(self) -> int:
        """Write what the clauses give, and the other rows of the files that hold rows to change."""
        where = self._touched()
        matching = Matching((), 0)
        if where is not None:
            matching = matching_files(self._statement.target, self.table, where, self._plan_of, alias=self._alias)
        changed = 0

        def rows() -> Iterator[tuple[pa.Table, None]]:
            nonlocal changed
            for part, kinds in self._changes():
                changed += part.num_rows
                yield part.filter(pa.array(kinds != RowKind.DELETE)), None
            if where is not None and matching.splits:
                yield from self._kept(where, matching)

        write(self.table, rows(), replaced=replacements(self.table, matching))
        return changed

    def _kept(self, touched: exp.Expr, matching: Matching) -> Iterator[tuple[pa.Table, None]]:
        """The rows of the files that no clause changes."""
        items: list[exp.Expr] = [self._column(name) for name in self.table.schema.names]
        query = exp.Select(expressions=items, from_=exp.From(this=self._target()))
        not_touched = exp.Not(this=exp.Is(this=exp.paren(touched.copy()), expression=exp.Boolean(this=True)))
        query.set("where", exp.Where(this=not_touched))
        for batch in open_rows(self._plan_of(query), whole_files(self.table, matching.splits)):
            yield pa.Table.from_batches([batch]), None

    def _changes(self) -> Iterator[Part]:
        """The rows to write, clause by clause."""
        condition = self._condition("matched")
        if condition is not None:
            if self._statement.repeats:
                query = exp.Select(expressions=[], from_=exp.From(this=self._target()))
                exists = exp.Exists(this=self._from_source([exp.Literal.number(1)], self._on()))
                yield from self._applied("matched", query.where(exists, copy=False))
            else:
                yield from self._applied("matched", self._joined([]).where(condition, copy=False))
        condition = self._is_left()
        if condition is not None:
            query = exp.Select(expressions=[], from_=exp.From(this=self._target()))
            yield from self._applied("not matched by source", query.where(condition, copy=False))
        condition = self._condition("not matched")
        if condition is not None:
            target = exp.Select(expressions=[exp.Literal.number(1)], from_=exp.From(this=self._target()))
            missing = exp.Not(this=exp.Exists(this=target.where(self._on(), copy=False)))
            yield from self._applied("not matched", self._from_source([], missing, condition))

    def _applied(self, match: MergeMatch, query: exp.Select) -> Iterator[Part]:
        """The rows of one kind of clause. query: without its columns."""
        names, clauses = self.table.schema.names, self._of(match)
        items: list[exp.Expr] = [named(_number(clauses), _ACTION)]
        if match != "not matched":
            items += [named(self._column(name), _OLD + name) for name in names]
        for clause in clauses:
            for name, value in clause.values.items():
                applies = exp.EQ(this=_number(clauses), expression=exp.Literal.number(clause.number))
                items.append(
                    named(exp.Case(ifs=[exp.If(this=applies, true=value.copy())]), f"{_NEW}{clause.number}_{name}")
                )
        query.set("expressions", items)
        plan = self._plan_of(query)
        for clause in clauses:
            for name in clause.values:
                given = plan.schema.field(f"{_NEW}{clause.number}_{name}").type
                check_castable(given, self.table.schema, name, self.table.identifier, plan.zone)
        for batch in open_rows(plan):
            for clause in clauses:
                rows = batch.filter(pc.equal(batch.column(_ACTION), clause.number))
                if rows.num_rows:
                    yield self._rows(clause, rows)

    def _rows(self, clause: _Clause, batch: pa.RecordBatch) -> Part:
        """The rows of one clause with their kinds."""
        schema, count = self.table.schema.arrow_schema, batch.num_rows
        columns = {}
        for field in schema:
            if field.name in clause.values:
                values = batch.column(f"{_NEW}{clause.number}_{field.name}")
                columns[field.name] = cast_column(values, field.type, field.name, self.table)
            elif clause.clause.action == "insert":
                columns[field.name] = pa.nulls(count, field.type)
            else:
                columns[field.name] = batch.column(_OLD + field.name).cast(field.type)
        rows = pa.table(columns)
        if clause.clause.action == "insert":
            return rows, np.full(count, RowKind.INSERT, np.int8)
        if clause.clause.action == "delete":
            return deleted_rows(self.table, rows), np.full(count, RowKind.DELETE, np.int8)
        if self._is_partial:
            return updated_rows(self.table, clause.values, rows), np.full(count, RowKind.UPDATE_AFTER, np.int8)
        if self.table.is_primary_key and self.table.options.changelog_producer == "input":
            old = pa.table([batch.column(_OLD + name) for name in rows.column_names], rows.column_names)
            return old_and_new(old.cast(rows.schema), rows)
        return rows, np.full(count, RowKind.UPDATE_AFTER, np.int8)

    # --- the parts of the queries

    def _target(self) -> exp.Table:
        return reference(self._statement.target, self._alias)

    def _on(self) -> exp.Expr:
        return exp.paren(self._statement.condition.copy())

    def _joined(self, items: list[exp.Expr]) -> exp.Select:
        join = exp.Join(this=self._statement.source.copy(), on=self._on(), kind="INNER")
        return exp.Select(expressions=items, from_=exp.From(this=self._target()), joins=[join])

    def _from_source(self, items: list[exp.Expr], *conditions: exp.Expr) -> exp.Select:
        query = exp.Select(expressions=items, from_=exp.From(this=self._statement.source.copy()))
        return query.where(*conditions, copy=False)

    def _of(self, match: MergeMatch) -> list[_Clause]:
        return [clause for clause in self._clauses if clause.clause.match == match]

    def _condition(self, match: MergeMatch) -> exp.Expr | None:
        """A clause of this kind that does something applies; None: there is none."""
        clauses = self._of(match)
        acting = [clause.number for clause in clauses if clause.clause.action != "nothing"]
        if not acting:
            return None
        numbers: list[exp.Expr] = [exp.Literal.number(number) for number in acting]
        return exp.In(this=_number(clauses), expressions=numbers)

    def _is_matched(self) -> exp.Expr | None:
        """Of a row of the target: a row of the source matches it, and a clause applies."""
        condition = self._condition("matched")
        if condition is None:
            return None
        return exp.Exists(this=self._from_source([exp.Literal.number(1)], self._on(), condition))

    def _is_left(self) -> exp.Expr | None:
        """Of a row of the target: no row of the source matches it, and a clause applies."""
        condition = self._condition("not matched by source")
        if condition is None:
            return None
        missing = exp.Not(this=exp.Exists(this=self._from_source([exp.Literal.number(1)], self._on())))
        return exp.and_(missing, condition, copy=False)

    def _column(self, name: str) -> exp.Expr:
        return exp.column(name, table=self._alias, quoted=True)

    def _count(self, query: exp.Select) -> int:
        return sum(batch.column(0)[0].as_py() for batch in open_rows(self._plan_of(query)))

    def _values(self, clause: MergeClause) -> Mapping[str, exp.Expr]:
        """The clause's values by real column names, checked."""
        if clause.action in ("delete", "nothing"):
            return {}
        schema = self.table.schema
        given = clause.values
        if given is None:
            keys = {*schema.primary_keys, *schema.partition_keys} if self.table.is_primary_key else ()
            skipped = keys if clause.action == "update" else ()
            return {
                name: exp.column(name, table=self._source, quoted=True) for name in schema.names if name not in skipped
            }
        if any(name.startswith("#") for name in given):
            if len(given) != len(schema.names):
                raise BindError(
                    f"table `{self.table.identifier}` takes {len(schema.names)} values, but INSERT gives {len(given)}"
                )
            return assigned_times(dict(zip(schema.names, given.values(), strict=True)), schema)
        values = {real_name(name, schema, self.table.identifier): value for name, value in given.items()}
        if clause.action == "update" and self.table.is_primary_key:
            for name in values:
                if name in schema.primary_keys or (name in schema.partition_keys and not moves_rows(self.table)):
                    raise NotSupportedError(
                        f"{self._statement.word}: UPDATE of column `{name}`: it is part of the key of table "
                        f"`{self.table.identifier}`; DELETE the row and INSERT it anew"
                    )
        return assigned_times(values, schema)


def _with_clear_aliases(statement: MergeInto, table: Table, plan_of: Planner) -> MergeInto:
    """The statement with other aliases where one is also a column's name of the other side.

    In a correlated subquery DataFusion reads `s.k` as a field of the inner column `s` before it thinks of the outer
    table `s`.
    """
    target, source = statement.alias or statement.target.name, statement.source.alias_or_name
    if target.lower() == source.lower():
        raise BindError(f"target and source are both called `{target}`; give one an alias")
    columns = plan_of(exp.Select(expressions=[exp.Star()], from_=exp.From(this=statement.source.copy()))).schema.names
    changed = {
        name.lower(): f"__{side}"
        for side, name, names in (("source", source, table.schema.names), ("target", target, columns))
        if name.lower() in {other.lower() for other in names}
    }
    if not changed:
        return statement

    def renamed(node: exp.Expr) -> exp.Expr:
        qualifier = node.args.get("table") if isinstance(node, exp.Column) else None
        if qualifier is not None and qualifier.name.lower() in changed:
            qualifier.set("this", changed[qualifier.name.lower()])
        return node

    def of(clause: MergeClause) -> MergeClause:
        values = None if clause.values is None else {k: v.copy().transform(renamed) for k, v in clause.values.items()}
        condition = clause.condition and clause.condition.copy().transform(renamed)
        return replace(clause, condition=condition, values=values)

    relation = statement.source.copy()
    if source.lower() in changed:
        alias = relation.args.get("alias") or exp.TableAlias()
        alias.set("this", exp.to_identifier(changed[source.lower()], quoted=True))
        relation.set("alias", alias)
    return replace(
        statement,
        alias=changed.get(target.lower(), target),
        source=relation,
        condition=statement.condition.copy().transform(renamed),
        clauses=tuple(of(clause) for clause in statement.clauses),
    )


def _number(clauses: Sequence[_Clause]) -> exp.Expr:
    """The number of the first clause that applies, 0 for none."""
    ifs = [
        exp.If(
            this=exp.paren(clause.clause.condition.copy()) if clause.clause.condition else exp.Boolean(this=True),
            true=exp.Literal.number(clause.number),
        )
        for clause in clauses
    ]
    return exp.Case(ifs=ifs, default=exp.Literal.number(0))


def _count_all() -> exp.Expr:
    return named(exp.Anonymous(this="count", expressions=[exp.Star()]), "rows")
