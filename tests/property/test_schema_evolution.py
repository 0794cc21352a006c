"""Random changes of a schema between random rows: every filter finds the rows that a model of Python lists finds.

Files of every age lie in the table, so that pruning by their statistics, which speak of columns as they were, is
tried under every later name, type and place of a column.
"""

import operator
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import tsdb

# type → values; and what it may become, with what becomes of a value
VALUES: dict[str, tuple[Any, ...]] = {
    "TINYINT": (-128, -1, 0, 1, 7, 127),
    "INT": (-(2**31), -5, 0, 3, 300, 2**31 - 1),
    "BIGINT": (-(2**63), -5, 0, 3, 2**40, 2**63 - 1),
    "DOUBLE": (-1.5, 0.0, 2.5, 1e18),
    "VARCHAR(3)": ("", "a", "b", "zzz"),
    "STRING": ("", "a", "m" * 20, "zz", "5", "-7"),
    "BOOLEAN": (True, False),
}


BITS = {"TINYINT": 8, "INT": 32, "BIGINT": 64}
# what a type may become without loss, also by way of a third, which a compaction in between may or may not take
WIDER = {"TINYINT": ("INT", "BIGINT", "STRING"), "INT": ("BIGINT", "STRING"), "BIGINT": ("STRING",),
         "VARCHAR(3)": ("STRING",), "BOOLEAN": ("STRING",)}  # fmt: skip
OTHERS = {"TINYINT": ("BOOLEAN", "DOUBLE"), "INT": ("TINYINT", "BOOLEAN", "DOUBLE"), "BIGINT": ("INT", "TINYINT"),
          "STRING": ("VARCHAR(3)",), "BOOLEAN": ("INT",)}  # fmt: skip


def cast(value: Any, old: str, new: str) -> Any:
    """What a value that was written under one type is under another."""
    if value is None or old == new:
        return value
    if new in BITS:
        bits = BITS[new]
        return (int(value) + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)
    if new == "BOOLEAN":
        return bool(value)
    if new == "DOUBLE":
        return float(value)
    text = ("true" if value else "false") if old == "BOOLEAN" else str(value)
    return text[:3] if new == "VARCHAR(3)" else text


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


@dataclass
class Column:
    name: str
    kind: str


@dataclass
class Model:
    """The table as dicts: a row has for each column, by its id, the value that was written and the type it had then.

    compacted: whether files are rewritten now and then, under the types of that time.
    """

    rng: random.Random
    con: tsdb.Connection
    compacted: bool
    columns: list[Column] = field(default_factory=list)
    rows: dict[int, dict[int, tuple[Any, str]]] = field(default_factory=dict)
    named: int = 0

    def new_column(self) -> Column:
        self.named += 1
        return Column(f"c{self.named}", self.rng.choice(list(VALUES)))

    def insert(self) -> None:
        keys = self.rng.sample(range(40), self.rng.randint(1, 6))
        texts = []
        for key in keys:
            values = {id(c): (self.rng.choice((None, *VALUES[c.kind])), c.kind) for c in self.columns}
            self.rows[key] = values
            texts.append(f"({', '.join([str(key), *(literal(values[id(c)][0], c.kind) for c in self.columns)])})")
        names = ", ".join(["k", *(c.name for c in self.columns)])
        self.con.execute(f"INSERT INTO t ({names}) VALUES {', '.join(texts)}")

    def change(self) -> None:
        column = self.rng.choice(self.columns)
        match self.rng.choice(["add", "drop", "rename", "retype", "retype", "move", "swap names"]):
            case "add":
                new = self.new_column()
                self.con.execute(f"ALTER TABLE t ADD COLUMN {new.name} {new.kind} {self.rng.choice(['FIRST', ''])}")
                self.columns.append(new)
            case "drop" if len(self.columns) > 1:
                self.con.execute(f"ALTER TABLE t DROP COLUMN {column.name}")
                self.columns.remove(column)
                if self.rng.random() < 0.5:  # another of its name, with another id
                    self.con.execute(f"ALTER TABLE t ADD COLUMN {column.name} {column.kind}")
                    self.columns.append(Column(column.name, column.kind))
            case "rename":
                old, column.name = column.name, f"r{self.named}_{column.name}"
                self.con.execute(f"ALTER TABLE t RENAME COLUMN {old} TO {column.name}")
            case "retype":
                kinds = WIDER.get(column.kind, ()) + (() if self.compacted else OTHERS.get(column.kind, ()))
                if kinds:
                    column.kind = self.rng.choice(kinds)
                    self.con.execute(f"ALTER TABLE t MODIFY {column.name} {column.kind}")
            case "move":
                self.con.execute(f"ALTER TABLE t ALTER COLUMN {column.name} FIRST")
            case "swap names":
                other = self.rng.choice(self.columns)
                if other is not column:
                    for old, new in ((column.name, "swapping"), (other.name, column.name), ("swapping", other.name)):
                        self.con.execute(f"ALTER TABLE t RENAME COLUMN {old} TO {new}")
                    column.name, other.name = other.name, column.name

    def value(self, row: dict[int, tuple[Any, str]], column: Column) -> Any:
        return cast(*row.get(id(column), (None, "")), column.kind)

    def check(self) -> None:
        for _ in range(6):
            column = self.rng.choice(self.columns)
            sign, value = self.rng.choice(list(COMPARISONS)), self.rng.choice(VALUES[column.kind])
            test = f"{column.name} {sign} {literal(value, column.kind)}"
            wanted = {k for k, row in self.rows.items() if compare(self.value(row, column), sign, value)}
            if self.rng.random() < 0.25:
                test = f"{column.name} IS NULL"
                wanted = {k for k, row in self.rows.items() if self.value(row, column) is None}
            found = [k for (k,) in self.con.execute(f"SELECT k FROM t WHERE {test}").fetchall()]
            assert sorted(found) == sorted(wanted), test
        everything = {
            k: {id(c): v for c, v in zip(self.columns, values, strict=True)}
            for k, *values in self.con.execute(f"SELECT k, {', '.join(c.name for c in self.columns)} FROM t").fetchall()
        }
        assert everything == {k: {id(c): self.value(row, c) for c in self.columns} for k, row in self.rows.items()}


