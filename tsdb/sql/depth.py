"""How deep subqueries may stand inside one another's expressions.

DataFusion plans a subquery in an expression again with each query around it, so every level doubles the time: 14 take
0.2 s, 20 take 10 s. Queries in FROM and common table expressions do not count.
"""

from __future__ import annotations

from sqlglot import exp

SUBQUERIES_MAX = 14
"""Subqueries inside one another in expressions."""


def too_deep(query: exp.Expr) -> exp.Select | None:
    """The first subquery that stands inside more than `SUBQUERIES_MAX` others, None if there is none."""
    depths: dict[int, int] = {}
    for select in query.find_all(exp.Select):
        depth = 0
        inner: exp.Expr = select
        while inner.parent is not None and not isinstance(inner.parent, exp.Select):
            inner = inner.parent
        holder = inner.parent
        if holder is not None:
            depth = depths.get(id(holder), 0) + (inner.arg_key not in ("from_", "joins", "with_"))
        if depth > SUBQUERIES_MAX:
            return select
        depths[id(select)] = depth
    return None
