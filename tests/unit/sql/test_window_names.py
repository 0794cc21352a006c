"""WINDOW clauses, and ranks in arithmetic: the rows, their types, and the errors."""

import pytest

import tsdb
from tsdb.errors import BindError

TABLE = "CREATE TABLE t (a INT, b INT); INSERT INTO t VALUES (1, 2), (3, 4), (3, 1)"
QUERIES = {
    "SELECT a, sum(b) OVER w FROM t WINDOW w AS (PARTITION BY a)": [(1, 2), (3, 5), (3, 5)],
    "SELECT b, sum(b) OVER w2 FROM t WINDOW w AS (PARTITION BY a), w2 AS (w ORDER BY b)": [(1, 1), (2, 2), (4, 5)],
    "SELECT b, sum(b) OVER (w ROWS 1 PRECEDING) FROM t WINDOW w AS (ORDER BY b)": [(1, 1), (2, 3), (4, 6)],
    "SELECT b FROM t WINDOW w AS (ORDER BY b) QUALIFY row_number() OVER w = 2": [(2,)],
    "SELECT (SELECT max(n) FROM (SELECT count(*) OVER w AS n FROM t WINDOW w AS (ORDER BY b))) AS m": [(3,)],
    "SELECT b FROM t WHERE b IN (SELECT count(*) OVER w FROM t AS u WHERE u.a = t.a WINDOW w AS (ORDER BY b))": [(1,)],
    "SELECT row_number() OVER (ORDER BY b) - 5 FROM t": [(-4,), (-3,), (-2,)],
    "SELECT rank() OVER (ORDER BY a) FROM t UNION ALL SELECT -1": [(-1,), (1,), (2,), (2,)],
    "SELECT CASE WHEN b > 1 THEN ntile(2) OVER (ORDER BY b) ELSE -1 END FROM t": [(-1,), (1,), (2,)],
    "SELECT n - 2 FROM (SELECT row_number() OVER (ORDER BY b) AS n FROM t) WHERE n <= 2": [(-1,), (0,)],
    "SELECT n, n FROM (SELECT row_number() OVER (ORDER BY b) AS n FROM t) WHERE n BETWEEN 2 AND 3": [(2, 2), (3, 3)],
    "SELECT array_length(ARRAY[1, 2]) - 3": [(-1,)],
    "SELECT regr_count(a, b) - 4 FROM t": [(-1,)],
    "SELECT repeat('x', row_number() OVER (ORDER BY b)) FROM t": [("x",), ("xx",), ("xxx",)],
}


@pytest.mark.parametrize("query", QUERIES)
def test_rows_in_both_modes(query: str) -> None:
    with tsdb.connect() as con:
        con.execute(TABLE)
        found = con.execute(query)
        assert found.description is not None
        assert not any(str(column[1]).startswith("DECIMAL") for column in found.description)
        assert sorted(found.fetchall()) == QUERIES[query]
        con.execute("SET 'execution.mode' = 'streaming'; SET 'scan.bounded.mode' = 'latest'")
        assert sorted(row[1:] for row in con.execute(query).fetchall()) == QUERIES[query]


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("SELECT sum(b) OVER wx FROM t WINDOW w AS (ORDER BY a)", "line 1, column 20: window `wx` is not defined"),
        ("SELECT sum(b) OVER (w ORDER BY a) FROM t WINDOW w AS (ORDER BY a)", "`w` has an ORDER BY already"),
        ("SELECT sum(b) OVER (w PARTITION BY a) FROM t WINDOW w AS (PARTITION BY a)", "`w` has a PARTITION BY already"),
    ],
)
def test_names_that_are_not_there_or_say_too_much(query: str, complaint: str) -> None:
    with tsdb.connect() as con:
        con.execute(TABLE)
        with pytest.raises(BindError, match=complaint):
            con.execute(query)


@pytest.mark.parametrize("condition", ["n <= 3", "n = 1", "n BETWEEN 1 AND 3", "n >= 1 AND n < 3", "n IN (1, 2)"])
def test_a_rank_that_is_compared_is_still_a_top_n(condition: str) -> None:
    query = "SELECT a, b, n FROM (SELECT *, row_number() OVER (PARTITION BY a ORDER BY b) AS n FROM t) WHERE "
    with tsdb.connect() as con:
        con.execute(TABLE)
        con.execute("SET 'execution.mode' = 'streaming'")
        plan = con.execute("EXPLAIN " + query + condition).fetchall()[0][0]
        assert ("TopRows" in plan) == (condition != "n IN (1, 2)")
