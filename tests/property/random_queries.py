"""Random queries over the tables of `streams.py`, nested to any depth, without a free choice between ties."""

import random
from collections.abc import Callable
from dataclasses import dataclass

TABLES: dict[str, list[tuple[str, str]]] = {
    "o": [("id", "i"), ("g", "s"), ("h", "i"), ("v", "f"), ("d", "d"), ("ts", "t"), ("b", "b")],
    "c": [("k", "i"), ("name", "s"), ("w", "i")],
    "e": [("id", "i"), ("g", "s")],
}


@dataclass
class Relation:
    """A query, and its columns: name and kind (i integer, s string, f float, d decimal, t time, b boolean, x: only to
    be shown, because its last digits depend on the order of additions)."""

    sql: str
    columns: list[tuple[str, str]]

    def of(self, *kinds: str) -> list[str]:
        return [name for name, kind in self.columns if kind in kinds]


class RandomQueries:
    """Random queries; the same seed gives the same ones."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.names = 0

    def query(self) -> str:
        """One query of some depth."""
        return self.relation(self.random.choice([1, 2, 2, 3, 3, 4])).sql

    def relation(self, depth: int) -> Relation:
        if depth <= 0:
            return self.base()
        makers: list[Callable[[int], Relation]] = [
            self.filtered, self.projected, self.joined, self.joined, self.joined, self.grouped, self.grouped,
            self.distinct, self.set_operation, self.window, self.top, self.semi_join, self.scalar, self.top_per_group,
            self.correlated,
        ]  # fmt: skip
        return self.random.choice(makers)(depth - 1)

    def name(self) -> str:
        self.names += 1
        return f"n{self.names}"

    def base(self) -> Relation:
        table = self.random.choice(list(TABLES))
        columns = TABLES[table]
        fresh = [(self.name(), kind) for _, kind in columns]
        listed = ", ".join(f"{old} as {new}" for (old, _), (new, _) in zip(columns, fresh, strict=True))
        return Relation(f"select {listed} from {table}", fresh)

    # --- expressions

    def integer(self, r: Relation) -> str:
        found = r.of("i")
        if not found:
            return str(self.random.randint(0, 5))
        x = self.random.choice(found)
        y = self.random.choice([*found, "1", "3"])
        return self.random.choice(
            [x, x, f"{x} + {y}", f"{x} - {y}", f"{x} * 2", f"coalesce({x}, {y})", f"{x} % 3", f"nullif({x}, {y})",
             f"case when {self.predicate(r)} then {x} else {y} end"]
        )  # fmt: skip

    def expression(self, r: Relation) -> tuple[str, str]:
        name, kind = self.random.choice(r.columns)
        if kind == "i":
            return self.integer(r), "i"
        if kind == "s":
            return self.random.choice([name, f"upper({name})", f"{name} || '!'", f"coalesce({name}, '-')"]), "s"
        if kind == "b":
            return self.random.choice([name, f"not {name}", f"{name} is not true"]), "b"
        if kind == "f":
            return self.random.choice([name, f"{name} * 2", f"abs({name})"]), "f"
        return name, kind

    def predicate(self, r: Relation, depth: int = 1) -> str:
        choice = self.random.random()
        if depth and choice < 0.25:
            parts = [self.predicate(r, depth - 1) for _ in range(2)]
            return f"({self.random.choice([' and ', ' or ']).join(parts)})"
        if depth and choice < 0.35:
            return f"not ({self.predicate(r, depth - 1)})"
        name, kind = self.random.choice(r.columns)
        if choice < 0.5 or kind == "x":
            return f"{name} is {self.random.choice(['', 'not '])}null"
        other = self.random.choice(r.of(kind) + [self.literal(kind)] * 3)
        return f"{name} {self.random.choice(['=', '<', '>', '<=', '<>', 'is distinct from'])} {other}"

    def literal(self, kind: str) -> str:
        return {
            "i": str(self.random.randint(-1, 6)),
            "s": self.random.choice(["'a'", "'b'", "'n2'", "'n4'"]),
            "f": self.random.choice(["0.0", "1.25", "-3.0"]),
            "d": self.random.choice(["0", "1.5"]),
            "t": "timestamp '1970-01-01 00:00:02'",
            "b": self.random.choice(["true", "false"]),
        }[kind]

    # --- relations

    def filtered(self, depth: int) -> Relation:
        r = self.relation(depth)
        return Relation(f"select * from ({r.sql}) {self.name()} where {self.predicate(r)}", r.columns)

    def projected(self, depth: int) -> Relation:
        r = self.relation(depth)
        return self.select(r, [self.expression(r) for _ in range(self.random.randint(1, 4))])

    def select(self, r: Relation, expressions: list[tuple[str, str]], rest: str = "") -> Relation:
        columns = [(self.name(), kind) for _, kind in expressions]
        listed = ", ".join(f"{sql} as {new}" for (sql, _), (new, _) in zip(expressions, columns, strict=True))
        return Relation(f"select {listed} from ({r.sql}) {self.name()}{rest}", columns)

    def joined(self, depth: int) -> Relation:
        left, right = self.relation(depth), self.relation(self.random.randint(0, depth))
        kind = self.random.choice(["join", "join", "left join", "right join", "full join"])
        on = self.equalities(left, right)
        if self.random.random() < 0.3 and (kind != "full join" or on):
            both = Relation("", left.columns + right.columns)
            on.append(self.predicate(both))
        if not on:
            return Relation(
                f"select * from ({left.sql}) {self.name()} cross join (select * from ({right.sql}) {self.name()}"
                f" where {self.predicate(right)}) {self.name()}", left.columns + right.columns)  # fmt: skip
        sql = f"select * from ({left.sql}) {self.name()} {kind} ({right.sql}) {self.name()} on {' and '.join(on)}"
        return Relation(sql, left.columns + right.columns)

    def equalities(self, left: Relation, right: Relation) -> list[str]:
        pairs = [(a, b) for a, k in left.columns for b, j in right.columns if k == j and k in "is"]
        picked = self.random.sample(pairs, min(len(pairs), self.random.choice([1, 1, 2])))
        return [f"{a} = {b}" for a, b in picked]

    def aggregate(self, r: Relation) -> tuple[str, str]:
        name, kind = self.random.choice(r.columns)
        which = self.random.random()
        keep = f" filter (where {self.predicate(r)})" if self.random.random() < 0.25 else ""
        if which < 0.2 or kind == "x":
            return f"count(*){keep}", "i"
        if which < 0.35:
            return f"count({name}){keep}", "i"
        if which < 0.5:
            return f"count(distinct {name}){keep}", "i"
        if kind in "if" and which < 0.75:
            return f"sum({name}){keep}", kind
        if kind == "i" and which < 0.8:
            return f"sum(distinct {name}){keep}", "i"
        if kind in "ifd" and which < 0.85:
            return f"avg({name}){keep}", "x"
        if kind == "b":
            return f"{self.random.choice(['bool_and', 'bool_or'])}({name}){keep}", "b"
        return f"{self.random.choice(['min', 'max'])}({name}){keep}", kind

    def grouped(self, depth: int) -> Relation:
        r = self.relation(depth)
        keys = (
            self.random.sample(
                [c for c in r.columns if c[1] != "x"], min(len(r.columns), self.random.choice([0, 1, 1, 2]))
            )
            if r.of("i", "s", "f", "d", "t", "b") and len(r.of("x")) < 1
            else []
        )
        made = [self.aggregate(r) for _ in range(self.random.randint(1, 3))]
        rest = f" group by {', '.join(k for k, _ in keys)}" if keys else ""
        if keys and self.random.random() < 0.25:
            rest += f" having count(*) > {self.random.randint(0, 3)}"
        return self.select(r, keys + made, rest)

    def distinct(self, depth: int) -> Relation:
        r = self.shown(self.relation(depth))
        picked = self.random.sample(r.columns, min(len(r.columns), self.random.randint(1, 3)))
        made = self.select(r, picked)
        return Relation(made.sql.replace("select", "select distinct", 1), made.columns)

    def shown(self, r: Relation) -> Relation:
        """Without the columns that are not exact; with a constant if nothing is left."""
        kept = [(n, k) for n, k in r.columns if k != "x"] or [("1", "i")]
        return self.select(r, kept)

    def set_operation(self, depth: int) -> Relation:
        left, right = self.shown(self.relation(depth)), self.shown(self.relation(self.random.randint(0, depth)))
        kinds = [k for _, k in left.columns if k in [x for _, x in right.columns]][:3] or []
        if not kinds:
            a, b = self.select(left, [("1", "i")]), self.select(right, [("1", "i")])
        else:
            a = self.select(left, [(self.random.choice(left.of(k)), k) for k in kinds])
            b = self.select(right, [(self.random.choice(right.of(k)), k) for k in kinds])
        how = self.random.choice(["union all", "union all", "union", "intersect", "except"])
        return Relation(f"{a.sql} {how} {b.sql}", a.columns)

    def window(self, depth: int) -> Relation:
        r = self.shown(self.relation(depth))
        names = [n for n, _ in r.columns]
        part = f"partition by {self.random.choice(names)} " if self.random.random() < 0.8 else ""
        some = ", ".join(self.random.sample(names, min(len(names), 2)))
        every = ", ".join(self.random.sample(names, len(names)))
        of = self.random.choice(r.of("i") or ["1"])
        made = self.random.choice(
            [f"rank() over ({part}order by {some})", f"dense_rank() over ({part}order by {some} desc)",
             f"row_number() over ({part}order by {every})", f"sum({of}) over ({part}order by {some})",
             f"count(*) over ({part})", f"max({of}) over ({part}order by {some})", f"min({of}) over ({part})",
             f"sum({of}) over ({part}order by {every} rows between 1 preceding and current row)",
             f"lag({of}) over ({part}order by {every})", f"first_value({of}) over ({part}order by {every})"]
        )  # fmt: skip
        return self.select(r, [*r.columns, (made, "i")])

    def top(self, depth: int) -> Relation:
        r = self.shown(self.relation(depth))
        names = [n + self.random.choice(["", " desc", " nulls first"]) for n, _ in r.columns]
        self.random.shuffle(names)
        offset = self.random.choice(["", "", " offset 2"])
        rest = f" order by {', '.join(names)} limit {self.random.randint(1, 6)}{offset}"
        return Relation(f"select * from ({r.sql}) {self.name()}{rest}", r.columns)

    def top_per_group(self, depth: int) -> Relation:
        r = self.shown(self.relation(depth))
        names = [n for n, _ in r.columns]
        order = ", ".join(n + self.random.choice(["", " desc"]) for n in self.random.sample(names, len(names)))
        how = self.random.choice(["row_number", "row_number", "rank"])
        made = self.select(
            r, [*r.columns, (f"{how}() over (partition by {self.random.choice(names)} order by {order})", "i")]
        )
        rn = made.columns[-1][0]
        return Relation(
            f"select * from ({made.sql}) {self.name()} where {rn} <= {self.random.randint(1, 3)}", made.columns
        )

    def semi_join(self, depth: int) -> Relation:
        left, right = self.relation(depth), self.relation(self.random.randint(0, depth))
        outer = self.name()
        pairs = [(a, b) for a, k in left.columns for b, j in right.columns if k == j and k in "is"]
        negated = self.random.choice(["", "", "not "])
        if not pairs:
            where = f"{negated}exists (select 1 from ({right.sql}) {self.name()} where {self.predicate(right)})"
        else:
            a, b = self.random.choice(pairs)
            where = self.random.choice(
                [f"{a} {negated}in (select {b} from ({right.sql}) {self.name()})",
                 f"{negated}exists (select 1 from ({right.sql}) {self.name()} where {b} = {outer}.{a})"]
            )  # fmt: skip
        if self.random.random() < 0.2:
            where = f"({where} or {self.predicate(left)})"
        return Relation(f"select * from ({left.sql}) {outer} where {where}", left.columns)

    def scalar(self, depth: int) -> Relation:
        left, right = self.relation(depth), self.relation(self.random.randint(0, depth))
        made = self.random.choice(["max", "min", "count", "sum"])
        column = self.random.choice(right.of("i") or ["1"])
        inner = f"(select {made}({column}) from ({right.sql}) {self.name()})"
        if self.random.random() < 0.5 and left.of("i"):
            how = self.random.choice(["<", ">=", "=", "<>"])
            where = f" where {self.random.choice(left.of('i'))} {how} {inner}"
            return Relation(f"select * from ({left.sql}) {self.name()}{where}", left.columns)
        return self.select(left, [*left.columns, (inner, "i")])

    def correlated(self, depth: int) -> Relation:
        left, right = self.relation(depth), self.relation(self.random.randint(0, depth))
        pairs = [(a, b) for a, k in left.columns for b, j in right.columns if k == j and k in "is"]
        if not pairs:
            return self.scalar(depth)
        a, b = self.random.choice(pairs)
        outer = self.name()
        made = f"{self.random.choice(['max', 'min', 'count', 'sum'])}({self.random.choice(right.of('i') or ['1'])})"
        inner = f"(select {made} from ({right.sql}) {self.name()} where {b} = {outer}.{a})"
        columns = [(self.name(), k) for _, k in left.columns]
        new = self.name()
        listed = ", ".join(f"{old} as {fresh}" for (old, _), (fresh, _) in zip(left.columns, columns, strict=True))
        return Relation(f"select {listed}, {inner} as {new} from ({left.sql}) {outer}", [*columns, (new, "i")])
