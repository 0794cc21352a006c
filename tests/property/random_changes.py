"""Random INSERT, UPDATE, DELETE and MERGE statements with subqueries, in words that DuckDB and tsdb both read."""

import random
from dataclasses import dataclass

COLUMNS = {"p": "INT", "k": "INT", "v": "INT", "w": "BIGINT", "d": "DOUBLE", "s": "STRING", "b": "BOOLEAN"}
TEXTS = ("", "a", "ab", "A%", "it''s", "é", "日本", "z" * 20)
_FORMATS = ("parquet", "parquet", "parquet", "orc", "avro")


@dataclass(frozen=True)
class Target:
    """A table to be changed. key: no two rows have the same values of these."""

    name: str
    key: tuple[str, ...]
    partitioned: bool
    options: tuple[tuple[str, str], ...]

    def ddl(self) -> str:
        key = f", PRIMARY KEY ({', '.join(self.key)}) NOT ENFORCED" if self.key else ""
        by = " PARTITIONED BY (p)" if self.partitioned else ""
        options = ", ".join(f"'{name}' = '{value}'" for name, value in self.options)
        listed = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        return f"CREATE TABLE {self.name} ({listed}{key}){by} WITH ({options})"


def random_target(chance: random.Random, name: str) -> Target:
    """A table of some kind."""
    partitioned = chance.random() < 0.4
    options = {"file.format": chance.choice(_FORMATS)}
    if chance.random() < 0.35:  # no primary key
        if chance.random() < 0.3:
            options |= {"bucket": "2", "bucket-key": chance.choice(["k", "s", "w"])}
        elif chance.random() < 0.4:
            options["deletion-vectors.enabled"] = "true"
        return Target(name, (), partitioned, tuple(options.items()))
    options["bucket"] = chance.choice(["1", "1", "2", "3", "-1"])
    options["changelog-producer"] = chance.choice(["none", "none", "input", "lookup", "full-compaction"])
    options["num-sorted-run.compaction-trigger"] = chance.choice(["2", "3", "5"])
    if chance.random() < 0.3 and options["changelog-producer"] in ("none", "lookup"):
        options["deletion-vectors.enabled"] = "true"
    return Target(name, ("p", "k") if partitioned else ("k",), partitioned, tuple(options.items()))


