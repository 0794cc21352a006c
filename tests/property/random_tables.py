"""Random schemas, values and filters, as SQL that DuckDB and tsdb both read."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

INTEGERS = {"TINYINT": 7, "SMALLINT": 15, "INT": 31, "BIGINT": 63}
"""Integer types and how many bits their values have beside the sign."""


@dataclass(frozen=True)
class Kind:
    """A column type. values: texts between which the quotes of a cast stand; near: constants of other types that a
    filter may compare with.
    """

    name: str
    values: tuple[str, ...]
    near: tuple[str, ...] = ()
    duck: str = ""

    def literal(self, text: str | None) -> str:
        """The constant of one of the values, in words that mean the same to both."""
        if text is None:
            return "NULL"
        if self.name == "STRING" or self.name.startswith("VARCHAR"):
            return "'" + text.replace("'", "''") + "'"
        if self.name in INTEGERS or self.name == "BOOLEAN":
            return text
        if self.name == "BYTES":
            return f"X'{text}'"
        return f"CAST('{text}' AS {self.name})"


def _integer(name: str) -> Kind:
    bits = INTEGERS[name]
    few = tuple(str(n) for n in (-2, -1, 0, 1, 2, 3, 5, 8, 2**bits - 1, -(2**bits) + 1, 2**bits - 2))
    near = tuple(str(n) for n in (1.5, -0.5, 300, 40_000, -70_000, 2**31, -(2**31) - 1, 2**40))
    return Kind(name, few, near)


TEXTS = (
    *("", "a", "b", "ab", "abc", "A", "a%b", "a_b", "it's", "é", "ß", "日本", "😀", "zz", " ", "a ", "\\", "\n"),
    *("a" * 16, "a" * 17, "a" * 16 + "b", "\U0010ffff" * 17),
)
PATTERNS = ("a%", "%", "", "a_b%", "%b", "_", "日%", "aaaaaaaaaaaaaaaa%", "a", "\U0010ffff%", "é%", "a%b")
MOMENTS = ("1970-01-01 00:00:00", "0001-01-01 00:00:00", "9999-12-31 23:59:59", "2024-03-01 00:00:00")
DAYS = ("1970-01-01", "2024-02-29", "0001-01-01", "9999-12-31", "1969-12-31", "2024-03-01")
FLOATS = ("0", "1", "-1", "0.5", "2.5", "nan", "inf", "-inf")

KINDS = (
    *(_integer(name) for name in INTEGERS),
    Kind("BOOLEAN", ("TRUE", "FALSE")),
    Kind("FLOAT", (*FLOATS, "3.4028234e38", "-3.4028234e38", "1e-45"), ("0", "1", "7")),
    Kind("DOUBLE", (*FLOATS, "0.1", "1.7e308", "-1.7e308", "5e-324"), ("0", "1", "7")),
    Kind("DECIMAL(5, 2)", ("0.00", "1.00", "-1.00", "0.01", "999.99", "-999.99"), ("0", "1", "12.345", "5000")),
    Kind("DECIMAL(38, 10)", ("0", "1.5", "-1.5", "9" * 28 + "." + "9" * 10, "-" + "9" * 28), ("1", "1.5", "0")),
    Kind("STRING", TEXTS),
    Kind("VARCHAR(5)", ("", "a", "ab", "abcde", "b", "日本語日本", "zzzzz", "aé")),
    Kind("BYTES", ("", "00", "61", "6162", "FF", "FFFF", "00FF" * 10)),
    Kind("DATE", DAYS),
    Kind("TIME(3)", ("00:00:00", "23:59:59.999", "12:00:00", "12:00:00.001"), duck="TIME"),
    Kind("TIMESTAMP(3)", (*MOMENTS, "2024-02-29 23:59:59.999", "1969-12-31 23:59:59.999"), duck="TIMESTAMP"),
    Kind("TIMESTAMP(6)", (*MOMENTS, "2024-02-29 23:59:59.999999", "0001-01-01 00:00:00.000001"), duck="TIMESTAMP"),
)

KEYS = tuple(kind for kind in KINDS if kind.name not in ("FLOAT", "DOUBLE"))
PARTITIONS = tuple(
    k for k in KINDS if k.name in ("TINYINT", "INT", "BIGINT", "BOOLEAN", "STRING", "VARCHAR(5)", "DATE")
)


@dataclass
class Table:
    """A table to be: its columns in order, and what is made of them."""

    name: str
    columns: dict[str, Kind]
    keys: tuple[str, ...]
    partitions: tuple[str, ...]
    options: dict[str, str] = field(default_factory=dict)

    def ddl(self) -> str:
        """CREATE TABLE for tsdb."""
        items = [f"{name} {kind.name}" for name, kind in self.columns.items()]
        if self.keys:
            items.append(f"PRIMARY KEY ({', '.join(self.keys)}) NOT ENFORCED")
        partitioned = f" PARTITIONED BY ({', '.join(self.partitions)})" if self.partitions else ""
        listed = ", ".join(f"'{k}' = '{v}'" for k, v in self.options.items())
        return f"CREATE TABLE {self.name} ({', '.join(items)}){partitioned}" + (f" WITH ({listed})" if listed else "")

    def duck_ddl(self) -> str:
        """CREATE TABLE for DuckDB, without its own primary key: floats and deletes in one transaction confuse it."""
        types = {"STRING": "VARCHAR", "BYTES": "BLOB"}
        items = [f"{n} {k.duck or types.get(k.name, k.name)}" for n, k in self.columns.items()]
        return f"CREATE TABLE {self.name} ({', '.join(items)})"


def random_table(chance: random.Random, name: str) -> Table:
    """A table of 2 to 7 columns; half of them have a primary key, a third partitions."""
    width = chance.randint(2, 7)
    columns = {f"c{i}": chance.choice(KINDS) for i in range(width)}
    keyed, partitioned = chance.random() < 0.6, chance.random() < 0.35
    partitions: tuple[str, ...] = ()
    if partitioned:
        partitions = tuple(chance.sample(sorted(columns), chance.choice([1, 1, 2]) if width > 2 else 1))
        columns |= {name: chance.choice(PARTITIONS) for name in partitions}
    keys: tuple[str, ...] = ()
    options: dict[str, str] = {"num-sorted-run.compaction-trigger": str(chance.choice([2, 3, 5]))}
    if keyed:
        others = [c for c in columns if c not in partitions]
        own = chance.sample(others, min(len(others), chance.choice([1, 1, 2]))) or list(partitions)[:1]
        columns |= {name: chance.choice(KEYS) for name in own if name not in partitions}
        keys = (*partitions, *(c for c in own if c not in partitions))
        options["bucket"] = str(chance.choice([1, 1, 2, 5]))
        options["changelog-producer"] = chance.choice(["none", "none", "input"])
    elif chance.random() < 0.4:
        options |= {"bucket": str(chance.choice([1, 3])), "bucket-key": chance.choice(
            [c for c in columns if c not in partitions and columns[c] in KEYS] or [""])}  # fmt: skip
        if not options["bucket-key"]:
            del options["bucket"], options["bucket-key"]
    if chance.random() < 0.3:
        options["write-only"] = "true"
    if chance.random() < 0.5:
        options["target-file-size"] = chance.choice(["1 kb", "4 kb"])
    if chance.random() < 0.3:
        options["metadata.stats-mode"] = chance.choice(["none", "counts", "truncate(2)", "full"])
    return Table(name, columns, keys, partitions, options)


def random_row(chance: random.Random, table: Table) -> tuple[str | None, ...]:
    """A row as texts; None is NULL, which no key is."""
    return tuple(
        None if name not in table.keys and chance.random() < 0.2 else chance.choice(kind.values)
        for name, kind in table.columns.items()
    )


def random_filter(chance: random.Random, columns: dict[str, Kind]) -> str:
    """A condition on the columns, given as SQL names with their kinds.

    With one list only: of two lists without a common value, DataFusion says that `x IN … AND x IN …` is FALSE, also
    where x is NULL, and a NOT before it finds that row.
    """
    while (text := _condition(chance, columns, 2)).count(" IN (") > 1:
        pass
    return text


def _condition(chance: random.Random, columns: dict[str, Kind], depth: int) -> str:
    if depth and chance.random() < 0.5:
        parts = [_condition(chance, columns, depth - 1) for _ in range(chance.choice([1, 2, 2, 3]))]
        joined = f" {chance.choice(['AND', 'OR'])} ".join(f"({part})" for part in parts)
        return f"NOT ({joined})" if chance.random() < 0.2 else joined
    name, kind = chance.choice(sorted(columns.items(), key=lambda item: item[0]))
    return chance.choice(_CONDITIONS)(chance, name, kind)


def _constant(chance: random.Random, kind: Kind) -> str:
    if kind.near and chance.random() < 0.3:
        return chance.choice(kind.near)
    return kind.literal(chance.choice(kind.values))


def _compare(chance: random.Random, name: str, kind: Kind) -> str:
    operator = chance.choice(["=", "=", "<>", "<", "<=", ">", ">="])
    constant = _constant(chance, kind)
    return f"{name} {operator} {constant}" if chance.random() < 0.8 else f"{constant} {operator} {name}"


def _between(chance: random.Random, name: str, kind: Kind) -> str:
    word = chance.choice(["BETWEEN", "BETWEEN", "NOT BETWEEN"])
    return f"{name} {word} {_constant(chance, kind)} AND {_constant(chance, kind)}"


def _in(chance: random.Random, name: str, kind: Kind) -> str:
    constants = [_constant(chance, kind) for _ in range(chance.randint(1, 5))]
    if chance.random() < 0.1:
        constants.append("NULL")
    return f"{name} {chance.choice(['IN', 'IN', 'NOT IN'])} ({', '.join(constants)})"


def _null(chance: random.Random, name: str, kind: Kind) -> str:
    return f"{name} IS {chance.choice(['', 'NOT '])}NULL"


def _distinct(chance: random.Random, name: str, kind: Kind) -> str:
    return f"{name} IS {chance.choice(['', 'NOT '])}DISTINCT FROM {_constant(chance, kind)}"


def _like(chance: random.Random, name: str, kind: Kind) -> str:
    if kind.name != "STRING" and not kind.name.startswith("VARCHAR"):
        return _compare(chance, name, kind)
    pattern = chance.choice(PATTERNS)
    return f"{name} {chance.choice(['', '', 'NOT '])}LIKE '{pattern}'"


def _expression(chance: random.Random, name: str, kind: Kind) -> str:
    if kind.name == "BOOLEAN":
        return chance.choice([name, f"NOT {name}", f"{name} IS TRUE", f"{name} IS NOT FALSE"])
    if kind.name in INTEGERS:
        return chance.choice([f"CAST({name} AS DOUBLE) / 2 > 1", f"{name} % 2 = 0", f"CAST({name} AS STRING) = '1'"])
    return f"coalesce({name}, {kind.literal(chance.choice(kind.values))}) = {kind.literal(chance.choice(kind.values))}"


_CONDITIONS: tuple[Callable[[random.Random, str, Kind], str], ...] = (
    _compare, _compare, _compare, _compare, _between, _in, _in, _null, _distinct, _like, _expression,
)  # fmt: skip


def random_query(chance: random.Random, tables: list[Table]) -> str:
    """A SELECT over one or two of the tables that leaves no choice between ties."""
    table = chance.choice(tables)
    names = list(table.columns)
    where = random_filter(chance, table.columns)
    some = chance.sample(names, chance.randint(1, len(names)))
    order = ", ".join(f"{c} {chance.choice(['ASC', 'DESC'])} NULLS {chance.choice(['FIRST', 'LAST'])}" for c in names)
    shapes = [
        f"SELECT * FROM {table.name} WHERE {where}",
        f"SELECT {', '.join(some)} FROM {table.name} WHERE {where}",
        f"SELECT count(*) FROM {table.name} WHERE {where}",
        f"SELECT * FROM {table.name} WHERE {where} ORDER BY {order} LIMIT {chance.randint(0, 6)}",
        f"SELECT {some[0]}, count(*) FROM {table.name} WHERE {where} GROUP BY {some[0]}",
        f"SELECT DISTINCT {', '.join(some)} FROM {table.name} WHERE {where}",
        f"SELECT min({some[0]}), max({some[0]}), count({some[0]}) FROM {table.name} WHERE {where}",
        f"SELECT x.* FROM (SELECT * FROM {table.name} WHERE {where}) x WHERE {random_filter(chance, table.columns)}",
        f"WITH w AS (SELECT * FROM {table.name}) SELECT count(*) FROM w WHERE {where} UNION ALL SELECT count(*) FROM w "
        f"WHERE {random_filter(chance, table.columns)}",
    ]
    other = chance.choice(tables)
    pairs = [(a, b) for a in table.columns for b in other.columns if table.columns[a] == other.columns[b]]
    if pairs:
        a, b = chance.choice(pairs)
        on = f"l.{a} = r.{b}"
        left = {f"l.{name}": kind for name, kind in table.columns.items()}
        right = {f"r.{name}": kind for name, kind in other.columns.items()}
        join = chance.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
        shapes += [
            f"SELECT count(*), count(l.{a}), count(r.{b}) FROM {table.name} l {join} {other.name} r ON {on} "
            f"WHERE {random_filter(chance, left | right)}",
            f"SELECT l.* FROM {table.name} l WHERE l.{a} IN (SELECT r.{b} FROM {other.name} r WHERE "
            f"{random_filter(chance, right)})",
            f"SELECT l.* FROM {table.name} l WHERE {chance.choice(['', 'NOT '])}EXISTS (SELECT 1 FROM {other.name} r "
            f"WHERE {on} AND ({random_filter(chance, right)}))",
            f"SELECT l.{a}, (SELECT count(*) FROM {other.name} r WHERE {on} AND ({random_filter(chance, right)})) "
            f"FROM {table.name} l WHERE {random_filter(chance, left)}",
            f"SELECT l.* FROM {table.name} l WHERE l.{a} = (SELECT max(r.{b}) FROM {other.name} r)",
        ]
    return chance.choice(shapes)
