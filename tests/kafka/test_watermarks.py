"""Watermarks of topics: the least of the partitions, so that one that is read ahead makes no row of another late."""

import datetime as dt
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kafka_topics import Topics

import tsdb


@pytest.fixture
def con() -> Iterator[tsdb.Connection]:
    with tsdb.connect() as connection:
        yield connection


def start(con: tsdb.Connection, topics: Topics, topic: str, **options: str) -> Any:
    given = {"connector": "kafka", "topic": topic, "properties.bootstrap.servers": topics.bootstrap, "format": "json"}
    listed = ", ".join(f"'{key}' = '{value}'" for key, value in (given | options).items())
    con.execute(f"CREATE TABLE t (ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ({listed})")
    con.execute("CREATE TABLE out (s TIMESTAMP(3), n BIGINT)")
    con.execute("SET 'execution.mode' = 'streaming'")
    con.execute(
        "INSERT INTO out SELECT window_start, count(*) FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), "
        "INTERVAL '1' MINUTE)) GROUP BY window_start, window_end"
    )
    con.execute("RESET 'execution.mode'")
    (job,) = con.jobs()
    return job


def send(topics: Topics, topic: str, partition: int, *times: str) -> None:
    topics.send(topic, *(f'{{"ts":"2024-01-01 {at}"}}' for at in times), partition=partition)


def wait(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def closed(con: tsdb.Connection, job: Any) -> list[tuple[int, int]]:
    job.checkpoint()
    return [(s.minute, n) for s, n in con.execute("SELECT s, n FROM out ORDER BY s").fetchall()]


def test_a_partition_that_is_behind_holds_the_windows_open(con: tsdb.Connection, topics: Topics) -> None:
    topic = topics.create(partitions=3)  # the third is empty, and is not waited for
    send(topics, topic, 0, "10:00:01")
    send(topics, topic, 1, "10:00:02")
    job = start(con, topics, topic)
    send(topics, topic, 0, "10:05:00")
    wait(lambda: job.metrics()["rows_in"] == 3)
    assert closed(con, job) == []
    send(topics, topic, 1, "10:00:30")
    wait(lambda: job.metrics()["rows_in"] == 4)
    assert closed(con, job) == []
    send(topics, topic, 1, "10:06:00")
    wait(lambda: job.metrics()["rows_in"] == 5)
    assert closed(con, job) == [(0, 3)] and job.metrics()["operators"]["late_rows"] == 0
    job.stop()


def test_a_partition_that_is_idle_is_not_waited_for(con: tsdb.Connection, topics: Topics) -> None:
    topic = topics.create(partitions=2)
    send(topics, topic, 0, "10:00:01", "10:05:00")
    send(topics, topic, 1, "10:00:02")
    job = start(con, topics, topic, **{"table.exec.source.idle-timeout": "300 ms"})
    wait(lambda: closed(con, job) == [(0, 2)])
    job.stop()


def test_a_bounded_stream_reads_each_partition_to_its_end(con: tsdb.Connection, topics: Topics) -> None:
    topic = topics.create(partitions=2)
    send(topics, topic, 0, *(f"10:{m:02}:00" for m in range(50)))
    send(topics, topic, 1, *(f"10:{m:02}:30" for m in range(50)))
    job = start(con, topics, topic, **{"scan.bounded.mode": "latest-offset"})
    job.wait()
    assert con.execute("SELECT count(*), min(n), max(n) FROM out").fetchall() == [(50, 2, 2)]
    assert con.execute("SELECT max(s) FROM out").fetchall() == [(dt.datetime(2024, 1, 1, 10, 49),)]
