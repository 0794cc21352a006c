"""ASOF JOIN: with the one row of the right table that is nearest before (or behind), as a lateral subquery.

    a ASOF JOIN b ON a.k = b.k AND a.t >= b.t  →  a, LATERAL (SELECT * FROM b WHERE a.k = b.k AND a.t >= b.t
                                                              ORDER BY b.t DESC LIMIT 1) AS b

Which of several rows of the same time it is, is not determined, as in DuckDB, whose join this is.
"""

from __future__ import annotations

from sqlglot import exp

from tsdb.errors import NotSupportedError

_DOWN, _UP = (exp.GT, exp.GTE), (exp.LT, exp.LTE)


def expand_asof_joins(query: exp.Expr) -> exp.Expr:
    """Every ASOF JOIN in `query`, in place."""
    for join in list(query.find_all(exp.Join)):
        if str(join.args.get("method") or "").upper() == "ASOF":
            _expand(join)
    return query


def _expand(join: exp.Join) -> None:
    right, condition = join.this, join.args.get("on")
    name = right.alias_or_name
    if condition is None or not name or join.side not in ("", "LEFT"):
        raise NotSupportedError("`ASOF` JOIN: write ASOF [LEFT] JOIN b ON a.k = b.k AND a.time >= b.time")
    conjuncts = list(condition.flatten()) if isinstance(condition, exp.And) else [condition]
    bounds = [test for each in conjuncts if isinstance(test := each.unnest(), (*_DOWN, *_UP))]
    sides = [_side(bound, name) for bound in bounds]
    if len(bounds) != 1 or sides[0] is None:
        raise NotSupportedError(
            f"`ASOF` JOIN takes one condition of order, between a column of `{name}` and one before: a.t >= {name}.t"
        )
    time, descending = sides[0]
    body = exp.Select(
        expressions=[exp.Star()],
        from_=exp.From(this=right.copy()),
        where=exp.Where(this=condition.copy()),
        order=exp.Order(expressions=[exp.Ordered(this=time.copy(), desc=descending, nulls_first=False)]),
        limit=exp.Limit(expression=exp.Literal.number(1)),
    )
    alias = exp.TableAlias(this=exp.to_identifier(name, quoted=True))
    join.set("this", exp.Lateral(this=exp.Subquery(this=body), alias=alias))
    join.set("method", None)
    join.set("on", exp.Boolean(this=True) if join.side == "LEFT" else None)
    if join.side != "LEFT":
        join.set("kind", "CROSS")


def _side(bound: exp.Binary, name: str) -> tuple[exp.Expr, bool] | None:
    """The side of the right table, and whether the greatest of its values is wanted."""
    left, right = (_is_of(side, name) for side in (bound.this, bound.expression))
    if left == right:
        return None
    descending = isinstance(bound, _DOWN) if right else isinstance(bound, _UP)
    return (bound.expression if right else bound.this), descending


def _is_of(node: exp.Expr, name: str) -> bool:
    return any(column.table.lower() == name.lower() for column in node.find_all(exp.Column))