class RandomChanges:
    """Random statements; the same seed gives the same ones. Keys are never NULL in `t`, and unique in `s`."""

    def __init__(self, chance: random.Random, target: Target) -> None:
        self.chance = chance
        self.target = target

    # --- expressions; `of` is the alias of the row

    def value(self, kind: str, of: str) -> str:
        """An expression of the type: a constant, a column or a computation."""
        pick = self.chance.random()
        column = self.chance.choice([name for name, other in COLUMNS.items() if other == kind])
        if pick < 0.35:
            return self.constant(kind)
        if pick < 0.55:
            return f"{of}.{column}"
        if pick < 0.7:
            return f"CASE WHEN {self.condition(of, 0)} THEN {of}.{column} ELSE {self.constant(kind)} END"
        if pick < 0.8:
            return f"COALESCE({of}.{column}, {self.constant(kind)})"
        if pick < 0.88:
            inner = self.alias()
            joined = f"{inner}.k = {of}.k" if self.chance.random() < 0.7 else f"{inner}.v > {of}.v"
            return f"(SELECT max({inner}.{column}) FROM {self.table()} AS {inner} WHERE {joined})"
        return {
            "INT": f"({of}.v % 100 + {of}.p)",
            "BIGINT": f"({of}.w % 1000 * 2 - {of}.k)",
            "DOUBLE": f"abs({of}.d)",
            "STRING": f"upper(substr({of}.s || 'x', 1, 3))",
            "BOOLEAN": f"({of}.v > {of}.k)",
        }[kind]

    def constant(self, kind: str) -> str:
        if self.chance.random() < 0.15:
            return f"CAST(NULL AS {kind})"
        return {
            "INT": str(self.chance.randint(-2, 12)),
            "BIGINT": str(self.chance.choice([0, 1, -5, 2**40, 2**62])),
            "DOUBLE": f"CAST({self.chance.choice(['0.5', '-2.25', '0', '1e300'])} AS DOUBLE)",
            "STRING": f"'{self.chance.choice(TEXTS)}'",
            "BOOLEAN": self.chance.choice(["TRUE", "FALSE"]),
        }[kind]

    def condition(self, of: str, depth: int = 1) -> str:
        pick = self.chance.random()
        if depth and pick < 0.2:
            word = self.chance.choice([" AND ", " OR "])
            return f"({self.condition(of, 0)}{word}{self.condition(of, 0)})"
        if depth and pick < 0.28:
            return f"NOT ({self.condition(of, 0)})"
        if depth and pick < 0.6:
            return self.subquery(of)
        name, kind = self.chance.choice(list(COLUMNS.items()))
        if pick > 0.92:
            return f"{of}.{name} IS {self.chance.choice(['', 'NOT '])}NULL"
        if kind == "STRING" and pick > 0.8:
            return f"{of}.s LIKE '{self.chance.choice(['a%', '%b', '_', '%''%'])}'"
        if kind == "BOOLEAN":
            return self.chance.choice([f"{of}.b", f"NOT {of}.b", f"{of}.b IS NOT TRUE"])
        sign = self.chance.choice(["=", "<", ">=", "<>", "IS DISTINCT FROM"])
        return f"{of}.{name} {sign} {self.constant(kind)}"

    def subquery(self, of: str) -> str:
        inner, table = self.alias(), self.table()
        where = f"{inner}.v >= {self.chance.randint(-1, 8)}"
        return self.chance.choice(
            [
                f"{of}.k IN (SELECT {inner}.k FROM {table} AS {inner} WHERE {where})",
                f"{of}.v NOT IN (SELECT {inner}.v FROM {table} AS {inner} WHERE {where})",
                f"EXISTS (SELECT 1 FROM {table} AS {inner} WHERE {inner}.k = {of}.k AND {where})",
                f"NOT EXISTS (SELECT 1 FROM {table} AS {inner} WHERE {inner}.k = {of}.k AND {inner}.v > {of}.v)",
                f"{of}.v > (SELECT avg(CAST({inner}.v AS DOUBLE)) FROM {table} AS {inner})",
                f"{of}.w = (SELECT max({inner}.w) FROM {table} AS {inner} WHERE {inner}.p = {of}.p)",
            ]
        )

    def alias(self) -> str:
        return f"q{self.chance.randrange(1000)}"

    def table(self) -> str:
        return self.chance.choice(["s", "t"])

    # --- statements

    def rows(self, count: int, *, keys: range = range(14)) -> list[str]:
        """Rows of VALUES; no key twice."""
        picked = self.chance.sample(keys, min(count, len(keys)))
        places = [self.chance.randint(0, 2) for _ in picked]
        kinds = list(COLUMNS.values())[2:]
        return [
            f"({p}, {k}, {', '.join(self.constant(kind) for kind in kinds)})"
            for p, k in zip(places, picked, strict=True)
        ]

    def update(self) -> str:
        free = [name for name in COLUMNS if name not in self.target.key]
        named = self.chance.sample(free, self.chance.choice([1, 1, 2, 3]))
        alias = self.chance.choice(["", " AS x"])
        of = "x" if alias else "t"
        listed = ", ".join(f"{name} = {self.value(COLUMNS[name], of)}" for name in named)
        where = f" WHERE {self.condition(of)}" if self.chance.random() < 0.9 else ""
        return f"UPDATE t{alias} SET {listed}{where}"

    def delete(self) -> str:
        return f"DELETE FROM t WHERE {self.condition('t')}"

    def select(self) -> str:
        """Rows of `s` as they may be inserted: their keys stay different."""
        listed = [self.chance.choice([f"s.{name}", self.value(kind, "s")]) for name, kind in COLUMNS.items()]
        listed[0] = "COALESCE(s.p, 0)" if self.target.key else listed[0]
        listed[1] = f"s.k + {self.chance.choice([0, 0, 3])}" if self.target.key else listed[1]
        return f"SELECT {', '.join(listed)} FROM s WHERE {self.condition('s')}"

    def merge(self) -> str:
        """Each row of `t` meets at most one of `s`."""
        on = " AND ".join(f"t.{name} = s.{name}" for name in self.target.key or ("k",))
        if not self.target.key and self.chance.random() < 0.4:
            on += f" AND {self.condition('s', 0)}"
        clauses = self.clauses("MATCHED", [0, 1, 1, 2], ("t", "s"), "s")
        if self.chance.random() < 0.7:
            clauses.append(f"WHEN NOT MATCHED{self.further('s')} THEN {self.inserted()}")
        clauses += self.clauses("NOT MATCHED BY SOURCE", [0, 0, 1, 2], ("t",), "t")
        clauses = clauses or ["WHEN MATCHED THEN DELETE"]
        source = self.chance.choice(["s", f"(SELECT * FROM s WHERE {self.condition('s')}) AS s"])
        return f"MERGE INTO t USING {source} ON {on} {' '.join(clauses)}"

    def clauses(self, when: str, counts: list[int], of: tuple[str, ...], other: str) -> list[str]:
        """None stands behind one without a condition, which would leave it nothing."""
        found = []
        for _ in range(self.chance.choice(counts)):
            further = self.further(*of)
            found.append(f"WHEN {when}{further} THEN {self.matched(other)}")
            if not further:
                break
        return found

    def further(self, *of: str) -> str:
        return f" AND {self.condition(self.chance.choice(of), 0)}" if self.chance.random() < 0.6 else ""

    def matched(self, other: str) -> str:
        if self.chance.random() < 0.35:
            return "DELETE"
        free = [name for name in COLUMNS if name not in self.target.key and name != "p"]
        named = self.chance.sample(free, self.chance.choice([1, 2]))
        sides = ("t", other)
        return "UPDATE SET " + ", ".join(
            f"{name} = {self.flat(COLUMNS[name], self.chance.choice(sides))}" for name in named
        )

    def inserted(self) -> str:
        named = list(COLUMNS)[: self.chance.choice([2, 4, 7])]
        values = [f"s.{name}" if name in ("p", "k") else self.flat(COLUMNS[name], "s") for name in named]
        return f"INSERT ({', '.join(named)}) VALUES ({', '.join(values)})"

    def flat(self, kind: str, of: str) -> str:
        """An expression without a subquery."""
        while "SELECT" in (found := self.value(kind, of)):
            pass
        return found
