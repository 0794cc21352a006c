"""The log system of tables: the topic says what the table says, each change once, whoever is killed and when."""

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import broker
import job as job_process
import kafka
import pytest
from kafka_topics import Topics

import tsdb
from tsdb.exec.streaming.hybrid_source import HybridSource
from tsdb.log.format import ArrowFormat
from tsdb.log.message import mark_of

PK = "k INT, PRIMARY KEY (k) NOT ENFORCED"
WRITER = """
import sys, time, tsdb
warehouse, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
con = tsdb.connect(warehouse)
print("running", flush=True)
for n in range(first, first + count):
    con.execute(f"INSERT INTO t VALUES ({n % 7}, {n})")
"""


@pytest.fixture
def topic(topics: Topics) -> Iterator[str]:
    """A name for the topic of a table, which makes it itself."""
    yield f"{topics.prefix}-log"


@pytest.fixture
def con(tmp_path: Path) -> Iterator[tsdb.Connection]:
    with tsdb.connect(str(tmp_path)) as connection:
        yield connection


def create(con: tsdb.Connection, bootstrap: str, topic: str, columns: str = "", **more: str) -> None:
    options = {"log.system": "kafka", "kafka.bootstrap.servers": bootstrap, "kafka.topic": topic, "bucket": "2"} | more
    listed = ", ".join(f"'{key}' = '{value}'" for key, value in options.items())
    con.execute(f"CREATE TABLE t ({columns or 'k INT, v INT, PRIMARY KEY (k) NOT ENFORCED'}) WITH ({listed})")


def history(topics: Topics, topic: str) -> list[tuple[int, int, dict[str, Any]]]:
    """(snapshot, row kind, row) of all committed messages, and that snapshots never go back in a partition."""
    consumer = kafka.KafkaConsumer(bootstrap_servers=topics.bootstrap, isolation_level="read_committed")
    found: list[tuple[int, int, dict[str, Any]]] = []
    try:
        partitions = [kafka.TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic)]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends, last = consumer.end_offsets(partitions), Counter[int]()
        ended: set[int] = set()
        while any(consumer.position(p) < ends[p] for p in partitions):
            for partition, records in consumer.poll(200).items():
                for record in records:
                    mark = mark_of(record.headers)
                    assert mark is not None and mark.snapshot_id >= last[partition.partition]
                    last[partition.partition] = mark.snapshot_id
                    if mark.total:
                        assert mark.snapshot_id not in ended, "nothing twice"
                        ended.add(mark.snapshot_id)
                    if record.value is None:
                        continue
                    rows, kinds = ArrowFormat(False).read([None], [record.value])
                    found += [(mark.snapshot_id, k, row) for row, k in zip(rows.to_pylist(), kinds, strict=True)]
    finally:
        consumer.close()
    return sorted(found, key=lambda change: change[0])


def folded(changes: list[tuple[int, int, dict[str, Any]]]) -> list[tuple[Any, ...]]:
    """The state that upserts by `k` lead to."""
    state: dict[int, tuple[Any, ...]] = {}
    for _, kind, row in changes:
        state.pop(row["k"], None)
        if kind in (0, 2):
            state[row["k"]] = tuple(row.values())
    return sorted(state.values())


def rows(con: tsdb.Connection) -> list[tuple[Any, ...]]:
    return sorted(con.execute("SELECT * FROM t").fetchall())


def follow(warehouse: Path, sql: str = "SELECT * FROM t") -> tuple[tsdb.Connection, tsdb.Cursor]:
    reader = tsdb.connect(str(warehouse))
    reader.execute("SET 'execution.mode' = 'streaming'")
    return reader, reader.execute(sql)


def source() -> HybridSource:
    """The one of the query that is open."""
    gc.collect()
    (found,) = (o for o in gc.get_objects() if isinstance(o, HybridSource))
    return found


def until(condition: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.05)


def drain(cursor: tsdb.Cursor, state: dict[Any, Any]) -> None:
    """Apply what is there to a state by key."""
    while (changes := cursor.poll(0.3)).num_rows:
        for change in changes.to_pylist():
            if change["op"] in ("+I", "+U"):
                assert change["op"] == "+U" or change["k"] not in state, "each change once"
                state[change["k"]] = change["v"]
            else:
                assert state.pop(change["k"]) == change["v"]


