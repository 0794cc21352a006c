"""Shapes of SELECT over real tables give what DuckDB gives over the same rows."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

ROWS = 5_000
SCHEMA = (
    "id BIGINT, grp INT, name STRING, price DECIMAL(10, 2), ratio DOUBLE, day DATE, ts TIMESTAMP(3), ok BOOLEAN, n INT"
)


def sales(seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    ids = rng.permutation(ROWS * 2)[:ROWS].astype(np.int64)
    prices = pa.array([Decimal(int(p)).scaleb(-2) for p in rng.integers(0, 100_000, ROWS)], pa.decimal128(10, 2))
    names = np.array(["ann", "bob", "cy", "dee", "eve"])[rng.integers(0, 5, ROWS)]
    return pa.table(
        {
            "id": ids,
            "grp": pa.array(rng.integers(0, 17, ROWS), pa.int32()),
            "name": pa.array(names, mask=rng.random(ROWS) < 0.1),
            "price": prices,
            "ratio": pa.array(np.round(rng.random(ROWS), 3)),
            "day": pa.array(rng.integers(19_000, 19_100, ROWS).astype("datetime64[D]")),
            "ts": pa.array((rng.integers(0, 10**9, ROWS) * 1000).astype("datetime64[ms]"), pa.timestamp("ms")),
            "ok": pa.array(rng.random(ROWS) < 0.5, mask=rng.random(ROWS) < 0.1),
            "n": pa.array(rng.integers(0, 50, ROWS), pa.int32()),
        }
    )


@pytest.fixture
def filled(ask: Any) -> Iterator[tuple[Any, duckdb.DuckDBPyConnection]]:
    """`pk` (rows written twice over, so that runs overlap) and `log` (append), and the same state in DuckDB."""
    oracle = duckdb.connect()
    ask.run(f"CREATE TABLE pk ({SCHEMA}, PRIMARY KEY (id) NOT ENFORCED) WITH ('bucket' = '3', 'write-only' = 'true')")
    ask.run(f"CREATE TABLE log ({SCHEMA})")
    state: dict[int, dict[str, Any]] = {}
    for seed in (1, 2, 3):
        batch = sales(seed)
        ask.session.register("batch", batch)
        assert ask.count("INSERT INTO pk SELECT * FROM batch") == ROWS
        state |= {row["id"]: row for row in batch.to_pylist()}
    assert ask.count("INSERT INTO log SELECT * FROM batch") == ROWS
    pk, log = pa.Table.from_pylist(list(state.values()), batch.schema), batch
    oracle.register("pk", pk)
    oracle.register("log", log)
    yield ask, oracle
    oracle.close()


QUERIES = [
    "SELECT * FROM pk",
    "SELECT id, name FROM pk WHERE id = 17",
    "SELECT id FROM pk WHERE id IN (1, 2, 3, 4, 9999)",
    "SELECT id, n FROM pk WHERE n > 40 AND grp <> 3",
    "SELECT id FROM pk WHERE name LIKE 'b%' OR name IS NULL",
    "SELECT id FROM pk WHERE ok",
    "SELECT id FROM pk WHERE NOT ok AND ratio < 0.1",
    "SELECT count(*) FROM pk",
    "SELECT count(*), count(name), count(DISTINCT name), sum(price), min(ts), max(day) FROM pk",
    "SELECT grp, count(*), sum(n), min(ratio), max(ratio) FROM pk GROUP BY grp",
    "SELECT grp, name, sum(price) FROM pk GROUP BY grp, name HAVING sum(price) > 10000",
    "SELECT a.id, b.id FROM pk a JOIN pk b ON a.id = b.id + 1 WHERE a.n = 7",
    "SELECT a.id, b.name FROM pk a LEFT JOIN log b ON a.id = b.id WHERE a.grp = 2",
    "SELECT count(*) FROM pk a FULL JOIN log b ON a.id = b.id",
    "SELECT id FROM pk WHERE id IN (SELECT id FROM log WHERE n = 3)",
    "SELECT id FROM pk p WHERE EXISTS (SELECT 1 FROM log l WHERE l.id = p.id AND l.n > 45)",
    "SELECT id FROM pk WHERE n = (SELECT max(n) FROM log)",
    "SELECT id, n, row_number() OVER (PARTITION BY grp ORDER BY n, id) FROM pk WHERE grp < 3",
    "WITH c AS (SELECT * FROM pk WHERE grp = 1) SELECT a.id FROM c a JOIN c b ON a.id = b.id WHERE b.n < 20",
    "WITH c AS (SELECT id, n FROM pk) SELECT (SELECT count(*) FROM c), id FROM c WHERE n = 3",
    "SELECT id FROM pk WHERE day >= DATE '2022-03-01' AND day < DATE '2022-03-05'",
    "SELECT id FROM pk WHERE ts < TIMESTAMP '1975-01-01 00:00:00'",
    "SELECT id FROM pk WHERE price BETWEEN 10.00 AND 20.50",
    "SELECT name FROM pk UNION SELECT name FROM log",
    "SELECT grp FROM pk EXCEPT SELECT grp FROM log WHERE grp < 5",
    "SELECT n FROM pk INTERSECT SELECT grp FROM log",
    "SELECT grp, sum(n) FROM log GROUP BY ROLLUP (grp)",
    "SELECT * FROM log WHERE n = 5",
    "SELECT count(*) FROM log WHERE name = 'ann'",
    "SELECT id FROM log ORDER BY id LIMIT 10 OFFSET 5",
    "SELECT id + 1 AS a, -n AS b, price * 2 AS c FROM log WHERE id % 7 = 0",
    "SELECT CASE WHEN n > 25 THEN 'high' ELSE 'low' END AS k, count(*) FROM log GROUP BY 1",
    "SELECT DISTINCT grp, ok FROM log",
    "SELECT l.grp, s.total FROM log l, (SELECT grp, sum(n) AS total FROM pk GROUP BY grp) s WHERE l.grp = s.grp",
    "SELECT upper(name), length(name), coalesce(name, '?') FROM log WHERE id < 500",
    "SELECT 1, 'x', NULL, TRUE",
]


def normal(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Sorted; floats rounded, because sums depend on their order."""
    rounded = [tuple(round(v, 9) if isinstance(v, float) else v for v in row) for row in rows]
    return sorted(rounded, key=repr)


