"""DuckDB as the oracle: the same text, read by both, gives the same rows."""

import random
from typing import Any

import duckdb
import pytest

from .conftest import TABLES, Rows

QUERIES = [
    "SELECT k, COUNT(*), MAX(v) FROM l GROUP BY k HAVING COUNT(*) >= 1",
    "SELECT * FROM l LEFT JOIN r USING (k)",
    "SELECT * FROM l RIGHT JOIN r USING (k)",
    "SELECT * FROM l FULL JOIN r USING (k)",
    "SELECT k, v, w FROM l NATURAL FULL JOIN r WHERE k IS NOT NULL",
    "SELECT a.k, b.k, c.w FROM l a JOIN l b ON a.k = b.k LEFT JOIN r c ON c.k = a.k AND a.v <> b.v",
    "SELECT K FROM l UNION ALL SELECT k FROM r",
    "SELECT k FROM l INTERSECT SELECT k FROM r",
    "SELECT k FROM l EXCEPT ALL SELECT k FROM r",
    "SELECT k FROM l INTERSECT ALL SELECT k FROM r",
    "SELECT x.k, (SELECT COUNT(*) FROM r WHERE r.k = x.k) AS n FROM (SELECT DISTINCT k FROM l) x",
    "SELECT v FROM l WHERE k IN (SELECT k FROM r) OR v = 'c'",
    "SELECT v FROM l x WHERE NOT EXISTS (SELECT 1 FROM r WHERE r.k = x.k)",
    "SELECT k, v, SUM(k) OVER (PARTITION BY v ORDER BY k ROWS UNBOUNDED PRECEDING) FROM l WHERE k IS NOT NULL",
    "SELECT k, v FROM l QUALIFY ROW_NUMBER() OVER (PARTITION BY v ORDER BY k) = 1",
    "SELECT k * 2 AS d, d + 1 AS e FROM l WHERE k > 0",
    "SELECT CASE WHEN k IS NULL THEN 'none' WHEN k > 1 THEN 'many' ELSE 'one' END AS c, COUNT(*) FROM l GROUP BY c",
    "WITH a AS (SELECT k FROM l), b AS (SELECT k FROM a WHERE k > 1) SELECT a.k, b.k FROM a LEFT JOIN b ON a.k = b.k",
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT SUM(n) FROM t",
    "SELECT v, GROUPING(v), COUNT(*) FROM l GROUP BY GROUPING SETS ((v), ())",
    "SELECT k, v, COUNT(*) FROM l GROUP BY ROLLUP (k, v)",
    "SELECT COUNT(DISTINCT v), COUNT(*) FILTER (WHERE k > 1), MIN(k + 1) FROM l",
    "SELECT a.v || b.v FROM l a, l b WHERE a.k < b.k",
    "SELECT s.total FROM (SELECT v, SUM(k) AS total FROM l GROUP BY v) s WHERE s.total > 1",
    "SELECT DISTINCT upper(v) FROM l",
    "SELECT k FROM l WHERE k BETWEEN 1 AND (SELECT MAX(k) FROM r) AND v NOT LIKE 'a%'",
    "SELECT k IS NOT DISTINCT FROM NULL, COALESCE(k, -1), NULLIF(k, 1) FROM l",
    "SELECT * FROM (VALUES (1, 'x'), (2, NULL)) AS t(a, b) WHERE B IS NULL",
    "SELECT id, x FROM orders, UNNEST(tags) AS u(x)",
    "SELECT t.k FROM (SELECT k FROM l ORDER BY k DESC NULLS LAST LIMIT 2) t",
]

ORDERED = [
    "SELECT k AS v, v AS z FROM l WHERE k IS NOT NULL ORDER BY v DESC, z",
    "SELECT upper(v) AS v, COUNT(*) FROM l GROUP BY v ORDER BY v",
    "SELECT k AS a, -k AS k FROM l WHERE k IS NOT NULL ORDER BY k, v",
    "SELECT k, COUNT(*) AS v FROM l GROUP BY k ORDER BY v DESC, k",
    "SELECT v FROM l ORDER BY k, v DESC LIMIT 3",
    "SELECT k AS kk FROM l FULL JOIN r USING (k) ORDER BY k",
    "SELECT DISTINCT k FROM l FULL JOIN r USING (k) ORDER BY k",
    "SELECT k, SUM(k) AS s FROM l GROUP BY k ORDER BY SUM(k) DESC",
    "SELECT k FROM l UNION SELECT k FROM r ORDER BY k DESC LIMIT 2",
    "SELECT v, k FROM l ORDER BY 2 DESC, 1",
    "SELECT k % 2 AS m, SUM(k) FROM l GROUP BY m ORDER BY m",
]


@pytest.fixture(scope="module")
def oracle() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET default_null_order = 'nulls_first_on_asc_last_on_desc'")
    for name, table in TABLES.items():
        connection.register(name, table)
    return connection


def same(rows: Rows, oracle: duckdb.DuckDBPyConnection, sql: str) -> None:
    expected: list[tuple[Any, ...]] = oracle.execute(sql).fetchall()
    assert rows(sql) == sorted(expected, key=repr), sql


@pytest.mark.parametrize("sql", QUERIES)
def test_same_rows(rows: Rows, oracle: duckdb.DuckDBPyConnection, sql: str) -> None:
    same(rows, oracle, sql)


@pytest.mark.parametrize("sql", ORDERED)
def test_same_order(rows: Rows, oracle: duckdb.DuckDBPyConnection, sql: str) -> None:
    assert rows(sql, ordered=True) == oracle.execute(sql).fetchall()


def test_random_joins_and_set_operations(rows: Rows, oracle: duckdb.DuckDBPyConnection) -> None:
    chance = random.Random(11)
    for _ in range(40):
        kind = chance.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
        on = chance.choice(["USING (k)", "USING (K)", "ON l.k = r.k"])
        key = "l.k" if on.startswith("ON") else chance.choice(["k", "K", "COALESCE(k, 0)"])
        condition = chance.choice(["", " WHERE v <> 'a'", " WHERE w IS NULL OR v IS NULL"])
        query = f"SELECT {key}, v, W FROM l {kind} r {on}{condition}"
        operation = chance.choice(["", "UNION", "UNION ALL", "EXCEPT", "EXCEPT ALL", "INTERSECT", "INTERSECT ALL"])
        if operation:
            query += f" {operation} SELECT k, v, NULL FROM l"
        same(rows, oracle, query)