def test_every_way_to_write_reaches_the_log(con: tsdb.Connection, topics: Topics, topic: str, tmp_path: Path) -> None:
    create(con, topics.bootstrap, topic)
    con.execute("INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)")
    con.execute("UPDATE t SET v = 20 WHERE k = 2")
    con.execute("DELETE FROM t WHERE k = 3")
    con.execute(
        "MERGE INTO t USING (VALUES (1, 10), (4, 4)) AS s(k, v) ON t.k = s.k "
        "WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT VALUES (s.k, s.v)"
    )
    con.execute("CREATE TABLE input (k INT, v INT)")
    con.execute("INSERT INTO input VALUES (5, 5)")
    con.execute("CALL sys.compact('default.t')")
    con.execute("SET 'execution.mode' = 'streaming'")
    con.execute("INSERT INTO t SELECT * FROM input")
    (job,) = con.jobs()
    job.checkpoint()
    job.stop()
    con.execute("RESET 'execution.mode'")
    assert folded(history(topics, topic)) == rows(con) == [(1, 10), (2, 20), (4, 4), (5, 5)]
    con.execute("INSERT OVERWRITE t VALUES (9, 9)")
    assert folded(history(topics, topic)) == rows(con) == [(9, 9)]
    con.execute("TRUNCATE TABLE t")
    assert folded(history(topics, topic)) == rows(con) == []


def test_a_reader_goes_over_from_snapshots_to_the_topic_without_gap_or_double(
    con: tsdb.Connection, topics: Topics, topic: str, tmp_path: Path
) -> None:
    create(con, topics.bootstrap, topic)
    stop = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        with tsdb.connect(str(tmp_path)) as own:
            while not stop.is_set():
                own.execute("INSERT INTO t VALUES (?, ?), (100, ?)", [written, written, written])
                written += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        until(lambda: written > 3)
        reader, cursor = follow(tmp_path)
        state: dict[Any, Any] = {}
        until(lambda: drain_some(cursor, state) or source().reads_topic)
        already = written
        until(lambda: drain_some(cursor, state) or written > already + 10)
    finally:
        stop.set()
        writer.join()
    drain(cursor, state)
    assert sorted(state.items()) == rows(con) and len(state) == written + 1
    assert source().reads_topic
    reader.close()


def drain_some(cursor: tsdb.Cursor, state: dict[Any, Any]) -> None:
    for change in cursor.poll(0.05).to_pylist():
        if change["op"] in ("+I", "+U"):
            state[change["k"]] = change["v"]
        else:
            assert state.pop(change["k"]) == change["v"]


