"""LATERAL (query) as a join with what the query gives for each distinct value of the columns that it depends on.

    SELECT t.a, l.x FROM t, LATERAL (SELECT x FROM u WHERE u.x < t.a ORDER BY x LIMIT 2) AS l

See `tsdb.sql.rewrite.dependent_query`.
"""

from __future__ import annotations

from sqlglot import exp

from tsdb.sql.rewrite.correlated_subquery import domain_of
from tsdb.sql.rewrite.dependent_query import Undecidable, Unnesting, columns_of, derived, expand_stars
from tsdb.sql.rewrite.free_column import free_columns


def join_laterals(query: exp.Expr) -> exp.Expr:
    """Every LATERAL query in `query` as a derived table, in place."""
    laterals = [node for node in query.find_all(exp.Lateral) if isinstance(node.this, exp.Subquery)]
    for number, node in enumerate(laterals, 1):
        join, select = node.parent, node.parent_select
        if isinstance(join, exp.From):
            node.replace(_plain(node))
        elif isinstance(join, exp.Join) and isinstance(select, exp.Select) and join in (select.args.get("joins") or ()):
            _replace(select, join, node, f"$lateral{number}")
    return query


def _replace(select: exp.Select, join: exp.Join, node: exp.Lateral, names: str) -> None:
    clause, joins = select.args.get("from_"), select.args["joins"]
    before = joins[: next(i for i, other in enumerate(joins) if other is join)]
    columns = columns_of(node)
    if clause is None or columns is None:
        return
    near = {clause.this.alias_or_name, *(other.this.alias_or_name for other in before)}
    free = [column for column in free_columns(node.this) if str(column.table or column.meta.get("source")) in near]
    if not free:
        node.replace(_plain(node))
        return
    found = domain_of(free, names, clause, before, select.args.get("where") if not join.side else None)
    if found is None or join.side in ("RIGHT", "FULL"):
        return
    domain, outer = found
    alias = node.alias or f"{names}r"
    unnesting = Unnesting(domain, [column.meta.get("type") for column in outer], names)
    try:
        expand_stars(select)
        rows = derived(unnesting.query(node.this.this.copy(), columns), alias)
    except Undecidable:
        return
    rows.meta["columns"] = columns
    same = unnesting.same_keys(unnesting.key_columns(alias), outer)
    condition = join.args.get("on")
    node.replace(rows)
    join.set("on", same if condition is None else exp.and_(same, exp.paren(condition), copy=False))
    if join.kind == "CROSS":
        join.set("kind", None)


def _plain(node: exp.Lateral) -> exp.Subquery:
    """A relation that does not depend on those beside it."""
    plain = exp.Subquery(this=node.this.this, alias=node.args.get("alias"))
    plain.meta["columns"] = columns_of(node)
    return plain
