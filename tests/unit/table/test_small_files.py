"""Small files of append tables: writers of buckets and continuous jobs join them, statements without buckets do not."""

from types import SimpleNamespace

import pytest

import tsdb
from tsdb.table.compact import worth_joining


def files_of(con, table="t"):
    return con.execute(f"SELECT count(*) FROM {table}$files").fetchone()[0]


def kinds(con, table="t"):
    return [row[0] for row in con.execute(f"SELECT commit_kind FROM {table}$snapshots").fetchall()]


@pytest.mark.parametrize(
    ("sizes", "count_min", "joined"),
    [
        ([1, 1, 1, 1, 1], 5, [1, 1, 1, 1, 1]),
        ([1, 1, 1, 1], 5, None),
        ([9, 1, 1, 1, 1, 1], 5, [1, 1, 1, 1, 1]),
        ([5, 1, 1, 1, 1, 1], 5, [5, 1, 1, 1, 1, 1]),
        ([50, 9, 1, 1], 3, None),
        ([50, 9, 5, 3, 2], 3, [9, 5, 3, 2]),
    ],
)
def test_which_small_files_are_worth_joining(sizes, count_min, joined):
    found = worth_joining([[SimpleNamespace(file_size=size) for size in sizes]], count_min)
    assert [[file.file_size for file in group] for group in found] == ([] if joined is None else [joined])


def test_many_small_commits_are_rewritten_a_few_times_only():
    sizes, rewritten = [], 0
    for _ in range(2000):
        sizes.append(1)
        for group in worth_joining([[SimpleNamespace(file_size=size) for size in sizes]], 5):
            total = sum(file.file_size for file in group)
            rewritten += total
            sizes[len(sizes) - len(group) :] = [total]
    assert sum(sizes) == 2000 and len(sizes) < 20 and rewritten < 2000 * 11


def test_statements_join_the_small_files_of_buckets(tmp_path):
    with tsdb.connect(str(tmp_path)) as con:
        options = "'bucket' = '2', 'bucket-key' = 'k', 'compaction.min.file-num' = '3'"
        con.execute(f"CREATE TABLE t (k INT, v INT) WITH ({options})")
        con.execute(f"CREATE TABLE left_alone (k INT, v INT) WITH ({options}, 'write-only' = 'true')")
        con.execute("CREATE TABLE without_buckets (k INT, v INT) WITH ('compaction.min.file-num' = '3')")
        for table in ("t", "left_alone", "without_buckets"):
            for i in range(12):
                con.execute(f"INSERT INTO {table} VALUES ({i % 4}, {i})")
        assert files_of(con) < 8 and "COMPACT" in kinds(con)
        assert files_of(con, "left_alone") == 12 == files_of(con, "without_buckets")
        assert sorted(con.execute("SELECT v FROM t").fetchall()) == [(i,) for i in range(12)]
        by_bucket = con.execute("SELECT v FROM t WHERE k = 1").fetchall()
        assert by_bucket == sorted(by_bucket)  # in the order in which they were written


@pytest.mark.parametrize("vectors", ["false", "true"])
def test_a_job_joins_the_small_files_that_it_makes(tmp_path, vectors):
    with (
        tsdb.connect(str(tmp_path)) as con,
        tsdb.connect(str(tmp_path), options={"execution.mode": "streaming"}) as jobs,
    ):
        con.execute("CREATE TABLE src (k INT, v INT)")
        con.execute(f"CREATE TABLE t (k INT, v INT) WITH ('deletion-vectors.enabled' = '{vectors}')")
        jobs.execute("INSERT INTO t SELECT k, v FROM src")
        for i in range(14):
            con.execute(f"INSERT INTO src VALUES ({i}, {i}), ({i}, -1)")
            jobs.jobs()[0].checkpoint()
            con.execute("DELETE FROM t WHERE v = -1")
        assert files_of(con) < 10 and "COMPACT" in kinds(con)
        assert sorted(con.execute("SELECT k, v FROM t").fetchall()) == [(i, i) for i in range(14)]
        con.execute("STOP JOB 'insert-into_default.t'")


def test_a_file_with_many_deleted_rows_is_written_anew(tmp_path):
    with tsdb.connect(str(tmp_path)) as con:
        con.execute("CREATE TABLE t (k INT) WITH ('deletion-vectors.enabled' = 'true')")
        con.execute("INSERT INTO t VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)")
        con.execute("DELETE FROM t WHERE k < 2")
        minor = "CALL sys.compact(`table` => 't', compact_strategy => 'minor')"
        assert con.execute(minor).fetchall() == [("nothing to compact",)]
        con.execute("DELETE FROM t WHERE k = 2")
        assert con.execute(minor).fetchall() != [("nothing to compact",)]
        assert con.execute("SELECT record_count FROM t$files").fetchall() == [(7,)]
        assert con.execute("SELECT count(*) FROM t$table_indexes").fetchall() == [(0,)]
