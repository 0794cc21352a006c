"""Keys of GROUP BY that are unique in a part of FROM, as expressions.

    SELECT d.id, count(DISTINCT c.k) FROM c JOIN (SELECT DISTINCT id FROM o) AS d ON … GROUP BY d.id, c.w

DataFusion 55 knows that `id` is unique in `d`, still believes it of the groups over the join, and then drops `c.w` from
the keys of an aggregate over them (which is what DISTINCT inside of an aggregate becomes): a wrong answer. It does not
know it of `CASE WHEN d.id IS NOT NULL THEN d.id END`, which its simplifier makes `d.id` again.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from tsdb.sql.rewrite.aggregate_call import is_call_of_aggregate
from tsdb.sql.rewrite.free_column import relations, source

_SETS = ("grouping_sets", "rollup", "cube", "totals", "all")
_CLAUSES = ("expressions", "group", "having", "qualify", "order", "windows")


def hide_unique_keys(query: exp.Expr) -> exp.Expr:
    """Every such key in `query`, as an expression, wherever it stands."""
    with_names = {cte.alias for cte in query.find_all(exp.CTE)}
    for select in list(query.find_all(exp.Select)):
        places = _unique_places(select, with_names)
        keys = {_place(key) for key in _keys(select) if isinstance(key, exp.Column) and source(key) in places}
        if keys and not _is_read_within(select, keys):
            for column in [column for column in _columns(select) if _place(column) in keys]:
                _hide(column)
    return query


def _keys(select: exp.Select) -> list[exp.Expr]:
    """What the rows are grouped by, if there are several."""
    group = select.args.get("group")
    if group is not None:
        keys = [] if any(group.args.get(key) for key in _SETS) else list(group.expressions)
    else:
        keys = [item.unalias() for item in select.expressions] if select.args.get("distinct") else []
    return keys if len(keys) > 1 else []


def _unique_places(select: exp.Select, with_names: set[str]) -> set[str]:
    """The relations of a join, here or within, of which DataFusion may know that something is unique."""
    found = list(relations(select)) if select.args.get("from_") is not None else []
    names = {node.alias_or_name for node in found if _may_be_unique(node, with_names)}
    joined = len(found) > 1 or any(isinstance(node, exp.Table) or node.find(exp.Join) for node in found)
    return names if joined else set()


def _may_be_unique(relation: exp.Expr, with_names: set[str]) -> bool:
    if isinstance(relation, exp.Table):
        return relation.name in with_names
    return relation.find(exp.Group, exp.Distinct, exp.SetOperation) is not None


def _columns(select: exp.Select) -> Iterator[exp.Column]:
    """The columns of the groups: not those that aggregates and subqueries read."""
    pending = [child for child in select.iter_expressions() if child.arg_key in _CLAUSES]
    while pending:
        node = pending.pop()
        if isinstance(node, exp.Column):
            yield node
        elif not isinstance(node, exp.Query) and not is_call_of_aggregate(node):
            pending += node.iter_expressions()


def _is_read_within(select: exp.Select, keys: set[tuple[str, str]]) -> bool:
    """A subquery reads one of these keys; there it has to be a column."""
    columns = select.find_all(exp.Column)
    return any(column.meta.get("outer") and _place(column) in keys for column in columns)


def _hide(column: exp.Column) -> None:
    is_there = exp.Not(this=exp.Is(this=column.copy(), expression=exp.Null()))
    hidden: exp.Expr = exp.Case(ifs=[exp.If(this=is_there, true=column.copy())])
    if isinstance(column.parent, exp.Select):
        hidden = exp.alias_(hidden, column.name, quoted=True)
    column.replace(hidden)


def _place(column: exp.Column) -> tuple[str, str]:
    return source(column), column.name
