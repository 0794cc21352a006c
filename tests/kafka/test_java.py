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


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The judge's class path; it is compiled once."""
    folder = tmp_path_factory.mktemp("judge")
    source = Path(__file__).with_name("KafkaJudge.java")
    subprocess.run(["javac", "-cp", f"{broker.JARS}/*", "-d", str(folder), str(source)], check=True)
    return f"{folder}:{broker.JARS}/*"


def java(judge: str, *calls: tuple[str, ...]) -> list[list[tuple[str, ...]]]:
    """What the judge prints for each call; they run side by side."""
    command = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", judge, "KafkaJudge"]
    pipe = subprocess.PIPE
    runs = [subprocess.Popen([*command, *call], text=True, stdout=pipe, stderr=pipe) for call in calls]
    answers = [run.communicate() for run in runs]
    assert [run.returncode for run in runs] == [0] * len(runs), answers[0][1][-2000:] + answers[-1][1][-2000:]
    return [[tuple(line.split("\t")) for line in out.splitlines()] for out, _ in answers]


def written(judge: str, topics: Topics, topic: str, lines: list[str], folder: Path) -> None:
    """Let the judge write."""
    file = folder / "lines"
    file.write_text("\n".join(lines))
    java(judge, ("write", topics.bootstrap, topic, str(file)))


def table(con: tsdb.Connection, topics: Topics, name: str, topic: str) -> None:
    con.execute(
        f"CREATE TABLE {name} (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', "
        f"'topic' = '{topic}', 'properties.bootstrap.servers' = '{topics.bootstrap}', 'key.format' = 'json', "
        "'value.format' = 'json')"
    )


@pytest.mark.judged("topics as tables: keys, tombstones, transactions", JUDGE, "reads", "is read")
def test_keys_tombstones_and_transactions(con: tsdb.Connection, topics: Topics, tmp_path: Path, judge: str) -> None:
    ours, theirs = topics.create("ours", partitions=3), topics.create("theirs", partitions=3)
    table(con, topics, "ours", ours)
    table(con, topics, "theirs", theirs)
    lines = [f'{{"id":{n}}}\t{{"id":{n},"v":"é{n}"}}' for n in range(COUNT)]
    written(judge, topics, theirs, [*lines, '{"id":3}\t\\N'], tmp_path)
    con.execute(f"INSERT INTO ours SELECT n, 'é' || CAST(n AS STRING) FROM generate_series(0, {COUNT - 1}) AS s(n)")
    wanted = [(n, f"é{n}") for n in range(COUNT)]
    assert con.execute("SELECT * FROM theirs ORDER BY id").fetchall() == [row for row in wanted if row[0] != 3]
    seen, sent = java(judge, ("read", topics.bootstrap, ours), ("read", topics.bootstrap, theirs))
    assert sorted(seen) == sorted(row for row in sent if row[2] != "\\N"), (
        "the same keys and values in the same partitions"
    )


@pytest.mark.judged("the log of a table, in JSON", JUDGE, "reads")
def test_the_log_of_a_table(con: tsdb.Connection, topics: Topics, judge: str) -> None:
    topic = f"{topics.prefix}-log"
    create(con, topics.bootstrap, topic, **{"log.format": "json"})
    con.execute("INSERT INTO t VALUES (1, 10), (2, 20), (3, 30)")
    con.execute("UPDATE t SET v = v + 1 WHERE k = 2")
    con.execute("DELETE FROM t WHERE k = 3")
    (seen,) = java(judge, ("read", topics.bootstrap, topic))
    found = [row for row in seen if row[1]]
    state: dict[str, str] = {}
    for _, key, value, _ in found:
        state.pop(key, None)
        if value != "\\N":
            state[key] = value
    assert sorted(state.values()) == ['{"k":1,"v":10}', '{"k":2,"v":21}'] and len(found) == 5
    assert {h for row in found for h in row[3].split(",") if h.startswith("tsdb.snapshot=")} == {
        f"tsdb.snapshot={n}" for n in (1, 2, 3)
    }