def test_queries_agree_with_duckdb(filled: tuple[Any, duckdb.DuckDBPyConnection]) -> None:
    ask, oracle = filled
    for sql in QUERIES:
        expected = oracle.execute(sql).fetchall()
        assert normal(ask.rows(sql)) == normal(expected), sql


def test_an_output_name_may_come_twice(ask: Any) -> None:
    result = ask.session.execute_one("SELECT 1 AS a, 2 AS a, 3")
    assert result.schema.names == ["a", "a", "3"]
    assert result.reader.read_all().to_batches()[0].columns[1].to_pylist() == [2]


def test_results_have_the_types_of_tables(ask: Any) -> None:
    result = ask.session.execute_one("SELECT md5('a'), count(DISTINCT 1), 1.50, 1e0, cast('a' AS STRING), x'00'")
    expected = [pa.string(), pa.int64(), pa.decimal128(3, 2), pa.float64(), pa.string(), pa.binary()]
    assert result.schema.types == expected
    assert result.reader.read_all().schema.types == expected


@pytest.mark.parametrize("bucket", ["1", "2"])
def test_nan_is_greater_than_every_number(ask: Any, bucket: str) -> None:
    """As in DuckDB, and whether a file is merged or not."""
    ask.run(f"CREATE TABLE f (k INT, x DOUBLE, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '{bucket}')")
    ask.session.register(
        "src", pa.table({"k": pa.array([1, 2, 3, 4], pa.int32()), "x": [1.0, float("nan"), None, 7.0]})
    )
    ask.run("INSERT INTO f SELECT * FROM src; INSERT INTO f VALUES (1, 1.0)")
    assert [k for (k,) in ask.bag("SELECT k FROM f WHERE x > 5")] == [2, 4]
    assert [k for (k,) in ask.bag("SELECT k FROM f WHERE x <= 7 AND k < 9")] == [1, 4]
    assert [k for (k,) in ask.bag("SELECT k FROM f WHERE x IS NULL")] == [3]


def test_times_are_compared(ask: Any) -> None:
    ask.run("CREATE TABLE t (k INT, at TIME); INSERT INTO t VALUES (1, TIME '10:00:00'), (2, TIME '11:30:00')")
    assert ask.rows("SELECT k FROM t WHERE `at` > TIME '10:30:00'") == [(2,)]


def test_columns_are_described(ask: Any) -> None:
    ask.run("CREATE TABLE t (k INT, v STRING); CREATE VIEW w (a, b) AS SELECT v, k + 1e0 FROM t")
    assert [row[:2] for row in ask.rows("DESCRIBE w")] == [("a", "STRING"), ("b", "DOUBLE")]


