"""Subqueries in every place, tied to the query around them in every way: as in DuckDB, as a batch and as a stream."""

import random
from typing import Any

import duckdb
import pytest

import tsdb

QUERIES = [
    "SELECT a, EXISTS (SELECT 1 FROM u WHERE x = a) FROM t",
    "SELECT a, NOT EXISTS (SELECT 1 FROM u WHERE x < a AND y > b) FROM t",
    "SELECT a, a IN (SELECT x FROM u) FROM t",
    "SELECT a, a NOT IN (SELECT x FROM u WHERE y IS NOT NULL) FROM t",
    "SELECT a, a IN (SELECT x FROM u WHERE y = b) FROM t",
    "SELECT 1 IN (SELECT x FROM empty), NULL IN (SELECT x FROM empty), NULL IN (SELECT x FROM u)",
    "SELECT a, a IN (SELECT * FROM (SELECT x FROM u) AS s) FROM t",
    "SELECT a FROM t WHERE a IN (SELECT x FROM u) OR b = 3",
    "SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u WHERE x < a) OR b = 3",
    "SELECT a, CASE WHEN a IN (SELECT x FROM u) THEN 1 ELSE 2 END FROM t",
    "SELECT a, (SELECT count(*) FROM u WHERE x < a) FROM t",
    "SELECT a, (SELECT count(*) FROM u WHERE x < a AND y = b) FROM t",
    "SELECT a, (SELECT max(x) + count(*) FROM u WHERE x < a AND x <> b) FROM t WHERE a IN (SELECT x FROM u)",
    "SELECT a, (SELECT count(*) + 1 FROM u WHERE x > a) FROM t",
    "SELECT a FROM t WHERE (SELECT count(*) FROM u WHERE x < a) > 1",
    "SELECT * FROM t WHERE b > (SELECT avg(x) FROM u WHERE x < t.a)",
    "SELECT b, count(*), (SELECT count(*) FROM u WHERE x < b) FROM t GROUP BY b",
    "SELECT b, count(*) FROM t GROUP BY b HAVING (SELECT count(*) FROM u WHERE x < b) > 1",
    "SELECT sum((SELECT count(*) FROM u WHERE x < a)) FROM t",
    "SELECT a, (SELECT x FROM u WHERE x < a ORDER BY x DESC LIMIT 1) FROM t",
    "SELECT a, (SELECT sum(y) FROM u WHERE x BETWEEN a AND b) FROM t",
    "SELECT p.a, q.b, (SELECT count(*) FROM u WHERE x > p.a AND x < q.b) FROM t p JOIN t q ON p.a = q.b",
    "SELECT a, (SELECT count(*) FROM t AS s WHERE s.a < t.a) FROM t",
    "SELECT a, (SELECT count(*) FROM t AS s WHERE s.a > t.a AND s.b < t.b) + (SELECT min(x) FROM u) FROM t",
    "SELECT a, a > ANY (SELECT x FROM u) FROM t",
    "SELECT a, a <= ALL (SELECT x FROM u WHERE y IS NULL) FROM t",
    "SELECT a, a <> ALL (SELECT x FROM u) FROM t",
    "SELECT a FROM t WHERE a >= ALL (SELECT x FROM u WHERE x < b)",
    "SELECT a FROM t WHERE (a, b) IN (SELECT x, y FROM u)",
    "SELECT DISTINCT (SELECT count(*) FROM u WHERE x <> a) FROM t",
    "SELECT a, (SELECT count(DISTINCT y) FROM u WHERE x >= a) FROM t WHERE a IS NOT NULL",
]


def fill(chance: random.Random, table: str) -> str:
    """An INSERT of random rows."""
    values = [[chance.choice(["NULL", *map(str, range(6))]) for _ in range(2)] for _ in range(chance.randint(1, 8))]
    return f"INSERT INTO {table} VALUES " + ", ".join(f"({a}, {b})" for a, b in values)


def bag(rows: list[tuple[Any, ...]]) -> list[str]:
    """The rows in an order of their own; DuckDB's sums may be wider numbers."""
    return sorted(repr(tuple(float(v) if isinstance(v, int | float) else v for v in row)) for row in rows)


@pytest.mark.parametrize("seed", range(4))
def test_subqueries(seed: int) -> None:
    chance = random.Random(seed)
    duck = duckdb.connect()
    with tsdb.connect(":memory:") as con:
        for sql in (
            "CREATE TABLE t (a INT, b INT)",
            "CREATE TABLE u (x INT, y INT)",
            "CREATE TABLE empty (x INT, y INT)",
            fill(chance, "t"),
            fill(chance, "u"),
        ):
            con.execute(sql)
            duck.execute(sql)
        for query in QUERIES:
            expected = bag(duck.execute(query).fetchall())
            con.execute("SET 'execution.mode' = 'batch'")
            assert bag(con.execute(query).fetchall()) == expected, query
            con.execute("SET 'execution.mode' = 'streaming'")
            con.execute("SET 'scan.bounded.mode' = 'latest'")
            changes = con.execute(query).fetchall()
            assert all(change[0] == "+I" for change in changes), query
            assert bag([change[1:] for change in changes]) == expected, query
