"""Topics as tables, on a real broker: what is sent is what is read, once, and what is written is what others read."""

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pytest
from kafka_topics import Topics

import tsdb


@pytest.fixture
def con() -> Iterator[tsdb.Connection]:
    with tsdb.connect() as connection:
        yield connection


def create(con: tsdb.Connection, name: str, columns: str, topics: Topics, topic: str, **options: str) -> None:
    given = {"connector": "kafka", "topic": topic, "properties.bootstrap.servers": topics.bootstrap}
    given |= {key.replace("__", "-").replace("_", "."): value for key, value in options.items()}
    listed = ", ".join(f"'{key}' = '{value}'" for key, value in given.items())
    con.execute(f"CREATE TABLE {name} ({columns}) WITH ({listed})")


def rows(con: tsdb.Connection, sql: str) -> list[Any]:
    return con.execute(sql).fetchall()


def stream(con: tsdb.Connection) -> None:
    con.execute("SET 'execution.mode' = 'streaming'")


def batch(con: tsdb.Connection) -> None:
    con.execute("RESET 'execution.mode'")


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize(
    ("form", "columns", "values"),
    [
        ("json", "id INT, v STRING, d DECIMAL(10, 2), b BYTES", [(1, "ann\n", None, b"\x00\xff"), (2, None, 5, None)]),
        ("csv", "id INT, v STRING, f DOUBLE, b BYTES", [(1, "a,b", 0.5, b"\x00\xff"), (2, 'say "x"', None, None)]),
        ("raw", "v STRING", [("line\nbreak\r\n",), ("",)]),
        ("avro", "id INT NOT NULL, v STRING, a ARRAY<INT>, t TIMESTAMP(3)",
         [(1, "x", [1, None], dt.datetime(2024, 1, 2, 3, 4, 5)), (2, None, None, None)]),
        ("debezium-json", "id INT, v STRING", [(1, "a"), (2, None)]),
    ],
)  # fmt: skip
def test_a_format_reads_what_it_writes(
    con: tsdb.Connection, topics: Topics, form: str, columns: str, values: list[tuple[Any, ...]]
) -> None:
    create(con, "t", columns, topics, topics.create(), format=form)
    marks = ", ".join("?" * len(values[0]))
    con.execute(f"INSERT INTO t VALUES {', '.join([f'({marks})'] * len(values))}", [v for row in values for v in row])
    assert sorted(rows(con, "SELECT * FROM t"), key=repr) == sorted(values, key=repr)


@pytest.mark.usefixtures("client")
def test_key_value_and_metadata_stand_side_by_side(con: tsdb.Connection, topics: Topics) -> None:
    topic = topics.create()
    columns = (
        "k_id INT, v STRING, topic STRING METADATA VIRTUAL, part INT METADATA FROM 'partition', "
        "off BIGINT METADATA FROM 'offset' VIRTUAL, ts TIMESTAMP_LTZ(3) METADATA FROM 'timestamp', "
        "headers MAP<STRING, BYTES> METADATA, kind STRING METADATA FROM 'timestamp-type' VIRTUAL, "
        "epoch INT METADATA FROM 'leader-epoch' VIRTUAL"
    )
    options = {"key_format": "json", "key_fields": "k_id", "key_fields__prefix": "k_", "value_format": "json"}
    create(con, "t", columns, topics, topic, value_fields__include="EXCEPT_KEY", **options)
    con.execute(
        "INSERT INTO t VALUES (7, 'x', CAST('2024-05-06 07:08:09' AS TIMESTAMP(3)), MAP['h', CAST('1' AS BYTES)])"
    )
    assert topics.read(topic) == [(b'{"id":7}', b'{"v":"x"}')]
    (row,) = rows(con, "SELECT * FROM t")
    moment = dt.datetime(2024, 5, 6, 7, 8, 9, tzinfo=dt.UTC)
    assert row[:6] == (7, "x", topic, 0, 0, moment) and row[7:] == ("CreateTime", 0)
    assert dict(row[6]) == {"h": b"1"}
    text = rows(con, "SHOW CREATE TABLE t")[0][0]
    con.execute("DROP TABLE t")
    con.execute(text)
    assert rows(con, "SELECT off, part FROM t") == [(0, 0)]


