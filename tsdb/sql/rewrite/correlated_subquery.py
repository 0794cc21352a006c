"""A correlated scalar subquery that is tied to the outer query by more than equalities, as a join.

    SELECT a, (SELECT count(*) FROM u WHERE u.x < t.a) FROM t

becomes, with the distinct outer values computed first,

    SELECT a, coalesce(v.value, 0) FROM t LEFT JOIN (
        SELECT d.o0, count(*) AS value FROM u CROSS JOIN (SELECT DISTINCT t.a AS o0 FROM t) AS d WHERE u.x < d.o0
        GROUP BY d.o0) AS v ON v.o0 IS NOT DISTINCT FROM t.a

DataFusion plans equalities under AND itself, so those are left to it. A subquery must be one aggregate, or end with
LIMIT 1; it must depend on the query directly around it. Others are left alone, and refused where they are planned.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from tsdb.sql.rewrite.scalar_subquery import can_join, inside, is_aggregate, is_call_of_aggregate, is_scalar, join_row

_CLAUSES = ("group", "having", "offset", "qualify", "distinct", "with_", "windows")


def join_correlated_subqueries(query: exp.Expr) -> exp.Expr:
    """Every such subquery in `query` as a join, innermost first, in place."""
    for number, node in enumerate(reversed(list(query.find_all(exp.Subquery))), 1):
        select = node.parent_select
        if not is_scalar(node) or not isinstance(select, exp.Select) or not isinstance(node.this, exp.Select):
            continue
        outer = outer_columns(node.this)
        if not outer or _only_equalities(node.this) or not _is_plain(node.this) or not can_join(select, node):
            continue
        domain = outer_values(select, outer)
        if domain is not None:
            _join(select, node, outer, domain, f"$correlated{number}")
    return query


def outer_columns(body: exp.Select) -> list[exp.Column]:
    """The columns of the outer query in the subquery, each once. Empty if what it holds is itself correlated."""
    own = [column for column in body.find_all(exp.Column) if column.meta.get("outer")]
    if any(column.parent_select is not body for column in own):
        return []
    return list({(column.meta.get("source"), column.name): column for column in own}.values())


def _only_equalities(body: exp.Select) -> bool:
    """Every outer column stands in a conjunct `outer = inner` of WHERE, which DataFusion can plan."""
    where = body.args.get("where")
    free = [column for column in body.find_all(exp.Column) if column.meta.get("outer")]
    for conjunct in where.this.flatten() if where is not None and isinstance(where.this, exp.And) else []:
        if isinstance(conjunct, exp.EQ):
            free = [column for column in free if not _is_side(column, conjunct)]
    if where is not None and isinstance(where.this, exp.EQ):
        free = [column for column in free if not _is_side(column, where.this)]
    return not free and body.args.get("limit") is None


def _is_side(column: exp.Column, equality: exp.EQ) -> bool:
    """One side of the equality is the outer column alone, the other has none, and no field of a struct."""
    sides = [equality.this, equality.expression]
    return any(
        side is column and not any(c.meta.get("outer") or c.meta.get("field") for c in other.find_all(exp.Column))
        for side, other in (sides, reversed(sides))
    )


def _is_plain(body: exp.Select) -> bool:
    """One aggregate over rows, or the first row of an order; the outer columns stand in WHERE."""
    if any(body.args.get(key) for key in _CLAUSES) or len(body.expressions) != 1 or body.args.get("from_") is None:
        return False
    where = body.args.get("where")
    inside_where = set(map(id, where.find_all(exp.Column))) if where is not None else set()
    if any(c.meta.get("outer") and id(c) not in inside_where for c in body.find_all(exp.Column)):
        return False
    limit = body.args.get("limit")
    if is_aggregate(body.expressions[0]):
        return limit is None
    return isinstance(limit, exp.Limit) and limit.expression.name == "1"


def outer_values(select: exp.Select, outer: Sequence[exp.Column]) -> exp.Select | None:
    """SELECT DISTINCT the outer columns FROM what gives them; None if that is not FROM of `select` itself."""
    clause = select.args.get("from_")
    if clause is None:
        return None
    relations = [clause.this, *(join.this for join in select.args.get("joins") or ())]
    named = {relation.alias_or_name: relation for relation in relations}
    sources = {str(column.meta.get("source")) for column in outer}
    if not sources <= set(named):
        return None
    items = [
        exp.alias_(exp.column(column.name, table=str(column.meta["source"]), quoted=True), f"o{i}", quoted=True)
        for i, column in enumerate(outer)
    ]
    domain = exp.Select(expressions=items, distinct=exp.Distinct())
    only = named[next(iter(sources))]
    if len(sources) == 1 and not only.args.get("joins") and not isinstance(only, exp.Lateral):
        domain.set("from_", exp.From(this=only.copy()))
    else:
        domain.set("from_", clause.copy())
        domain.set("joins", [join.copy() for join in select.args.get("joins") or ()])
    return domain


def _join(select: exp.Select, node: exp.Subquery, outer: Sequence[exp.Column], domain: exp.Select, alias: str) -> None:
    projection = node.this.expressions[0].unalias()
    body = node.this.copy()
    inner = f"{alias}d"
    places = {(column.meta.get("source"), column.name): f"o{i}" for i, column in enumerate(outer)}
    for column in list(body.find_all(exp.Column)):
        if column.meta.get("outer"):
            column.replace(exp.column(places[column.meta.get("source"), column.name], table=inner, quoted=True))
    body.append("joins", exp.Join(this=_derived(domain, inner), kind="CROSS"))
    keys = [exp.column(f"o{i}", table=inner, quoted=True) for i in range(len(outer))]
    rows = _grouped(body, keys) if is_aggregate(projection) else _first(body, keys, alias)
    condition = exp.and_(
        *(
            exp.paren(
                exp.NullSafeEQ(
                    this=exp.column(f"o{i}", table=alias, quoted=True),
                    expression=exp.column(column.name, table=str(column.meta["source"]), quoted=True),
                )
            )
            for i, column in enumerate(outer)
        ),
        copy=False,
    )
    column = exp.column("value", table=alias, quoted=True)
    value = _value(column, projection, node, alias)
    if select.args.get("group") is not None and not inside(node, select, "where"):
        for needed in value.find_all(exp.Column):
            select.args["group"].append("expressions", needed.copy())
    if isinstance(node.parent, exp.Select):
        value = exp.alias_(value, str(node.sql()), quoted=True)
    node.replace(value)
    join_row(select, rows, alias, condition)


def _grouped(body: exp.Select, keys: Sequence[exp.Expr]) -> exp.Select:
    value = exp.alias_(body.expressions[0].unalias(), "value", quoted=True)
    body.set("expressions", [*_named(keys), value, exp.alias_(exp.Boolean(this=True), "some", quoted=True)])
    body.set("group", exp.Group(expressions=[key.copy() for key in keys]))
    body.set("order", None)
    return body


def _first(body: exp.Select, keys: Sequence[exp.Expr], alias: str) -> exp.Select:
    """The first row of each outer value, in the order of the subquery."""
    number = exp.Window(
        this=exp.Anonymous(this="row_number"), partition_by=[key.copy() for key in keys], order=body.args.get("order")
    )
    value = exp.alias_(body.expressions[0].unalias(), "value", quoted=True)
    body.set("expressions", [*_named(keys), value, exp.alias_(number, "number", quoted=True)])
    body.set("order", None)
    body.set("limit", None)
    first = exp.EQ(this=exp.column("number", quoted=True), expression=exp.Literal.number(1))
    names = [f"o{i}" for i in range(len(keys))] + ["value"]
    return exp.Select(
        expressions=[exp.column(name, quoted=True) for name in names],
        from_=exp.From(this=_derived(body, f"{alias}r")),
        where=exp.Where(this=first),
    )


def _value(column: exp.Expr, projection: exp.Expr, node: exp.Subquery, alias: str) -> exp.Expr:
    """What the subquery gives where it finds no rows: 0 of a COUNT, NULL of most others, else asked for once."""
    if not is_aggregate(projection):
        return column
    if is_call_of_aggregate(projection):
        call = projection
        while not isinstance(call, exp.Anonymous):
            call = call.this
        is_count = str(call.this).upper() in ("COUNT", "APPROX_COUNT_DISTINCT", "APPROX_DISTINCT", "REGR_COUNT")
        zero = exp.Literal.number(0)
        return exp.Anonymous(this="coalesce", expressions=[column, zero]) if is_count else column
    nothing = node.this.copy()
    nothing.set("where", exp.Where(this=exp.Boolean(this=False)))
    found = exp.column("some", table=alias, quoted=True)
    return exp.Case(ifs=[exp.If(this=found, true=column)], default=exp.Subquery(this=nothing))


def _named(keys: Sequence[exp.Expr]) -> list[exp.Expr]:
    return [exp.alias_(key.copy(), f"o{i}", quoted=True) for i, key in enumerate(keys)]


def _derived(query: exp.Select, alias: str) -> exp.Subquery:
    return exp.Subquery(this=query, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
