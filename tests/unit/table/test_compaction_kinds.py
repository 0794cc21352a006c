"""What starts a compaction besides the number of runs, what `sys.compact` can be told, and rows put in an order."""

import re
import time
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import tsdb
from tsdb.table.sort_compact import curve_order


@pytest.fixture
def con() -> Any:
    with tsdb.connect(":memory:") as connection:
        yield connection


def levels(con: Any, table: str = "t") -> list[int]:
    """The levels of the files, lowest first."""
    return [row[0] for row in con.execute(f"SELECT level FROM `{table}$files` ORDER BY level").fetchall()]


KEYED = "CREATE TABLE t (k INT PRIMARY KEY NOT ENFORCED, v INT) WITH ({})"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("'bucket' = '1'", [0, 0]),
        ("'compaction.optimization-interval' = '1 h'", [0, 5]),
        ("'compaction.total-size-threshold' = '1 mb'", [5]),
        ("'compaction.incremental-size-threshold' = '1 b'", [5]),
        ("'compaction.force-up-level-0' = 'true'", [4, 5]),
        ("'num-sorted-run.compaction-trigger' = '2'", [0, 0]),
        ("'compaction.total-size-threshold' = '1 mb', 'write-only' = 'true'", [0, 0]),
    ],
)
def test_what_starts_a_compaction(con: Any, options: str, expected: list[int]) -> None:
    con.execute(KEYED.format(options))
    con.execute("INSERT INTO t SELECT value, value FROM generate_series(1, 20000) AS g(value)")
    con.execute("INSERT INTO t VALUES (5, 6)")
    assert levels(con) == expected
    assert con.execute("SELECT count(*), sum(v - k) FROM t").fetchone() == (20000, 1)


def test_a_full_compaction_every_some_commits(con: Any) -> None:
    con.execute(KEYED.format("'full-compaction.delta-commits' = '3', 'changelog-producer' = 'full-compaction'"))
    seen = []
    for i in range(7):
        con.execute(f"INSERT INTO t VALUES ({i}, {i})")
        seen.append(levels(con))
    assert seen == [[0], [0, 0], [5], [0, 5], [0, 0, 5], [5], [0, 5]]
    con.execute("SET 'execution.mode' = 'streaming'")
    con.execute("SET 'scan.bounded.mode' = 'latest'")
    rows = con.execute("SELECT k FROM t /*+ OPTIONS('scan.snapshot-id' = '1') */").fetchall()
    assert sorted(rows) == [("+I", k) for k in range(6)]


def test_a_job_compacts_every_some_checkpoints(con: Any) -> None:
    con.execute(KEYED.format("'full-compaction.delta-commits' = '2'"))
    con.execute("CREATE TABLE s (k INT, v INT)")
    con.execute("SET 'execution.mode' = 'streaming'")
    con.execute("SET 'scan.bounded.mode' = 'latest'")
    for i in range(4):
        con.execute("SET 'execution.mode' = 'batch'")
        con.execute(f"INSERT INTO s VALUES ({i}, {i})")
        con.execute("SET 'execution.mode' = 'streaming'")
        con.execute("INSERT INTO t SELECT * FROM s")
        for job in con.jobs():
            job.wait(20)
    con.execute("SET 'execution.mode' = 'batch'")
    assert con.execute("SELECT count(*) FROM t").fetchone() == (4,)
    assert levels(con) in ([5], [0, 5])


def test_a_job_goes_on_over_its_own_full_compactions(con: Any) -> None:
    """The writer of a job finds the files that a full compaction between two checkpoints has left."""
    options = "'full-compaction.delta-commits' = '2', 'changelog-producer' = 'full-compaction'"
    con.execute(KEYED.format(f"{options}, 'num-sorted-run.compaction-trigger' = '2'"))
    con.execute("CREATE TABLE s (k INT, v INT)")
    con.execute("SET 'execution.mode' = 'streaming'")
    con.execute("INSERT INTO t SELECT * FROM s /*+ OPTIONS('continuous.discovery-interval' = '20 ms') */")
    con.execute("SET 'execution.mode' = 'batch'")
    for i in range(6):
        con.execute(f"INSERT INTO s VALUES ({i}, {i})")
        deadline = time.monotonic() + 30
        while con.execute("SELECT count(*) FROM t").fetchone() != (i + 1,):
            assert time.monotonic() < deadline, con.jobs()
            time.sleep(0.02)
    for job in con.jobs():
        job.stop()
    assert con.execute("SELECT sum(k), sum(v) FROM t").fetchone() == (15, 15)
    kinds = con.execute("SELECT commit_kind FROM `t$snapshots` ORDER BY snapshot_id").fetchall()
    assert [kind for (kind,) in kinds][:8] == (["APPEND", "APPEND", "COMPACT"] * 3)[:8]


def test_which_partitions_are_compacted(con: Any) -> None:
    con.execute(
        "CREATE TABLE t (d DATE, n INT, k INT, PRIMARY KEY (d, n, k) NOT ENFORCED) PARTITIONED BY (d, n) "
        "WITH ('bucket' = '1', 'write-only' = 'true')"
    )
    for k in range(2):
        for day, n in ((1, 1), (2, 1), (2, 2)):
            con.execute(f"INSERT INTO t VALUES (DATE '2024-01-0{day}', {n}, {k})")

    def left() -> int:
        return levels(con).count(0)

    assert left() == 6
    con.execute("CALL sys.compact(`table` => 't', partition_idle_time => '1 d')")
    assert left() == 6
    con.execute("CALL sys.compact(`table` => 't', `where` => 'd > ''2024-01-01'' AND n = 2')")
    assert left() == 4
    con.execute("CALL sys.compact(`table` => 't', `where` => 'n <= 1', partitions => 'd=2024-01-01')")
    assert left() == 2
    con.execute("CALL sys.compact(`table` => 't', partition_idle_time => '0 ms')")
    assert left() == 0
    for text in ("k = 1", "n = 1 OR n = 2", "n", "d = 'soon'"):
        with pytest.raises(tsdb.ProgrammingError, match="`where`"):
            con.execute("CALL sys.compact(`table` => 't', `where` => ?)", (text,))


