"""Several processes that write one table with a log: each takes over the topic from the other, without a word."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka_topics import Topics
from log_tables import Follower, create, rows

import tsdb

# a writer that takes a number a line, with warnings as errors
WRITER = """
import sys, tsdb
with tsdb.connect(sys.argv[1]) as con:
    for line in sys.stdin:
        con.execute("INSERT INTO t VALUES (?, 1), (-1, ?)", [int(line), int(line)])
        print("done", flush=True)
"""


@pytest.fixture
def con(tmp_path: Path, client: str) -> Iterator[tsdb.Connection]:
    with tsdb.connect(str(tmp_path)) as connection:
        yield connection


@pytest.mark.parametrize("consistency", ["transactional", "eventual"])
def test_writers_that_take_turns(con: tsdb.Connection, topics: Topics, tmp_path: Path, consistency: str) -> None:
    topic = f"{topics.prefix}-log"
    create(con, topics.bootstrap, topic, **{"log.consistency": consistency, "log.format": "json"})
    reader = Follower(tmp_path)
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", WRITER, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    writers = [subprocess.Popen(command, text=True, **pipes) for _ in range(2)]
    for number in range(10):
        writer = writers[number % 2]
        assert writer.stdin is not None and writer.stdout is not None
        writer.stdin.write(f"{number}\n")
        writer.stdin.flush()
        assert writer.stdout.readline() == "done\n", writer.communicate()
    assert [writer.communicate() for writer in writers] == [("", "")] * 2, "nothing is said of the other one"
    assert [writer.returncode for writer in writers] == [0, 0]
    reader.until(lambda: reader.rows == rows(con))
    assert len(rows(con)) == 11
    sent = [pair for pair in topics.read(topic) if pair[0] and b"-1" not in pair[0]]
    assert len({key for key, _ in sent}) == 10
    assert len(sent) == (10 if consistency == "transactional" else 20), "once each; twice where it is shown early"
    reader.close()
