"""`'log.consistency' = 'eventual'`: rows are seen before their commit, and what is seen ends right, whoever dies."""

import gc
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka_topics import Topics
from log_tables import Follower, create, rows

import tsdb
from tsdb.exec.streaming import hybrid_source
from tsdb.exec.streaming.hybrid_source import HybridSource

EVENTUAL = {"log.consistency": "eventual"}

# a process that shows its rows and then waits for ever, or dies, before they are committed
STOPS = """
import os, sys, time, tsdb, tsdb.table.commit as commit, tsdb.table.replay as replay
def stop(*_, **__):
    print("shown", flush=True)
    time.sleep(60)
replay.commit = stop
tsdb.connect(sys.argv[1]).execute(sys.argv[2])
"""


@pytest.fixture
def con(tmp_path: Path) -> Iterator[tsdb.Connection]:
    with tsdb.connect(str(tmp_path)) as connection:
        yield connection


@pytest.fixture
def reader(con: tsdb.Connection, topics: Topics, tmp_path: Path) -> Iterator[Follower]:
    """A stream that has gone over to the topic of `t`, which has (1, 1) and (2, 2)."""
    create(con, topics.bootstrap, f"{topics.prefix}-log", **EVENTUAL)
    con.execute("INSERT INTO t VALUES (1, 1), (2, 2)")
    follower = Follower(tmp_path)
    follower.until(lambda: follower.rows == rows(con) and in_topic())
    yield follower
    follower.close()


def in_topic() -> bool:
    return any(isinstance(o, HybridSource) and o.reads_topic for o in gc.get_objects())


def stopped(warehouse: Path, sql: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", STOPS, str(warehouse), sql], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "shown\n"
    return process


def kill(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()


def test_rows_are_seen_before_their_commit_and_once(con: tsdb.Connection, reader: Follower, tmp_path: Path) -> None:
    process = stopped(tmp_path, "INSERT INTO t VALUES (2, 20), (3, 3)")
    reader.until(lambda: reader.rows == [(1, 1), (2, 20), (3, 3)])
    assert rows(con) == [(1, 1), (2, 2)], "nothing is committed"
    kill(process)
    reader.seen.clear()
    con.execute("INSERT INTO t VALUES (2, 20), (3, 3)")
    con.execute("DELETE FROM t WHERE k = 1")
    reader.until(lambda: reader.rows == [(2, 20), (3, 3)])
    assert reader.seen == [("-D", (1, 1))], "the repeat changes nothing"


def test_rows_of_a_killed_writer_go_again(
    con: tsdb.Connection, reader: Follower, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill(stopped(tmp_path, "INSERT INTO t VALUES (2, 20), (3, 3)"))
    reader.until(lambda: reader.rows == [(1, 1), (2, 20), (3, 3)])
    con.execute("INSERT INTO t VALUES (4, 4)")
    reader.until(lambda: (4, 4) in reader.rows)
    monkeypatch.setattr(hybrid_source, "_UNCONFIRMED_S", 0.2)
    reader.until(lambda: reader.rows == rows(con))
    assert in_topic() and rows(con) == [(1, 1), (2, 2), (4, 4)]


def test_rows_of_a_slow_writer_come_again_with_its_commit(
    con: tsdb.Connection, reader: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hybrid_source, "_UNCONFIRMED_S", 0.0)
    for n in range(20):
        con.execute("INSERT INTO t VALUES (?, ?), (1, ?)", [n + 10, n, n])
        reader.poll(0.0)
    reader.until(lambda: reader.rows == rows(con))


def test_a_statement_that_fails_takes_its_rows_back(con: tsdb.Connection, topics: Topics, reader: Follower) -> None:
    con.execute("CREATE TABLE source (k INT, v INT)")
    con.execute("INSERT INTO source SELECT n, n FROM generate_series(3, 40000) AS s(n)")
    with pytest.raises(tsdb.Error):
        con.execute("INSERT INTO t SELECT k, 1 / (k - 39999) FROM source ORDER BY k")
    reader.until(lambda: reader.rows == rows(con) == [(1, 1), (2, 2)])


def test_writers_side_by_side_end_as_the_table(con: tsdb.Connection, reader: Follower, tmp_path: Path) -> None:
    loop = "import sys, tsdb; con = tsdb.connect(sys.argv[1])\nfor n in range(10):\n"
    loop += "    con.execute('INSERT INTO t VALUES (?, ?), (7, ?), (8, ?)', [n, n, int(sys.argv[2]) + n, n])"
    command = [sys.executable, "-W", "ignore", "-c", loop, str(tmp_path)]
    writers = [subprocess.Popen([*command, start]) for start in ("1000", "2000")]
    while any(writer.poll() is None for writer in writers):
        reader.poll()
    assert all(writer.returncode == 0 for writer in writers)
    con.execute("INSERT INTO t VALUES (-1, -1)")
    reader.until(lambda: reader.rows == rows(con))


def test_a_job_that_is_stopped_with_unconfirmed_rows_ends_right(
    con: tsdb.Connection, reader: Follower, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader.close()
    con.execute("CREATE TABLE copy (k INT, v INT, PRIMARY KEY (k) NOT ENFORCED)")
    copied = "INSERT INTO copy SELECT * FROM t"

    def copy() -> list[tuple[int, int]]:
        with tsdb.connect(str(tmp_path)) as own:
            return sorted(own.execute("SELECT * FROM copy").fetchall())

    con.execute("SET 'execution.mode' = 'streaming'")
    con.execute(copied)
    (job,) = con.jobs()
    process = stopped(tmp_path, "INSERT INTO t VALUES (2, 20), (3, 3)")
    deadline = time.monotonic() + 20
    while copy() != [(1, 1), (2, 20), (3, 3)]:
        job.checkpoint()
        assert time.monotonic() < deadline
    job.stop()
    kill(process)
    monkeypatch.setattr(hybrid_source, "_UNCONFIRMED_S", 0.2)
    con.execute(copied)
    (job,) = [job for job in con.jobs() if job.status == "RUNNING"]
    deadline = time.monotonic() + 20
    while copy() != [(1, 1), (2, 2)]:
        job.checkpoint()
        assert time.monotonic() < deadline
    job.stop()
