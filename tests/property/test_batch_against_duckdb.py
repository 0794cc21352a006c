"""Random tables, changes and queries: every answer is DuckDB's over the same rows, and that of the same query where
nothing can be pruned.

`python -m tests.property.test_batch_against_duckdb FIRST LAST` runs more seeds by hand.
"""

import math
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

import tsdb

from .random_tables import INTEGERS, Kind, Table, random_filter, random_query, random_row, random_table

Rows = list[tuple[Any, ...]]
STEPS, QUERIES = 8, 12


class Pair:
    """The same tables in tsdb and in DuckDB."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.folder = folder
        self.con = tsdb.connect(str(folder))
        self.duck = duckdb.connect()
        self.duck.execute("SET TimeZone = 'UTC'")
        self.tables = [random_table(self.chance, name) for name in ("t", "u")]
        self.log: list[str] = []
        for table in self.tables:
            self.ours(table.ddl())
            self.duck.execute(table.duck_ddl())

    def ours(self, sql: str) -> tsdb.Cursor:
        """Run it in tsdb, and note it down."""
        self.log.append(sql)
        return self.con.execute(sql)

    # --- changes

    def change(self) -> None:
        """One random change of one random table."""
        table = self.chance.choice(self.tables)
        self.chance.choice(
            [self.insert, self.insert, self.insert, self.insert, self.update, self.update, self.delete, self.overwrite,
             self.overwrite_partition, self.truncate, self.compact, self.reopen]
        )(table)  # fmt: skip

    def insert(self, table: Table) -> None:
        """INSERT INTO, an upsert where a key is there already."""
        rows = [random_row(self.chance, table) for _ in range(self.chance.choice([1, 3, 10, 60]))]
        self.ours(f"INSERT INTO {table.name} VALUES {values(table, rows)}")
        self.put(table, rows)

    def put(self, table: Table, rows: list[tuple[str | None, ...]]) -> None:
        """What tsdb makes of inserted rows, in DuckDB: the last row of each key replaces what was there."""
        if table.keys:
            at = [list(table.columns).index(key) for key in table.keys]
            rows = list({tuple(row[i] for i in at): row for row in rows}.values())
            for row in rows:
                same = " AND ".join(
                    f"{k} = {table.columns[k].literal(row[i])}" for k, i in zip(table.keys, at, strict=True)
                )
                self.duck_run(f"DELETE FROM {table.name} WHERE {same}")
        if rows:
            self.duck_run(f"INSERT INTO {table.name} VALUES {values(table, rows)}")

    def update(self, table: Table) -> None:
        """UPDATE of a column that is no key."""
        free = [c for c in table.columns if c not in table.keys and not (table.keys and c in table.partitions)]
        if not free:
            return
        column = self.chance.choice(free)
        value = self.expression(table, column, table.columns[column])
        text = f"UPDATE {table.name} SET {column} = {value} WHERE {random_filter(self.chance, table.columns)}"
        self.both(text)

    def expression(self, table: Table, column: str, kind: Kind) -> str:
        """A constant, another column of the type, or a computation."""
        constant = kind.literal(self.chance.choice([*kind.values, None]))
        alike = [name for name, other in table.columns.items() if other == kind]
        choices = [constant, self.chance.choice(alike)]
        choices.append(f"CASE WHEN {random_filter(self.chance, table.columns)} THEN {constant} ELSE {column} END")
        if kind.name in INTEGERS:
            choices.append(f"CASE WHEN {column} < 100 AND {column} > -100 THEN {column} + 1 ELSE {column} END")
        return self.chance.choice(choices)

    def delete(self, table: Table) -> None:
        """DELETE."""
        self.both(f"DELETE FROM {table.name} WHERE {random_filter(self.chance, table.columns)}")

    def overwrite(self, table: Table) -> None:
        """INSERT OVERWRITE: of the partitions that get rows, or of everything."""
        if self.chance.random() < 0.6:
            return
        rows = [random_row(self.chance, table) for _ in range(self.chance.choice([1, 5, 30]))]
        self.ours(f"INSERT OVERWRITE {table.name} VALUES {values(table, rows)}")
        if not table.partitions:
            self.duck_run(f"DELETE FROM {table.name}")
        for place in {tuple(row[list(table.columns).index(p)] for p in table.partitions) for row in rows}:
            self.duck_run(f"DELETE FROM {table.name} WHERE {same_partition(table, place)}")
        self.put(table, rows)

    def overwrite_partition(self, table: Table) -> None:
        """INSERT OVERWRITE t PARTITION (p = …), sometimes with no row at all."""
        if not table.partitions:
            return
        places = [list(table.columns).index(p) for p in table.partitions]
        first = random_row(self.chance, table)
        rows = [random_row(self.chance, table) for _ in range(self.chance.choice([0, 2, 20]))]
        rows = [tuple(first[i] if i in places else v for i, v in enumerate(row)) for row in rows]
        if any(first[i] is None for i in places):
            return
        constants = [table.columns[p].literal(first[i]) for p, i in zip(table.partitions, places, strict=True)]
        spec = ", ".join(f"{p} = {constant}" for p, constant in zip(table.partitions, constants, strict=True))
        others = [i for i in range(len(table.columns)) if i not in places]
        if not others:
            return
        kinds = list(table.columns.values())
        source = f"SELECT {', '.join(f'CAST(NULL AS {kinds[i].name})' for i in others)} WHERE FALSE"
        if rows:
            listed = ["(" + ", ".join(kinds[i].literal(row[i]) for i in others) + ")" for row in rows]
            source = "VALUES " + ", ".join(listed)
        self.ours(f"INSERT OVERWRITE {table.name} PARTITION ({spec}) {source}")
        self.duck_run(f"DELETE FROM {table.name} WHERE {same_partition(table, tuple(first[i] for i in places))}")
        self.put(table, rows)

    def truncate(self, table: Table) -> None:
        """TRUNCATE TABLE."""
        if self.chance.random() < 0.3:
            self.ours(f"TRUNCATE TABLE {table.name}")
            self.duck_run(f"DELETE FROM {table.name}")

    def compact(self, table: Table) -> None:
        """Compaction, which changes no row."""
        self.ours(f"CALL sys.compact('default.{table.name}')")

    def reopen(self, table: Table) -> None:
        """The next statement runs in a new connection."""
        self.con.close()
        self.con = tsdb.connect(str(self.folder))

    def both(self, text: str) -> None:
        """The same statement in both; they change as many rows."""
        count = self.ours(text).rowcount
        expected = self.duck_run(text).fetchone()
        assert expected is not None and count == expected[0], f"{count} rows changed, DuckDB: {expected[0]}"

    def duck_run(self, sql: str) -> duckdb.DuckDBPyConnection:
        """Run it in DuckDB, in its words."""
        return self.duck.execute(duck_sql(sql))

    # --- questions

    def check(self, table: Table) -> None:
        """The whole table is what it should be."""
        text = f"SELECT * FROM {table.name}"
        expected = bag(self.duck.execute(text).fetchall())
        found = bag(self.ours(text).fetchall())
        assert found == expected, f"{text}\n  got  {found}\n  want {expected}"

    def ask(self, queries: int) -> None:
        """Random queries over both, and in tsdb over copies without files, partitions and keys."""
        for table in self.tables:
            copy = pa.Table.from_pylist(
                self.con.execute(f"SELECT * FROM {table.name}").fetch_arrow_table().to_pylist(),
                schema=self.con.execute(f"SELECT * FROM {table.name}").fetch_arrow_table().schema,
            )
            self.con.register(f"copy_{table.name}", copy)
        for _ in range(queries):
            query = random_query(self.chance, self.tables)
            found = bag(self.ours(query).fetchall())
            unpruned = query
            for table in self.tables:
                unpruned = unpruned.replace(f"FROM {table.name} ", f"FROM copy_{table.name} ")
                unpruned = unpruned.replace(f"JOIN {table.name} ", f"JOIN copy_{table.name} ")
                unpruned = unpruned.replace(f"FROM {table.name})", f"FROM copy_{table.name})")
            plain = bag(self.con.execute(unpruned).fetchall())
            assert found == plain, f"pruned {query}\n  got  {found}\n  want {plain}"
            expected = bag(self.duck_run(query).fetchall())
            assert found == expected, f"{query}\n  got  {found}\n  want {expected}"


def values(table: Table, rows: list[tuple[str | None, ...]]) -> str:
    """The rows of a VALUES, each constant of its column's type."""
    kinds = list(table.columns.values())
    return ", ".join("(" + ", ".join(k.literal(v) for k, v in zip(kinds, row, strict=True)) + ")" for row in rows)


