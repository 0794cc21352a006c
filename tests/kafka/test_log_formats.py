"""Logs in the formats of other systems: what they read leads to the table, and so does what our own readers read."""

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import pytest
from kafka_topics import Topics
from log_tables import Follower, create, rows

import tsdb

WIDE = (
    "k INT, s STRING, d DECIMAL(12, 3), t TIMESTAMP(6), z TIMESTAMP_LTZ(3), b BYTES, f DOUBLE, "
    "day DATE, o BOOLEAN, l BIGINT, a ARRAY<INT>, r ROW<x INT, y STRING>, PRIMARY KEY (k) NOT ENFORCED"
)
VALUES = (
    "(1, 'a\"\nb', 1.5, TIMESTAMP '2020-01-02 03:04:05.123456', TIMESTAMP '2020-01-02 03:04:05.5', X'00FF', 1e300, "
    "DATE '1969-12-31', true, -9223372036854775808, ARRAY[1, NULL], ROW(1, 'é')), "
    "(2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"
)


@pytest.fixture
def con(tmp_path: Path) -> Iterator[tsdb.Connection]:
    with tsdb.connect(str(tmp_path)) as connection:
        yield connection


def messages(topics: Topics, topic: str) -> list[tuple[bytes | None, bytes | None]]:
    """Those that have rows."""
    return [pair for pair in topics.read(topic) if pair != (b"", None)]


def written(con: tsdb.Connection) -> None:
    con.execute("INSERT INTO t VALUES (1, 10), (2, 20), (3, 30)")
    con.execute("UPDATE t SET v = v + 1 WHERE k = 2")
    con.execute("DELETE FROM t WHERE k = 3")


def upserted(pairs: list[tuple[Any, Any]]) -> list[tuple[Any, ...]]:
    """What a consumer makes of keys and values."""
    state: dict[Any, Any] = {}
    for key, value in pairs:
        state.pop(key, None)
        if value is not None:
            state[key] = tuple(value.values())
    return sorted(state.values())


def test_json_has_a_message_a_row_with_keys_and_tombstones(con: tsdb.Connection, topics: Topics) -> None:
    topic = f"{topics.prefix}-log"
    create(con, topics.bootstrap, topic, bucket="1", **{"log.format": "json"})
    written(con)
    pairs = messages(topics, topic)
    assert (b'{"k":3}', None) in pairs and len(pairs) == 5
    assert upserted([(key, None if v is None else json.loads(v)) for key, v in pairs]) == rows(con)


def test_our_own_upsert_kafka_table_reads_it(con: tsdb.Connection, topics: Topics) -> None:
    topic = f"{topics.prefix}-log"
    create(con, topics.bootstrap, topic, **{"log.format": "json"})
    written(con)
    con.execute(
        f"CREATE TABLE outside (k INT, v INT, PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', "
        f"'topic' = '{topic}', 'properties.bootstrap.servers' = '{topics.bootstrap}', 'key.format' = 'json', "
        "'value.format' = 'json')"
    )
    assert sorted(con.execute("SELECT * FROM outside").fetchall()) == rows(con)


def test_debezium_json_tells_what_was_before(con: tsdb.Connection, topics: Topics) -> None:
    topic = f"{topics.prefix}-log"
    more = {"log.format": "debezium-json", "log.changelog-mode": "all", "changelog-producer": "lookup", "bucket": "1"}
    create(con, topics.bootstrap, topic, **more)
    written(con)
    count: dict[tuple[Any, ...], int] = {}
    for _, value in messages(topics, topic):
        change = json.loads(value or b"")
        side, sign = ("after", 1) if change["op"] == "c" else ("before", -1)
        row = tuple(change[side].values())
        count[row] = count.get(row, 0) + sign
        assert count[row] >= 0, "what is taken back was there"
    assert sorted(row for row, n in count.items() if n) == rows(con)


def test_avro(con: tsdb.Connection, topics: Topics) -> None:
    topic = f"{topics.prefix}-log"
    create(con, topics.bootstrap, topic, bucket="1", **{"log.format": "avro", "log.key.format": "avro"})
    written(con)

    def record(*fields: tuple[str, Any]) -> Any:
        return fastavro.parse_schema(
            {"type": "record", "name": "record", "fields": [{"name": n, "type": t} for n, t in fields]}
        )

    key_schema, schema = record(("k", "int")), record(("k", "int"), ("v", ["null", "int"]))
    pairs = [
        (
            tuple(fastavro.schemaless_reader(io.BytesIO(key or b""), key_schema, None).items()),
            None if value is None else fastavro.schemaless_reader(io.BytesIO(value), schema, None),
        )
        for key, value in messages(topics, topic)
    ]
    assert upserted(pairs) == rows(con)


