"""Statements that are nested as deeply as the parser takes them run, in both modes."""

import pytest

import tsdb

DEEP = {
    "parentheses": "SELECT " + "(" * 40 + "a" + ")" * 40 + " FROM t",
    "conditions": "SELECT a FROM t WHERE " + "(a = 1 OR " * 30 + "a = 2" + ")" * 30,
    "negations": "SELECT a FROM t WHERE " + "NOT (" * 22 + "a = 1" + ")" * 22,
    "cases": "SELECT " + "CASE WHEN a > 0 THEN " * 25 + "a" + " END" * 25 + " FROM t",
    "functions": "SELECT " + "coalesce(" * 25 + "a" + ", 0)" * 25 + " FROM t",
    "arrays": "SELECT CARDINALITY(" + "ARRAY[" * 25 + "a" + "]" * 25 + ") FROM t",
    "subqueries in expressions": "SELECT " + "(SELECT " * 14 + "1" + ")" * 14,
    "subqueries": "SELECT * FROM " + "(SELECT * FROM " * 40 + "t" + ")" * 40,
    "a flat chain": "SELECT a FROM t WHERE " + " OR ".join(f"(a = {i} AND a < {i + 1})" for i in range(600)),
    "a flat sum": "SELECT a FROM t WHERE " + " + ".join(["CAST(a AS DOUBLE)"] * 600) + " > 1",
    "IN": "SELECT a FROM t WHERE a IN (SELECT a FROM t WHERE NOT (" + "(a > 5 AND " * 26 + "a > 4" + ")" * 26 + "))",
}


@pytest.mark.parametrize("query", DEEP.values(), ids=DEEP)
@pytest.mark.parametrize("mode", ["batch", "streaming"])
def test_a_deep_statement(mode: str, query: str) -> None:
    with tsdb.connect() as con:
        con.execute(f"CREATE TABLE t (a INT); INSERT INTO t VALUES (1); SET 'execution.mode' = '{mode}'")
        con.execute("SET 'scan.bounded.mode' = 'latest'")
        assert [row[-1] for row in con.execute(query).fetchall()] == [1]


@pytest.mark.parametrize("mode", ["batch", "streaming"])
def test_subqueries_that_would_take_exponential_time_are_refused(mode: str) -> None:
    with tsdb.connect() as con:
        con.execute(f"CREATE TABLE t (a INT); SET 'execution.mode' = '{mode}'")
        with pytest.raises(tsdb.ProgrammingError, match="line 1, column 128: more than 14 subqueries"):
            con.execute("SELECT " + "(SELECT " * 15 + "1" + ")" * 15)
        with pytest.raises(tsdb.ProgrammingError, match="more than 14 subqueries"):
            con.execute("SELECT a FROM t WHERE a IN (" * 20 + "SELECT a FROM t" + ")" * 20)
