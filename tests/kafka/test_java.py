"""Kafka's own Java client and tsdb over the same topics: each reads what the other wrote, in the same partitions."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import broker
import pytest
from kafka_topics import Topics
from log_tables import create

import tsdb

JUDGE = "Java Kafka"
COUNT = 30


@pytest.fixture
def con(tmp_path: Path, client: str) -> Iterator[tsdb.Connection]:
    with tsdb.connect(str(tmp_path)) as connection:
        yield connection


def java(*arguments: str) -> list[tuple[str, ...]]:
    """What the judge prints."""
    source = str(Path(__file__).with_name("KafkaJudge.java"))
    command = ["java", "-Xmx256m", "-cp", f"{broker.JARS}/*", source, *arguments]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    return [tuple(line.split("\t")) for line in run.stdout.splitlines()]


def written(topics: Topics, topic: str, lines: list[str], folder: Path) -> None:
    """Let the judge write."""
    file = folder / "lines"
    file.write_text("\n".join(lines))
    java("write", topics.bootstrap, topic, str(file))


def table(con: tsdb.Connection, topics: Topics, name: str, topic: str) -> None:
    con.execute(
        f"CREATE TABLE {name} (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', "
        f"'topic' = '{topic}', 'properties.bootstrap.servers' = '{topics.bootstrap}', 'key.format' = 'json', "
        "'value.format' = 'json')"
    )


@pytest.mark.judged("topics as tables: keys, tombstones, transactions", JUDGE, "reads", "is read")
def test_keys_tombstones_and_transactions(con: tsdb.Connection, topics: Topics, tmp_path: Path) -> None:
    ours, theirs = topics.create("ours", partitions=3), topics.create("theirs", partitions=3)
    table(con, topics, "ours", ours)
    table(con, topics, "theirs", theirs)
    lines = [f'{{"id":{n}}}\t{{"id":{n},"v":"é{n}"}}' for n in range(COUNT)]
    written(topics, theirs, [*lines, '{"id":3}\t\\N'], tmp_path)
    con.execute(f"INSERT INTO ours SELECT n, 'é' || CAST(n AS STRING) FROM generate_series(0, {COUNT - 1}) AS s(n)")
    wanted = [(n, f"é{n}") for n in range(COUNT)]
    assert con.execute("SELECT * FROM theirs ORDER BY id").fetchall() == [row for row in wanted if row[0] != 3]
    assert sorted(java("read", topics.bootstrap, ours)) == sorted(
        row for row in java("read", topics.bootstrap, theirs) if row[2] != "\\N"
    ), "the same keys and values in the same partitions"


@pytest.mark.judged("the log of a table, in JSON", JUDGE, "reads")
def test_the_log_of_a_table(con: tsdb.Connection, topics: Topics) -> None:
    topic = f"{topics.prefix}-log"
    create(con, topics.bootstrap, topic, **{"log.format": "json"})
    con.execute("INSERT INTO t VALUES (1, 10), (2, 20), (3, 30)")
    con.execute("UPDATE t SET v = v + 1 WHERE k = 2")
    con.execute("DELETE FROM t WHERE k = 3")
    found = [row for row in java("read", topics.bootstrap, topic) if row[1]]
    state: dict[str, str] = {}
    for _, key, value, _ in found:
        state.pop(key, None)
        if value != "\\N":
            state[key] = value
    assert sorted(state.values()) == ['{"k":1,"v":10}', '{"k":2,"v":21}'] and len(found) == 5
    assert {h for row in found for h in row[3].split(",") if h.startswith("tsdb.snapshot=")} == {
        f"tsdb.snapshot={n}" for n in (1, 2, 3)
    }