@pytest.mark.usefixtures("client")
def test_a_message_may_have_neither_key_nor_value(con: tsdb.Connection, topics: Topics) -> None:
    topic = topics.create()
    create(con, "t", "v STRING", topics, topic, format="raw")
    con.execute("INSERT INTO t VALUES ('a'), (NULL), ('')")
    assert topics.read(topic) == [(None, b"a"), (None, None), (None, b"")]
    assert rows(con, "SELECT * FROM t") == [("a",), (None,), ("",)]


@pytest.mark.usefixtures("client")
def test_upsert_kafka_is_a_table_by_key(con: tsdb.Connection, topics: Topics) -> None:
    topic = topics.create(partitions=2)
    options = {"connector": "upsert-kafka", "key_format": "json", "value_format": "json"}
    create(con, "t", "id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED", topics, topic, **options)
    con.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    con.execute("INSERT INTO t VALUES (1, 'A')")
    topics.send(topic, None, key=b'{"id":2}', partition=_partition_of(topics, topic, b'{"id":2}'))
    assert rows(con, "SELECT * FROM t") == [(1, "A")]
    stream(con)
    with con.execute("SELECT count(*), max(v) FROM t /*+ OPTIONS('scan.bounded.mode' = 'latest-offset') */") as cursor:
        assert cursor.fetchall()[-1][1:] == (1, "A")
    batch(con)
    assert rows(con, "SELECT count(*) FROM t") == [(1,)]


def _partition_of(topics: Topics, topic: str, key: bytes) -> int:
    """Where the key's earlier messages are, so that a later one is behind them."""
    found = topics.partitioned(topic)
    return next(number for number, pairs in found.items() if any(k == key for k, _ in pairs))


@pytest.mark.usefixtures("client")
def test_where_reading_begins_and_ends(con: tsdb.Connection, topics: Topics) -> None:
    topic = topics.create()
    create(con, "t", "id INT", topics, topic, format="json")
    topics.send(topic, *(f'{{"id":{i}}}' for i in range(10)))

    def ids(**options: str) -> list[int]:
        hint = ", ".join(f"'scan.{key.replace('__', '-').replace('_', '.')}' = '{v}'" for key, v in options.items())
        return [i for (i,) in rows(con, f"SELECT id FROM t /*+ OPTIONS({hint}) */")]

    assert ids(startup_mode="earliest-offset") == list(range(10))
    assert ids(startup_mode="latest-offset") == []
    assert ids(startup_mode="timestamp", startup_timestamp__millis="0") == list(range(10))
    assert ids(startup_mode="timestamp", startup_timestamp__millis="99999999999999") == []
    where = {"startup_mode": "specific-offsets", "startup_specific__offsets": "partition:0,offset:7"}
    assert ids(**where) == [7, 8, 9]
    end = {"bounded_mode": "specific-offsets", "bounded_specific__offsets": "partition:0,offset:9"}
    assert ids(**where, **end) == [7, 8]
    assert ids(bounded_mode="timestamp", bounded_timestamp__millis="0") == []


def test_several_topics_by_list_and_by_pattern(con: tsdb.Connection, topics: Topics) -> None:
    one, two = topics.create("one"), topics.create("two")
    topics.send(one, '{"id":1}')
    topics.send(two, '{"id":2}')
    create(con, "t", "id INT", topics, f"{one};{two}", format="json")
    assert rows(con, "SELECT id FROM t ORDER BY id") == [(1,), (2,)]
    with pytest.raises(tsdb.ProgrammingError, match="has to name one topic"):
        con.execute("INSERT INTO t VALUES (3)")


@pytest.mark.usefixtures("client")
def test_partitions_that_come_later_are_read_from_their_beginning(con: tsdb.Connection, topics: Topics) -> None:
    topic = topics.create()
    create(con, "t", "id INT", topics, topic, format="json", scan_topic__partition__discovery_interval="100 ms")
    stream(con)
    with con.execute("SELECT id FROM t") as cursor:
        topics.send(topic, '{"id":1}')
        assert cursor.fetchone() == ("+I", 1)
        topics.grow(topic, 2)
        topics.send(topic, '{"id":2}', partition=1)
        assert cursor.fetchone() == ("+I", 2)


