"""A look-up by key has the rows, types and errors of the general way, whatever kinds of files the table has."""

import pyarrow as pa
import pytest

import tsdb
from tsdb.exec.batch import point_lookup

KEYED = "CREATE TABLE t (k INT, s STRING, v DOUBLE, PRIMARY KEY (k, s) NOT ENFORCED) WITH ('bucket' = '2')"


@pytest.fixture
def taken(monkeypatch):
    """Which queries went the short way."""
    seen = []
    real = point_lookup.look_up

    def spy(statement, *rest):
        found = real(statement, *rest)
        seen.append(found is not None)
        return found

    monkeypatch.setattr(point_lookup, "look_up", spy)
    return seen


def test_the_newest_row_of_the_key(taken):
    with tsdb.connect(":memory:") as con:
        con.execute(KEYED)
        con.execute("INSERT INTO t VALUES (1, 'a', 1.5), (1, 'b', 2.5), (2, 'a', 3.5), (-3, 'a', 0)")
        assert con.execute("SELECT * FROM t WHERE k = ? AND s = ?", (1, "a")).fetchall() == [(1, "a", 1.5)]
        con.execute("INSERT INTO t VALUES (1, 'a', 9), (4, 'x', NULL)")
        con.execute("DELETE FROM t WHERE k = 2")
        got = con.execute("SELECT v AS w, x.k FROM t AS x WHERE x.s = 'a' AND x.k = 1").fetch_arrow_table()
        general = con.execute("SELECT v AS w, x.k FROM t AS x WHERE x.s = 'a' AND x.k = 1 LIMIT 5").fetch_arrow_table()
        assert got == general and got.schema == general.schema
        assert con.execute("SELECT v FROM t WHERE k = 2 AND s = 'a'").fetchall() == []
        assert con.execute("SELECT v FROM t WHERE k = 4 AND s = 'x'").fetchall() == [(None,)]
        assert con.execute("SELECT v FROM t WHERE k = -3 AND s = 'a'").fetchall() == [(0.0,)]
        assert con.execute("SELECT v FROM t WHERE k = 77 AND s = 'a'").fetchall() == []
        assert taken.count(True) == 6


def test_many_keys_of_many_row_groups_and_runs():
    rows = 300_000
    with tsdb.connect(":memory:") as con:
        con.execute("CREATE TABLE t (k BIGINT, v BIGINT, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '1')")
        con.register("i", pa.table({"k": range(0, 2 * rows, 2), "v": range(rows)}))
        con.execute("INSERT INTO t SELECT * FROM i")
        for compacted in (False, True):
            if compacted:
                con.execute("CALL sys.compact(`table` => 'default.t')")
            else:
                con.execute("INSERT INTO t SELECT k, v + 1000000 FROM i WHERE k % 3 = 0")
            for key in (0, 2, 6, 262_142, 262_144, 262_146, 2 * rows - 2, 1, 2 * rows):
                value = key // 2 + (1_000_000 if key % 3 == 0 else 0)
                wanted = [(key, value)] if key % 2 == 0 and key < 2 * rows else []
                assert con.execute("SELECT * FROM t WHERE k = ?", (key,)).fetchall() == wanted
                assert con.execute(f"SELECT k, v FROM t WHERE k IN ({key}, -5)").fetchall() == wanted


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM t WHERE k = 1",
        "SELECT * FROM t WHERE k = 1 AND s = 'a' AND v > 0",
        "SELECT * FROM t WHERE k = 1 OR s = 'a'",
        "SELECT * FROM t WHERE k = 1 AND k = 1 AND s = 'a'",
        "SELECT * FROM t WHERE k = '1' AND s = 'a'",
        "SELECT * FROM t WHERE k = 1.0 AND s = 'a'",
        "SELECT * FROM t WHERE k = 1 AND s = 'a' LIMIT 1",
        "SELECT DISTINCT k FROM t WHERE k = 1 AND s = 'a'",
        "SELECT count(*) FROM t WHERE k = 1 AND s = 'a'",
        "SELECT k + 1 FROM t WHERE k = 1 AND s = 'a'",
        "SELECT K FROM T WHERE k = 1 AND s = 'a'",
        "SELECT t.k FROM t, t AS u WHERE t.k = 1 AND t.s = 'a'",
        "SELECT * FROM t /*+ OPTIONS('scan.snapshot-id'='1') */ WHERE k = 1 AND s = 'a'",
        "SELECT * FROM t FOR SYSTEM_TIME AS OF TIMESTAMP '2999-01-01 00:00:00' WHERE k = 1 AND s = 'a'",
        "SELECT k FROM t WHERE k = 1 AND s = 'a' UNION ALL SELECT 1",
        "WITH t AS (SELECT 7 AS k, 'z' AS s) SELECT k FROM t WHERE k = 1 AND s = 'a'",
        "SELECT * FROM v WHERE k = 1 AND s = 'a'",
    ],
)
def test_what_is_not_that_shape_goes_the_general_way(query, taken):
    with tsdb.connect(":memory:") as con:
        con.execute(KEYED)
        con.execute("INSERT INTO t VALUES (1, 'a', 1.5)")
        con.execute("CREATE VIEW v AS SELECT * FROM t")
        con.execute(query).fetchall()
        assert taken == [False]


def test_errors_are_those_of_the_general_way(taken):
    with tsdb.connect(":memory:") as con:
        con.execute(KEYED)
        for query in ("SELECT nix FROM t WHERE k = 1 AND s = 'a'", "SELECT * FROM nix WHERE k = 1"):
            with pytest.raises(tsdb.ProgrammingError, match="nix"):
                con.execute(query)
        assert con.execute("SELECT * FROM t WHERE k = 99999999999 AND s = 'a'").fetchall() == []


def test_the_session_version_is_the_general_ways(taken):
    with tsdb.connect(":memory:") as con:
        con.execute(KEYED)
        con.execute("INSERT INTO t VALUES (1, 'a', 1.5)")
        con.execute("INSERT INTO t VALUES (1, 'a', 2.5)")
        con.execute("SET 'scan.snapshot-id' = '1'")
        assert con.execute("SELECT v FROM t WHERE k = 1 AND s = 'a'").fetchall() == [(1.5,)]
        con.execute("RESET 'scan.snapshot-id'")
        assert con.execute("SELECT v FROM t WHERE k = 1 AND s = 'a'").fetchall() == [(2.5,)]
        assert taken == [False, True]
