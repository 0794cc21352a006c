"""A table with a log is altered, renamed, shares a name or loses what its topic held: clear, and readers go on."""

from collections.abc import Iterator
from pathlib import Path

import kafka
import pytest
from kafka_topics import Topics
from log_tables import Follower, create, rows

import tsdb


@pytest.fixture
def con(tmp_path: Path) -> Iterator[tsdb.Connection]:
    with tsdb.connect(str(tmp_path)) as connection:
        yield connection


def test_a_topic_is_of_one_table(con: tsdb.Connection, topics: Topics) -> None:
    topic = f"{topics.prefix}-log"
    create(con, topics.bootstrap, topic)
    con.execute("ALTER TABLE t RENAME TO first")
    with pytest.raises(tsdb.ProgrammingError, match=r"is that of table `default\.first`; give the new table a topic"):
        create(con, topics.bootstrap, topic)
    assert con.execute("SHOW TABLES").fetchall() == [("first",)]
    con.execute("INSERT INTO first VALUES (1, 1)")
    assert len(topics.read(topic)) == 1, "a renamed table keeps its topic"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("SET ('log.format' = 'json')", "its topic were written"),
        ("SET ('log.changelog-mode' = 'upsert')", "its topic were written"),
        ("SET ('kafka.topic' = 'other')", "its topic were written"),
        ("SET ('log.scan' = 'from-timestamp')", "go together"),
        ("SET ('log.consistency' = 'sometimes')", "log.consistency"),
        ("RESET ('kafka.bootstrap.servers')", "kafka.bootstrap.servers"),
    ],
)
def test_what_the_topic_was_made_with_stays(con: tsdb.Connection, topics: Topics, change: str, message: str) -> None:
    create(con, topics.bootstrap, f"{topics.prefix}-log")
    with pytest.raises(tsdb.Error, match=message):
        con.execute(f"ALTER TABLE t {change}")
    con.execute("INSERT INTO t VALUES (1, 1)")
    assert rows(con) == [(1, 1)]


def test_a_log_comes_with_its_table_and_may_be_given_up(con: tsdb.Connection, topics: Topics) -> None:
    con.execute("CREATE TABLE plain (k INT)")
    with pytest.raises(tsdb.OptionError, match="comes with CREATE TABLE"):
        con.execute(
            "ALTER TABLE plain SET ('log.system' = 'kafka', 'kafka.topic' = 'x', 'kafka.bootstrap.servers' = 'y:1')"
        )
    create(con, topics.bootstrap, f"{topics.prefix}-log")
    con.execute("ALTER TABLE t SET ('log.system' = 'none')")
    before = topics.read(f"{topics.prefix}-log")
    con.execute("INSERT INTO t VALUES (1, 1)")
    assert topics.read(f"{topics.prefix}-log") == before and rows(con) == [(1, 1)]


def test_a_reader_follows_the_topic_while_columns_come_and_are_renamed(
    con: tsdb.Connection, topics: Topics, tmp_path: Path
) -> None:
    create(con, topics.bootstrap, f"{topics.prefix}-log")
    con.execute("INSERT INTO t VALUES (1, 10)")
    reader = Follower(tmp_path)
    reader.until(lambda: reader.rows == [(1, 10)])
    con.execute("ALTER TABLE t ADD COLUMN w STRING")
    con.execute("INSERT INTO t VALUES (2, 20, 'x')")
    con.execute("ALTER TABLE t RENAME COLUMN v TO u")
    con.execute("ALTER TABLE t RENAME COLUMN w TO v")
    con.execute("INSERT INTO t VALUES (3, 30, 'y')")
    reader.until(lambda: reader.rows == [(1, 10), (2, 20), (3, 30)])
    reader.close()
    later = Follower(tmp_path)
    later.until(lambda: later.rows == rows(con) == [(1, 10, None), (2, 20, "x"), (3, 30, "y")])
    con.execute("INSERT INTO t VALUES (4, 40, 'z')")
    later.until(lambda: later.rows == rows(con))
    later.close()


def test_retention_that_removes_all_is_no_end(con: tsdb.Connection, topics: Topics, tmp_path: Path) -> None:
    topic = f"{topics.prefix}-log"
    create(con, topics.bootstrap, topic)
    con.execute("INSERT INTO t VALUES (1, 1)")
    reader = Follower(tmp_path)
    reader.until(lambda: reader.rows == [(1, 1)])
    con.close()
    topics.admin.delete_records(dict.fromkeys([kafka.TopicPartition(topic, p) for p in range(2)], -1))
    with tsdb.connect(str(tmp_path)) as own:
        own.execute("INSERT INTO t VALUES (2, 2)")
        own.execute("INSERT INTO t VALUES (3, 3)")
        reader.until(lambda: reader.rows == rows(own) == [(1, 1), (2, 2), (3, 3)])
    reader.close()


@pytest.mark.parametrize(("scan", "seen"), [("full", [(1, 1), (2, 2), (3, 3)]), ("latest", [(3, 3)])])
def test_where_streams_of_the_table_begin(
    con: tsdb.Connection, topics: Topics, tmp_path: Path, scan: str, seen: list[tuple[int, int]]
) -> None:
    create(con, topics.bootstrap, f"{topics.prefix}-log", **{"log.scan": scan})
    con.execute("INSERT INTO t VALUES (1, 1)")
    con.execute("INSERT INTO t VALUES (2, 2)")
    reader = Follower(tmp_path)
    con.execute("INSERT INTO t VALUES (3, 3)")
    reader.until(lambda: reader.rows == seen)
    reader.close()


def test_a_stream_that_begins_at_a_time(con: tsdb.Connection, topics: Topics, tmp_path: Path) -> None:
    create(con, topics.bootstrap, f"{topics.prefix}-log")
    for n in range(3):
        con.execute("INSERT INTO t VALUES (?, ?)", [n, n])
    times = [row[0] for row in con.execute("SELECT commit_time FROM t$snapshots ORDER BY snapshot_id").fetchall()]
    millis = con.execute("SELECT CAST(to_timestamp_millis(commit_time) AS BIGINT) FROM t$snapshots").fetchall()
    assert len(times) == len(millis) == 3
    con.execute(f"ALTER TABLE t SET ('log.scan' = 'from-timestamp', 'log.scan.timestamp-millis' = '{millis[1][0]}')")
    reader = Follower(tmp_path)
    reader.until(lambda: reader.rows == [(1, 1), (2, 2)])
    whole = Follower(tmp_path, "SELECT * FROM t /*+ OPTIONS('scan.mode' = 'latest-full') */")
    whole.until(lambda: whole.rows == rows(con))
    reader.close()
    whole.close()


def test_snapshots_in_different_partitions_come_in_their_order(
    con: tsdb.Connection, topics: Topics, tmp_path: Path
) -> None:
    create(con, topics.bootstrap, f"{topics.prefix}-log", bucket="4")
    con.execute("INSERT INTO t VALUES (0, 0)")
    reader = Follower(tmp_path)
    reader.until(lambda: reader.rows == [(0, 0)])
    for n in range(1, 40):
        con.execute("INSERT INTO t VALUES (?, ?)", [n, n])  # each in one partition
        if n % 4 == 0:
            reader.poll(0.0)
    reader.until(lambda: reader.rows == rows(con))
    assert [row for _, row in reader.seen] == [(n, n) for n in range(40)]
    reader.close()
