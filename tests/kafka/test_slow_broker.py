"""A broker that hangs, and a leader that changes: jobs say what they wait for, lose nothing, and end when told to."""

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import broker
import kafka
import pytest
from kafka.admin import NewTopic
from kafka_topics import Addresses, Topics

import tsdb

SOURCE, ONCE, SINK, LOG = "source", "once", "sink", "log"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, bootstrap: str) -> Iterator[broker.Broker]:
    """A broker that the tests of this module may pause."""
    patient = "broker.session.timeout.ms=60000"  # else it comes back as one that its controller has given up
    started = broker.Broker(tmp_path_factory.mktemp("broker"), properties=[patient]).start()
    yield started
    started.kill()


@pytest.fixture
def here(own: broker.Broker, client: str, tmp_path: Path) -> Iterator[Topics]:
    admin = kafka.KafkaAdminClient(bootstrap_servers=own.bootstrap)
    found = Topics(admin, own.bootstrap, f"{client}-{tmp_path.name}")
    for name in (SOURCE, ONCE, SINK):
        found.create(name)
    yield found
    own.resume()
    admin.close()


def until(condition: Callable[[], Any], what: object = "", seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def streaming(con: tsdb.Connection, sql: str) -> tsdb.Cursor:
    con.execute("SET 'execution.mode' = 'streaming'")
    try:
        return con.execute(sql)
    finally:
        con.execute("RESET 'execution.mode'")


def tables(con: tsdb.Connection, here: Topics) -> None:
    """One job from a topic, one into a topic, one that does so exactly once, one into a table with a log."""
    at = f"'connector' = 'kafka', 'format' = 'json', 'properties.bootstrap.servers' = '{here.bootstrap}'"
    at += ", 'properties.group.id' = 'some', 'scan.startup.mode' = 'earliest-offset', 'topic' = "
    con.execute(f"CREATE TABLE source (n INT) WITH ({at}'{here.prefix}-{SOURCE}')")
    con.execute(f"CREATE TABLE sink (n INT) WITH ({at}'{here.prefix}-{SINK}')")
    once = "'sink.delivery-guarantee' = 'exactly-once', "
    con.execute(f"CREATE TABLE once (n INT) WITH ({once}{at}'{here.prefix}-{ONCE}')")
    log = f"'bucket' = '1', 'log.system' = 'kafka', 'kafka.bootstrap.servers' = '{here.bootstrap}', 'kafka.topic' = "
    con.execute(f"CREATE TABLE logged (n INT, PRIMARY KEY (n) NOT ENFORCED) WITH ({log}'{here.prefix}-{LOG}')")
    con.execute("CREATE TABLE out (n INT, PRIMARY KEY (n) NOT ENFORCED)")
    con.execute("CREATE TABLE numbers (n INT)")
    streaming(con, "INSERT INTO out SELECT n FROM source")
    for name in ("sink", "once", "logged"):
        streaming(con, f"INSERT INTO {name} SELECT n FROM numbers")


def states(con: tsdb.Connection) -> list[str | None]:
    return [row[-1] for row in con.execute("SHOW JOBS").fetchall()]


def test_jobs_over_a_broker_that_hangs(tmp_path: Path, here: Topics, own: broker.Broker) -> None:
    with tsdb.connect(str(tmp_path)) as con:
        tables(con, here)
        cursor = streaming(con, "SELECT n FROM logged")
        here.send(f"{here.prefix}-{SOURCE}", '{"n":1}')
        con.execute("INSERT INTO numbers VALUES (1)")
        for job in con.jobs():
            job.checkpoint()
        assert cursor.fetchone() == ("+I", 1)
        own.pause()
        con.execute("INSERT INTO numbers VALUES (2)")
        until(lambda: all("waits for" in (state or "") for state in states(con)), states(con))
        begun, begun_cpu = time.monotonic(), time.process_time()
        assert cursor.poll(1.0).num_rows == 0
        assert time.process_time() - begun_cpu < 0.5 * (time.monotonic() - begun), "it waits without a busy loop"
        own.resume()
        here.send(f"{here.prefix}-{SOURCE}", '{"n":2}')
        for job in con.jobs():
            job.checkpoint()
        assert states(con) == [None] * 4
        for table in ("out", "logged"):
            assert sorted(con.execute(f"SELECT n FROM {table}").fetchall()) == [(1,), (2,)]
        assert cursor.fetchone() == ("+I", 2)
        own.pause()
        con.execute("INSERT INTO numbers VALUES (3)")
        until(lambda: all("waits for" in (state or "") for state in states(con)), states(con))
        begun = time.monotonic()
        cursor.close()
        con.close()
        assert time.monotonic() - begun < 5, "no hang on close"
    own.resume()
    with tsdb.connect(str(tmp_path)) as con:
        for name in ("sink", "once", "logged"):
            streaming(con, f"INSERT INTO {name} SELECT n FROM numbers")
        for job in con.jobs():
            job.checkpoint()
        assert sorted(con.execute("SELECT n FROM logged").fetchall()) == [(1,), (2,), (3,)]
        sent = {
            name: [json.loads(v or b"")["n"] for _, v in here.read(f"{here.prefix}-{name}")] for name in (ONCE, SINK)
        }
    assert sorted(sent[ONCE]) == [1, 2, 3]
    assert set(sent[SINK]) == {1, 2, 3}, "at least once"


def test_a_statement_over_a_broker_that_hangs_ends_in_time(tmp_path: Path, here: Topics, own: broker.Broker) -> None:
    with tsdb.connect(str(tmp_path)) as con:
        at = f"'connector' = 'kafka', 'format' = 'json', 'properties.bootstrap.servers' = '{here.bootstrap}'"
        at += ", 'properties.bootstrap.timeout.ms' = '1000', 'topic' = "
        con.execute(f"CREATE TABLE sink (n INT) WITH ({at}'{here.prefix}-{SINK}')")
        own.pause()
        begun = time.monotonic()
        for sql in ("INSERT INTO sink VALUES (1)", "SELECT * FROM sink"):
            with pytest.raises(tsdb.OperationalError, match="no answer"):
                con.execute(sql).fetchall()
        con.close()
        assert time.monotonic() - begun < 10


def test_jobs_over_a_leader_that_is_killed(tmp_path: Path, addresses: Addresses, client: str) -> None:
    cluster = broker.Cluster(tmp_path / "cluster").start()
    try:
        admin = kafka.KafkaAdminClient(bootstrap_servers=cluster.bootstrap)
        here = Topics(admin, cluster.bootstrap, client)
        for name in (SOURCE, ONCE, SINK):
            admin.create_topics([NewTopic(f"{client}-{name}", -1, -1, replica_assignments={0: [2, 1]})])
        with tsdb.connect(str(tmp_path / "warehouse")) as con:
            tables(con, here)
            cursor = streaming(con, "SELECT n FROM logged")
            for n in range(5):
                if n == 2:
                    cluster.brokers[1].kill()
                value = f'{{"n":{n}}}'
                until(partial(sent, here, value))
                con.execute("INSERT INTO numbers VALUES (?)", [n])
                for job in con.jobs():
                    job.checkpoint()
            assert states(con) == [None] * 4
            seen: list[int] = []
            until(lambda: seen.extend(cursor.poll(0.1)["n"].to_pylist()) or len(seen) == 5, seen)
            for table in ("out", "logged"):
                assert sorted(con.execute(f"SELECT n FROM {table}").fetchall()) == [(n,) for n in range(5)]
            came = {
                name: [json.loads(v or b"")["n"] for _, v in here.read(f"{client}-{name}")] for name in (ONCE, SINK)
            }
            assert came[ONCE] == list(range(5))
            assert set(came[SINK]) == set(range(5)), "at least once"
    finally:
        cluster.kill()


def sent(here: Topics, value: str) -> bool:
    """Whether the cluster took it."""
    try:
        here.send(f"{here.prefix}-{SOURCE}", value)
    except kafka.errors.KafkaError:
        return False
    return True