@pytest.mark.usefixtures("client")
def test_a_message_that_cannot_be_read_is_named_and_dealt_with(con: tsdb.Connection, topics: Topics) -> None:
    topic, dead = topics.create(), topics.create("dead")
    good = [f'{{"id":{i}}}' for i in range(200)]
    topics.send(topic, *good[:150], "no json", *good[150:], '{"id":"x"}', "")
    create(con, "t", "id INT", topics, topic, format="json")
    with pytest.raises(tsdb.DataError) as caught:
        rows(con, "SELECT * FROM t")
    for part in (topic, "partition 0", "offset 150", "not JSON", "no json"):
        assert part in str(caught.value)
    skip = "/*+ OPTIONS('scan.malformed-record' = 'skip') */"
    assert [i for (i,) in rows(con, f"SELECT id FROM t {skip}")] == list(range(200))
    letters = f"/*+ OPTIONS('scan.malformed-record' = 'dead-letter', 'scan.dead-letter.topic' = '{dead}') */"
    assert len(rows(con, f"SELECT id FROM t {letters}")) == 200
    assert [value for _, value in topics.read(dead)] == [b"no json", b'{"id":"x"}', b""]
    create(con, "letters", "v STRING, headers MAP<STRING, BYTES> METADATA", topics, dead, format="raw")
    facts = [dict(h) for _, h in rows(con, "SELECT v, headers FROM letters")]
    assert [f["tsdb.offset"] for f in facts] == [b"150", b"201", b"202"] and facts[2][
        "tsdb.reason"
    ] == b"the message is empty"


@pytest.mark.parametrize("form", ["canal-json", "maxwell-json", "ogg-json", "debezium-json"])
def test_change_logs_lead_to_the_state(con: tsdb.Connection, topics: Topics, form: str) -> None:
    one, new = {"id": 1, "v": "a"}, {"id": 1, "v": "b"}
    messages: dict[str, list[dict[str, Any]]] = {
        "canal-json": [
            {"type": "INSERT", "data": [{"id": "1", "v": "a"}, {"id": "2", "v": "x"}], "old": None},
            {"type": "UPDATE", "data": [{"id": "1", "v": "b"}], "old": [{"v": "a"}]},
            {"type": "DELETE", "data": [{"id": "2", "v": "x"}], "old": None},
        ],
        "maxwell-json": [
            {"type": "insert", "data": one},
            {"type": "update", "data": new, "old": {"v": "a"}},
            {"type": "insert", "data": {"id": 2, "v": "x"}},
            {"type": "delete", "data": {"id": 2, "v": "x"}},
        ],
        "ogg-json": [
            {"op_type": "I", "after": one},
            {"op_type": "U", "before": one, "after": new},
            {"op_type": "I", "after": {"id": 2, "v": "x"}},
            {"op_type": "D", "before": {"id": 2, "v": "x"}},
        ],
        "debezium-json": [
            {"op": "c", "before": None, "after": one},
            {"op": "u", "before": one, "after": new},
            {"op": "c", "before": None, "after": {"id": 2, "v": "x"}},
            {"op": "d", "before": {"id": 2, "v": "x"}, "after": None},
        ],
    }
    topic = topics.create()
    topics.send(topic, *map(json.dumps, messages[form]))
    topics.send(topic, None, key=b"1")
    create(con, "t", "id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED", topics, topic, format=form)
    assert rows(con, "SELECT * FROM t") == [(1, "b")]
    stream(con)
    cursor = con.execute("SELECT count(*), max(v) FROM t /*+ OPTIONS('scan.bounded.mode' = 'latest-offset') */")
    assert cursor.fetchall()[-1][1:] == (1, "b")


@pytest.mark.parametrize(
    ("form", "added", "removed"),
    [
        ("canal-json", '{"data":[ROW],"type":"INSERT"}', '{"data":[ROW],"type":"DELETE"}'),
        ("maxwell-json", '{"data":ROW,"type":"insert"}', '{"data":ROW,"type":"delete"}'),
        ("ogg-json", '{"before":null,"after":ROW,"op_type":"I"}', '{"before":ROW,"after":null,"op_type":"D"}'),
        ("debezium-json", '{"before":null,"after":ROW,"op":"c"}', '{"before":ROW,"after":null,"op":"d"}'),
    ],
)
def test_change_logs_are_written_as_flink_writes_them(
    con: tsdb.Connection, topics: Topics, form: str, added: str, removed: str
) -> None:
    topic, columns = topics.create(), "id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED"
    create(con, "t", columns, topics, topic, format=form)
    con.execute(f"CREATE TABLE own ({columns})")
    con.execute("INSERT INTO own VALUES (1, 'a'), (2, NULL)")
    stream(con)
    con.execute("INSERT INTO t SELECT * FROM own")
    (job,) = con.jobs()
    job.checkpoint()
    batch(con)
    con.execute("UPDATE own SET v = 'b' WHERE id = 1")
    con.execute("DELETE FROM own WHERE id = 2")
    job.checkpoint()
    job.stop()
    sent = [value.decode() for _, value in topics.read(topic) if value]
    first, second = (form_of.replace("ROW", '{"id":1,"v":"a"}') for form_of in (added, removed))
    assert sent.index(first) < sent.index(second) < sent.index(added.replace("ROW", '{"id":1,"v":"b"}'))
    assert len(sent) == 5 and removed.replace("ROW", '{"id":2,"v":null}') in sent
    assert rows(con, "SELECT * FROM t") == rows(con, "SELECT * FROM own") == [(1, "b")]