@pytest.mark.parametrize("key", ["", ", PRIMARY KEY (k) NOT ENFORCED"])
@pytest.mark.parametrize(
    "condition",
    ["k = 1 AND k = 2 AND x > 0", "NULL AND k = 1", "NOT (k = NULL) AND k = 1", "NOT (k <> 1 OR k <> 2)", "k = NULL"],
)
def test_conditions_that_are_never_true(ask: Any, key: str, condition: str) -> None:
    ask.run(f"CREATE TABLE t (k INT, x INT{key}); INSERT INTO t VALUES (1, 1), (2, 2); INSERT INTO t VALUES (1, 3)")
    assert ask.rows(f"SELECT * FROM t WHERE {condition}") == []
    assert ask.rows(f"WITH w AS (SELECT * FROM t WHERE {condition}) SELECT * FROM w a JOIN w b ON a.k = b.k") == []
    assert ask.count(f"DELETE FROM t WHERE {condition}") == 0
    assert ask.count(f"UPDATE t SET x = 5 WHERE {condition}") == 0


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("x NOT IN (1, 2, 7, 8, 9)", [3]),
        ("x IN (1, 2, 7, 8, 9)", [1, 2]),
        ("NOT (x IN (1, 2, 7, 8, 9) OR k = 1)", [3]),
        ("NOT (x NOT IN (1, 2, 7, 8, 9))", [1, 2]),
        ("x NOT IN (1, 2, 7, 8, 9) OR k > 3", [3, 4]),
        ("s NOT IN ('a', 'b', 'x', 'y', 'z')", [3]),
        ("f NOT IN (1e0, 2e0, 7e0, 8e0, 9e0)", [3]),
        ("x NOT IN (1, 2, 7, 8, NULL)", []),
    ],
)
@pytest.mark.parametrize("merged", [False, True])
def test_null_is_not_outside_of_a_list(ask: Any, condition: str, expected: list[int], merged: bool) -> None:
    """Long lists, which scans of merged tables take over from DataFusion."""
    ask.run("CREATE TABLE t (k INT, x INT, s STRING, f DOUBLE, PRIMARY KEY (k) NOT ENFORCED)")
    ask.run("INSERT INTO t VALUES (1, 1, 'a', 1e0), (2, 2, 'b', 2e0), (3, 3, 'c', 3e0), (4, NULL, NULL, NULL)")
    if merged:
        ask.run("INSERT INTO t VALUES (1, 1, 'a', 1e0), (4, NULL, NULL, NULL)")
    assert [k for (k,) in ask.bag(f"SELECT k FROM t WHERE {condition}")] == expected


@pytest.mark.parametrize("merged", [False, True])
def test_nan_and_infinity_are_told_apart(ask: Any, merged: bool) -> None:
    ask.run("CREATE TABLE t (k INT, x FLOAT, PRIMARY KEY (k) NOT ENFORCED)")
    values = "(1, CAST('inf' AS FLOAT)), (2, CAST('nan' AS FLOAT)), (3, NULL), (4, CAST(5 AS FLOAT))"
    ask.run(f"INSERT INTO t VALUES {values}")
    if merged:
        ask.run("INSERT INTO t VALUES (1, CAST('inf' AS FLOAT))")
    nan, infinity = "CAST('nan' AS FLOAT)", "CAST('inf' AS FLOAT)"
    expected = {
        f"x < {nan}": [1, 4], f"x = {nan}": [2], f"x = {infinity}": [1], f"x <= {infinity}": [1, 4],
        f"x IN (1e0, 2e0, 3e0, 5e0, {nan})": [2, 4],
        f"x NOT IN (1e0, 2e0, 3e0, 5e0, {nan})": [1], "x > 4 AND k < 3": [1, 2],
    }  # fmt: skip
    for condition, keys in expected.items():
        assert [k for (k,) in ask.bag(f"SELECT k FROM t WHERE {condition}")] == keys, condition


@pytest.mark.parametrize("registered", [False, True])
def test_filter_over_both_sides_of_an_outer_join(ask: Any, registered: bool) -> None:
    """The columns of both sides have the same names, and the smaller side is the right one."""
    ask.session.register("a0", pa.table({"id": [1, 2, 3], "x": [1, 5, None]}))
    ask.session.register("b0", pa.table({"id": [2, 3, 4], "x": [1, None, 7], "y": [7, 8, 9]}))
    ask.run("CREATE TABLE a1 AS SELECT * FROM a0; CREATE TABLE b1 AS SELECT * FROM b0")
    a, b = ("a0", "b0") if registered else ("a1", "b1")
    query = f"SELECT a.id, b.id FROM {a} a {{}} JOIN {b} b ON a.id = b.id WHERE (a.id > 1 OR b.id IS NULL) AND {{}}"
    assert ask.bag(query.format("RIGHT", "b.y <> 99")) == [(2, 2), (3, 3)]
    assert ask.bag(query.format("FULL", "b.y <> 99")) == [(2, 2), (3, 3)]
    assert ask.bag(query.format("LEFT", "a.x IS NOT NULL")) == [(1, None), (2, 2)]
    derived = f"SELECT k, i FROM (SELECT a.id AS k, b.id AS i, y FROM {a} a RIGHT JOIN {b} b ON a.id = b.id) j"
    assert ask.bag(f"{derived} WHERE (k > 1 OR i IS NULL) AND y <> 99") == [(2, 2), (3, 3)]


