"""count(*), min and max follow from the footers of files where these are exact, and EXPLAIN says when; elsewhere rows
are read. LIMIT opens no more files than it needs.
"""

import math
import re

import pyarrow as pa
import pytest

import tsdb

SAID = "answered from metadata"
LONG = "x" * 200  # statistics of Parquet may cut it


@pytest.fixture
def con(tmp_path):
    with tsdb.connect(tmp_path) as connection:
        yield connection


def _said(con, query):
    plans = [con.execute(f"{explain} {query}").fetchone()[0] for explain in ("EXPLAIN", "EXPLAIN ANALYZE")]
    assert len({SAID in plan for plan in plans}) == 1
    return SAID in plans[0]


def test_counts_and_bounds_of_whole_files(con):
    con.execute("CREATE TABLE a (k BIGINT, s STRING)")
    con.execute("INSERT INTO a VALUES (3, 'x'), (7, NULL)")
    con.execute("INSERT INTO a VALUES (-2, 'y')")
    query = "SELECT count(*), count(s), min(k), max(k) FROM a"
    assert con.execute(query).fetchall() == [(3, 2, -2, 7)]
    assert _said(con, query)
    for read in (
        "SELECT sum(k) FROM a", "SELECT count(*) FROM a WHERE k > 0", "SELECT s, count(*) FROM a GROUP BY s",
        "SELECT count(DISTINCT k) FROM a", "SELECT k FROM a",
    ):  # fmt: skip
        assert not _said(con, read), read
    assert con.execute("SELECT count(*), max(k) FROM a WHERE k < 7").fetchall() == [(2, 3)]


@pytest.mark.parametrize("options", ["", ", 'deletion-vectors.enabled' = 'true'", ", 'write-only' = 'true'"])
def test_rows_that_are_superseded_or_deleted_do_not_count(con, options):
    con.execute(f"CREATE TABLE p (k INT, v INT, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '1'{options})")
    con.execute("INSERT INTO p VALUES (1, 100), (2, 20), (9, -5)")
    con.execute("INSERT INTO p VALUES (1, 10), (3, 30)")
    con.execute("DELETE FROM p WHERE k = 9")
    query = "SELECT count(*), min(k), max(k), min(v), max(v) FROM p"
    assert not _said(con, query)
    assert con.execute(query).fetchall() == [(3, 1, 3, 10, 30)]


def test_what_is_deleted_from_an_append_table_does_not_count(con):
    con.execute("CREATE TABLE a (k INT) WITH ('bucket' = '-1', 'deletion-vectors.enabled' = 'true')")
    con.execute("INSERT INTO a VALUES (1), (2), (99)")
    con.execute("DELETE FROM a WHERE k = 99")
    assert con.execute("SELECT count(*), max(k) FROM a").fetchall() == [(2, 2)]


def test_bounds_that_are_cut_or_without_order(con):
    """The longest strings, and NaN, which is above all numbers and in no statistics."""
    con.execute("CREATE TABLE a (s STRING, b BYTES, v DOUBLE)")
    con.register("incoming", pa.table({
        "s": [LONG + "b", LONG + "a"], "b": [b"\xff" * 200, b"\xff" * 201], "v": [1.0, math.nan],
    }))  # fmt: skip
    con.execute("INSERT INTO a SELECT * FROM incoming")
    assert con.execute("SELECT min(s), max(s), min(b), max(b) FROM a").fetchall() == [
        (LONG + "a", LONG + "b", b"\xff" * 200, b"\xff" * 201)
    ]
    low, high = con.execute("SELECT min(v), max(v) FROM a").fetchone()
    assert low == 1.0 and math.isnan(high)
    assert con.execute("SELECT count(*) FROM a WHERE v > 5").fetchall() == [(1,)]


def test_columns_that_were_added_or_changed(con):
    con.execute("CREATE TABLE a (k INT)")
    con.execute("INSERT INTO a VALUES (5), (-5)")
    con.execute("ALTER TABLE a ADD (v INT)")
    con.execute("ALTER TABLE a MODIFY k BIGINT")
    con.execute("INSERT INTO a VALUES (6000000000, 1)")
    query = "SELECT count(*), count(v), min(k), max(k), min(v), max(v) FROM a"
    assert con.execute(query).fetchall() == [(3, 1, -5, 6000000000, 1, 1)]


def _bytes_read(con, query):
    text = con.execute(f"EXPLAIN ANALYZE {query}").fetchone()[0]
    return sum(
        float(n) * {"": 1, "K": 1e3, "M": 1e6}[u] for n, u in re.findall(r"bytes_scanned=([\d.]+) ?([KM]?)", text)
    )


@pytest.mark.parametrize("key", ["", ", PRIMARY KEY (k) NOT ENFORCED"])
def test_limit_opens_few_files(con, key):
    """Also under a filter, and of a primary-key table whose files do not overlap."""
    options = " WITH ('bucket' = '1', 'write-only' = 'true')" if key else ""
    con.execute(f"CREATE TABLE t (k INT, s STRING{key}){options}")
    for start in range(0, 20_000, 1000):
        keys = list(range(start, start + 1000))
        con.register("incoming", pa.table({"k": pa.array(keys, pa.int32()), "s": [f"text {k * 7919}" for k in keys]}))
        con.execute("INSERT INTO t SELECT * FROM incoming")
    whole = _bytes_read(con, "SELECT * FROM t")
    assert 0 < _bytes_read(con, "SELECT * FROM t LIMIT 10") < whole / 10
    assert len(con.execute("SELECT * FROM t LIMIT 10").fetchall()) == 10
    assert len(con.execute("SELECT * FROM t WHERE s <> 'text 0' LIMIT 10").fetchall()) == 10


def test_the_smaller_table_is_built(con):
    """Whichever comes first in the text, a join hashes the side that the footers say has fewer rows."""
    con.execute("CREATE TABLE small (k INT)")
    con.execute("CREATE TABLE large (k INT)")
    con.execute("INSERT INTO small VALUES (1), (2)")
    con.register("incoming", pa.table({"k": pa.array(range(50_000), pa.int32())}))
    con.execute("INSERT INTO large SELECT * FROM incoming")
    for join in ("small JOIN large USING (k)", "large JOIN small USING (k)"):
        plan = con.execute(f"EXPLAIN ANALYZE SELECT count(*) FROM {join}").fetchone()[0]
        assert plan.index("/small/") < plan.index("/large/"), plan
        assert con.execute(f"SELECT count(*) FROM {join}").fetchall() == [(2,)]