@pytest.mark.usefixtures("client")
def test_only_committed_messages_are_read(con: tsdb.Connection, topics: Topics) -> None:
    topic = topics.create()
    topics.transaction(topic, b'{"id":1}', commit=True)
    topics.transaction(topic, b'{"id":2}', commit=False)
    topics.transaction(topic, b'{"id":3}', commit=True)
    create(con, "t", "id INT", topics, topic, format="json")
    assert rows(con, "SELECT id FROM t") == [(1,), (3,)]
    dirty = "/*+ OPTIONS('properties.isolation.level' = 'read_uncommitted') */"
    assert rows(con, f"SELECT id FROM t {dirty}") == [(1,), (2,), (3,)]


@pytest.mark.usefixtures("client")
def test_the_group_of_the_options_is_told_and_asked(con: tsdb.Connection, topics: Topics) -> None:
    topic = topics.create()
    topics.send(topic, *(f'{{"id":{i}}}' for i in range(5)))
    create(con, "t", "id INT", topics, topic, format="json", properties_group_id=f"g-{topic}")
    con.execute("CREATE TABLE out (id INT, PRIMARY KEY (id) NOT ENFORCED)")
    stream(con)
    con.execute("INSERT INTO out SELECT id FROM t")
    (job,) = con.jobs()
    job.checkpoint()
    job.stop()
    batch(con)
    assert rows(con, "SELECT count(*) FROM out") == [(5,)]
    topics.send(topic, '{"id":5}')
    assert rows(con, "SELECT id FROM t") == [(5,)]


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ("id INT", {"format": "json", "properties_bootstrap_servrs": "x"}, "bootstrap.servers"),
        ("id INT", {"format": "jsn"}, "Did you mean `json`"),
        ("id INT", {}, "'format' or 'value.format'"),
        ("id INT, PRIMARY KEY (id) NOT ENFORCED", {"format": "json"}, "upsert-kafka"),
        ("id INT", {"connector": "upsert-kafka", "value_format": "json"}, "PRIMARY KEY"),
        ("id INT, o INT METADATA FROM 'offset'", {"format": "json"}, "'offset' is BIGINT"),
        ("id INT, o INT METADATA FROM 'ofset'", {"format": "json"}, "Did you mean `offset`"),
        ("id INT", {"format": "json", "scan_startup_mode": "timestamp"}, "needs 'scan.startup.timestamp-millis'"),
        (
            "id INT",
            {"format": "json", "scan_startup_mode": "timestamp", "scan_startup_timestamp__millis": "-5"},
            "or more",
        ),
        ("id INT", {"format": "json", "scan_startup_mode": "group-offsets"}, "properties.group.id"),
        ("id INT", {"format": "json", "scan_malformed__record": "dead-letter"}, "scan.dead-letter.topic"),
        ("id INT", {"format": "json", "key_fields": "id"}, "go together"),
        ("id INT", {"format": "json", "topic__pattern": "a.*"}, "either 'topic' or"),
        ("id INT, o BIGINT METADATA FROM 'offset'", {"format": "debezium-json"}, "need a PRIMARY KEY"),
        ("id INT, o STRING METADATA FROM 'value.source.tabel'", {"format": "debezium-json"}, "value.source.table"),
        ("id INT, o STRING METADATA FROM 'value.source.table'", {"format": "json"}, "has no metadata"),
        ("id INT, o INT METADATA FROM 'value.source.table'", {"format": "debezium-json"}, "is STRING, not INT"),
        ("id INT", {"format": "protobuf"}, "'protobuf' is not supported: .* avro or json"),
        ("id INT", {"format": "json-schema"}, "'json-schema' is not supported: .* the format json"),
        ("id INT", {"format": "parquet"}, "'parquet' is not supported: it is for files"),
        (
            "id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED",
            {
                "key_format": "json",
                "key_fields": "id",
                "value_format": "debezium-json",
                "value_fields__include": "EXCEPT_KEY",
            },
            "`id` stands in the messages' keys only",
        ),
    ],
)
def test_what_cannot_work_is_refused_when_the_table_is_made(
    con: tsdb.Connection, topics: Topics, columns: str, options: dict[str, str], message: str
) -> None:
    with pytest.raises(tsdb.Error, match=message.replace("(", r"\(")):
        create(con, "t", columns, topics, "t", **options)
    assert rows(con, "SHOW TABLES") == []