@pytest.mark.parametrize("word", ["json", "debezium-json", "avro", "arrow"])
@pytest.mark.parametrize("consistency", ["transactional", "eventual"])
def test_our_readers_follow_every_format_and_type(
    con: tsdb.Connection, topics: Topics, tmp_path: Path, word: str, consistency: str
) -> None:
    more = {"log.format": word, "log.consistency": consistency}
    create(con, topics.bootstrap, f"{topics.prefix}-log", WIDE, **more)
    reader = Follower(tmp_path)
    con.execute(f"INSERT INTO t VALUES {VALUES}")
    con.execute("INSERT INTO t (k, f) VALUES (3, CAST('NaN' AS DOUBLE)), (4, CAST('-Infinity' AS DOUBLE)), (5, 0.1)")
    con.execute("DELETE FROM t WHERE k = 5")
    wanted = {row["k"]: str(row) for row in con.execute("SELECT * FROM t").fetch_arrow_table().to_pylist()}
    shown: dict[int, str] = {}
    deadline = time.monotonic() + 30
    while shown != wanted:
        assert time.monotonic() < deadline, shown
        for change in reader.cursor.poll(0.05).to_pylist():
            op = change.pop("op")
            shown.pop(change["k"], None)
            if op in ("+I", "+U"):
                shown[change["k"]] = str(change)
    assert len(wanted) == 4
    reader.close()


def test_rows_deleted_from_a_table_without_a_key_reach_readers_of_json(
    con: tsdb.Connection, topics: Topics, tmp_path: Path
) -> None:
    create(con, topics.bootstrap, f"{topics.prefix}-log", "k INT, v INT", bucket="-1", **{"log.format": "json"})
    con.execute("INSERT INTO t VALUES (1, 1), (2, 2)")
    reader = Follower(tmp_path)
    reader.until(lambda: reader.rows == rows(con))
    con.execute("DELETE FROM t WHERE k = 1")
    con.execute("INSERT INTO t VALUES (3, 3)")
    reader.until(lambda: reader.rows == rows(con) == [(2, 2), (3, 3)])
    reader.close()
    assert [json.loads(v or b"") for _, v in messages(topics, f"{topics.prefix}-log")] == [
        {"k": n, "v": n} for n in (1, 2, 3)
    ]


@pytest.mark.parametrize(
    ("columns", "options"),
    [
        ("k INT, v INT, PRIMARY KEY (k) NOT ENFORCED", {"bucket": "-1"}),
        ("k INT, v INT, PRIMARY KEY (k) NOT ENFORCED", {"bucket": "-2"}),
        ("k INT, v INT, PRIMARY KEY (k) NOT ENFORCED PARTITIONED BY (v)", {"bucket": "-1"}),
        ("k INT, v INT, PRIMARY KEY (k) NOT ENFORCED", {"sequence.field": "v"}),
        ("k INT, v INT, PRIMARY KEY (k) NOT ENFORCED", {"changelog-producer": "lookup"}),
        ("k INT, v INT, PRIMARY KEY (k) NOT ENFORCED", {"changelog-producer": "full-compaction"}),
        ("k INT, v INT, PRIMARY KEY (k) NOT ENFORCED", {"deletion-vectors.enabled": "true"}),
        (
            "k INT, v INT, PRIMARY KEY (k) NOT ENFORCED",
            {"merge-engine": "aggregation", "fields.v.aggregate-function": "sum", "changelog-producer": "lookup"},
        ),
        (
            "k INT, v INT, PRIMARY KEY (k) NOT ENFORCED",
            {"merge-engine": "partial-update", "changelog-producer": "lookup"},
        ),
        (
            "k INT, v INT, PRIMARY KEY (k) NOT ENFORCED",
            {"merge-engine": "first-row", "changelog-producer": "lookup"},
        ),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("consistency", ["transactional", "eventual"])
def test_what_a_reader_sees_adds_up_to_the_table(
    con: tsdb.Connection, topics: Topics, tmp_path: Path, columns: str, options: dict[str, str], consistency: str
) -> None:
    if consistency == "eventual" and "merge-engine" in options:
        with pytest.raises(tsdb.NotSupportedError, match="transactional"):
            create(
                con, topics.bootstrap, f"{topics.prefix}-log", columns, **options, **{"log.consistency": consistency}
            )
        return
    create(con, topics.bootstrap, f"{topics.prefix}-log", columns, **options, **{"log.consistency": consistency})
    reader = Follower(tmp_path)
    con.execute("INSERT INTO t VALUES (1, 10), (2, 20), (3, 30)")
    reader.poll()
    for n in range(3):
        con.execute("INSERT INTO t VALUES (1, ?), (?, 5)", [11 - n, 4 + n])
        reader.poll()
    if options.get("merge-engine") not in ("first-row", "partial-update", "aggregation"):
        con.execute("DELETE FROM t WHERE k = 2")
    con.execute("CALL sys.compact('default.t')")
    con.execute("INSERT INTO t VALUES (7, 70)")
    if options.get("bucket") == "-2" or options.get("changelog-producer") == "full-compaction":
        con.execute("CALL sys.compact('default.t')")
    reader.until(lambda: reader.rows == rows(con))
    reader.close()
