"""Rows of Python as tables, and tables as rows of Python: variables in FROM, append, DataFrames of results."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import tsdb

everywhere = pa.table({"x": [7]})


@pytest.fixture
def con() -> Iterator[tsdb.Connection]:
    with tsdb.connect(":memory:") as connection:
        connection.execute("CREATE TABLE t (a BIGINT, s STRING)")
        connection.execute("INSERT INTO t VALUES (1, 'x'), (2, NULL)")
        yield connection


def test_results(con: tsdb.Connection) -> None:
    query = "SELECT a, s FROM t ORDER BY a"
    table = pa.table({"a": [1, 2], "s": ["x", None]})
    assert con.sql(query).arrow().cast(table.schema).equals(table)
    assert con.sql(query).df()["a"].tolist() == [1, 2]
    assert con.sql(query).pl().rows() == [(1, "x"), (2, None)]
    assert pl.DataFrame(con.sql(query)).shape == (2, 2)
    assert con.sql(query).fetch_record_batch().read_all().num_rows == 2


@pytest.mark.parametrize(
    "given",
    [
        pa.table({"a": [1, 2], "b": ["p", "q"]}),
        pa.record_batch({"a": [1, 2], "b": ["p", "q"]}),
        pd.DataFrame({"a": [1, 2], "b": ["p", "q"]}, index=[5, 6]),
        pd.DataFrame({"a": [1, 2], "b": pd.Categorical(["p", "q"])}),
        pl.DataFrame({"a": [1, 2], "b": ["p", "q"]}),
        pl.LazyFrame({"a": [1, 2], "b": ["p", "q"]}),
    ],
    ids=lambda v: f"{type(v).__module__}.{type(v).__name__}",
)
def test_variables_are_tables(con: tsdb.Connection, given: Any) -> None:
    rows = con.sql("SELECT b, s FROM given JOIN t ON given.a = t.a ORDER BY b").fetchall()
    assert rows == [("p", "x"), ("q", None)]
    con.sql("CREATE TABLE made AS SELECT * FROM given")
    assert con.append("made", given) == 2
    assert con.sql("SELECT count(*), min(b) FROM made").fetchall() == [(4, "p")]
    assert con.sql("DESCRIBE given").fetchone()[0] == "a"  # type: ignore[index]


def test_whose_variable(con: tsdb.Connection) -> None:
    t = pa.table({"a": [99]})
    assert con.sql("SELECT max(a) FROM t").fetchone() == (2,), f"a table comes before {t.num_rows} rows of a variable"
    assert con.sql("SELECT x FROM everywhere").fetchone() == (7,)

    def inner() -> list[tuple[Any, ...]]:
        everywhere = pa.table({"x": [8]})
        assert everywhere.num_rows == 1
        return con.sql("WITH c AS (SELECT x FROM everywhere) SELECT x FROM c").fetchall()

    assert inner() == [(8,)]
    with pytest.raises(tsdb.ProgrammingError, match="`inner_only` does not exist"):
        con.sql("SELECT * FROM inner_only")


def test_a_variable_is_read_anew_by_each_statement(con: tsdb.Connection) -> None:
    frame = pd.DataFrame({"a": [1]})
    assert con.sql("SELECT a FROM frame").fetchall() == [(1,)]
    frame["a"] = 2
    assert con.sql("SELECT a FROM frame; SELECT a FROM frame").fetchall() == [(2,)]
    assert con.cursor().execute("SELECT x.a + y.a FROM frame x, frame y").fetchall() == [(4,)]


def test_what_no_variable_may_do(con: tsdb.Connection) -> None:
    frame = pd.DataFrame({"a": [1]})
    reader = pa.table(frame).to_reader()
    cursor = con.sql("SELECT 1")
    numbers = [1, 2]
    with pytest.raises(tsdb.NotSupportedError, match="cannot read the Python variable `frame`"):
        con.sql("CREATE VIEW v AS SELECT * FROM frame")
    with pytest.raises(tsdb.ProgrammingError, match="read only once"):
        con.sql("SELECT * FROM reader")
    with pytest.raises(tsdb.ProgrammingError, match=r"cursor = cursor\.arrow\(\)"):
        con.sql("SELECT * FROM cursor")
    with pytest.raises(tsdb.ProgrammingError, match="does not exist"):
        con.sql("SELECT * FROM numbers")
    with pytest.raises(tsdb.ProgrammingError, match="does not exist"):
        con.sql("INSERT INTO frame VALUES (1)")
    con.sql("SET 'python.replacement-scans' = 'false'")
    with pytest.raises(tsdb.ProgrammingError, match="`frame` does not exist"):
        con.sql("SELECT * FROM frame")
    assert reader is not None and numbers and cursor.fetchone() == (1,)


def test_in_streams(con: tsdb.Connection) -> None:
    frame = pd.DataFrame({"a": [1, 1, 2]})
    con.sql("SET 'execution.mode' = 'streaming'")
    counted = {row[1]: row[2] for row in con.sql("SELECT a, count(*) FROM frame GROUP BY a").fetchall()}
    assert counted == {1: 2, 2: 1}
    assert con.append("t", frame.assign(s="n")) == 3, "a commit, and no job"
    assert con.jobs() == [] and con.table("t").count() == 5


def test_append(con: tsdb.Connection) -> None:
    assert con.append("t", pa.table({"s": ["z"], "a": [3]}), by_name=True) == 1
    assert con.append("t", pa.table({"s": ["w"]}), by_name=True) == 1
    assert con.append("default.t", pa.table({"a": [5], "s": ["v"]}).to_reader()) == 1
    assert con.sql("SELECT s FROM t WHERE a IS NULL OR a > 2 ORDER BY s").fetchall() == [("v",), ("w",), ("z",)]
    with pytest.raises(tsdb.ProgrammingError):
        con.append("t", pa.table({"a": [1]}))
    with pytest.raises(tsdb.ProgrammingError, match="write CAST"):
        con.append("t", pa.table({"a": ["no number"], "s": ["x"]}))
    with pytest.raises(tsdb.ProgrammingError, match="`nowhere` does not exist"):
        con.append("nowhere", pa.table({"a": [1]}))
    with pytest.raises(tsdb.InterfaceError, match="list is no table"):
        con.append("t", [1])
    assert con.table("t").count() == 5


def test_rows_of_the_very_types_are_checked_and_arranged_as_others_are(con: tsdb.Connection) -> None:
    con.execute("CREATE TABLE typed (k BIGINT NOT NULL, c CHAR(2), n DOUBLE DEFAULT 1.5, PRIMARY KEY (k) NOT ENFORCED)")
    rows = pa.table({"k": pa.array([1, 2], pa.int64()), "c": ["ab", "cd"]})
    assert con.append("typed", rows.select(["c", "k"]), by_name=True) == 2
    assert con.execute("SELECT * FROM typed ORDER BY k").fetchall() == [(1, "ab", 1.5), (2, "cd", 1.5)]
    whole = rows.append_column("n", pa.array([None, 2.0]))
    assert con.append("typed", pa.concat_tables([whole, whole.slice(0, 0)])) == 2
    with pytest.raises(tsdb.DataError):
        con.append("typed", whole.set_column(1, "c", pa.array(["abc", "x"])))
    with pytest.raises(tsdb.Error, match=r"`k`.*NULL|NULL.*`k`"):
        con.append("typed", whole.set_column(0, "k", pa.array([1, None], pa.int64())))
    with pytest.raises(tsdb.BindError, match="given twice"):
        twice = pa.Table.from_arrays([rows["k"], rows["k"]], names=["k", "k"])
        con.append("typed", twice, by_name=True)
    assert con.execute("SELECT * FROM typed ORDER BY k").fetchall() == [(1, "ab", 1.5), (2, "cd", 2.0)]