@pytest.mark.usefixtures("client")
def test_change_logs_have_keys(con: tsdb.Connection, topics: Topics) -> None:
    topic = topics.create()
    keys = {"key_format": "json", "key_fields": "id", "value_format": "debezium-json"}
    create(con, "t", "id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED", topics, topic, **keys)
    con.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    con.execute("CREATE TABLE own (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED)")
    con.execute("INSERT INTO own VALUES (1, 'old'), (3, 'c')")
    con.execute("INSERT INTO t SELECT * FROM own")
    assert [key for key, _ in topics.read(topic)] == [b'{"id":1}', b'{"id":2}', b'{"id":1}', b'{"id":3}']
    assert sorted(rows(con, "SELECT * FROM t")) == [(1, "old"), (2, "b"), (3, "c")]


@pytest.mark.usefixtures("client")
def test_columns_that_only_the_key_has_stand_in_changes_too(con: tsdb.Connection, topics: Topics) -> None:
    """As Flink has it: each row that a message leads to has the key of the message."""
    topic = topics.create()
    keys = {"key_format": "json", "key_fields": "k_place", "value_format": "debezium-json"}
    only = {"key_fields__prefix": "k_", "value_fields__include": "EXCEPT_KEY"}
    create(con, "t", "k_place STRING, id INT", topics, topic, **keys, **only)
    con.execute("INSERT INTO t VALUES ('x', 1), (NULL, 2)")
    assert [(k, json.loads(v or b"")["after"]) for k, v in topics.read(topic)] == [
        (b'{"place":"x"}', {"id": 1}), (b'{"place":null}', {"id": 2}),
    ]  # fmt: skip
    topics.send(topic, '{"op":"c","before":null,"after":{"id":3}}', key=b'{"place":"y"}')
    topics.send(topic, None, key=b'{"place":"z"}')
    topics.send(topic, '{"op":"u","before":{"id":3},"after":{"id":4}}', key=b'{"place":"y"}')
    topics.send(topic, '{"op":"c","before":null,"after":{"id":5}}')
    assert sorted(rows(con, "SELECT * FROM t"), key=str) == [("x", 1), ("y", 4), (None, 2), (None, 5)]
    topics.send(topic, '{"op":"c","before":null,"after":{"id":6}}', key=b"{")
    with pytest.raises(tsdb.Error, match="offset 6"):
        rows(con, "SELECT * FROM t")


def test_explain_says_what_is_read_and_through_which_client(con: tsdb.Connection, topics: Topics, client: str) -> None:
    topic = topics.create()
    create(con, "t", "id INT", topics, topic, format="json")
    wanted = f"connector 'kafka', topic '{topic}', client "
    assert f"{wanted}{client}" in rows(con, "EXPLAIN SELECT * FROM t")[0][0]
    stream(con)
    assert f"{wanted}{client}" in rows(con, "EXPLAIN SELECT * FROM t")[0][0]
    hint = "/*+ OPTIONS('properties.client' = 'kafka-python') */"
    assert f"{wanted}kafka-python" in rows(con, f"EXPLAIN SELECT * FROM t {hint}")[0][0]
    with pytest.raises(tsdb.ProgrammingError, match="Did you mean `kafka-python`"):
        rows(con, "SELECT * FROM t /*+ OPTIONS('properties.client' = 'kafka-pyton') */")