def same_partition(table: Table, place: tuple[str | None, ...]) -> str:
    """The condition that a row is in the partition."""
    places = zip(table.partitions, place, strict=True)
    return " AND ".join(f"{p} IS NOT DISTINCT FROM {table.columns[p].literal(v)}" for p, v in places) or "TRUE"


def duck_sql(text: str) -> str:
    """Our names of types and literals in DuckDB's words."""
    for ours, theirs in (
        ("AS TIMESTAMP(3))", "AS TIMESTAMP)"), ("AS TIME(3))", "AS TIME)"),
        ("AS TIMESTAMP(6))", "AS TIMESTAMP)"), ("AS STRING)", "AS VARCHAR)"),
    ):  # fmt: skip
        text = text.replace(ours, theirs)
    parts = text.split("X'")
    rest = [part.split("'", 1) for part in parts[1:]]
    return parts[0] + "".join(f"unhex('{digits}'){after}" for digits, after in rest)


def bag(rows: Rows) -> Rows:
    """The rows in an order of their own; NaN is equal to itself, -0.0 to 0.0."""
    plain = [tuple(_plain(value) for value in row) for row in rows]
    return sorted(plain, key=repr)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else value + 0.0
    return value


def run(folder: Path, seed: int) -> None:
    """One random history with random questions after each third change."""
    pair = Pair(folder, seed)
    try:
        for step in range(STEPS):
            pair.change()
            for table in pair.tables:
                pair.check(table)
            if step % 3 == 2:
                pair.ask(QUERIES)
        pair.ask(QUERIES)
    except Exception as err:
        history = ";\n".join(entry[:2000] for entry in pair.log)
        raise AssertionError(f"seed {seed}: {type(err).__name__}: {err}\n--- history\n{history};") from err
    finally:
        pair.con.close()
        pair.duck.close()


@pytest.mark.parametrize("seed", range(12))
def test_same_rows_as_duckdb(tmp_path: Path, seed: int) -> None:
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