def test_ilike_ignores_case_in_every_file(ask: Any) -> None:
    ask.run("CREATE TABLE t (k INT, g STRING); INSERT INTO t VALUES (1, 'abc'); INSERT INTO t VALUES (2, 'ABD')")
    assert ask.bag("SELECT k FROM t WHERE g ILIKE 'Ab%'") == [(1,), (2,)]
    assert ask.bag("SELECT k FROM t WHERE g LIKE 'Ab%'") == []


@pytest.mark.parametrize("key", ["", ", PRIMARY KEY (k) NOT ENFORCED"])
def test_conditions_that_are_constant_for_one_scan(ask: Any, key: str) -> None:
    ask.run(f"CREATE TABLE t (k INT, s STRING{key})")
    ask.run("INSERT INTO t VALUES (1, 'b'), (2, 'c'); INSERT INTO t VALUES (1, 'b')")
    sides = "SELECT DISTINCT l.k FROM t l FULL JOIN t r ON l.s = r.s"
    assert ask.rows(f"{sides} WHERE r.k IS NOT NULL AND r.s > 'a' AND l.s IN ('b')") == [(1,)]
    never = "SELECT k FROM w WHERE k = 1 AND k = 2 AND s > 'a'"
    assert ask.rows(f"WITH w AS (SELECT * FROM t) {never} UNION SELECT k FROM w WHERE k > 1") == [(2,)]


def test_set_operations_have_the_common_type(ask: Any) -> None:
    ask.run("CREATE TABLE a (n INT); INSERT INTO a VALUES (1); CREATE TABLE b (x DOUBLE); INSERT INTO b VALUES (2.5)")
    assert ask.bag("SELECT n FROM a UNION ALL SELECT x FROM b") == [(1.0,), (2.5,)]
    assert ask.bag("SELECT x FROM b UNION SELECT n FROM a") == [(1.0,), (2.5,)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT x FROM f WHERE x > 0.1", [(1e20,)]),
        ("SELECT x FROM f WHERE x > 0.0", [(1e-20,), (1e20,)]),
        ("SELECT x FROM f WHERE x BETWEEN 0.0 AND 0.5", [(1e-20,)]),
        ("SELECT x FROM f WHERE x IN (0.1, 1e20)", [(1e20,)]),
        ("SELECT x FROM f WHERE x > d", [(1e20,)]),
        ("SELECT coalesce(x, 0.1) FROM f", [(1e-20,), (1e20,)]),
        ("SELECT CASE WHEN x > 5 THEN x ELSE 0.1 END FROM f", [(0.1,), (1e20,)]),
        ("SELECT x FROM f UNION ALL SELECT 0.1", [(0.1,), (1e-20,), (1e20,)]),
        ("SELECT * FROM (VALUES (0.1), (1e-20)) AS t(y)", [(0.1,), (1e-20,)]),
        ("SELECT d FROM f WHERE d = 0.5", [(Decimal("0.50"),), (Decimal("0.50"),)]),
        ("SELECT 0.1 + 0.2", [(Decimal("0.3"),)]),
    ],
)
def test_a_decimal_that_meets_a_double_is_one(ask: Any, query: str, expected: list[tuple[Any, ...]]) -> None:
    ask.run("CREATE TABLE f (x DOUBLE, d DECIMAL(10, 2)); INSERT INTO f VALUES (1e20, 0.5), (1e-20, 0.5)")
    assert ask.bag(query) == sorted(expected, key=repr)


@pytest.mark.parametrize(
    "where", ["f = 0.1", "f >= 0.1", "f IN (0.1, 7)", "f BETWEEN 0.1 AND 0.1", "0.1 <= f", "-f = -0.1"]
)
def test_a_constant_that_meets_a_float_is_one(ask: Any, where: str) -> None:
    ask.run("CREATE TABLE g (f FLOAT); INSERT INTO g VALUES (0.1)")
    assert len(ask.rows(f"SELECT f FROM g WHERE {where}")) == 1
    assert ask.rows("SELECT f FROM g WHERE f = CAST(0.1 AS DOUBLE)") == []
