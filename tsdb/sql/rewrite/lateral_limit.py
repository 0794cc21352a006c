"""LATERAL (SELECT … ORDER BY … LIMIT n) as a join with numbered rows.

    FROM t, LATERAL (SELECT u.x FROM u WHERE u.k = t.k ORDER BY u.x LIMIT 2) AS l

becomes, with the distinct outer values computed first,

    FROM t JOIN (SELECT x, o0 FROM (SELECT u.x, d.o0, row_number() OVER (PARTITION BY d.o0 ORDER BY u.x) AS n
                                    FROM u CROSS JOIN (SELECT DISTINCT t.k AS o0 FROM t) AS d WHERE u.k = d.o0)
                 WHERE n <= 2) AS l ON l.o0 IS NOT DISTINCT FROM t.k

DataFusion plans lateral subqueries without LIMIT itself. What depends on the outer query must stand in the subquery's
WHERE; others are left alone, and refused where they are planned.
"""

from __future__ import annotations

from itertools import count

from sqlglot import exp

from tsdb.sql.rewrite.correlated_subquery import outer_columns, outer_values
from tsdb.sql.rewrite.scalar_subquery import is_aggregate

_CLAUSES = ("group", "having", "qualify", "distinct", "with_", "windows")


def join_lateral_limits(query: exp.Expr) -> exp.Expr:
    """Every such subquery in `query` as a join, the first first, on which the next may depend; in place."""
    numbers = count(1)
    while any(_replaced(lateral, f"$lateral{next(numbers)}") for lateral in list(query.find_all(exp.Lateral))):
        pass
    return query


def _replaced(lateral: exp.Lateral, alias: str) -> bool:
    join = lateral.parent
    body = lateral.this.this if isinstance(lateral.this, exp.Subquery) else None
    if not isinstance(join, exp.Join) or not isinstance(body, exp.Select) or not isinstance(join.parent, exp.Select):
        return False
    return _join(join, lateral, body, alias)


def _join(join: exp.Join, lateral: exp.Lateral, body: exp.Select, alias: str) -> bool:
    _name_columns(body)
    outer, bounds = outer_columns(body), _bounds(body)
    if not outer or bounds is None or not _is_plain(body) or join.args.get("side") not in (None, "", "LEFT"):
        return False
    select = join.parent
    assert isinstance(select, exp.Select)
    joins = select.args["joins"]
    before = exp.Select(from_=select.args["from_"].copy(), joins=[each.copy() for each in joins[: joins.index(join)]])
    domain = outer_values(before, outer)
    if domain is None:
        return False
    body = body.copy()
    inner = f"{alias}d"
    places = {(column.meta.get("source"), column.name): f"{alias}o{i}" for i, column in enumerate(outer)}
    domain.set(
        "expressions",
        [exp.alias_(item.this, f"{alias}o{i}", quoted=True) for i, item in enumerate(domain.expressions)],
    )
    for column in list(body.find_all(exp.Column)):
        if column.meta.get("outer"):
            column.replace(exp.column(places[column.meta.get("source"), column.name], table=inner, quoted=True))
    body.append("joins", exp.Join(this=domain.subquery(inner, copy=False), kind="CROSS"))
    keys = [exp.column(name, table=inner, quoted=True) for name in places.values()]
    number = exp.Window(this=exp.Anonymous(this="row_number"), partition_by=keys, order=body.args.get("order"))
    shown = [item.alias_or_name for item in body.expressions]
    named = [exp.alias_(key.copy(), name, quoted=True) for key, name in zip(keys, places.values(), strict=True)]
    body.set("expressions", [*body.expressions, *named, exp.alias_(number, f"{alias}n", quoted=True)])
    for clause in ("order", "limit", "offset"):
        body.set(clause, None)
    place = exp.column(f"{alias}n", quoted=True)
    tests: list[exp.Expr] = [exp.LTE(this=place, expression=exp.Literal.number(bounds[1]))]
    if bounds[0]:
        tests.append(exp.GT(this=place.copy(), expression=exp.Literal.number(bounds[0])))
    rows = exp.Select(
        expressions=[exp.column(name, quoted=True) for name in (*shown, *places.values())],
        from_=exp.From(this=body.subquery(f"{alias}r", copy=False)),
        where=exp.Where(this=exp.and_(*tests, copy=False)),
    )
    _put(join, lateral, rows, outer, list(places.values()))
    return True


def _put(join: exp.Join, lateral: exp.Lateral, rows: exp.Select, outer: list[exp.Column], keys: list[str]) -> None:
    name = lateral.args["alias"].copy()
    renamed = [column.name for column in name.columns]
    for item, new in zip(list(rows.expressions), renamed, strict=False):
        item.replace(exp.alias_(item.copy(), new, quoted=True))
    name.set("columns", None)
    tied = [
        exp.paren(
            exp.NullSafeEQ(
                this=exp.column(key, table=name.name, quoted=True),
                expression=exp.column(column.name, table=str(column.meta["source"]), quoted=True),
            )
        )
        for key, column in zip(keys, outer, strict=True)
    ]
    for item in join.parent_select.expressions if join.parent_select is not None else ():
        star = item.this if isinstance(item, exp.Column) and item.table in ("", name.name) else item
        if isinstance(star, exp.Star):
            star.set("except_", [*(star.args.get("except_") or ()), *(exp.to_identifier(k, quoted=True) for k in keys)])
    condition = join.args.get("on")
    join.set("this", exp.Subquery(this=rows, alias=name))
    join.set("kind", None)
    join.set("on", exp.and_(*tied, *([condition.copy()] if condition is not None else []), copy=False))


def _name_columns(body: exp.Select) -> None:
    """`*` of one relation written out."""
    outputs, clause = body.meta.get("outputs"), body.args.get("from_")
    is_star = len(body.expressions) == 1 and isinstance(body.expressions[0], exp.Star)
    if not is_star or outputs is None or clause is None or body.args.get("joins") or clause.this.args.get("joins"):
        return
    source = clause.this.alias_or_name
    if source:
        body.set("expressions", [exp.column(output.name, table=source, quoted=True) for output in outputs])


def _bounds(body: exp.Select) -> tuple[int, int] | None:
    """The rows that OFFSET and LIMIT keep: after the first, up to the second number."""
    limit, offset = body.args.get("limit"), body.args.get("offset")
    most = limit.args.get("expression") or limit.args.get("count") if limit is not None else None
    skipped = offset.expression if offset is not None else exp.Literal.number(0)
    if not isinstance(most, exp.Literal) or not isinstance(skipped, exp.Literal):
        return None
    if not most.name.isdigit() or not skipped.name.isdigit():
        return None
    return int(skipped.name), int(skipped.name) + int(most.name)


def _is_plain(body: exp.Select) -> bool:
    """Rows of FROM, under names, tied to the outer query in WHERE alone."""
    if any(body.args.get(key) for key in _CLAUSES) or body.args.get("from_") is None:
        return False
    if any(item.is_star or not item.alias_or_name or is_aggregate(item) for item in body.expressions):
        return False
    where = body.args.get("where")
    inside = set(map(id, where.find_all(exp.Column))) if where is not None else set()
    return all(id(column) in inside for column in body.find_all(exp.Column) if column.meta.get("outer"))
