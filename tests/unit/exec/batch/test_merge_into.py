"""MERGE INTO against a brute-force reading of its definition, on tables of every kind."""

import random
from collections.abc import Callable
from typing import Any

import pytest

import tsdb

Row = tuple[int, int | None, str | None]
TABLES = {
    "key": "CREATE TABLE t (k INT, v INT, s STRING, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '2')",
    "input": "CREATE TABLE t (k INT PRIMARY KEY NOT ENFORCED, v INT, s STRING) WITH ('changelog-producer'='input')",
    "append": "CREATE TABLE t (k INT, v INT, s STRING)",
    "places": "CREATE TABLE t (k INT, v INT, s STRING) WITH ('deletion-vectors.enabled' = 'true')",
    "partitioned": "CREATE TABLE t (k INT, v INT, s STRING) PARTITIONED BY (s)",
}
CLAUSES: list[tuple[str, str, Callable[[Any, Any], bool], Callable[[Any, Any], Row | None]]] = [
    ("matched", "MATCHED AND u.v > t.v THEN DELETE", lambda t, u: bigger(u[1], t[1]), lambda t, u: None),
    ("matched", "MATCHED AND u.s = 'a' THEN DO NOTHING", lambda t, u: u[2] == "a", lambda t, u: t),
    (
        "matched",
        "MATCHED THEN UPDATE SET v = t.v + u.v, s = 'm'",
        lambda t, u: True,
        lambda t, u: (t[0], plus(t[1], u[1]), "m"),
    ),
    ("not matched", "NOT MATCHED AND u.v IS NULL THEN DO NOTHING", lambda t, u: u[1] is None, lambda t, u: None),
    ("not matched", "NOT MATCHED AND u.k > 12 THEN INSERT *", lambda t, u: u[0] > 12, lambda t, u: u),
    (
        "not matched",
        "NOT MATCHED BY TARGET THEN INSERT (k, s) VALUES (u.k, 'n')",
        lambda t, u: True,
        lambda t, u: (u[0], None, "n"),
    ),
    ("by source", "NOT MATCHED BY SOURCE AND t.v = 1 THEN DELETE", lambda t, u: t[1] == 1, lambda t, u: None),
    (
        "by source",
        "NOT MATCHED BY SOURCE AND t.k < 9 THEN UPDATE SET v = 0",
        lambda t, u: t[0] < 9,
        lambda t, u: (t[0], 0, t[2]),
    ),
]


def bigger(a: int | None, b: int | None) -> bool:
    """SQL's a > b, as a condition."""
    return a is not None and b is not None and a > b


def plus(a: int | None, b: int | None) -> int | None:
    """SQL's a + b."""
    return None if a is None or b is None else a + b


def brute_force(target: list[Row], source: list[Row], clauses: list[Any]) -> list[Row]:
    """MERGE, a row at a time."""
    result = []
    for row in target:
        match = next((u for u in source if u[0] == row[0]), None)
        kind = "by source" if match is None else "matched"
        act = next((act for k, _, when, act in clauses if k == kind and when(row, match)), lambda t, u: t)
        result.append(act(row, match))
    for u in source:
        if not any(row[0] == u[0] for row in target):
            act = next((act for k, _, when, act in clauses if k == "not matched" and when(None, u)), lambda t, u: None)
            result.append(act(None, u))
    return [row for row in result if row is not None]


def random_rows(chance: random.Random, count: int) -> list[Row]:
    """Rows with different keys."""
    keys = chance.sample(range(16), count)
    return [(k, chance.choice([None, 1, 2, 3]), chance.choice([None, "a", "b"])) for k in keys]


def values(rows: list[Row]) -> str:
    """The rows as a list of VALUES."""
    shown = ("({}, {}, {})".format(*("NULL" if v is None else repr(v) for v in row)) for row in rows)
    return ", ".join(shown)


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("seed", range(6))
def test_merge_is_what_it_says(kind: str, seed: int) -> None:
    chance = random.Random(seed)
    with tsdb.connect(":memory:") as con:
        con.execute(TABLES[kind])
        con.execute("CREATE TABLE u (k INT, v INT, s STRING)")
        target: list[Row] = random_rows(chance, 10)
        con.execute(f"INSERT INTO t VALUES {values(target)}")
        for _ in range(4):
            source = random_rows(chance, 8)
            con.execute(f"INSERT OVERWRITE u VALUES {values(source)}")
            clauses = [CLAUSES[i] for i in sorted(chance.sample(range(len(CLAUSES)), chance.randint(1, 6)))]
            expected = brute_force(target, source, clauses)
            whens = " ".join(f"WHEN {text}" for _, text, _, _ in clauses)
            before = con.execute("SELECT count(*) FROM `t$snapshots`").fetchone()
            cursor = con.execute(f"MERGE INTO t USING u ON t.k = u.k {whens}")
            assert sorted(con.execute("SELECT * FROM t").fetchall(), key=repr) == sorted(expected, key=repr), whens
            after = con.execute("SELECT count(*) FROM `t$snapshots` WHERE commit_kind <> 'COMPACT'").fetchone()
            assert before is not None and after is not None and after[0] - before[0] <= 1
            assert cursor.rowcount >= 0
            target = expected


