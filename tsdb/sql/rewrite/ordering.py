"""NULL order made explicit: NULLs are lowest, as in Flink, unless the user said otherwise.

ORDER BY x puts NULLs first, ORDER BY x DESC last: in queries, windows and aggregates alike.
"""

from __future__ import annotations

from sqlglot import exp

from tsdb.sql.scope import Output


def order_nulls(query: exp.Expr) -> exp.Expr:
    """Every ORDER BY key in `query` with its direction and NULL order set (the parser keeps what the user wrote)."""
    for ordered in query.find_all(exp.Ordered):
        if ordered.args.get("nulls_first") is None:
            ordered.set("nulls_first", not ordered.args.get("desc"))
    return query


def output_list(query: exp.Expr) -> tuple[Output, ...] | None:
    """The output columns of a resolved query, None when they are not known."""
    while isinstance(query, exp.Subquery | exp.SetOperation):
        if query.meta.get("outputs") is not None:
            break
        query = query.this
    found: tuple[Output, ...] | None = query.meta.get("outputs")
    return found