def test_writers_that_are_killed_and_writers_side_by_side_leave_each_change_once(
    con: tsdb.Connection, topics: Topics, topic: str, tmp_path: Path
) -> None:
    create(con, topics.bootstrap, topic, "k INT, v INT", bucket="1", **{"bucket-key": "k"})
    running = []
    for number in range(4):
        command = [sys.executable, "-W", "ignore", "-c", WRITER, str(tmp_path), str(number * 1000), "500"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert process.stdout is not None and process.stdout.readline() == "running\n"
        running.append(process)
        time.sleep(1.0)
        if len(running) == 2:  # two at a time, the older one dies
            victim = running.pop(0)
            os.kill(victim.pid, signal.SIGKILL)
            victim.communicate()
    for process in running:
        process.kill()
        process.communicate()
    con.execute("INSERT INTO t VALUES (-1, -1)")
    changes = history(topics, topic)
    assert {kind for _, kind, _ in changes} == {0}
    logged = sorted(tuple(row.values()) for _, _, row in changes)
    assert logged == rows(con) and len(logged) > 4


def test_what_a_killed_writer_left_out_comes_from_the_snapshot(
    con: tsdb.Connection, topics: Topics, topic: str, tmp_path: Path
) -> None:
    create(con, topics.bootstrap, topic)
    con.execute("INSERT INTO t VALUES (1, 1)")
    reader, cursor = follow(tmp_path)
    state: dict[Any, Any] = {}
    drain(cursor, state)
    until(lambda: drain(cursor, state) or source().reads_topic)
    # as if the writer had died between the snapshot and the topic
    crash = "import tsdb, os, tsdb.table.commit as c, sys; c.follow_log = lambda *_: os._exit(9); "
    crash += "tsdb.connect(sys.argv[1]).execute('INSERT INTO t VALUES (2, 2)')"
    assert subprocess.run([sys.executable, "-c", crash, str(tmp_path)]).returncode == 9
    until(lambda: drain(cursor, state) or 2 in state)
    con.execute("INSERT INTO t VALUES (3, 3)")
    until(lambda: drain(cursor, state) or 3 in state)
    assert folded(history(topics, topic)) == rows(con) == sorted(state.items())
    reader.close()


def test_a_reader_that_retention_has_overtaken_goes_back_to_snapshots(
    con: tsdb.Connection, topics: Topics, topic: str, tmp_path: Path
) -> None:
    create(con, topics.bootstrap, topic)
    con.execute("CREATE TABLE copy (k INT, v INT, PRIMARY KEY (k) NOT ENFORCED)")
    con.execute("INSERT INTO t VALUES (1, 1)")
    con.execute("SET 'execution.mode' = 'streaming'")
    con.execute("INSERT INTO copy SELECT * FROM t")
    (job,) = con.jobs()
    job.checkpoint()
    job.stop()
    con.execute("RESET 'execution.mode'")
    for n in range(2, 6):
        con.execute("INSERT INTO t VALUES (?, ?)", [n, n])
    partitions = [kafka.TopicPartition(topic, p) for p in range(2)]
    topics.admin.delete_records(dict.fromkeys(partitions, -1))
    con.execute("SET 'execution.mode' = 'streaming'")
    con.execute("INSERT INTO copy SELECT * FROM t")
    (job,) = [job for job in con.jobs() if job.status == "RUNNING"]
    job.checkpoint()
    con.execute("RESET 'execution.mode'")
    assert sorted(con.execute("SELECT * FROM copy").fetchall()) == rows(con)
    con.execute("INSERT INTO t VALUES (6, 6)")
    job.checkpoint()
    job.stop()
    assert sorted(con.execute("SELECT * FROM copy").fetchall()) == rows(con)


def test_a_topic_that_was_deleted_says_so_and_is_mended(
    con: tsdb.Connection, topics: Topics, topic: str, tmp_path: Path
) -> None:
    create(con, topics.bootstrap, topic)
    con.execute("INSERT INTO t VALUES (1, 1)")
    topics.delete(topic)
    time.sleep(1.2)
    before = rows(con)
    with pytest.raises(tsdb.OperationalError, match=r"rebuild_log"):
        con.execute("INSERT INTO t VALUES (2, 2)")
    assert rows(con) == before
    assert list(tmp_path.rglob("bucket-*/data-*")) and con.execute("SELECT count(*) FROM t").fetchone() == (1,)
    con.execute("CALL sys.rebuild_log('default.t')")
    reader, cursor = follow(tmp_path)
    con.execute("INSERT INTO t VALUES (2, 2)")
    state: dict[Any, Any] = {}
    until(lambda: drain(cursor, state) or (source().reads_topic and len(state) == 2))
    con.execute("INSERT INTO t VALUES (3, 3)")
    until(lambda: drain(cursor, state) or 3 in state)
    assert sorted(state.items()) == rows(con)
    reader.close()


def test_a_table_that_is_rolled_back_never_skips_its_log_silently(
    con: tsdb.Connection, topics: Topics, topic: str
) -> None:
    create(con, topics.bootstrap, topic)
    for n in range(3):
        con.execute("INSERT INTO t VALUES (?, ?)", [n, n])
    con.execute("CALL sys.rollback_to('default.t', 1)")
    with pytest.warns(RuntimeWarning, match="rolled back"):
        con.execute("INSERT INTO t VALUES (9, 9)")
    con.execute("CALL sys.rebuild_log('default.t')")
    con.execute("INSERT INTO t VALUES (10, 10)")
    assert folded(history(topics, topic)) == [(10, 10)]
    assert rows(con) == [(0, 0), (9, 9), (10, 10)]


def test_a_topic_made_anew_with_other_partitions_says_so(con: tsdb.Connection, topics: Topics, topic: str) -> None:
    create(con, topics.bootstrap, topic)
    con.execute("INSERT INTO t VALUES (1, 1)")
    topics.grow(topic, 3)
    time.sleep(1.2)
    with pytest.raises(tsdb.OperationalError, match="3 partitions, not 2"):
        con.execute("INSERT INTO t VALUES (2, 2)")


def test_a_commit_outlives_a_broker_that_dies_after_it(tmp_path: Path, bootstrap: str) -> None:
    own = broker.Broker(tmp_path / "broker").start()
    try:
        with tsdb.connect(str(tmp_path / "warehouse")) as con:
            create(con, own.bootstrap, "t", **{"kafka.bootstrap.timeout.ms": "1000"})
            con.execute("INSERT INTO t VALUES (1, 1)")
            reader, cursor = follow(tmp_path / "warehouse")
            state: dict[Any, Any] = {}
            until(lambda: drain(cursor, state) or source().reads_topic)
            own.kill()
            with pytest.raises(tsdb.OperationalError, match="Kafka"):
                con.execute("INSERT INTO t VALUES (2, 2)")
            assert rows(con) == [(1, 1)]
            own.start()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                con.execute("INSERT INTO t VALUES (3, 3)")
            until(lambda: drain(cursor, state) or 3 in state)
            assert sorted(state.items()) == rows(con)
            reader.close()
    finally:
        own.kill()


def test_the_topic_is_made_and_deleted_with_the_table(con: tsdb.Connection, topics: Topics, topic: str) -> None:
    create(con, topics.bootstrap, topic, **{"kafka.delete-topic-on-drop": "true", "log.retention": "1 h"})
    assert len(topics.partitioned(topic)) == 2
    con.execute("DROP TABLE t")
    assert topic not in topics.admin.list_topics()
    other = topics.create("used", partitions=2)
    topics.send(other, "x")
    with pytest.raises(tsdb.OperationalError, match="has records already"):
        create(con, topics.bootstrap, other)
    assert con.execute("SHOW TABLES").fetchall() == []
    create(con, topics.bootstrap, topic)
    con.execute("DROP TABLE t")
    assert topic in topics.admin.list_topics()


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ("k INT, PRIMARY KEY (k) NOT ENFORCED", {"merge-engine": "partial-update"}, "needs a changelog"),
        ("k INT", {"bucket": "-1", "log.consistency": "eventual"}, "PRIMARY KEY"),
        (
            PK,
            {"merge-engine": "first-row", "changelog-producer": "lookup", "log.consistency": "eventual"},
            "transactional",
        ),
        (PK, {"log.changelog-mode": "all"}, "needs a changelog"),
        (PK, {"log.format": "json", "log.changelog-mode": "all", "changelog-producer": "lookup"}, "no row kinds"),
        (PK, {"log.key.format": "json"}, "arrow"),
        (PK, {"log.format": "json", "log.key.format": "none"}, "primary key"),
        (PK, {"log.scan": "from-timestamp"}, "go together"),
        ("k INT", {"bucket": "-1", "log.changelog-mode": "upsert"}, "PRIMARY KEY"),
        ("k INT", {"bucket": "-1", "log.format": "json", "log.key.format": "json"}, "PRIMARY KEY"),
        ("k INT", {"bucket": "-1", "kafka.bootstrap.servers": ""}, "kafka.bootstrap.servers"),
        ("k INT", {"bucket": "-1", "log.format": "jsn"}, "log.format"),
    ],
)
def test_what_cannot_have_a_log_is_refused(
    con: tsdb.Connection, topics: Topics, topic: str, columns: str, options: dict[str, str], message: str
) -> None:
    with pytest.raises(tsdb.Error, match=message):
        create(con, topics.bootstrap, topic, columns, **options)
    assert con.execute("SHOW TABLES").fetchall() == []


