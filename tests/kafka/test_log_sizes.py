"""Rows that are too large for a topic: refused before anything is written; told as a gap where it is too late."""

import random
import string
from collections.abc import Iterator
from pathlib import Path

import kafka
import pytest
from kafka.admin import ConfigResource, ConfigResourceType
from kafka_topics import Topics
from log_tables import Follower, create, rows

import tsdb

COLUMNS = "k INT, v STRING, PRIMARY KEY (k) NOT ENFORCED"
WAYS = [("transactional", "arrow"), ("transactional", "json"), ("eventual", "arrow"), ("eventual", "avro")]


@pytest.fixture
def con(tmp_path: Path, client: str) -> Iterator[tsdb.Connection]:
    with tsdb.connect(str(tmp_path)) as connection:
        yield connection


def noise(count: int) -> str:
    """Text that does not get smaller."""
    return "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=count))


def limit(topics: Topics, topic: str, count: int) -> None:
    """What a message of the topic may have from now on."""
    admin = kafka.KafkaAdminClient(bootstrap_servers=topics.bootstrap)
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": str(count)})])
    admin.close()


def logged(topics: Topics, topic: str) -> int:
    """How many messages there are."""
    return len(topics.read(topic))


@pytest.mark.parametrize(("consistency", "form"), WAYS)
def test_a_row_that_is_too_large_is_refused_and_nothing_is_seen_of_it(
    con: tsdb.Connection, topics: Topics, tmp_path: Path, consistency: str, form: str
) -> None:
    topic = topics.create(partitions=2, max_message_bytes="4000")
    create(con, topics.bootstrap, topic, COLUMNS, **{"log.consistency": consistency, "log.format": form})
    con.execute("INSERT INTO t VALUES (1, 'small')")
    reader = Follower(tmp_path)
    reader.until(lambda: reader.rows == [(1, "small")])
    before = logged(topics, topic)
    with pytest.raises(tsdb.OperationalError) as failed:
        con.execute("INSERT INTO t VALUES (2, 'small'), (3, ?)", [noise(9000)])
    for part in ("`default.t`", "`k` = 3", " bytes in its log", "4,000", f"'max.message.bytes' of topic '{topic}'"):
        assert part in str(failed.value)
    with pytest.raises(tsdb.OperationalError, match="`k` = 1 "):
        con.execute("UPDATE t SET v = ?", [noise(9000)])
    assert rows(con) == [(1, "small")] and logged(topics, topic) == before
    con.execute("INSERT INTO t SELECT n, ? FROM generate_series(2, 40) AS s(n)", [noise(1000)])
    reader.until(lambda: reader.rows == rows(con))
    assert len(rows(con)) == 40
    limit(topics, topic, 20_000)
    con.execute("INSERT INTO t VALUES (3, ?)", [noise(9000)])
    reader.until(lambda: reader.rows == rows(con))
    reader.close()


def test_the_limit_of_the_client_is_named_and_may_be_raised(con: tsdb.Connection, topics: Topics) -> None:
    topic = topics.create(partitions=2, max_message_bytes="3000000")
    create(con, topics.bootstrap, topic, COLUMNS)
    with pytest.raises(tsdb.OperationalError, match=r"raise 'kafka\.max\.request\.size' of the table"):
        con.execute("INSERT INTO t VALUES (1, ?)", [noise(2_000_000)])
    con.execute("ALTER TABLE t SET ('kafka.max.request.size' = '3000000')")
    con.execute("INSERT INTO t VALUES (1, ?)", [noise(2_000_000)])
    assert con.execute("SELECT char_length(v) FROM t").fetchall() == [(2_000_000,)]
    with pytest.raises(tsdb.OperationalError, match=r"raise 'max\.message\.bytes' of topic .* and 'kafka\.max\.req"):
        con.execute("INSERT INTO t VALUES (1, ?)", [noise(6_000_000)])


def test_a_row_of_a_table_without_a_key_is_named_by_its_number(con: tsdb.Connection, topics: Topics) -> None:
    topic = topics.create(max_message_bytes="4000")
    create(con, topics.bootstrap, topic, "v STRING, a ARRAY<STRING>, m MAP<STRING, BYTES>", bucket="-1")
    for wide in ("?, NULL, NULL", "'c', ARRAY['x', ?], NULL", "'c', NULL, MAP['a', CAST(? AS BYTES)]"):
        with pytest.raises(tsdb.OperationalError, match="row 3 is a message"):
            con.execute(f"INSERT INTO t VALUES ('a', NULL, NULL), ('b', NULL, NULL), ({wide})", [noise(9000)])
    assert con.execute("SELECT count(*) FROM t").fetchall() == [(0,)]


@pytest.mark.parametrize("consistency", ["transactional", "eventual"])
def test_a_limit_that_is_lowered_meanwhile_is_a_gap_that_is_told_once(
    con: tsdb.Connection, topics: Topics, tmp_path: Path, consistency: str
) -> None:
    topic = topics.create(partitions=2)
    create(con, topics.bootstrap, topic, COLUMNS, **{"log.consistency": consistency, "log.format": "json"})
    con.execute("INSERT INTO t VALUES (1, 'small')")
    reader = Follower(tmp_path)
    reader.until(lambda: reader.rows == rows(con))
    limit(topics, topic, 4000)
    text = noise(9000)
    if consistency == "eventual":  # what shows it early finds out before the commit
        with pytest.raises(tsdb.OperationalError, match="too large"):
            con.execute("INSERT INTO t VALUES (2, ?)", [text])
        assert rows(con) == [(1, "small")]
    else:
        with pytest.warns(RuntimeWarning, match="readers take it from the table"):
            con.execute("INSERT INTO t VALUES (2, ?)", [text])
    con.execute("INSERT INTO t VALUES (3, 'small')")
    con.execute("INSERT INTO t VALUES (4, 'small')")
    reader.until(lambda: reader.rows == rows(con))
    assert len(rows(con)) == (3 if consistency == "eventual" else 4)
    reader.close()
