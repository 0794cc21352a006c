"""When the broker is not there, or not what it was: a clear error in bounded time, and no loss afterwards."""

import time
from collections.abc import Iterator
from pathlib import Path

import broker
import kafka
import pytest
from kafka.admin import NewTopic
from kafka_topics import Topics

import tsdb
from tsdb.exec.streaming.job import Job


@pytest.fixture
def own(tmp_path: Path, bootstrap: str) -> Iterator[broker.Broker]:
    """A broker that a test may kill."""
    started = broker.Broker(tmp_path / "broker").start()
    yield started
    started.kill()


def create(con: tsdb.Connection, bootstrap: str, topic: str, **more: str) -> None:
    given = {"connector": "kafka", "topic": topic, "properties.bootstrap.servers": bootstrap, "format": "json"} | more
    listed = ", ".join(f"'{key}' = '{value}'" for key, value in given.items())
    con.execute(f"CREATE TABLE t (n INT) WITH ({listed})")


@pytest.mark.usefixtures("client")
def test_no_broker_at_the_start(tmp_path: Path) -> None:
    with tsdb.connect(str(tmp_path)) as con:
        create(con, "127.0.0.1:1", "x", **{"properties.bootstrap.timeout.ms": "1000"})
        begun = time.monotonic()
        with pytest.raises(tsdb.OperationalError, match=r"no Kafka broker at 127\.0\.0\.1:1"):
            con.execute("SELECT * FROM t").fetchall()
        with pytest.raises(tsdb.OperationalError, match="no Kafka broker"):
            con.execute("INSERT INTO t VALUES (1)")
        assert time.monotonic() - begun < 8


@pytest.mark.usefixtures("client")
def test_a_topic_that_is_not_there_or_goes_away(tmp_path: Path, topics: Topics) -> None:
    topic = topics.create()
    with tsdb.connect(str(tmp_path)) as con:
        create(con, topics.bootstrap, topic, **{"scan.topic-partition-discovery.interval": "200 ms"})
        con.execute("SET 'execution.mode' = 'streaming'")
        cursor = con.execute("SELECT * FROM t")
        topics.send(topic, '{"n":1}')
        assert cursor.fetchone() == ("+I", 1)
        topics.delete(topic)
        with pytest.raises(tsdb.OperationalError, match="was deleted"):
            cursor.fetchone()
        with pytest.raises(tsdb.OperationalError, match=f"topic '{topic}' is not there"):
            con.execute("SELECT * FROM t")


@pytest.mark.usefixtures("client")
def test_records_removed_by_retention_are_not_skipped_over(tmp_path: Path, topics: Topics) -> None:
    topic = topics.create()
    topics.send(topic, *(f'{{"n":{n}}}' for n in range(10)))
    topics.admin.delete_records({kafka.TopicPartition(topic, 0): 5})
    with tsdb.connect(str(tmp_path)) as con:
        where = {"scan.startup.mode": "specific-offsets", "scan.startup.specific-offsets": "partition:0,offset:2"}
        create(con, topics.bootstrap, topic, **where)
        with pytest.raises(tsdb.OperationalError, match="offset 2 is not there any more; it has offsets 5 to 10"):
            con.execute("SELECT * FROM t").fetchall()


@pytest.mark.usefixtures("client")
def test_a_record_that_is_too_large_is_refused(tmp_path: Path, topics: Topics) -> None:
    topic = topics.create(max_message_bytes="2000")
    with tsdb.connect(str(tmp_path)) as con:
        con.execute(
            f"CREATE TABLE t (v STRING) WITH ('connector' = 'kafka', 'topic' = '{topic}', 'format' = 'raw', "
            f"'properties.bootstrap.servers' = '{topics.bootstrap}')"
        )
        with pytest.raises(tsdb.OperationalError, match="too large"):
            con.execute("INSERT INTO t VALUES (?)", ["x" * 5000])
        con.execute("INSERT INTO t VALUES ('small')")
        assert con.execute("SELECT * FROM t").fetchall() == [("small",)]


@pytest.mark.usefixtures("client")
def test_a_job_outlives_a_broker_that_is_killed_and_comes_back(tmp_path: Path, own: broker.Broker) -> None:
    admin = kafka.KafkaAdminClient(bootstrap_servers=own.bootstrap)
    admin.create_topics([NewTopic("t", 1, 1)])
    admin.close()
    here = Topics(admin, own.bootstrap, "")
    with tsdb.connect(str(tmp_path / "warehouse")) as con:
        create(con, own.bootstrap, "t")
        con.execute("CREATE TABLE out (n INT, PRIMARY KEY (n) NOT ENFORCED)")
        con.execute("SET 'execution.mode' = 'streaming'")
        con.execute("INSERT INTO out SELECT n FROM t")
        (job,) = con.jobs()
        here.send("t", *(f'{{"n":{n}}}' for n in range(100)))
        job.checkpoint()
        own.kill()
        killed_s = time.monotonic()
        while not (shown := con.execute("SHOW JOBS").fetchall()[0])[-1]:
            assert time.monotonic() - killed_s < 15, "SHOW JOBS says that it waits"
            time.sleep(0.1)
        assert "waits for" in shown[-1] and "RUNNING" in shown
        own.start()
        here.send("t", *(f'{{"n":{n}}}' for n in range(100, 200)))
        con.execute("RESET 'execution.mode'")
        deadline = time.monotonic() + 30
        while con.execute("SELECT count(*) FROM out").fetchall() != [(200,)]:
            assert time.monotonic() < deadline, job.metrics()
            time.sleep(0.1)
        assert con.execute("SHOW JOBS").fetchall()[0][-1] is None
        own.kill()
        begun = time.monotonic()
        job.stop()
        assert time.monotonic() - begun < 5, "no hang on close"


