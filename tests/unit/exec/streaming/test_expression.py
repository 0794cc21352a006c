"""Expressions that are planned once give what they give when they are planned each time."""

import numpy as np
import pyarrow as pa
import pytest
from datafusion import col, lit

import tsdb
from tsdb.errors import DataError
from tsdb.exec.streaming import expression
from tsdb.exec.streaming.changelog import ChangelogResult
from tsdb.exec.streaming.dataflow import Dataflow
from tsdb.exec.streaming.expression import Frames
from tsdb.exec.streaming.operators.project import Project

SCHEMA = pa.schema([("c0", pa.int64()), ("c1", pa.string())])


def table(*sizes: int) -> pa.Table:
    """Chunks of these sizes."""
    rng = np.random.default_rng(sum(sizes))
    parts = [[rng.integers(-9, 9, size), [None if n % 3 else f"t{n}" for n in range(size)]] for size in sizes]
    return pa.concat_tables([pa.table(part, schema=SCHEMA) for part in parts])


def test_planned_once_and_planned_each_time_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expression, "_RUNS_OF_A_PLAN", 4)
    frames = Frames()
    exprs = [(col("c0") * lit(3)).alias("e0"), col("c1").is_null().alias("e1"), lit(7).alias("e2")]
    prepared = frames.prepared(SCHEMA, exprs)
    for sizes in [(1,), (5,), (3, 4), (2000, 1, 70_000), (1,), (200_000,), (2,), (9,), (4, 4)]:
        rows = table(*sizes)
        wanted = frames.run(rows, lambda frame: frame.select(*exprs))
        assert prepared.run(rows).to_pydict() == wanted.to_pydict(), sizes


def test_a_value_that_does_not_fit_is_an_error_of_ours_and_the_next_rows_are_read() -> None:
    prepared = Frames().prepared(SCHEMA, [(lit(1) / col("c0")).alias("e0")])
    with pytest.raises(DataError, match=r"[Dd]ivi"):
        prepared.run(pa.table([[1, 0], ["a", "b"]], schema=SCHEMA))
    assert prepared.run(pa.table([[1, -1], ["a", "b"]], schema=SCHEMA)).to_pydict() == {"e0": [1, -1]}


def test_the_time_is_asked_for_at_each_step() -> None:
    with tsdb.connect() as con:
        con.execute("CREATE TABLE t (id INT)")
        con.execute("SET 'execution.mode' = 'streaming'")
        cursor = con.execute("SELECT id, PROCTIME() AS at FROM t")
        times = []
        for number in range(3):
            con.execute("SET 'execution.mode' = 'batch'")
            con.execute(f"INSERT INTO t VALUES ({number})")
            times += [row["at"] for row in cursor.poll(5).to_pylist()]
        assert len(set(times)) == 3 and times == sorted(times)


def test_a_cast_to_the_type_that_is_there_is_the_column() -> None:
    with tsdb.connect() as con:
        con.execute("CREATE TABLE t (id INT, v BIGINT)")
        con.execute("SET 'execution.mode' = 'streaming'")
        cursor = con.execute("SELECT AVG(most) FROM (SELECT max(v) AS most FROM t GROUP BY id)")
        result = cursor._result
        assert isinstance(result, ChangelogResult)
        dataflow = result._pipeline.dataflow
        assert isinstance(dataflow, Dataflow)
        projections = [node.operator for node in dataflow.nodes if isinstance(node.operator, Project)]
        casts = [p for p in projections if "CAST(max(t.v) AS Int64)" in p.describe()]
        assert casts, [p.describe() for p in projections]
        assert all(place is not None for p in casts for place in p.places), "nothing of it is computed"
