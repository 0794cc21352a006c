"""Queries over more than 'memory.limit' spill to disk."""

import pyarrow as pa
import pytest

import tsdb

ROWS = 400_000


@pytest.fixture
def con():
    with tsdb.connect(":memory:") as con:
        con.register("n", pa.table({"v": range(ROWS), "k": [i * 7919 % ROWS for i in range(ROWS)]}))
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
