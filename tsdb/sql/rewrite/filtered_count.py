"""`max(x) FILTER (WHERE c)` over the whole of a query is `max(CASE WHEN c THEN x END)`.

Over something that is known to have one row (`SELECT count(*) FILTER (WHERE n > 1) FROM (SELECT count(*) AS n FROM t)`)
DataFusion 55 tries to answer it from statistics, and fails.
"""

from __future__ import annotations

from sqlglot import exp

from tsdb.sql.functions.spec import call

_SKIP_NULLS = ("AVG", "BOOL_AND", "BOOL_OR", "COUNT", "MAX", "MEDIAN", "MIN", "STDDEV", "STDDEV_POP", "SUM", "VAR_POP",
               "VAR_SAMP")  # fmt: skip


def filtered_as_cases(query: exp.Expr) -> exp.Expr:
    """`query` with every such aggregate of a SELECT without GROUP BY replaced, in place."""
    for node in list(query.find_all(exp.Filter)):
        select = node.find_ancestor(exp.Select)
        if isinstance(node.parent, exp.Window) or select is None or select.args.get("group"):
            continue
        function, where = node.this, node.expression.this
        if _counts_rows(function):
            node.replace(call("count", _case(where, exp.Literal.number(1))))
        elif (argument := _argument(function)) is not None:
            argument.replace(_case(where, argument.copy()))
            node.replace(function)
    return query


def _case(condition: exp.Expr, value: exp.Expr) -> exp.Case:
    return exp.Case(ifs=[exp.If(this=condition.copy(), true=value)])


def _argument(function: exp.Expr) -> exp.Expr | None:
    """The only argument of an aggregate that takes no account of NULL."""
    name = str(function.this) if isinstance(function, exp.Anonymous) else function.key
    arguments = function.expressions or [function.this]
    if isinstance(arguments[0], exp.Distinct):
        arguments = arguments[0].expressions
    return arguments[0] if name.upper() in _SKIP_NULLS and len(arguments) == 1 else None


def _counts_rows(node: exp.Expr) -> bool:
    is_count = isinstance(node, exp.Count) or (isinstance(node, exp.Anonymous) and str(node.this).upper() == "COUNT")
    argument = (node.expressions or [node.this])[0] if is_count else None
    return isinstance(argument, exp.Star | exp.Literal)
