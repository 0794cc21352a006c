"""Queries over more than 'memory.limit' spill to disk."""

import pyarrow as pa
import pytest

import tsdb

ROWS, STEP = 400_000, 20_000
OWN_INVERSE = sum(i * 7919 * 7919 % ROWS == i for i in range(ROWS))


@pytest.fixture
def con():
    with tsdb.connect(":memory:") as con:
        parts = [range(begin, begin + STEP) for begin in range(0, ROWS, STEP)]
        con.register("n", pa.concat_tables(pa.table({"v": p, "k": [i * 7919 % ROWS for i in p]}) for p in parts))
        con.execute("SET 'memory.limit' = '12 mb'")
        yield con


def test_join_of_two_large_sides(con):
    """DataFusion's hash join gives up; the rows come from a merge join."""
    rows = con.execute("SELECT a.v, b.v FROM n AS a JOIN n AS b ON a.v = b.k").fetch_arrow_table()
    got = dict(zip(rows.column(0).to_pylist(), rows.column(1).to_pylist(), strict=True))
    assert len(got) == ROWS and all(value * 7919 % ROWS == key for key, value in got.items())


def test_sort(con):
    rows = con.execute("SELECT k FROM n ORDER BY k").fetch_arrow_table()
    assert rows.column(0).to_pylist() == list(range(ROWS))


def test_grouping(con):
    assert con.execute("SELECT k, count(*) FROM n GROUP BY k").fetch_arrow_table().num_rows == ROWS


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("SELECT count(*) FROM (SELECT DISTINCT k, v FROM n)", ROWS),
        ("SELECT count(DISTINCT k) FROM n", ROWS),
        ("SELECT sum(r) FROM (SELECT row_number() OVER (ORDER BY k) AS r FROM n)", ROWS * (ROWS + 1) // 2),
        ("SELECT max(r) FROM (SELECT row_number() OVER (PARTITION BY k % 1000 ORDER BY v) AS r FROM n)", ROWS // 1000),
        ("SELECT count(*) FROM (SELECT k, v FROM n EXCEPT SELECT v, k FROM n)", ROWS - OWN_INVERSE),
        ("SELECT count(*) FROM (SELECT k FROM n INTERSECT SELECT v FROM n)", ROWS),
        ("SELECT count(*) FROM (SELECT k FROM n UNION SELECT -v FROM n)", 2 * ROWS - 1),
        ("SELECT count(*) FROM n WHERE k IN (SELECT v * 2 FROM n)", ROWS // 2),
    ],
)
def test_what_sorts_groups_or_joins(con, query, answer):
    assert con.execute(query).fetchone() == (answer,)


def test_rows_that_are_merged_on_read_and_written_in_order(con):
    con.execute("CREATE TABLE t (k BIGINT, v BIGINT, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '2')")
    con.execute("INSERT INTO t SELECT k, v FROM n ORDER BY v")
    con.execute("INSERT INTO t SELECT k, v + 1 FROM n WHERE k % 2 = 0")
    assert con.execute("SELECT count(*), sum(v) FROM t").fetchone() == (ROWS, ROWS * (ROWS - 1) // 2 + ROWS // 2)
    joined = con.execute("SELECT count(*), sum(t.v - n.v) FROM t JOIN n ON t.k = n.k").fetchone()
    assert joined == (ROWS, ROWS // 2)


def test_a_limit_that_is_too_small_is_named(con):
    con.execute("SET 'memory.limit' = '1 mb'")
    with pytest.raises(tsdb.OperationalError, match=r"'memory.limit'") as caught:
        con.execute("SELECT median(k) FROM n").fetchall()
    assert "datafusion" not in str(caught.value)


def test_what_cannot_be_spilled_says_who_needs_how_much(con):
    con.execute("SET 'memory.limit' = '2 mb'")
    with pytest.raises(tsdb.OperationalError, match=r"not enough memory: .* needs .* more .* \(2\.0 MB\)") as caught:
        con.execute("SELECT count(*) FROM n AS a JOIN n AS b ON CAST(a.v AS STRING) = CAST(b.k AS STRING)").fetchall()
    assert "datafusion" not in str(caught.value)
