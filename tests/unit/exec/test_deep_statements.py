"""Statements that are nested as deeply as the parser takes them run, in both modes."""

import pytest

import tsdb

DEEP = {
    "parentheses": "SELECT " + "(" * 40 + "a" + ")" * 40 + " FROM t",
    "conditions": "SELECT a FROM t WHERE " + "(a = 1 OR " * 30 + "a = 2" + ")" * 30,
    "negations": "SELECT a FROM t WHERE " + "NOT (" * 22 + "a = 1" + ")" * 22,
    "cases": "SELECT " + "CASE WHEN a > 0 THEN " * 25 + "a" + " END" * 25 + " FROM t",
    "subqueries": "SELECT * FROM " + "(SELECT * FROM " * 40 + "t" + ")" * 40,
    "IN": "SELECT a FROM t WHERE a IN (SELECT a FROM t WHERE NOT (" + "(a > 5 AND " * 26 + "a > 4" + ")" * 26 + "))",
}


@pytest.mark.parametrize("query", DEEP.values(), ids=DEEP)
@pytest.mark.parametrize("mode", ["batch", "streaming"])
def test_a_deep_statement(mode: str, query: str) -> None:
    with tsdb.connect() as con:
        con.execute(f"CREATE TABLE t (a INT); INSERT INTO t VALUES (1); SET 'execution.mode' = '{mode}'")
        con.execute("SET 'scan.bounded.mode' = 'latest'")
        assert [row[-1] for row in con.execute(query).fetchall()] == [1]
