"""Columns that an outer join may leave NULL are not constant, whatever the side they come from says.

DataFusion 55 takes what is constant on either side of an outer join (`v` of `… LEFT JOIN (SELECT * FROM t WHERE v =
2)`, the only row of an aggregate) as constant behind it too, and leaves it out of the keys that it sorts by, so ORDER
BY and windows see wrong orders. Where a sort key goes back to such a column, the join and its WHERE become a relation
of their own, which passes the column on through a CASE that DataFusion cannot look through. Below the join it would
not do: a condition of the join, or one that DataFusion infers from it, is a filter above whatever the side says.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from tsdb.sql.functions.spec import call

_JOINED = "joined"
_LIFTED = ("from_", "joins", "laterals", "where")
_COMPARISONS = (exp.EQ, exp.NullSafeEQ, exp.GTE, exp.LTE, exp.Between, exp.In, exp.Is)


def hide_constants(query: exp.Expr) -> exp.Expr:
    """`query` with such columns hidden from the planner, in place."""
    selects = [(select, sides) for select in query.find_all(exp.Select) if (sides := list(_nullable(select)))]
    names = _sort_names(query) if selects and _may_be_constant(query) else set()
    for select, sides in selects:
        columns = {side.alias_or_name: set(side.meta.get("columns") or ()) & names for side in sides}
        if any(columns.values()) and not _is_correlated(select):
            _lift(select, columns)
    return query


def _nullable(select: exp.Select) -> Iterator[exp.Expr]:
    """The relations of FROM that an outer join may pad with NULLs."""
    clause = select.args.get("from_")
    before = [] if clause is None else [clause.this]
    for join in select.args.get("joins") or ():
        side = str(join.args.get("side") or "").upper()
        if side in ("RIGHT", "FULL"):
            yield from before
        if side in ("LEFT", "FULL"):
            yield join.this
        before.append(join.this)


def _may_be_constant(query: exp.Expr) -> bool:
    """Whether something in it can make a column constant: a comparison with a constant, or a single row."""
    if query.find(exp.Values, exp.Limit, exp.Fetch) is not None:
        return True
    whole = (select for select in query.find_all(exp.Select) if select.args.get("group") is None)
    if any(select.find(exp.AggFunc, exp.Anonymous) is not None for select in whole):
        return True
    return any(
        any(operand.find(exp.Column) is None for operand in node.iter_expressions())
        for node in query.find_all(*_COMPARISONS)
    )


def _sort_names(query: exp.Expr) -> set[str]:
    """The names of the columns that sort keys and partitions may go back to, through any aliases."""
    names: set[str] = set()
    for node in query.find_all(exp.Ordered):
        names |= _names(node)
        select = node.parent.parent if node.parent is not None else None
        if isinstance(node.this, exp.Literal) and node.this.is_int and isinstance(select, exp.Select):
            at = int(node.this.name)
            names |= {name for item in select.expressions[at - 1 : at] for name in _names(item)}
    for window in query.find_all(exp.Window):
        names |= {name for key in window.args.get("partition_by") or () for name in _names(key)}
    aliases = [(item.alias, _names(item.this)) for item in query.find_all(exp.Alias)]
    known = -1
    while known != len(names):
        known = len(names)
        for alias, inner in aliases:
            if alias in names:
                names |= inner
    return names


def _names(node: exp.Expr) -> set[str]:
    return {column.name for column in node.find_all(exp.Column)}


def _lift(select: exp.Select, hidden: dict[str, set[str]]) -> None:
    """FROM, joins and WHERE of a query as one relation, whose columns `hidden` (by relation) go through a CASE."""
    parts = {part: select.args[part] for part in _LIFTED if select.args.get(part)}
    relations = {node.alias_or_name: tuple(node.meta.get("columns") or ()) for node in _relations(select)}
    inner = exp.Select(expressions=[], **parts)
    for part in parts:
        select.set(part, None)
    select.set("expressions", [named for item in select.expressions for named in _named(item, relations)])
    taken: dict[tuple[str, str], None] = {}
    for column in list(select.find_all(exp.Column)):
        if (place := _place(column, select, relations)) is not None:
            taken[place] = None
            column.replace(exp.column(_passed(place), _JOINED, quoted=True))
    for place in taken:
        column = exp.column(place[1], place[0], quoted=True)
        value = _hidden(column) if place[1] in hidden.get(place[0], ()) else column
        inner.append("expressions", exp.alias_(value, _passed(place), quoted=True))
    alias = exp.TableAlias(this=exp.to_identifier(_JOINED, quoted=True))
    select.set("from_", exp.From(this=exp.Subquery(this=inner, alias=alias)))


def _relations(select: exp.Select) -> Iterator[exp.Expr]:
    """All relations of its FROM."""
    for node in (*_nodes(select, "from_"), *_nodes(select, "joins")):
        yield node.this
    yield from _nodes(select, "laterals")


def _named(item: exp.Expr, relations: dict[str, tuple[str, ...]]) -> list[exp.Expr]:
    """An output with its name, which changes with the relation otherwise; `*` as the columns that it stands for."""
    if item.is_star:
        tables = [item.args["table"].name] if isinstance(item, exp.Column) else list(relations)
        return [exp.alias_(exp.column(name, table, quoted=True), name, quoted=True)
                for table in tables for name in relations[table]]  # fmt: skip
    return [exp.alias_(item, item.name, quoted=True) if isinstance(item, exp.Column) else item]


def _passed(place: tuple[str, str]) -> str:
    return ".".join(place)


def _place(column: exp.Column, select: exp.Select, relations: dict[str, tuple[str, ...]]) -> tuple[str, str] | None:
    """(relation, name) of a column, if it is one of these relations'."""
    scope = column.find_ancestor(exp.Select)
    while scope is not None and scope is not select:
        inner = {node.alias_or_name: tuple(node.meta.get("columns") or ()) for node in _relations(scope)}
        if _found(column, inner) is not None or _is_output(column, scope):
            return None
        scope = scope.find_ancestor(exp.Select)
    return None if _is_output(column, select) else _found(column, relations)


def _is_output(column: exp.Column, select: exp.Select) -> bool:
    """ORDER BY means an output of the query by it."""
    ordered = column.find_ancestor(exp.Order)
    is_its = not column.table and ordered is not None and ordered.parent is select
    return is_its and column.name in select.named_selects


def _found(column: exp.Column, relations: dict[str, tuple[str, ...]]) -> tuple[str, str] | None:
    if column.table:
        return (column.table, column.name) if column.table in relations else None
    return next(((name, column.name) for name, columns in relations.items() if column.name in columns), None)


def _is_correlated(select: exp.Select) -> bool:
    """Whether its joins or its WHERE name a relation of an outer query, which a relation in FROM cannot see."""
    known = {node.alias_or_name for inner in select.find_all(exp.Select) for node in _relations(inner)}
    columns = (column for part in _LIFTED for node in _nodes(select, part) for column in node.find_all(exp.Column))
    return any(column.table and column.table not in known for column in columns)


def _nodes(select: exp.Select, part: str) -> list[exp.Expr]:
    found = select.args.get(part) or []
    return found if isinstance(found, list) else [found]


def _hidden(column: exp.Expr) -> exp.Expr:
    condition = exp.GTE(this=call("random"), expression=exp.Literal.number(0))
    return exp.Case(ifs=[exp.If(this=condition, true=column)])