def test_a_database_is_compacted(con: Any) -> None:
    for name in ("a", "b", "c"):
        con.execute(f"CREATE TABLE {name} (k INT PRIMARY KEY NOT ENFORCED)")
        con.execute(f"INSERT INTO {name} VALUES (1)")
    call = "CALL sys.compact_database(including_tables => 'default\\.[ab]', excluding_tables => '.*b')"
    assert con.execute(call).fetchall() == [("1 tables compacted",)]
    assert [levels(con, name) for name in "abc"] == [[5], [0], [0]]
    for more, count in (
        ("partition_idle_time => '1 d'", 0),
        ("compact_strategy => 'minor'", 0),
        ("mode => 'divided'", 2),
    ):
        assert con.execute(f"CALL sys.compact_database({more})").fetchall() == [(f"{count} tables compacted",)]


def test_deleted_rows_leave_the_files(con: Any) -> None:
    con.execute("CREATE TABLE t (k INT) WITH ('deletion-vectors.enabled' = 'true')")
    con.execute("INSERT INTO t VALUES (1), (2), (3)")
    con.execute("DELETE FROM t WHERE k = 2")
    count = "SELECT sum(record_count) FROM `t$files`"
    assert con.execute(count).fetchone() == (3,)
    con.execute("CALL sys.materialize_deletion_vectors('t')")
    assert con.execute(count).fetchone() == (2,)
    assert sorted(con.execute("SELECT * FROM t").fetchall()) == [(1,), (3,)]
    con.execute("CREATE TABLE plain (k INT)")
    with pytest.raises(tsdb.ProgrammingError, match="no deletion vectors"):
        con.execute("CALL sys.materialize_deletion_vectors('plain')")


@pytest.mark.parametrize("strategy", ["order", "zorder", "hilbert"])
def test_ordered_files_are_passed_over(con: Any, strategy: str) -> None:
    con.execute("CREATE TABLE t (x INT, y INT, s STRING) WITH ('target-file-size' = '20 kb')")
    rng = np.random.default_rng(1)
    rows = pa.table({"x": rng.integers(0, 1000, 40000), "y": rng.integers(0, 1000, 40000), "s": ["v"] * 40000})
    con.register("r", rows)
    con.execute("INSERT INTO t SELECT * FROM r")
    con.execute("DELETE FROM t WHERE x = 7")
    before = sorted(con.execute("SELECT * FROM t").fetchall())
    con.execute("CALL sys.compact(`table` => 't', order_strategy => ?, order_by => 'x,y')", (strategy,))
    assert sorted(con.execute("SELECT * FROM t").fetchall()) == before
    kinds = con.execute("SELECT commit_kind FROM `t$snapshots` ORDER BY snapshot_id DESC LIMIT 1").fetchone()
    assert kinds == ("COMPACT",)
    plan = "\n".join(row[0] for row in con.execute("EXPLAIN SELECT s FROM t WHERE x = 100 AND y = 100").fetchall())
    kept, total = map(int, re.search(r"files (\d+) of (\d+)", plan).groups())  # type: ignore[union-attr]
    assert total >= 8 and kept <= total / 2
    con.execute("SET 'execution.mode' = 'streaming'")
    con.execute("SET 'scan.bounded.mode' = 'latest'")
    assert con.execute("SELECT count(*) FROM t /*+ OPTIONS('scan.snapshot-id' = '1') */").fetchall()[-1][1] == len(
        before
    )


def test_the_curves_keep_neighbours_together() -> None:
    """Every step of the Hilbert curve over a full grid goes to a neighbour; z-order is its textbook numbering."""
    x, y = (pa.chunked_array([part.ravel()]) for part in np.meshgrid(np.arange(16), np.arange(16)))
    points = np.column_stack([x.to_numpy(), y.to_numpy()])
    walk = points[curve_order([x, y], "hilbert")]
    assert all(np.abs(a - b).sum() == 1 for a, b in pairwise(walk))
    z = points[curve_order([x, y], "zorder")]
    assert z[:8].tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [0, 2], [0, 3], [1, 2], [1, 3]]
    assert points[curve_order([x, y], "order")].tolist() == sorted(points.tolist())


def test_orders_that_are_refused(con: Any) -> None:
    con.execute("CREATE TABLE t (x INT, l ARRAY<INT>)")
    con.execute("CREATE TABLE k (x INT PRIMARY KEY NOT ENFORCED)")
    con.execute("INSERT INTO t VALUES (1, ARRAY[1])")
    for call, error, words in (
        ("`table` => 't', order_strategy => 'spiral', order_by => 'x'", tsdb.ProgrammingError, "zorder"),
        ("`table` => 't', order_strategy => 'zorder'", tsdb.ProgrammingError, "`order_by`"),
        ("`table` => 't', order_by => 'x'", tsdb.ProgrammingError, "goes with"),
        ("`table` => 't', order_strategy => 'zorder', order_by => 'xx'", tsdb.ProgrammingError, "no column `xx`"),
        ("`table` => 't', order_strategy => 'zorder', order_by => 'l'", tsdb.NotSupportedError, "nested"),
        ("`table` => 'k', order_strategy => 'zorder', order_by => 'x'", tsdb.NotSupportedError, "primary key"),
    ):
        with pytest.raises(error, match=words):
            con.execute(f"CALL sys.compact({call})")
