"""UPDATE and DELETE of append tables with deletion vectors: no file is written anew, and the rows are a model's."""

import random
from pathlib import Path

import pytest

from tests.unit.exec.conftest import Asker

WITH = "WITH ('deletion-vectors.enabled' = 'true'{more})"


def data_files(warehouse: Path, table: str = "t") -> set[str]:
    return {str(p) for p in (warehouse / "default.db" / table).rglob("*.parquet")}


@pytest.mark.parametrize("bits", ["false", "true"])
@pytest.mark.parametrize("ddl", ["(k INT, v STRING)", "(k INT, v STRING) PARTITIONED BY (v)"])
def test_statements_against_a_model(ask: Asker, warehouse: Path, ddl: str, bits: str) -> None:
    ask.run(f"CREATE TABLE t {ddl} " + WITH.format(more=f", 'deletion-vectors.bitmap64' = '{bits}'"))
    rng = random.Random(5)
    model: list[tuple[int, str | None]] = []
    for step in range(25):
        low = rng.randrange(200)
        if step % 4 == 0:
            new = [(rng.randrange(200), rng.choice(["a", "b", None])) for _ in range(60)]
            ask.run("INSERT INTO t VALUES " + ", ".join(f"({k}, {'NULL' if v is None else repr(v)})" for k, v in new))
            model += new
        elif rng.random() < 0.5:
            hit = [row for row in model if low <= row[0] < low + 20 and row[1] == "a"]
            assert ask.count(f"DELETE FROM t WHERE k >= {low} AND k < {low + 20} AND v = 'a'") == len(hit)
            model = [row for row in model if row not in hit]
        else:
            hit = [row for row in model if low <= row[0] < low + 10]
            count = ask.count(f"UPDATE t SET v = 'b', k = k + 1 WHERE k BETWEEN {low} AND {low + 9}")
            assert count == len(hit)
            model = [row for row in model if row not in hit] + [(k + 1, "b") for k, _ in hit]
        assert ask.bag("SELECT * FROM t") == sorted(model, key=repr)
        assert ask.rows("SELECT count(*) FROM t WHERE v = 'b'") == [(sum(v == "b" for _, v in model),)]


def test_files_stay_and_snapshots_keep_their_rows(ask: Asker, warehouse: Path) -> None:
    ask.run("CREATE TABLE t (k INT, v STRING) " + WITH.format(more=""))
    ask.run("INSERT INTO t SELECT value, 'x' FROM generate_series(1, 10000) AS g(value)")
    before = data_files(warehouse)
    assert ask.count("DELETE FROM t WHERE k % 2 = 0") == 5000
    assert ask.count("DELETE FROM t WHERE k <= 9") == 5
    assert data_files(warehouse) == before
    assert ask.rows("SELECT count(*), min(k), sum(k) FROM t") == [(4995, 11, sum(range(11, 10000, 2)))]
    assert ask.rows("SELECT count(*) FROM t VERSION AS OF 1") == [(10000,)]
    assert ask.rows("SELECT count(*) FROM t VERSION AS OF 2") == [(5000,)]
    kinds = ask.rows("SELECT commit_kind FROM `t$snapshots`")
    assert kinds == [("APPEND",), ("OVERWRITE",), ("OVERWRITE",)]
    assert ask.count("DELETE FROM t") == 4995 and ask.rows("SELECT * FROM t") == []
    assert ask.rows("SELECT count(*) FROM `t$files`") == [(0,)]  # a file without a row is not kept


def test_a_merge_drops_the_vectors_of_files_that_it_writes_anew(ask: Asker) -> None:
    ask.run("CREATE TABLE t (k INT, v STRING) " + WITH.format(more=""))
    ask.run("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    ask.run("DELETE FROM t WHERE k = 1")
    ask.run("MERGE INTO t USING (VALUES (2, 'm')) AS s (k, v) ON t.k = s.k WHEN MATCHED THEN UPDATE SET v = s.v")
    assert ask.bag("SELECT * FROM t") == [(2, "m"), (3, "c")]
