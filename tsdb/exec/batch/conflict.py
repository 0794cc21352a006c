"""INSERT that says what happens to a key that is there: a MERGE, where merging does not do the same by itself."""

from __future__ import annotations

from sqlglot import exp

from tsdb.catalog.catalog import ConnectorTable
from tsdb.errors import BindError, DataError, NotSupportedError
from tsdb.exec.batch.change import Planner, named
from tsdb.exec.batch.columns import real_name
from tsdb.exec.batch.query import open_rows
from tsdb.exec.batch.time_text import with_times
from tsdb.sql.parameters import literal
from tsdb.sql.statements import Conflict, Insert, MergeClause, MergeInto
from tsdb.table.table import Table

EXCLUDED = "excluded"
"""What the row to insert is called."""


def as_merge(
    statement: Insert, conflict: Conflict, target: Table | ConnectorTable, plan_of: Planner
) -> MergeInto | None:
    """The MERGE that the statement means; None: it is a plain INSERT into this table.

    Raises NotSupportedError for a table where it means neither, DataError for a key that the source has twice.
    """
    table = _keyed(conflict, target)
    _check_key(conflict, table)
    engine = table.options.merge_engine
    if (conflict.action, engine) in (("replace", "deduplicate"), ("nothing", "first-row")):
        return None
    if conflict.action == "replace" or engine == "first-row":
        raise NotSupportedError(
            f"{conflict.written} into table `{table.identifier}`: 'merge-engine' = '{engine}' decides what becomes of "
            "a key that is there; use INSERT INTO"
        )
    given, source = _source(statement, table)
    _check_unique(statement, conflict, table, source, plan_of)
    alias = statement.alias or statement.target.name
    condition = exp.and_(
        *(exp.EQ(this=_column(key, alias), expression=_column(key, EXCLUDED)) for key in table.schema.primary_keys),
        copy=False,
    )
    insert = MergeClause("not matched", None, "insert", {name: _column(name, EXCLUDED) for name in given})
    clauses = [insert]
    if conflict.action == "update":
        values = {
            name: _of_target(value if isinstance(value, exp.Expr) else literal(value), alias)
            for name, value in conflict.assignments.items()
        }
        where = None if conflict.condition is None else _of_target(conflict.condition, alias)
        clauses.append(MergeClause("matched", where, "update", values))
    return MergeInto(statement.target, alias, source, condition, tuple(clauses), conflict.written)


def _keyed(conflict: Conflict, target: Table | ConnectorTable) -> Table:
    if not isinstance(target, Table):
        raise NotSupportedError(
            f"{conflict.written} into table `{target.identifier}`: it lives outside the warehouse and takes only INSERT"
        )
    if not target.is_primary_key:
        raise NotSupportedError(
            f"{conflict.written} into table `{target.identifier}`: it has no primary key, so no row is in the way of "
            "another; use INSERT INTO, or MERGE INTO with a condition"
        )
    return target


def _check_key(conflict: Conflict, table: Table) -> None:
    keys = table.schema.primary_keys
    if conflict.key is not None and {real_name(k, table.schema, table.identifier) for k in conflict.key} != set(keys):
        listed = ", ".join(keys)
        raise BindError(f"ON CONFLICT must name the primary key of table `{table.identifier}`: ({listed})")


def _source(statement: Insert, table: Table) -> tuple[list[str], exp.Expr]:
    """The columns that rows are given for, and the rows as `excluded`."""
    constants = {real_name(k, table.schema, table.identifier): v for k, v in (statement.partition or {}).items()}
    fixed = {name: value for name, value in constants.items() if value is not None}
    names = statement.columns or [name for name in table.schema.names if name not in fixed]
    given = [real_name(name, table.schema, table.identifier) for name in names]
    rows = with_times(statement.source, table.schema, given)
    body: exp.Expr = rows
    if fixed:
        inner = exp.Subquery(this=rows.copy(), alias=exp.TableAlias(this=exp.to_identifier("s")))
        items = [exp.Star(), *(named(literal(value), name) for name, value in fixed.items())]
        body = exp.Select(expressions=items, from_=exp.From(this=inner))
    given += list(fixed)
    alias = exp.TableAlias(
        this=exp.to_identifier(EXCLUDED, quoted=True), columns=[exp.to_identifier(name, quoted=True) for name in given]
    )
    return given, exp.Subquery(this=body.copy(), alias=alias)


def _check_unique(statement: Insert, conflict: Conflict, table: Table, source: exp.Expr, plan_of: Planner) -> None:
    width = len(plan_of(statement.source).schema) + len(
        [v for v in (statement.partition or {}).values() if v is not None]
    )
    names = source.args["alias"].args["columns"]
    if width != len(names):
        listed = ", ".join(f"`{name.name}`" for name in names)
        raise BindError(
            f"table `{table.identifier}` takes {len(names)} values here ({listed}), but the query gives {width}"
        )
    keys = [_column(key, EXCLUDED) for key in table.schema.primary_keys]
    count = exp.Anonymous(this="count", expressions=[exp.Star()])
    query = exp.Select(
        expressions=[key.copy() for key in keys],
        from_=exp.From(this=source.copy()),
        group=exp.Group(expressions=keys),
        having=exp.Having(this=exp.GT(this=count, expression=exp.Literal.number(1))),
        limit=exp.Limit(expression=exp.Literal.number(1)),
    )
    for batch in open_rows(plan_of(query)):
        if batch.num_rows:
            key = ", ".join(f"{name} = {value!r}" for name, value in batch.slice(0, 1).to_pylist()[0].items())
            raise DataError(
                f"{conflict.written}: the rows to insert have the key {key} more than once, so it is unclear which one "
                "counts; let them have one row for each key"
            )


def _of_target(value: exp.Expr, alias: str) -> exp.Expr:
    """The expression with its bare columns said to be the target's; those of subqueries stay as they are."""

    def qualified(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Column) and not node.table and node.find_ancestor(exp.Query) is None:
            node.set("table", exp.to_identifier(alias, quoted=True))
        return node

    return value.copy().transform(qualified)


def _column(name: str, table: str) -> exp.Expr:
    return exp.column(name, table=table, quoted=True)
