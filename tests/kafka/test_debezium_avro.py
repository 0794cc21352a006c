"""Debezium's change events as Avro with a schema registry: written by a connector, and by us for others."""

import datetime as dt
import decimal
import io
import json
import struct
from collections.abc import Iterator
from typing import Any

import fastavro
import pytest
import schema_registry
from kafka_topics import Topics

import tsdb

FORM = "debezium-avro-confluent"
KEYED = "id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED"


@pytest.fixture
def con() -> Iterator[tsdb.Connection]:
    with tsdb.connect() as connection:
        yield connection


@pytest.fixture
def registry() -> Iterator[schema_registry.Registry]:
    with schema_registry.running() as running:
        yield running


def create(con: tsdb.Connection, columns: str, topics: Topics, topic: str, url: str, **more: str) -> None:
    server = topics.bootstrap
    given = {"connector": "kafka", "topic": topic, "properties.bootstrap.servers": server, "format": FORM}
    listed = ", ".join(f"'{key}' = '{value}'" for key, value in (given | {f"{FORM}.url": url} | more).items())
    con.execute(f"CREATE TABLE t ({columns}) WITH ({listed})")


def envelope(*fields: dict[str, Any]) -> dict[str, Any]:
    """As Debezium's connectors register it: `after` names the record of `before`."""
    value = {"type": "record", "name": "Value", "fields": list(fields)}
    source = {
        "type": "record",
        "name": "Source",
        "namespace": "io.debezium",
        "fields": [
            {"name": "db", "type": "string"},
            {"name": "table", "type": "string"},
            {"name": "ts_ms", "type": "long"},
        ],
    }
    return {"type": "record", "name": "Envelope", "namespace": "shop.sales", "fields": [
        {"name": "before", "type": ["null", value], "default": None},
        {"name": "after", "type": ["null", "Value"], "default": None},
        {"name": "source", "type": source},
        {"name": "op", "type": "string"},
        {"name": "ts_ms", "type": ["null", "long"], "default": None},
    ]}  # fmt: skip


SOURCE = {"db": "shop", "table": "sales", "ts_ms": 1_700_000_000_123}
PLAIN = envelope({"name": "id", "type": "int"}, {"name": "v", "type": ["null", "string"], "default": None})


def event(number: int, schema: dict[str, Any], op: str, before: Any, after: Any) -> bytes:
    stream = io.BytesIO()
    row = {"before": before, "after": after, "source": SOURCE, "op": op, "ts_ms": 1_700_000_000_456}
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), row)
    return b"\0" + struct.pack(">I", number) + stream.getvalue()


def test_events_lead_to_the_state_in_each_mode(
    con: tsdb.Connection, topics: Topics, registry: schema_registry.Registry
) -> None:
    topic, number = topics.create(), registry.add("s", PLAIN)
    one, two, new = {"id": 1, "v": "a"}, {"id": 2, "v": None}, {"id": 1, "v": "b"}
    sent = [("r", None, one), ("c", None, two), ("u", one, new), ("d", two, None), ("c", None, {"id": 3, "v": "é"})]
    topics.send(topic, *(event(number, PLAIN, *parts) for parts in sent))
    topics.send(topic, None, key=b"2")
    create(con, KEYED, topics, topic, registry.url)
    assert con.execute("SELECT * FROM t ORDER BY id").fetchall() == [(1, "b"), (3, "é")]
    con.execute("SET 'execution.mode' = 'streaming'")
    cursor = con.execute("SELECT count(*), max(v) FROM t /*+ OPTIONS('scan.bounded.mode' = 'latest-offset') */")
    assert cursor.fetchall()[-1][1:] == (2, "é")
    con.execute("RESET 'execution.mode'")
    con.execute("DROP TABLE t")
    create(con, "id INT, v STRING", topics, topic, registry.url)
    assert con.execute("SELECT * FROM t ORDER BY id").fetchall() == [(1, "b"), (3, "é")], "without a key, too"


