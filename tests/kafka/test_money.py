"""Money that is moved between accounts: no version that comes out of Kafka lacks any of it or has it twice."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import kafka
import pytest
from kafka_topics import Topics
from log_tables import Follower

import tsdb
from tsdb.log.format import ArrowFormat
from tsdb.log.message import mark_of

ACCOUNTS = 5
TOTAL = ACCOUNTS * 100
BALANCES = "SELECT account, sum(amount) FROM moves GROUP BY account"
COLUMNS = "account INT, amount BIGINT, PRIMARY KEY (account) NOT ENFORCED"


@pytest.fixture
def con(tmp_path: Path) -> Iterator[tsdb.Connection]:
    with tsdb.connect(str(tmp_path)) as connection:
        connection.execute("CREATE TABLE moves (id INT, account INT, amount BIGINT)")
        rows = ", ".join(f"(0, {account}, 100)" for account in range(ACCOUNTS))
        connection.execute(f"INSERT INTO moves VALUES {rows}")
        yield connection


def start(con: tsdb.Connection, insert: str) -> None:
    con.execute("SET 'execution.mode' = 'streaming'; SET 'execution.checkpointing.interval' = '0 ms'")
    con.execute(insert)
    con.execute("SET 'execution.mode' = 'batch'")


def transfers(con: tsdb.Connection, count: int = 6) -> Iterator[int]:
    """Each a commit of two rows; every other one waits for the job."""
    rng = random.Random(5)
    (job,) = con.jobs()
    for number in range(1, count + 1):
        giver, taker = rng.sample(range(ACCOUNTS), 2)
        amount = rng.randint(1, 30)
        con.execute(f"INSERT INTO moves VALUES ({number}, {giver}, {-amount}), ({number}, {taker}, {amount})")
        if number % 2 == 0:
            job.checkpoint()
        yield number
    job.checkpoint()
    job.stop()


def balances(con: tsdb.Connection) -> list[tuple[int, int]]:
    return sorted(con.execute(BALANCES).fetchall())


@pytest.mark.parametrize("consistency", ["transactional", "eventual"])
def test_a_log_has_whole_snapshots(con: tsdb.Connection, topics: Topics, tmp_path: Path, consistency: str) -> None:
    """Who follows the table, and who reads the topic by the snapshots that its messages name, sees no half of one.

    A log with 'log.consistency' = 'eventual' promises only the end.
    """
    topic = f"{topics.prefix}-log"
    log = f"'log.system' = 'kafka', 'kafka.bootstrap.servers' = '{topics.bootstrap}', 'kafka.topic' = '{topic}'"
    con.execute(f"CREATE TABLE sink ({COLUMNS}) WITH ('bucket' = '2', 'log.consistency' = '{consistency}', {log})")
    start(con, f"INSERT INTO sink {BALANCES}")
    follower = Follower(tmp_path, "SELECT account, amount FROM sink")
    try:
        for _ in transfers(con):
            follower.poll(0.1)
            if consistency == "transactional" and follower.rows:
                assert sum(amount for _, amount in follower.rows) == TOTAL
        follower.until(lambda: follower.rows == balances(con))
    finally:
        follower.close()
    assert sorted(con.execute("SELECT * FROM sink").fetchall()) == balances(con)
    if consistency == "transactional":
        assert_whole(topics, topic)


def assert_whole(topics: Topics, topic: str) -> None:
    """After the messages of each snapshot the money is complete."""
    consumer = kafka.KafkaConsumer(bootstrap_servers=topics.bootstrap, isolation_level="read_committed")
    partitions = [kafka.TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)]
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    ends = consumer.end_offsets(partitions)
    changed: dict[int, dict[int, int]] = {}
    while any(consumer.position(p) < ends[p] for p in partitions):
        for records in consumer.poll(timeout_ms=200).values():
            for record in records:
                mark = mark_of(record.headers)
                if mark is None or record.value is None:
                    continue
                rows, kinds = ArrowFormat(False).read([None], [record.value])
                after = [row for row, kind in zip(rows.to_pylist(), kinds, strict=True) if kind in (0, 2)]
                changed.setdefault(mark.snapshot_id, {}).update({row["account"]: row["amount"] for row in after})
    consumer.close()
    assert len(changed) > 2
    state: dict[int, int] = {}
    for snapshot in sorted(changed):
        state |= changed[snapshot]
        assert sum(state.values()) == TOTAL, snapshot


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("kind", ["upsert-kafka", "kafka"])
def test_a_transaction_of_a_topic_is_a_whole_checkpoint(con: tsdb.Connection, topics: Topics, kind: str) -> None:
    """Who reads what is committed, whenever, has all the money: balances by key, or moves one after the other."""
    topic = topics.create()
    given = {"connector": kind, "topic": topic, "properties.bootstrap.servers": topics.bootstrap}
    given |= {"sink.delivery-guarantee": "exactly-once"}
    by_key = {"key.format": "json", "value.format": "json"}
    given |= by_key if kind == "upsert-kafka" else {"format": "json"}
    columns = COLUMNS if kind == "upsert-kafka" else "id INT, account INT, amount BIGINT"
    con.execute(f"CREATE TABLE sink ({columns}) WITH ({', '.join(f'{k!r} = {v!r}' for k, v in given.items())})")
    start(con, f"INSERT INTO sink {BALANCES if kind == 'upsert-kafka' else 'SELECT * FROM moves'}")
    seen: Counter[int] = Counter()
    for _ in transfers(con):
        rows = [json.loads(value) for _, value in topics.read(topic) if value is not None]
        if kind == "upsert-kafka":
            state = {row["account"]: row["amount"] for row in rows}
            assert sum(state.values()) in (0, TOTAL)
        else:
            assert sum(row["amount"] for row in rows) in (0, TOTAL)
        seen[len(rows)] += 1
    assert len(seen) > 2, "some of it was read on the way"
    assert sorted(con.execute("SELECT account, sum(amount) FROM sink GROUP BY account").fetchall()) == balances(con)
