"""Placeholders of every spelling, wherever a literal may stand."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

import tsdb


@pytest.fixture
def con() -> Iterator[tsdb.Connection]:
    with tsdb.connect() as con:
        con.execute("CREATE TABLE t (k INT, v STRING, PRIMARY KEY (k) NOT ENFORCED)")
        con.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')")
        yield con


@pytest.mark.parametrize(
    ("sql", "params", "expected"),
    [
        ("SELECT v FROM t WHERE k = $1", [2], [("b",)]),
        ("SELECT $2, $1, $2", [1, "x"], [("x", 1, "x")]),
        ("SELECT v FROM t WHERE k = :key AND v = :value", {"key": 1, "value": "a"}, [("a",)]),
        ("SELECT $a, :b, $a", {"a": 1, "b": None}, [(1, None, 1)]),
        ("SELECT k FROM t ORDER BY k LIMIT ? OFFSET ?", [1, 1], [(2,)]),
        ("SELECT k FROM t ORDER BY k LIMIT :n", {"n": 1}, [(1,)]),
        ("SELECT count(*) FROM t VERSION AS OF ?", [1], [(3,)]),
        ("SELECT count(*) FROM t TIMESTAMP AS OF ?", ["2099-01-01 00:00:00"], [(3,)]),
        ("SELECT count(*) FROM t FOR SYSTEM_TIME AS OF ?", [datetime(2099, 1, 1)], [(3,)]),
        ("SELECT ARRAY[1, 2, 3][1:2], '5'::INT, MAP {'a':1}", [], [([1, 2], 5, {"a": 1})]),
        ("SELECT ':no', '$1', \":x\" FROM (SELECT 1 AS `:x`)", [], [(":no", "$1", 1)]),
        ("VALUES (?, :x)", {}, "values by name go with"),
        ("SELECT :x", {"y": 1}, "parameter `x` has no value"),
        ("SELECT $3", [1, 2], "`\\$3` has no value"),
        ("SELECT $1", [1, 2], "value 2 is not used"),
        ("SELECT :x", [1], "given as a dict"),
        ("SELECT ?", {"x": 1}, "not with `\\?`"),
    ],
)
def test_placeholders(con: tsdb.Connection, sql: str, params: Any, expected: Any) -> None:
    if isinstance(expected, str):
        with pytest.raises(tsdb.ProgrammingError, match=expected):
            con.execute(sql, params)
    else:
        assert con.execute(sql, params).fetchall() == expected


def test_in_statements_that_define_and_change(con: tsdb.Connection) -> None:
    con.execute(
        "CREATE TABLE p (k INT, d STRING) PARTITIONED BY (d) WITH ('bucket' = :n, 'bucket-key' = 'k')", {"n": 3}
    )
    assert "'bucket' = '3'" in con.execute("SHOW CREATE TABLE p").fetchall()[0][0]
    con.execute("INSERT INTO p PARTITION (d = $2) VALUES ($1), ($1)", [7, "x"])
    con.execute("UPDATE t SET v = :v WHERE k IN (:a, :b)", {"v": "new", "a": 1, "b": 2})
    con.execute("CALL sys.create_tag(`table` => :t, tag => :g)", {"t": "t", "g": "now"})
    assert con.execute("SELECT v FROM t VERSION AS OF :g WHERE k = :k", {"g": "now", "k": 1}).fetchall() == [("new",)]
    con.execute("SET 'memory.limit' = ?", ["512 mb"])
    assert con.option("memory.limit") == "512 mb"
    assert con.execute("SELECT * FROM p").fetchall() == [(7, "x"), (7, "x")]


def test_prepared_statements(con: tsdb.Connection) -> None:
    con.execute("PREPARE q AS SELECT v FROM t WHERE k = ?; PREPARE i AS INSERT INTO t VALUES ($1, $2)")
    con.execute("EXECUTE i (4, 'd')")
    assert con.execute("EXECUTE q (4)").fetchall() == [("d",)]
    assert con.execute("EXECUTE q (?)", [2]).fetchall() == [("b",)]
    with pytest.raises(tsdb.errors.AlreadyExists):
        con.execute("PREPARE q AS SELECT 1")
    with pytest.raises(tsdb.ProgrammingError, match="1 placeholder"):
        con.execute("EXECUTE q")
    con.execute("DEALLOCATE PREPARE q")
    with pytest.raises(tsdb.ProgrammingError, match="no statement `q`"):
        con.execute("EXECUTE q (1)")
    con.execute("DEALLOCATE ALL")