def test_rows_of_an_append_table_leave_by_deletion_vectors() -> None:
    with tsdb.connect(":memory:") as con:
        con.execute(TABLES["places"])
        con.execute("INSERT INTO t VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c')")
        before = con.execute("SELECT file_path FROM t$files").fetchall()
        con.execute(
            "MERGE INTO t USING (VALUES (1, 9), (2, 0)) AS u (k, v) ON t.k = u.k "
            "WHEN MATCHED AND u.v = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET v = u.v"
        )
        assert before[0] in con.execute("SELECT file_path FROM t$files").fetchall()
        assert con.execute("SELECT row_count FROM t$table_indexes").fetchall() == [(1,)]
        assert sorted(con.execute("SELECT * FROM t").fetchall()) == [(1, 9, "a"), (3, 3, "c")]


def test_the_stream_of_a_merged_table_adds_up() -> None:
    with tsdb.connect(":memory:") as con:
        con.execute(TABLES["input"])
        con.execute("INSERT INTO t VALUES (1, 1, 'a'), (2, 2, 'b')")
        con.execute(
            "MERGE INTO t USING (VALUES (1, 5), (3, 7)) AS u(k, v) ON t.k = u.k "
            "WHEN MATCHED THEN UPDATE SET v = u.v WHEN NOT MATCHED THEN INSERT (k, v) VALUES (u.k, u.v)"
        )
        con.execute("SET 'execution.mode' = 'streaming'")
        con.execute("SET 'scan.bounded.mode' = 'latest'")
        rows = con.execute("SELECT sum(v) AS v, count(*) AS n FROM t /*+ OPTIONS('scan.snapshot-id'='1') */").fetchall()
        assert rows[-1] == ("+U", 14, 3)


@pytest.mark.parametrize("kind", TABLES)
def test_a_row_changed_twice_is_refused_and_nothing_is_written(kind: str) -> None:
    with tsdb.connect(":memory:") as con:
        con.execute(TABLES[kind])
        con.execute("INSERT INTO t VALUES (1, 1, 'a')")
        twice = "MERGE INTO t USING (VALUES (1, 2), (1, 3)) AS u(k, v) ON t.k = u.k WHEN MATCHED"
        with pytest.raises(tsdb.DataError, match="more than one row"):
            con.execute(f"{twice} THEN DELETE")
        assert con.execute("SELECT * FROM t").fetchall() == [(1, 1, "a")]
        con.execute(f"{twice} AND u.v = 3 THEN UPDATE SET v = u.v")  # one of them only
        assert con.execute("SELECT * FROM t").fetchall() == [(1, 3, "a")]


@pytest.mark.parametrize(
    ("sql", "error", "words"),
    [
        ("USING s ON t.k = s.k WHEN MATCHED THEN DELETE", tsdb.TableNotFound, "`s` does not exist"),
        ("USING t ON TRUE WHEN MATCHED THEN DELETE", tsdb.BindError, "both called `t`"),
        ("USING (SELECT 1 AS k) ON TRUE WHEN MATCHED THEN DELETE", tsdb.ProgrammingError, "needs a name"),
        ("USING u ON t.k = u.kk WHEN MATCHED THEN DELETE", tsdb.ColumnNotFound, "`kk` does not exist in `u`"),
        ("USING u ON t.k = u.k", tsdb.ProgrammingError, "expected WHEN"),
        ("USING u ON t.k = u.k WHEN MATCHED THEN UPDATE SET k = 2", tsdb.NotSupportedError, "part of the key"),
        ("USING u ON t.k = u.k WHEN MATCHED THEN UPDATE SET w = 2", tsdb.ColumnNotFound, "no column `w`"),
        ("USING u ON t.k = u.k WHEN MATCHED THEN UPDATE SET v = 'x'", tsdb.BindError, "CAST"),
        ("USING u ON t.k = u.k WHEN MATCHED THEN UPDATE SET *", tsdb.ColumnNotFound, "does not exist"),
        ("USING u ON t.k = u.k WHEN NOT MATCHED THEN INSERT VALUES (1)", tsdb.BindError, "takes 3 values"),
        ("USING u ON t.k = u.k WHEN NOT MATCHED THEN INSERT (k) VALUES (1, 2)", tsdb.ProgrammingError, "as many"),
        ("USING u ON t.k = u.k WHEN NOT MATCHED THEN INSERT (v) VALUES (1)", tsdb.Error, "`k`"),
        ("USING u ON t.k = u.k WHEN NOT MATCHED THEN DELETE", tsdb.ProgrammingError, "expected `INSERT`"),
    ],
)
def test_errors(sql: str, error: type[Exception], words: str) -> None:
    with tsdb.connect(":memory:") as con:
        con.execute(TABLES["key"])
        con.execute("CREATE TABLE u (k INT)")
        con.execute("INSERT INTO u VALUES (1), (2)")
        con.execute("INSERT INTO t VALUES (1, 1, 'a')")
        with pytest.raises(error, match=words):
            con.execute(f"MERGE INTO t {sql}")
        assert con.execute("SELECT * FROM t").fetchall() == [(1, 1, "a")]