def compare(value: Any, sign: str, other: Any) -> bool:
    return value is not None and COMPARISONS[sign](value, other)


def literal(value: Any, kind: str) -> str:
    if value is None:
        return "NULL"
    text = "'" + value + "'" if isinstance(value, str) else str(value)
    return f"CAST({text} AS {kind})" if not isinstance(value, bool) else text


@contextmanager
def model(seed: int, folder: Path, form: str) -> Iterator[Model]:
    with tsdb.connect(folder) as con:
        made = Model(random.Random(seed), con, compacted=seed % 2 == 0)
        made.columns = [made.new_column() for _ in range(3)]
        columns = ", ".join(f"{c.name} {c.kind}" for c in made.columns)
        con.execute(
            f"""CREATE TABLE t (k INT, {columns}, PRIMARY KEY (k) NOT ENFORCED)
                WITH ('bucket' = '1', 'file.format' = '{form}', 'write-only' = '{"true" if seed % 2 else "false"}')"""
        )
        yield made


@pytest.mark.parametrize("seed", range(8))
def test_filters_find_what_is_there(seed: int, tmp_path: Path) -> None:
    with model(seed, tmp_path, ("parquet", "parquet", "orc", "avro")[seed % 4]) as made:
        made.insert()
        for _ in range(9):
            made.change()
            if made.rng.random() < 0.7:
                made.insert()
            made.check()


@pytest.mark.parametrize("seed", range(4))
def test_append_tables(seed: int, tmp_path: Path) -> None:
    """Files of an append table are pruned by every column's statistics."""
    with model(1000 + seed, tmp_path, "parquet") as made:
        made.con.execute("DROP TABLE t")
        made.con.execute(f"CREATE TABLE t (k INT, {', '.join(f'{c.name} {c.kind}' for c in made.columns)})")
        for _ in range(9):
            before = dict(made.rows)
            made.insert()
            again = set(before) & {k for k in made.rows if made.rows[k] is not before.get(k)}
            if again:  # an append table keeps what it has
                made.con.execute("CALL sys.rollback_to('default.t', ?)", (snapshots(made.con) - 1,))
                made.rows = before
            if made.rows:
                made.change()
                made.check()


def snapshots(con: tsdb.Connection) -> int:
    return int(con.execute("SELECT max(snapshot_id) FROM t$snapshots").fetchall()[0][0])