def job_of(con: tsdb.Connection, sql: str) -> Job:
    con.execute("SET 'execution.mode' = 'streaming'")
    con.execute(sql)
    con.execute("RESET 'execution.mode'")
    return con.jobs()[-1]


def failure(con: tsdb.Connection) -> str:
    """What SHOW JOBS says of the job, once it has failed."""
    deadline = time.monotonic() + 30
    while "FAILED" not in (shown := con.execute("SHOW JOBS").fetchall()[0]):
        assert time.monotonic() < deadline, shown
        time.sleep(0.05)
    return str(shown[-1])


@pytest.mark.usefixtures("client")
def test_a_job_whose_topic_is_deleted_says_so(tmp_path: Path, topics: Topics) -> None:
    topic = topics.create()
    with tsdb.connect(str(tmp_path)) as con:
        create(con, topics.bootstrap, topic, **{"scan.topic-partition-discovery.interval": "200 ms"})
        con.execute("CREATE TABLE out (n INT, PRIMARY KEY (n) NOT ENFORCED)")
        job = job_of(con, "INSERT INTO out SELECT n FROM t")
        topics.send(topic, '{"n":1}')
        job.checkpoint()
        topics.delete(topic)
        assert topic in failure(con)
        assert con.execute("SELECT * FROM out").fetchall() == [(1,)], "what was read stays"
        begun = time.monotonic()
    assert time.monotonic() - begun < 5


@pytest.mark.usefixtures("client")
def test_a_job_with_a_record_that_is_too_large_says_so(tmp_path: Path, topics: Topics) -> None:
    topic = topics.create(max_message_bytes="2000")
    with tsdb.connect(str(tmp_path)) as con:
        con.execute(
            f"CREATE TABLE t (v STRING) WITH ('connector' = 'kafka', 'topic' = '{topic}', 'format' = 'raw', "
            f"'properties.bootstrap.servers' = '{topics.bootstrap}')"
        )
        con.execute("CREATE TABLE source (v STRING)")
        job = job_of(con, "INSERT INTO t SELECT v FROM source")
        con.execute("INSERT INTO source VALUES ('small')")
        job.checkpoint()
        con.execute("INSERT INTO source VALUES (?)", ["x" * 5000])
        assert "too large" in failure(con)
        assert con.execute("SELECT v FROM t").fetchall() == [("small",)]


@pytest.mark.usefixtures("client")
def test_readers_in_one_group_read_everything_each(tmp_path: Path, topics: Topics) -> None:
    """A group is where offsets are kept; partitions are not shared out, as in Flink."""
    topic = topics.create(partitions=2)
    with tsdb.connect(str(tmp_path)) as con:
        create(con, topics.bootstrap, topic, **{"properties.group.id": topic, "scan.startup.mode": "earliest-offset"})
        con.execute("SET 'execution.mode' = 'streaming'")
        readers = [con.execute("SELECT n FROM t") for _ in range(2)]
        found: list[set[int]] = [set(), set()]
        for n in range(6):
            topics.send(topic, f'{{"n":{n}}}', partition=n % 2)
            deadline = time.monotonic() + 30
            while any(n not in seen for seen, _ in zip(found, readers, strict=False)):
                for seen, reader in zip(found, readers, strict=False):
                    seen |= set(reader.poll(0.05)["n"].to_pylist())
                assert time.monotonic() < deadline, found
            if n == 3:
                readers.pop().close()
        assert found == [set(range(6)), set(range(4))]


@pytest.mark.usefixtures("client")
def test_another_member_of_the_group_takes_nothing_from_a_job(tmp_path: Path, topics: Topics) -> None:
    topic = topics.create(partitions=2)
    with tsdb.connect(str(tmp_path)) as con:
        create(con, topics.bootstrap, topic, **{"properties.group.id": topic, "scan.startup.mode": "earliest-offset"})
        con.execute("CREATE TABLE out (n INT, PRIMARY KEY (n) NOT ENFORCED)")
        job = job_of(con, "INSERT INTO out SELECT n FROM t")
        for n in range(6):
            if n == 2:
                other = kafka.KafkaConsumer(topic, bootstrap_servers=topics.bootstrap, group_id=topic)
                deadline = time.monotonic() + 30
                while not other.assignment():
                    other.poll(100)
                    assert time.monotonic() < deadline
            if n == 4:
                other.close()
            topics.send(topic, f'{{"n":{n}}}', partition=n % 2)
            job.checkpoint()
        assert job.waits is None and job.status == "RUNNING"
        assert sorted(con.execute("SELECT n FROM out").fetchall()) == [(n,) for n in range(6)]
        begun = time.monotonic()
    assert time.monotonic() - begun < 5
