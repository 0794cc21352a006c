"""Tables of random kinds, written in turns by Paimon Java and here: after every step both read the same rows.

`python tests/interop/test_random_tables.py FIRST LAST` tries more seeds by hand and goes on after a failure.
"""

import random
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from judge import PaimonJava, in_order, plain_rows

import tsdb

ENGINES = ("append", "deduplicate", "deduplicate", "first-row", "aggregation", "partial-update")
AGGREGATES = {
    "n": ("sum", "max", "min", "last_value", "last_non_null_value", "first_value", "product", "first_non_null_value"),
    "s": ("max", "min", "last_value", "last_non_null_value", "listagg", "first_value", "first_non_null_value"),
    "x": ("sum", "max", "last_non_null_value"),
}
RETRACTABLE = ("sum", "product", "last_value", "last_non_null_value")
STEPS = 7


@dataclass
class Kind:
    """A random kind of table. deletes: rows may be deleted from it."""

    engine: str
    partitioned: str
    options: dict[str, str] = field(default_factory=dict)
    deletes: bool = True

    @property
    def ddl(self) -> str:
        """CREATE TABLE."""
        key = {"no": "k", "yes": "p, k", "cross": "k"}[self.partitioned]
        primary = "" if self.engine == "append" else f", PRIMARY KEY ({key}) NOT ENFORCED"
        partition = "" if self.partitioned == "no" else " PARTITIONED BY (p)"
        options = ", ".join(f"'{key}' = '{value}'" for key, value in self.options.items())
        columns = "k INT, p STRING, n INT, s STRING, x DECIMAL(10, 2), q INT"
        return f"CREATE TABLE t ({columns}{primary}){partition} WITH ({options})"


def random_kind(chance: random.Random) -> Kind:
    """Any combination that Paimon takes."""
    kind = Kind(chance.choice(ENGINES), chance.choice(["no", "no", "yes", "yes", "cross"]))
    options = kind.options
    if kind.engine == "append":
        kind.partitioned = "yes" if kind.partitioned == "cross" else kind.partitioned
        options["bucket"] = chance.choice(["-1", "-1", "2"])
        if options["bucket"] != "-1":
            options["bucket-key"] = "k"
        if options["bucket"] == "-1" and chance.random() < 0.4:
            options["deletion-vectors.enabled"] = "true"
    else:
        if kind.partitioned == "cross" and kind.engine in ("aggregation", "partial-update"):
            kind.partitioned = "yes"
        options["bucket"] = "-1" if kind.partitioned == "cross" else chance.choice(["1", "2", "2", "-1"])
        _engine(kind, chance)
    options["file.format"] = chance.choice(["parquet", "parquet", "parquet", "orc", "avro"])
    if chance.random() < 0.3:
        options["num-sorted-run.compaction-trigger"] = chance.choice(["2", "3"])
    if chance.random() < 0.2:
        options["metadata.stats-mode"] = chance.choice(["full", "none", "counts"])
    return kind


def _engine(kind: Kind, chance: random.Random) -> None:
    options, engine = kind.options, kind.engine
    options["merge-engine"] = engine
    producers = {
        "deduplicate": ["none", "input", "lookup", "full-compaction"],
        "first-row": ["none", "lookup"],
        "aggregation": ["none", "lookup", "full-compaction"],
        "partial-update": ["none", "lookup", "full-compaction"],
    }
    options["changelog-producer"] = chance.choice(producers[engine])
    if engine == "deduplicate" and options["changelog-producer"] in ("none", "lookup") and chance.random() < 0.4:
        options["deletion-vectors.enabled"] = "true"
        if chance.random() < 0.3:
            options["deletion-vectors.bitmap64"] = "true"
    if engine == "first-row":
        options["ignore-delete"] = "true"
        kind.deletes = False
    if engine == "aggregation":
        for name, functions in AGGREGATES.items():
            options[f"fields.{name}.aggregate-function"] = chance.choice(functions)
        kind.deletes = all(options[f"fields.{name}.aggregate-function"] in RETRACTABLE for name in AGGREGATES)
    if engine == "partial-update":
        kind.deletes = False
        how = chance.choice(["ignore", "group", "group", "remove"])
        if how == "ignore":
            options["ignore-delete"] = "true"
        elif how == "remove":
            options["partial-update.remove-record-on-delete"] = "true"
            kind.deletes = True
        else:
            options["fields.q.sequence-group"] = chance.choice(["n", "n,s", "s,x"])
            kind.deletes = True
    if engine in ("deduplicate", "aggregation") and kind.partitioned != "cross" and chance.random() < 0.3:
        options["sequence.field"] = "q"
        if chance.random() < 0.3:
            options["sequence.field.sort-order"] = "descending"


