"""Columns that an outer join may leave NULL are not constant, whatever the side they come from says.

DataFusion 55 takes what is constant on either side of an outer join (`v` of `… LEFT JOIN (SELECT * FROM t WHERE v =
2)`, the only row of an aggregate) as constant behind it too, and leaves it out of the keys that it sorts by, so ORDER
BY and windows see wrong orders. Where a sort key goes back to such a column, the side passes it on through a CASE that
DataFusion cannot look through.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from tsdb.sql.functions.spec import call

_COMPARISONS = (exp.EQ, exp.NullSafeEQ, exp.GTE, exp.LTE, exp.Between, exp.In, exp.Is)


def hide_constants(query: exp.Expr) -> exp.Expr:
    """`query` with such columns hidden from the planner, in place."""
    sides = [side for select in query.find_all(exp.Select) for side in _nullable(select)]
    names = _sort_names(query) if sides and _may_be_constant(query) else set()
    for side in sides:
        wanted = [name for name in side.meta.get("columns") or () if name in names]
        if wanted:
            _hide(side, wanted)
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


def _hide(relation: exp.Expr, names: list[str]) -> None:
    """The relation as a query that passes its columns on, these ones through a CASE."""
    alias = relation.alias_or_name
    inner = relation.copy()
    columns = [exp.alias_(_hidden(name), name, quoted=True) if name in names else exp.column(name, quoted=True)
               for name in relation.meta["columns"]]  # fmt: skip
    select = exp.Select(expressions=columns).from_(inner, copy=False)
    relation.replace(exp.Subquery(this=select, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True))))


def _hidden(name: str) -> exp.Expr:
    condition = exp.GTE(this=call("random"), expression=exp.Literal.number(0))
    return exp.Case(ifs=[exp.If(this=condition, true=exp.column(name, quoted=True))])
