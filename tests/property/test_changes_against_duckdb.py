"""Random INSERT, INSERT OVERWRITE, UPDATE, DELETE and MERGE with subqueries on random kinds of tables: rows and counts
are DuckDB's.

`python -m tests.property.test_changes_against_duckdb FIRST LAST` runs more seeds by hand.
"""

import random
import sys
import tempfile
from pathlib import Path

import duckdb
import pytest

import tsdb

from .random_changes import COLUMNS, RandomChanges, random_target
from .test_batch_against_duckdb import bag

STEPS = 12


class Histories:
    """The same history in tsdb and in DuckDB, whose tables have no keys."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.folder = folder
        self.con = tsdb.connect(str(folder))
        self.duck = duckdb.connect()
        self.log: list[str] = []
        self.target = random_target(self.chance, "t")
        self.changes = RandomChanges(self.chance, self.target)
        listed = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        self.ours(self.target.ddl())
        self.ours(f"CREATE TABLE s ({listed}, PRIMARY KEY (k) NOT ENFORCED)")
        for name in ("t", "s"):
            self.duck.execute(f"CREATE TABLE {name} ({listed})")
        self.put("s", ("k",), f"VALUES {', '.join(self.changes.rows(8))}")
        self.insert()

    def ours(self, text: str) -> int:
        self.log.append(text)
        return self.con.execute(text).rowcount

    def step(self) -> None:
        """A few new rows of `s`, then one change of `t`."""
        if self.chance.random() < 0.5:
            self.put("s", ("k",), f"VALUES {', '.join(self.changes.rows(self.chance.choice([1, 4, 9])))}")
        change = self.chance.choice(
            [self.insert, self.insert_named, self.select, self.overwrite, self.changed, self.changed, self.changed,
             self.changed, self.maintain]
        )  # fmt: skip
        change()

    def put(self, table: str, key: tuple[str, ...], source: str, columns: tuple[str, ...] = tuple(COLUMNS)) -> None:
        """INSERT INTO: in a table with a key the new row replaces the one that was there."""
        count = self.ours(f"INSERT INTO {table} ({', '.join(columns)}) {source}")
        self.duck.execute(f"CREATE OR REPLACE TEMP TABLE new AS FROM ({source}) AS r({', '.join(columns)})")
        if key:
            same = " AND ".join(f"{table}.{name} = new.{name}" for name in key)
            self.duck.execute(f"DELETE FROM {table} WHERE EXISTS (SELECT 1 FROM new WHERE {same})")
        inserted = self.duck.execute(f"INSERT INTO {table} ({', '.join(columns)}) FROM new").fetchall()
        assert count == inserted[0][0], f"{count} rows, DuckDB {inserted[0][0]}"

    def insert(self) -> None:
        self.put("t", self.target.key, f"VALUES {', '.join(self.changes.rows(self.chance.choice([1, 5, 12])))}")

    def insert_named(self) -> None:
        """A list of columns in another order; the others are NULL."""
        named = (*self.chance.sample(list(COLUMNS)[2:], 2), "k", "p")
        row = [self.changes.constant(COLUMNS[name]) for name in named[:2]]
        keys = [str(self.chance.randint(0, 13)), str(self.chance.randint(0, 2))]
        self.put("t", self.target.key, f"VALUES ({', '.join(row + keys)})", named)

    def select(self) -> None:
        self.put("t", self.target.key, self.changes.select())

    def overwrite(self) -> None:
        """Of the partitions that get rows, of one that is named, or of the table."""
        source = self.changes.select()
        gone = "TRUE"
        if self.target.partitioned and self.chance.random() < 0.4:
            place = self.chance.randint(0, 2)
            parts = f"SELECT {', '.join(list(COLUMNS)[1:])} FROM ({source}) AS r({', '.join(COLUMNS)})"
            self.ours(f"INSERT OVERWRITE t PARTITION (p = {place}) {parts}")
            source = f"SELECT {place}, {', '.join(list(COLUMNS)[1:])} FROM ({source}) AS r({', '.join(COLUMNS)})"
            gone = f"p = {place}"
        else:
            self.ours(f"INSERT OVERWRITE t {source}")
            if self.target.partitioned:
                gone = "EXISTS (SELECT 1 FROM new WHERE new.p IS NOT DISTINCT FROM t.p)"
        self.duck.execute(f"CREATE OR REPLACE TEMP TABLE new AS FROM ({source}) AS r({', '.join(COLUMNS)})")
        self.duck.execute(f"DELETE FROM t WHERE {gone}")
        self.duck.execute("INSERT INTO t FROM new")

    def changed(self) -> None:
        """UPDATE, DELETE or MERGE."""
        make = self.chance.choice([self.changes.update, self.changes.delete, self.changes.merge, self.changes.merge])
        text = make()
        expected = self.duck.execute(text).fetchall()[0][0]
        count = self.ours(text)
        assert count == expected, f"{count} rows changed, DuckDB {expected}"

    def maintain(self) -> None:
        """What changes no row."""
        if self.chance.random() < 0.5:
            self.ours("CALL sys.compact('default.t')")
        else:
            self.con.close()
            self.con = tsdb.connect(str(self.folder))

    def check(self) -> None:
        for query in ("SELECT * FROM t", f"SELECT count(*), min(v), max(s) FROM t WHERE {self.changes.condition('t')}"):
            self.log.append(query)
            found, expected = bag(self.con.execute(query).fetchall()), bag(self.duck.execute(query).fetchall())
            assert found == expected, f"{query}\n  got  {found}\n  want {expected}"


def run(folder: Path, seed: int) -> None:
    """One random history; every table is compared after every statement."""
    pair = Histories(folder, seed)
    try:
        for _ in range(STEPS):
            pair.step()
            pair.check()
    except Exception as err:
        history = ";\n".join(pair.log)
        raise AssertionError(f"seed {seed}: {type(err).__name__}: {err}\n--- history\n{history};") from err
    finally:
        pair.con.close()
        pair.duck.close()


@pytest.mark.parametrize("seed", range(16))
def test_same_rows_and_counts_as_duckdb(tmp_path: Path, seed: int) -> None:
    run(tmp_path, seed)


if __name__ == "__main__":
    failed = 0
    for number in range(int(sys.argv[1]), int(sys.argv[2])):
        with tempfile.TemporaryDirectory() as place:
            try:
                run(Path(place), number)
            except AssertionError as problem:
                failed += 1
                print(str(problem)[: int(sys.argv[3]) if len(sys.argv) > 3 else 3000], "\n", flush=True)
    print(f"{failed} of {int(sys.argv[2]) - int(sys.argv[1])} seeds failed")