class Game:
    """One table and the steps on it."""

    def __init__(self, seed: int, warehouse: Path, java: PaimonJava) -> None:
        self.chance = random.Random(seed)
        self.kind = random_kind(self.chance)
        self.warehouse, self.java = warehouse, java
        self.log = [self.kind.ddl]
        self.identifier = 0

    def play(self) -> None:
        """Create, then some steps, each checked."""
        with tsdb.connect(self.warehouse) as con:
            con.execute(self.kind.ddl)
            for _ in range(STEPS):
                self.step(con)
                mine = plain_rows(con.execute("SELECT * FROM t"))
                theirs = in_order(self.java.read(self.warehouse, "default.t"))
                assert mine == theirs, "\n".join([*self.log, f"ours {mine}", f"java {theirs}"])

    def step(self, con: tsdb.Connection) -> None:
        """One random change by one of both."""
        roll = self.chance.random()
        if roll < 0.4:
            rows = ", ".join(f"({', '.join(map(_sql, row))})" for row in self.rows())
            self.run(con, f"INSERT INTO t VALUES {rows}")
        elif roll < 0.7:
            self.java_writes()
        elif roll < 0.8:
            self.run(con, f"DELETE FROM t WHERE k % 4 = {self.chance.randrange(4)}")
        elif roll < 0.9:
            self.run(con, "CALL sys.compact('default.t')")
        elif self.kind.options["bucket"] != "-1" or self.kind.engine != "append":
            self.log.append("Java compacts")
            self.java.compact(self.warehouse, "default.t")

    def java_writes(self) -> None:
        """Rows of random kinds, where the table takes them and Java can place them."""
        if self.kind.partitioned == "cross":
            return
        kinds = ["+I", "+I", "+I", "-D"] if self.kind.deletes and self.kind.engine != "append" else ["+I"]
        rows = [[self.chance.choice(kinds), *row] for row in self.rows()]
        more = {"bucket": 0} if self.kind.engine == "append" and self.kind.options["bucket"] == "-1" else {}
        self.log.append(f"Java writes {rows}")
        self.identifier += 1
        self.java.write(self.warehouse, "default.t", rows, identifier=self.identifier, **more)

    def run(self, con: tsdb.Connection, sql: str) -> None:
        """A statement of ours; one that is refused changes nothing."""
        self.log.append(sql)
        try:
            con.execute(sql)
        except tsdb.NotSupportedError as refusal:
            self.log.append(f"refused: {refusal}")

    def rows(self) -> list[list[Any]]:
        """Some rows."""
        chance = self.chance
        rows = []
        for _ in range(chance.choice([1, 3, 12, 40])):
            key = chance.randrange(24)
            partition = (
                "ab"[key % 2] if self.kind.partitioned == "yes" and chance.random() < 0.9 else chance.choice("ab")
            )
            row = [
                key,
                partition,
                chance.choice([None, *range(-3, 9)]),
                chance.choice([None, "x", "yy", "a longer text"]),
                chance.choice([None, "1.50", "-2.25", "0.00"]),
                chance.choice([None, 1, 2, 3, 4, 5]),
            ]
            rows.append(row)
        return rows


def _sql(value: Any) -> str:
    is_number = isinstance(value, str) and value[-1].isdigit()  # a decimal
    return "NULL" if value is None else value if is_number else repr(value)


@pytest.mark.judged("random kinds of tables, written in turns", "Paimon Java", "reads", "writes")
@pytest.mark.judged("changelog producer `lookup`", "Paimon Java", "reads", "writes")
@pytest.mark.judged("changelog producer `full-compaction`", "Paimon Java", "reads", "writes")
@pytest.mark.judged("data files in ORC and Avro", "Paimon Java", "reads", "writes")
@pytest.mark.parametrize("seed", range(24))
def test_both_read_the_same(seed: int, tmp_path: Path, java: PaimonJava) -> None:
    Game(seed, tmp_path, java).play()


def main() -> None:
    """Seeds FIRST to LAST; every failure is printed."""
    java = PaimonJava()
    failures = 0
    for seed in range(int(sys.argv[1]), int(sys.argv[2])):
        with tempfile.TemporaryDirectory() as folder:
            game = Game(seed, Path(folder), java)
            try:
                game.play()
            except Exception as err:
                failures += 1
                print(f"--- seed {seed}: {type(err).__name__}: {err}")
                if not isinstance(err, AssertionError) or "\n" not in str(err):
                    print("\n".join(game.log))
    print(f"{failures} failures")
    java.close()


if __name__ == "__main__":
    main()
