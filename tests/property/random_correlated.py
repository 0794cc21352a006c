"""Random queries whose subqueries depend on the queries around them, in every clause and at any depth.

What they give is decided by the rows alone: an order with LIMIT is that of the values given.
"""

from __future__ import annotations

import random

NUMBERS = {"o": ("id", "h"), "c": ("k", "w"), "e": ("id",)}
TEXTS = {"o": ("g",), "c": ("name",), "e": ("g",)}

Outer = list[tuple[str, str]]
"""(alias, table) of every relation in sight, the nearest last."""


class CorrelatedQueries:
    """Queries of one seed over the tables of `.streams.World`. depth: how deep they are nested."""

    def __init__(self, seed: int, depth: int = 2) -> None:
        self.random, self.depth, self.made = random.Random(seed), depth, 0

    def query(self) -> str:
        """One SELECT."""
        table = self.random.choice(["o", "c"])
        alias = self._alias()
        outer: Outer = [(alias, table)]
        items = [self._number(outer), self._value(outer, self.depth)]
        source = f"{table} AS {alias}"
        if self.random.random() < 0.35:
            near = self._alias()
            how = self.random.choice(["CROSS JOIN LATERAL ({}) AS {}(a)", "LEFT JOIN LATERAL ({}) AS {}(a) ON TRUE"])
            source += " " + how.format(self._rows(outer, self.depth), near)
            items.append(f"{near}.a")
        where = f" WHERE {self._condition(outer, self.depth)}" if self.random.random() < 0.7 else ""
        named = ", ".join(f"{item} AS n{i}" for i, item in enumerate(items))
        if self.random.random() < 0.15:
            return f"SELECT n0, sum(n1) AS s, count(*) AS n FROM (SELECT {named} FROM {source}{where}) AS z GROUP BY n0"
        return f"SELECT {named} FROM {source}{where}"

    def _value(self, outer: Outer, depth: int) -> str:
        """A number."""
        kind = self.random.random()
        if depth and kind < 0.7:
            return f"({self._scalar(outer, depth - 1)})"
        if depth and kind < 0.85:
            return f"CASE WHEN {self._condition(outer, depth - 1)} THEN 1 ELSE 0 END"
        return self._number(outer)

    def _scalar(self, outer: Outer, depth: int) -> str:
        """A query of one row at most."""
        kind = self.random.random()
        if kind < 0.45:
            source, inner = self._source(outer, depth)
            value = self._aggregate(inner, outer)
            having = f" HAVING count(*) > {self.random.randrange(2)}" if self.random.random() < 0.15 else ""
            return f"SELECT {value} AS a FROM {source}{self._where(inner, depth)}{having}"
        alias = self._alias()
        if kind < 0.75:
            value = self.random.choice(["max({0}.a)", "count(*)", "sum({0}.a)", "count(DISTINCT {0}.a) + min({0}.a)"])
            return f"SELECT {value.format(alias)} AS a FROM ({self._rows(outer, depth)}) AS {alias}(a)"
        source, inner = self._source(outer, depth)
        order = self.random.choice(["ORDER BY a DESC NULLS LAST", "ORDER BY 1 NULLS FIRST"])
        offset = " OFFSET 1" if self.random.random() < 0.3 else ""
        return (
            f"SELECT {self._number(inner[-1:])} AS a FROM {source}{self._where(inner, depth)} {order} LIMIT 1{offset}"
        )

    def _rows(self, outer: Outer, depth: int) -> str:
        """A query of one column of numbers, `a`."""
        kind = self.random.random()
        if depth and kind < 0.2:
            operation = self.random.choice(["UNION", "UNION ALL", "INTERSECT", "EXCEPT", "EXCEPT ALL"])
            return f"{self._plain_rows(outer, depth - 1)} {operation} {self._plain_rows(outer, depth - 1)}"
        if kind < 0.4:
            order = self.random.choice(["ORDER BY a DESC NULLS LAST", "ORDER BY 1 NULLS FIRST"])
            return f"{self._plain_rows(outer, depth)} {order} LIMIT {self.random.randrange(1, 4)}"
        return self._plain_rows(outer, depth)

    def _plain_rows(self, outer: Outer, depth: int) -> str:
        if self.random.random() < 0.1:
            return f"SELECT {self._number(outer)} + 1 AS a"
        source, inner = self._source(outer, depth)
        where = self._where(inner, depth)
        value = self._number(inner[-1:])
        kind = self.random.random()
        if kind < 0.2:
            return f"SELECT DISTINCT {value} AS a FROM {source}{where}"
        if kind < 0.35:
            having = f" HAVING count(*) > {self.random.randrange(2)}" if self.random.random() < 0.5 else ""
            return f"SELECT {self._aggregate(inner, outer)} AS a FROM {source}{where} GROUP BY {value}{having}"
        if kind < 0.5:
            return f"SELECT rank() OVER (ORDER BY {value} NULLS FIRST) AS a FROM {source}{where}"
        return f"SELECT {value} AS a FROM {source}{where}"

    def _source(self, outer: Outer, depth: int) -> tuple[str, Outer]:
        """FROM, and what is in sight behind it."""
        table, alias = self.random.choice(list(NUMBERS)), self._alias()
        source, inner = f"{table} AS {alias}", [*outer, (alias, table)]
        if self.random.random() < 0.25:
            other, near = self.random.choice(list(NUMBERS)), self._alias()
            join = self.random.choice(["JOIN", "LEFT JOIN"])
            before, inner = inner[-1:], [*outer, (near, other), (alias, table)]
            on = f"{self._number(before)} = {self._number([(near, other)])}"
            if self.random.random() < 0.4:
                on += f" AND {self._number(outer)} <= {self._number([(near, other)])}"
            source += f" {join} {other} AS {near} ON {on}"
        return source, inner

    def _where(self, inner: Outer, depth: int) -> str:
        tests = [self._condition(inner, depth) for _ in range(self.random.choice([0, 1, 1, 2]))]
        return f" WHERE {' AND '.join(tests)}" if tests else ""

    def _condition(self, inner: Outer, depth: int) -> str:
        kind = self.random.random()
        if depth and kind < 0.15:
            return f"{self.random.choice(['', 'NOT '])}EXISTS ({self._rows(inner, depth - 1)})"
        if depth and kind < 0.3:
            return f"{self._number(inner)} {self.random.choice(['IN', 'NOT IN'])} ({self._rows(inner, depth - 1)})"
        if depth and kind < 0.4:
            compare = self.random.choice(["> ANY", "<= ALL", "= ANY", "< ALL"])
            return f"{self._number(inner)} {compare} ({self._rows(inner, depth - 1)})"
        if depth and kind < 0.5:
            return f"{self._number(inner)} {self.random.choice('<>=')} ({self._scalar(inner, depth - 1)})"
        if depth and kind < 0.58:
            return f"({self._condition(inner, depth - 1)} OR {self._condition(inner, depth - 1)})"
        if kind < 0.75 and len(inner) > 1:
            return f"{self._number(inner[-1:])} {self.random.choice(['=', '<', '>=', '<>'])} {self._number(inner[:-1])}"
        if kind < 0.9 and len(inner) > 1:
            return f"{self._text(inner[-1:])} = {self._text(inner[:-1])}"
        return f"{self._number(inner)} > {self.random.randrange(6)}"

    def _aggregate(self, inner: Outer, outer: Outer) -> str:
        own, out = self._number(inner[-1:]), self._number(outer)
        return self.random.choice(
            [
                "count(*)",
                f"max({own})",
                f"sum({own} + {out})",
                f"count(DISTINCT {own})",
                f"count(*) FILTER (WHERE {own} > {out})",
                f"{out} + count({own})",
                f"coalesce(min({own}), {out})",
            ]
        )

    def _number(self, inner: Outer) -> str:
        alias, table = self.random.choice(inner)
        return f"{alias}.{self.random.choice(NUMBERS[table])}"

    def _text(self, inner: Outer) -> str:
        alias, table = self.random.choice(inner)
        return f"{alias}.{self.random.choice(TEXTS[table])}"

    def _alias(self) -> str:
        self.made += 1
        return f"t{self.made}"
