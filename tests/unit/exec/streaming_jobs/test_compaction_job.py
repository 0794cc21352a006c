"""`CALL sys.compact` and `sys.compact_database` in streaming mode: jobs that compact what is due."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import tsdb
from tsdb.catalog.filesystem import FileSystemCatalog
from tsdb.errors import AlreadyExists, NotSupportedError
from tsdb.fs.local import LocalFileIO
from tsdb.table import compaction_watch
from tsdb.table.orphan import missing_files
from tsdb.table.table import Identifier

ROOT = Path(__file__).parents[4]
TABLE = "CREATE TABLE {} (k INT, v INT, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '1', 'write-only' = 'true'{})"


def streaming(path, **options):
    return tsdb.connect(str(path), options={"execution.mode": "streaming", **options})


def levels(con, table="t"):
    return sorted(level for (level,) in con.execute(f"SELECT level FROM {table}$files").fetchall())


def write(con, count, table="t", start=0):
    for i in range(start, start + count):
        con.execute(f"INSERT INTO {table} VALUES ({i}, {i}), (0, {i})")


def settled(con):
    """Every job has looked after what was committed before."""
    for job in con.jobs():
        job.checkpoint()


def test_a_write_only_table_is_compacted_and_its_snapshots_expire_while_the_job_runs(tmp_path):
    with tsdb.connect(str(tmp_path)) as con, streaming(tmp_path) as jobs:
        con.execute(TABLE.format("t", ", 'snapshot.num-retained.min' = '2', 'snapshot.num-retained.max' = '3'"))
        assert jobs.execute("CALL sys.compact(`table` => 't')").fetchall()[0][1] == "compact_default.t"
        write(con, 4)
        settled(jobs)
        assert levels(con) == [0] * 4  # nothing is due
        write(con, 8, start=4)
        settled(jobs)
        found = levels(con)
        assert found[-1] == 5 and len(found) <= 5
        assert con.execute("SELECT min(snapshot_id) FROM t$snapshots").fetchone()[0] > 1
        assert con.execute("SELECT count(*), max(v) FROM t WHERE k = 0 OR k > 0").fetchone() == (12, 11)
        with pytest.raises(AlreadyExists, match="already running"), streaming(tmp_path) as again:
            again.execute("CALL sys.compact(`table` => 'default.t')")
        (status,) = [row[2] for row in con.execute("SHOW JOBS").fetchall()]
        con.execute("STOP JOB 'compact_default.t'")
        assert status == "RUNNING" and [row[2] for row in con.execute("SHOW JOBS").fetchall()] == ["STOPPED"]
        write(con, 6, start=12)
        assert len(levels(con)) >= 6
        jobs.execute("CALL sys.compact(`table` => 't')")
        settled(jobs)
        assert len(levels(con)) < 6


def test_columns_that_come_while_the_job_runs_are_kept(tmp_path):
    with tsdb.connect(str(tmp_path)) as con, streaming(tmp_path) as jobs:
        con.execute(TABLE.format("t", ""))
        jobs.execute("CALL sys.compact(`table` => 't')")
        write(con, 3)
        con.execute("ALTER TABLE t ADD more STRING")
        for i in range(10):
            con.execute(f"INSERT INTO t VALUES ({i}, {i}, 'm{i}')")
        settled(jobs)
        assert levels(con)[-1] == 5
        assert sorted(con.execute("SELECT k, more FROM t").fetchall()) == [(i, f"m{i}") for i in range(10)]


def test_a_database_with_tables_that_come_and_go(tmp_path, monkeypatch):
    monkeypatch.setattr(compaction_watch, "LOOK_AGAIN_S", 0.0)
    with tsdb.connect(str(tmp_path)) as con, streaming(tmp_path) as jobs:
        con.execute(TABLE.format("a", ""))
        con.execute("CREATE TABLE gen (k INT) WITH ('connector' = 'datagen')")
        con.execute("CREATE TABLE log (k INT) WITH ('write-only' = 'true')")
        jobs.execute("CALL sys.compact_database(including_databases => 'default', excluding_tables => '.*[.]b')")
        for name in ("b", "c"):
            con.execute(TABLE.format(name, ""))
        for i in range(6):
            con.execute(f"INSERT INTO log VALUES ({i})")
        for name in ("a", "b", "c"):
            write(con, 6, name)
        con.execute("DROP TABLE a")
        settled(jobs)
        assert levels(con, "c")[-1] == 5 and levels(con, "b") == [0] * 6 and len(levels(con, "log")) < 6
        assert jobs.jobs()[0].status == "RUNNING"


def test_what_a_job_that_goes_on_does_not_take(tmp_path):
    with tsdb.connect(str(tmp_path)) as con, streaming(tmp_path) as jobs:
        con.execute(TABLE.format("t", ""))
        for argument in ("compact_strategy => 'full'", "order_strategy => 'zorder'", "partition_idle_time => '1 d'"):
            with pytest.raises(NotSupportedError, match=argument.split()[0]):
                jobs.execute(f"CALL sys.compact(`table` => 't', {argument})")
        assert jobs.execute("SHOW JOBS").fetchall() == []


_JOB = """
import sys, tsdb
con = tsdb.connect(sys.argv[1], options={"execution.mode": "streaming", "pipeline.name": sys.argv[2]})
con.execute("CALL sys.compact(`table` => 't')")
print("runs", flush=True)
sys.stdin.read()
con.close()
"""


def start(path, name):
    process = subprocess.Popen(
        [sys.executable, "-c", _JOB, str(path), name],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout.readline() == "runs\n"
    return process


def test_two_jobs_at_once_and_one_that_is_killed_do_no_harm(tmp_path):
    with tsdb.connect(str(tmp_path)) as con:
        con.execute(TABLE.format("t", ", 'num-sorted-run.compaction-trigger' = '2'"))
        first, second = start(tmp_path, "first"), start(tmp_path, "second")
        write(con, 15)
        os.kill(first.pid, signal.SIGKILL)
        first.communicate()
        write(con, 15, start=15)
        second.communicate("")  # it ends with the session
        assert second.returncode == 0
        rows = sorted(con.execute("SELECT k, v FROM t").fetchall())
        assert rows == [(0, 29), *((i, i) for i in range(1, 30))]
        with streaming(tmp_path, **{"pipeline.name": "first"}) as jobs:  # its lease was left behind
            jobs.execute("CALL sys.compact(`table` => 't')")
            settled(jobs)
        assert sorted(con.execute("SELECT k, v FROM t").fetchall()) == rows
        assert len(levels(con)) <= 2
        table = FileSystemCatalog(LocalFileIO(), str(tmp_path)).get_table(Identifier("default", "t"))
        assert missing_files(table) == []