def test_types_of_connectors_and_where_an_event_came_from(
    con: tsdb.Connection, topics: Topics, registry: schema_registry.Registry
) -> None:
    def named(kind: str, name: str) -> dict[str, str]:
        return {"type": kind, "connect.name": f"io.debezium.time.{name}"}

    kinds: dict[str, Any] = {
        "id": "long",
        "a": named("int", "Date"),
        "b": named("long", "MicroTimestamp"),
        "c": named("string", "ZonedTimestamp"),
        "d": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2},
        "e": {"type": "long", "logicalType": "timestamp-millis"},
        "f": named("long", "MicroTime"),
        "g": ["null", "bytes"],
        "h": "boolean",
        "i": "double",
    }
    schema = envelope(*({"name": name, "type": kind} for name, kind in kinds.items()))
    moment = dt.datetime(2024, 1, 2, 3, 4, 5, 678000, tzinfo=dt.UTC)
    micros = 1_704_164_645_678_000
    row = {
        "id": 1 << 40, "a": -1, "b": micros, "c": "2024-01-02T04:04:05.678+01:00", "d": decimal.Decimal("-12.50"),
        "e": moment, "f": 1_001_000, "g": b"\0\xff", "h": True, "i": 0.1,
    }  # fmt: skip
    topic, number = topics.create(), registry.add("s", schema)
    topics.send(topic, event(number, schema, "c", None, row))
    columns = (
        "id BIGINT, a DATE, b TIMESTAMP(6), c TIMESTAMP_LTZ(3), d DECIMAL(12, 3), e TIMESTAMP(3), f TIME(3), g BYTES, "
        "h BOOLEAN, i DOUBLE, src STRING METADATA FROM 'value.source.table' VIRTUAL, "
        "`at` TIMESTAMP_LTZ(3) METADATA FROM 'value.ingestion-timestamp' VIRTUAL, `offset` BIGINT METADATA VIRTUAL, "
        "PRIMARY KEY (id) NOT ENFORCED"
    )
    create(con, columns, topics, topic, registry.url)
    naive = moment.replace(tzinfo=None)
    read = dt.datetime.fromtimestamp(1_700_000_000, dt.UTC).replace(microsecond=456000)
    assert con.execute("SELECT * FROM t").fetchall() == [
        (1 << 40, dt.date(1969, 12, 31), naive, moment, decimal.Decimal("-12.500"), naive, dt.time(0, 0, 1, 1000),
         b"\0\xff", True, 0.1, "sales", read, 0)
    ]  # fmt: skip


def test_what_is_written_others_read(con: tsdb.Connection, topics: Topics, registry: schema_registry.Registry) -> None:
    topic = topics.create()
    create(con, KEYED, topics, topic, registry.url)
    con.execute(f"CREATE TABLE own ({KEYED})")
    con.execute("INSERT INTO own VALUES (1, 'a'), (2, NULL)")
    con.execute("SET 'execution.mode' = 'streaming'")
    con.execute("INSERT INTO t SELECT * FROM own")
    (job,) = con.jobs()
    job.checkpoint()
    con.execute("RESET 'execution.mode'")
    con.execute("UPDATE own SET v = 'b' WHERE id = 1")
    con.execute("DELETE FROM own WHERE id = 2")
    job.checkpoint()
    job.stop()
    assert registry.subjects == {f"{topic}-value": [1]}
    avro = fastavro.parse_schema(json.loads(registry.schemas[1]))
    seen = []
    for _, value in topics.read(topic):
        assert value is not None and value[:5] == b"\0\0\0\0\1"
        seen.append(fastavro.schemaless_reader(io.BytesIO(value[5:]), avro, None))
    one = {"id": 1, "v": "a"}
    assert {"before": None, "after": one, "op": "c"} in seen and {"before": one, "after": None, "op": "d"} in seen
    assert len(seen) == 5 and con.execute("SELECT * FROM t").fetchall() == [(1, "b")]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda registry: b"", "has to begin with a zero byte"),
        (lambda registry: b"\0\0\0\0\x63\2", "has no schema 99"),
        (lambda registry: b"\0" + struct.pack(">I", registry.add("x", {"type": "record", "name": "R", "fields": [
            {"name": "id", "type": "int"}]})) + b"\2", "no change event of Debezium"),
        (lambda registry: event(registry.add("s", PLAIN), PLAIN, "c", None, None), "has no `after`"),
        (lambda registry: event(registry.add("s", PLAIN), PLAIN, "x", None, {"id": 9, "v": ""}), "op"),
        (lambda registry: event(registry.add("s", PLAIN), PLAIN, "d", None, None), "its key is not known"),
        (lambda registry: event(registry.add("s", PLAIN), PLAIN, "c", None, {"id": 9, "v": "x"})[:-1], "not Avro"),
    ],
)  # fmt: skip
def test_a_bad_event_is_named_and_may_be_skipped(
    con: tsdb.Connection, topics: Topics, registry: schema_registry.Registry, make: Any, reason: str
) -> None:
    topic, number = topics.create(), registry.add("s", PLAIN)
    good = event(number, PLAIN, "c", None, {"id": 1, "v": "a"})
    topics.send(topic, good, make(registry), event(number, PLAIN, "c", None, {"id": 2, "v": "b"}))
    create(con, KEYED, topics, topic, registry.url)
    with pytest.raises(tsdb.Error, match=f"partition 0, offset 1: .*{reason}"):
        con.execute("SELECT * FROM t").fetchall()
    con.execute("ALTER TABLE t SET ('scan.malformed-record' = 'skip')")
    assert con.execute("SELECT * FROM t ORDER BY id").fetchall() == [(1, "a"), (2, "b")]


def test_it_needs_its_registry(con: tsdb.Connection, topics: Topics) -> None:
    with pytest.raises(tsdb.Error, match=f"{FORM} needs the option '{FORM}.url'"):
        con.execute(
            f"CREATE TABLE t ({KEYED}) WITH ('connector' = 'kafka', 'topic' = '{topics.create()}', "
            f"'properties.bootstrap.servers' = '{topics.bootstrap}', 'format' = '{FORM}')"
        )