def test_snapshots_keep_where_the_topic_ended(con: tsdb.Connection, topics: Topics, topic: str, tmp_path: Path) -> None:
    create(con, topics.bootstrap, topic)
    con.execute("INSERT INTO t VALUES (1, 1)")
    con.execute("INSERT INTO t VALUES (2, 2)")
    snapshots = [json.loads(p.read_text()) for p in sorted(tmp_path.rglob("snapshot/snapshot-*"))]
    assert snapshots[0]["logOffsets"]["1"] == 0
    assert any(offset > 0 for offset in snapshots[1]["logOffsets"].values())


def test_a_job_that_is_killed_while_it_writes_a_log_table_leaves_each_change_once(
    con: tsdb.Connection, topics: Topics, topic: str, tmp_path: Path
) -> None:
    create(con, topics.bootstrap, topic, "k INT, v INT", bucket="1", **{"bucket-key": "k"})
    con.execute("CREATE TABLE input (k INT, v INT)")
    total = 0
    for _ in range(3):
        command = [sys.executable, job_process.__file__, str(tmp_path), "INSERT INTO t SELECT * FROM input"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert process.stdout is not None and process.stdout.readline() == "running\n"
        for _ in range(8):
            con.execute("INSERT INTO input VALUES (?, ?)", [total, total])
            total += 1
            time.sleep(0.03)
        process.kill()
        process.communicate()
    con.execute("SET 'execution.mode' = 'streaming'")
    con.execute("INSERT INTO t SELECT * FROM input")
    (job,) = con.jobs()
    job.checkpoint()
    job.stop()
    con.execute("RESET 'execution.mode'")
    logged = sorted(tuple(row.values()) for _, _, row in history(topics, topic))
    assert logged == rows(con) == [(n, n) for n in range(total)]
