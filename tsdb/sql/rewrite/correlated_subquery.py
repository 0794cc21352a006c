"""A correlated scalar subquery that DataFusion cannot plan, as a join.

    SELECT a, (SELECT count(*) FROM u WHERE u.x < t.a) FROM t

becomes, with the distinct outer values computed first (`tsdb.sql.rewrite.dependent_query`),

    SELECT a, v.value FROM t LEFT JOIN (the subquery for each of SELECT DISTINCT t.a FROM t) AS v ON v.key IS NOT
        DISTINCT FROM t.a

What may have several rows for one outer row is checked while it runs. DataFusion plans one aggregate tied by equalities
under AND itself where it is an output or a condition, so those are left to it. Subqueries of a subquery come after it,
when they depend on the query directly around them.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from tsdb.sql.rewrite.aggregate_call import is_aggregate, is_call_of_aggregate
from tsdb.sql.rewrite.dependent_query import KEY, Undecidable, Unnesting, derived, key_names
from tsdb.sql.rewrite.free_column import free_columns, is_operand, source
from tsdb.sql.rewrite.scalar_subquery import can_join, inside, is_scalar, join_row

_NAMES = "$correlated"
_SOURCES = ("with_", "from_", "joins")
_CLAUSES = ("group", "having", "offset", "qualify", "distinct", "with_", "windows")


def join_correlated_subqueries(query: exp.Expr) -> exp.Expr:
    """Every such subquery in `query` as a join, in place: what is in FROM first, outer before inner."""
    number = 0
    pending: list[tuple[exp.Expr, exp.Select | None]] = [(query, None)]
    while pending:
        node, select = pending.pop()
        if isinstance(node, exp.Select):
            children = list(node.iter_expressions())
            first = [(child, None) for child in children if child.arg_key in _SOURCES]
            pending += reversed([*first, *((child, node) for child in children if child.arg_key not in _SOURCES)])
            continue
        rows = None
        if isinstance(node, exp.Subquery) and select is not None:
            rows = _joined(node, select, f"{_NAMES}{number + 1}")
        if rows is not None:
            number += 1
            pending.append((rows, None))
        else:
            pending += reversed([(child, select) for child in node.iter_expressions()])
    return query


def _joined(node: exp.Subquery, select: exp.Select, alias: str) -> exp.Select | None:
    """The relation that the subquery is now in FROM of `select`; None if it was left as it is."""
    if not is_scalar(node) or not can_join(select, node):
        return None
    outer = free_columns(node)
    return _join(select, node, outer, alias) if outer and not _is_planned(node, select) else None


def domain_of(
    columns: Sequence[exp.Column],
    names: str,
    clause: exp.From,
    joins: Sequence[exp.Join],
    where: exp.Expr | None,
) -> tuple[exp.Select, list[exp.Column]] | None:
    """The distinct values of outer columns, and these columns; marks each with its number.

    names: what the names of the keys begin with. clause, joins, where: those of the query that they belong to. None:
    they are not (all) its.
    """
    joins = [join for join in joins if not join.this.alias.startswith(_NAMES)]  # they give one row for each
    named = {relation.alias_or_name: relation for relation in (clause.this, *(join.this for join in joins))}
    places = list(dict.fromkeys((source(column), column.name) for column in columns))
    if any(source not in named for source, _ in places):
        return None
    for column in columns:
        column.meta[KEY] = places.index((source(column), column.name))
    outer = [exp.column(name, table=source, quoted=True) for source, name in places]
    for column in columns:
        outer[column.meta[KEY]].meta["type"] = column.meta.get("type")
    keys = zip(key_names(names, len(outer)), outer, strict=True)
    items = [exp.alias_(column.copy(), key, quoted=True) for key, column in keys]
    domain = exp.Select(expressions=items, distinct=exp.Distinct())
    sources = {source for source, _ in places}
    only = named[next(iter(sources))]
    if len(sources) == 1 and not only.args.get("joins") and not isinstance(only, exp.Lateral):
        domain.set("from_", exp.From(this=only.copy()))
    else:
        domain.set("from_", clause.copy())
        domain.set("joins", [join.copy() for join in joins])
        sources = set(named)
    kept = [test.copy() for test in _conjuncts(where) if _is_over(test, sources)]
    if kept and not any(join.side for join in joins):
        domain.set("where", exp.Where(this=exp.and_(*kept, copy=False)))
    return domain, outer


def _conjuncts(where: exp.Expr | None) -> list[exp.Expr]:
    if where is None:
        return []
    return list(where.this.flatten()) if isinstance(where.this, exp.And) else [where.this]


def _is_over(test: exp.Expr, sources: set[str]) -> bool:
    """The condition needs nothing but columns of these relations."""
    columns = list(test.find_all(exp.Column))
    return test.find(exp.Query, exp.Anonymous) is None and all(
        source(column) in sources and not column.meta.get("outer") for column in columns
    )


def _is_planned(node: exp.Subquery, select: exp.Select) -> bool:
    """DataFusion can do it: one aggregate, tied by equalities, as an output or in WHERE."""
    body = node.this
    if not isinstance(body, exp.Select) or any(body.args.get(key) for key in (*_CLAUSES, "limit")):
        return False
    if len(body.expressions) != 1 or not is_aggregate(body.expressions[0]) or body.args.get("from_") is None:
        return False
    parent = node.parent
    while parent is not None and parent is not select:
        if isinstance(parent, exp.Window | exp.Order) or is_call_of_aggregate(parent):
            return False
        parent = parent.parent
    return _only_equalities(body)


def _only_equalities(body: exp.Select) -> bool:
    """Every outer column stands in a conjunct `outer = inner` of its WHERE."""
    free = [column for column in body.find_all(exp.Column) if column.meta.get("outer")]
    if any(is_operand(column) for column in free):
        return False
    for conjunct in _conjuncts(body.args.get("where")):
        if isinstance(conjunct, exp.EQ):
            free = [column for column in free if not _is_side(column, conjunct)]
    return not free


def _is_side(column: exp.Column, equality: exp.EQ) -> bool:
    """One side of the equality is the outer column alone, the other has inner ones, and no field of a struct."""
    for side, other in ((equality.this, equality.expression), (equality.expression, equality.this)):
        columns = list(other.find_all(exp.Column))
        if side is column and columns and not any(c.meta.get("outer") or c.meta.get("field") for c in columns):
            return True
    return False


def _join(select: exp.Select, node: exp.Subquery, columns: list[exp.Column], alias: str) -> exp.Select | None:
    """The subquery as a relation of `select`, and what it is there; None if it cannot be."""
    clause = select.args.get("from_")
    joins, where = select.args.get("joins") or (), select.args.get("where")
    found = None if clause is None else domain_of(columns, alias, clause, joins, where)
    if found is None:
        return None
    domain, outer = found
    unnesting = Unnesting(domain, [column.meta.get("type") for column in outer], alias)
    try:
        rows = unnesting.query(node.this.copy(), ["value"])
    except Undecidable:
        return None
    if not _has_one_row(node.this):
        rows = _only_rows(unnesting, rows, f"{alias}r")
    condition = unnesting.same_keys(unnesting.key_columns(alias), outer)
    value: exp.Expr = exp.column("value", table=alias, quoted=True)
    if select.args.get("group") is not None and not inside(node, select, "where") and not _is_aggregated(node, select):
        select.args["group"].append("expressions", value.copy())
    if isinstance(node.parent, exp.Select):
        value = exp.alias_(value, str(node.sql()), quoted=True)
    node.replace(value)
    join_row(select, rows, alias, condition)
    return rows


def _is_aggregated(node: exp.Expr, select: exp.Select) -> bool:
    """It is an argument of an aggregate, or a key of GROUP BY already."""
    parent = node.parent
    while parent is not None and parent is not select:
        if is_call_of_aggregate(parent) or isinstance(parent, exp.Group):
            return True
        parent = parent.parent
    return False


def _has_one_row(body: exp.Expr) -> bool:
    """It never has more rows than one."""
    limit = body.args.get("limit")
    if isinstance(limit, exp.Limit) and limit.expression.name in ("0", "1"):
        return True
    aggregates = isinstance(body, exp.Select) and any(is_aggregate(item) for item in body.expressions)
    return aggregates and body.args.get("group") is None


def _only_rows(unnesting: Unnesting, rows: exp.Select, alias: str) -> exp.Select:
    """The only row of each key; more are an error when they come."""
    value = exp.column("value", table=alias, quoted=True)
    first = exp.Anonymous(this="first_value", expressions=[value])
    count = exp.Anonymous(this="count", expressions=[exp.Star()])
    is_one = exp.EQ(this=exp.Anonymous(this="only_row", expressions=[count]), expression=exp.Literal.number(1))
    keys = unnesting.key_columns(alias)
    return exp.Select(
        expressions=[
            *(exp.alias_(key.copy(), key.name, quoted=True) for key in keys),
            exp.alias_(exp.Case(ifs=[exp.If(this=is_one, true=first)]), "value", quoted=True),
        ],
        from_=exp.From(this=derived(rows, alias)),
        group=exp.Group(expressions=keys),
    )
