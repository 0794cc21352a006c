"""`count(*) FILTER (WHERE c)` over the whole of a query is `count(CASE WHEN c THEN 1 END)`.

Over something that is known to have one row (`SELECT count(*) FILTER (WHERE n > 1) FROM (SELECT count(*) AS n FROM t)`)
DataFusion 55 tries to answer it from statistics, and fails.
"""

from __future__ import annotations

from sqlglot import exp

from tsdb.sql.functions.spec import call


def count_cases(query: exp.Expr) -> exp.Expr:
    """`query` with every such count of a SELECT without GROUP BY replaced, in place."""
    for node in list(query.find_all(exp.Filter)):
        counted, where = node.this, node.expression
        select = node.find_ancestor(exp.Select)
        if (
            not _counts_rows(counted)
            or isinstance(node.parent, exp.Window)
            or select is None
            or select.args.get("group")
        ):
            continue
        case = exp.Case(ifs=[exp.If(this=where.this.copy(), true=exp.Literal.number(1))])
        node.replace(call("count", case))
    return query


def _counts_rows(node: exp.Expr) -> bool:
    is_count = isinstance(node, exp.Count) or (isinstance(node, exp.Anonymous) and str(node.this).upper() == "COUNT")
    argument = (node.expressions or [node.this])[0] if is_count else None
    return isinstance(argument, exp.Star | exp.Literal)