def test_change_logs_have_metadata_of_kafka_and_of_their_own(con: tsdb.Connection, topics: Topics) -> None:
    topic = topics.create()
    source = {"ts_ms": 1000, "db": "shop", "schema": "public", "table": "sales"}

    def message(op: str, before: Any, after: Any, at: int) -> str:
        return json.dumps({"op": op, "before": before, "after": after, "source": source, "ts_ms": at})

    a, b, c = ({"id": 1, "v": "a"}, {"id": 1, "v": "b"}, {"id": 2, "v": "c"})
    topics.send(topic, message("c", None, a, 2000), None, message("u", a, b, 3000), key=b"1")
    topics.send(topic, '{"status":"BEGIN","id":"7","ts_ms":1}', message("r", None, c, 4000))
    columns = (
        "id INT, o BIGINT METADATA FROM 'offset' VIRTUAL, v STRING, name STRING METADATA FROM 'value.source.table', "
        "db STRING METADATA FROM 'value.source.database', at TIMESTAMP_LTZ(3) METADATA FROM 'value.source.timestamp', "
        "came TIMESTAMP_LTZ(3) METADATA FROM 'value.ingestion-timestamp', PRIMARY KEY (id) NOT ENFORCED"
    )
    create(con, "t", columns, topics, topic, format="debezium-json")
    first, third, fourth = (dt.datetime.fromtimestamp(s, dt.UTC) for s in (1, 3, 4))
    wanted = [(1, 2, "b", "sales", "shop", first, third), (2, 4, "c", "sales", "shop", first, fourth)]
    assert sorted(rows(con, "SELECT * FROM t")) == wanted
    topics.send(topic, message("d", c, None, 5000))
    stream(con)
    with con.execute("SELECT id, o, v FROM t /*+ OPTIONS('scan.bounded.mode' = 'latest-offset') */") as cursor:
        state: dict[int, Any] = {}
        for op, *row in cursor.fetchall():
            if op[0] == "+":
                state[row[0]] = row
            else:
                assert state.pop(row[0]) == row, "what leaves is what came"
    assert state == {1: [1, 2, "b"]}


@pytest.mark.parametrize(
    ("form", "message", "columns", "wanted"),
    [
        ("canal-json",
         {"type": "INSERT", "data": [{"id": "1"}, {"id": "2"}], "old": None, "database": "d", "table": "t", "es": 1000,
          "ts": 2000, "pkNames": ["id"]},
         "a STRING METADATA FROM 'value.database', b STRING METADATA FROM 'value.table', c TIMESTAMP_LTZ(3) METADATA "
         "FROM 'value.event-timestamp', d ARRAY<STRING> METADATA FROM 'value.pk-names'",
         [(i, "d", "t", dt.datetime.fromtimestamp(1, dt.UTC), ["id"]) for i in (1, 2)]),
        ("maxwell-json", {"type": "insert", "data": {"id": 1}, "database": "d", "table": "t", "ts": 7},
         "a STRING METADATA FROM 'value.database', c TIMESTAMP_LTZ(3) METADATA FROM 'value.ingestion-timestamp'",
         [(1, "d", dt.datetime.fromtimestamp(7, dt.UTC))]),
        ("ogg-json", {"op_type": "I", "after": {"id": 1}, "table": "D.T", "op_ts": "1970-01-01 00:00:09.000000"},
         "a STRING METADATA FROM 'value.table', c TIMESTAMP_LTZ(3) METADATA FROM 'value.event-timestamp'",
         [(1, "D.T", dt.datetime.fromtimestamp(9, dt.UTC))]),
    ],
)  # fmt: skip
def test_metadata_of_other_change_logs(
    con: tsdb.Connection, topics: Topics, form: str, message: dict[str, Any], columns: str, wanted: list[Any]
) -> None:
    topic = topics.create()
    topics.send(topic, json.dumps(message))
    create(con, "t", f"id INT, {columns}, PRIMARY KEY (id) NOT ENFORCED", topics, topic, format=form)
    assert sorted(rows(con, "SELECT * FROM t")) == wanted


def test_messages_without_keys_are_spread_over_the_partitions(
    con: tsdb.Connection, topics: Topics, client: str
) -> None:
    topic = topics.create(partitions=3)
    create(con, "t", "n INT", topics, topic, format="json")
    con.execute("INSERT INTO t SELECT CAST(n AS INT) FROM generate_series(1, 30000) AS s(n)")
    assert rows(con, "SELECT count(*), count(DISTINCT n) FROM t") == [(30000, 30000)]
    found = [len(messages) for messages in topics.partitioned(topic).values()]
    assert sum(found) == 30000 and (client != "kafka-python" or min(found) > 9000), found
