"""Avro with a schema registry: messages of several schemas in one topic, written by others and by us."""

import datetime as dt
import decimal
import io
import struct
from collections.abc import Iterator
from typing import Any

import fastavro
import pytest
import schema_registry
from kafka_topics import Topics

import tsdb


@pytest.fixture
def con() -> Iterator[tsdb.Connection]:
    with tsdb.connect() as connection:
        yield connection


@pytest.fixture
def registry() -> Iterator[schema_registry.Registry]:
    with schema_registry.running() as running:
        yield running


def create(con: tsdb.Connection, columns: str, topics: Topics, topic: str, url: str, **more: str) -> None:
    given = {
        "connector": "kafka",
        "topic": topic,
        "properties.bootstrap.servers": topics.bootstrap,
        "format": "avro-confluent",
        "avro-confluent.url": url,
    } | more
    listed = ", ".join(f"'{key}' = '{value}'" for key, value in given.items())
    con.execute(f"CREATE TABLE t ({columns}) WITH ({listed})")


def record(**fields: Any) -> dict[str, Any]:
    return {"type": "record", "name": "Sale", "namespace": "shop", "fields": [
        {"name": name, "type": kind} for name, kind in fields.items()]}  # fmt: skip


def body(number: int, schema: dict[str, Any], row: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), row)
    return b"\0" + struct.pack(">I", number) + stream.getvalue()


def test_bytes_by_hand_are_read_and_written(
    con: tsdb.Connection, topics: Topics, registry: schema_registry.Registry
) -> None:
    # Avro: a long is a zigzag varint, a union has its branch's number first, a string its length
    topic = topics.create()
    create(con, "id BIGINT NOT NULL, name STRING", topics, topic, registry.url)
    con.execute("INSERT INTO t VALUES (-2, 'ab'), (64, NULL)")
    assert topics.read(topic) == [
        (None, b"\0\0\0\0\1" + b"\x03" + b"\x02\x04ab"),
        (None, b"\0\0\0\0\1" + b"\x80\x01" + b"\x00"),
    ]
    assert registry.subjects == {f"{topic}-value": [1]}
    number = registry.add("x", record(name="string", id="int"))
    topics.send(topic, b"\0" + struct.pack(">I", number) + b"\x02z" + b"\x0e")
    assert con.execute("SELECT * FROM t").fetchall() == [(-2, "ab"), (64, None), (7, "z")]


def test_the_writers_schema_may_change_from_message_to_message(
    con: tsdb.Connection, topics: Topics, registry: schema_registry.Registry
) -> None:
    topic = topics.create()
    old = record(id="int", price="float", gone="string")
    new = record(price=["null", "double"], note=["string", "null"], id="long")
    first, second = registry.add("s", old), registry.add("s", new)
    sent = [
        (first, old, {"id": 1, "price": 0.5, "gone": "x"}),
        (second, new, {"id": 1 << 40, "price": None, "note": "n"}),
        (first, old, {"id": 3, "price": 1.5, "gone": "y"}),
    ]
    topics.send(topic, *(body(*message) for message in sent))
    create(con, "id BIGINT, price DOUBLE, note STRING", topics, topic, registry.url)
    assert con.execute("SELECT * FROM t").fetchall() == [(1, 0.5, None), (1 << 40, None, "n"), (3, 1.5, None)]
    assert sorted(registry.asked) == [f"/schemas/ids/{first}", f"/schemas/ids/{second}"], "each is asked for once"


def test_all_types_as_other_writers_have_them(
    con: tsdb.Connection, topics: Topics, registry: schema_registry.Registry
) -> None:
    def logical(kind: str, name: str, **more: int) -> dict[str, Any]:
        return {"type": kind, "logicalType": name, **more}

    schema = record(
        a="boolean",
        b="bytes",
        c=logical("bytes", "decimal", precision=10, scale=2),
        d=logical("int", "date"),
        e=logical("long", "timestamp-micros"),
        f=logical("long", "local-timestamp-millis"),
        g=logical("int", "time-millis"),
        h={"type": "enum", "name": "Colour", "symbols": ["RED", "BLUE"]},
        i={"type": "array", "items": ["null", "int"]},
        j={"type": "map", "values": "long"},
        k=record(x="int") | {"name": "Inner"},
        m=["null", logical("long", "timestamp-millis")],
        n=logical("string", "uuid"),
    )
    moment = dt.datetime(2024, 1, 2, 3, 4, 5, 678000, tzinfo=dt.UTC)
    word = "12345678-1234-5678-1234-567812345678"
    row = {
        "a": True, "b": b"\xff\0", "c": decimal.Decimal("-12345.67"), "d": dt.date(1969, 12, 31), "e": moment,
        "f": moment.replace(tzinfo=None), "g": dt.time(1, 2, 3, 4000), "h": "BLUE", "i": [1, None], "j": {"k": 5},
        "k": {"x": 7}, "m": None, "n": word,
    }  # fmt: skip
    topic = topics.create()
    topics.send(topic, body(registry.add("s", schema), schema, row))
    columns = (
        "a BOOLEAN, b BYTES, c DECIMAL(12, 2), d DATE, e TIMESTAMP_LTZ(6), f TIMESTAMP(3), g TIME(3), h STRING, "
        "i ARRAY<INT>, j MAP<STRING, BIGINT>, k ROW<x INT>, m TIMESTAMP_LTZ(3), n STRING"
    )
    create(con, columns, topics, topic, registry.url)
    (found,) = con.execute("SELECT * FROM t").fetchall()
    assert list(found[:9]) == list(row.values())[:9]
    assert dict(found[9]) == {"k": 5} and found[10:] == ({"x": 7}, None, word)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "has to begin with a zero byte"),
        (b"\1\0\0\0\1\2", "has to begin with a zero byte"),
        (b"\0\0\0\0\x63\2", "has no schema 99"),
        (b"\0\0\0\0\1\2\2", "longer or shorter"),
        (b"\0\0\0\0\1", "not Avro of that schema"),
        (b"\0\0\0\0\2\2a", "column `id` INT: the message has string"),
        (b"\0\0\0\0\3\x80\x80\x80\x80\x80\x01", "column `id` INT"),
    ],
)
def test_a_bad_message_is_named(
    con: tsdb.Connection, topics: Topics, registry: schema_registry.Registry, message: bytes, reason: str
) -> None:
    schemas = [record(id="int"), record(id="string"), record(id="long")]
    numbers = [registry.add("s", schema) for schema in schemas]
    topic = topics.create()
    good = [body(numbers[0], schemas[0], {"id": i}) for i in range(20)]
    topics.send(topic, *good[:13], message, *good[13:])
    create(con, "id INT", topics, topic, registry.url)
    with pytest.raises(tsdb.DataError, match=f"offset 13: .*{reason}"):
        con.execute("SELECT * FROM t").fetchall()
    skip = "/*+ OPTIONS('scan.malformed-record' = 'skip') */"
    assert con.execute(f"SELECT id FROM t {skip}").fetchall() == [(i,) for i in range(20)]


def test_keys_have_a_subject_of_their_own(
    con: tsdb.Connection, topics: Topics, registry: schema_registry.Registry
) -> None:
    topic = topics.create()
    more = {"connector": "upsert-kafka", "key.format": "avro-confluent", "key.avro-confluent.url": registry.url}
    more |= {"value.format": "avro-confluent", "value.avro-confluent.url": registry.url}
    listed = ", ".join(f"'{k}' = '{v}'" for k, v in more.items())
    con.execute(
        f"CREATE TABLE u (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ({listed}, 'topic' = '{topic}', "
        f"'properties.bootstrap.servers' = '{topics.bootstrap}')"
    )
    con.execute("INSERT INTO u VALUES (1, 'a'), (2, 'b'), (1, 'c')")
    assert sorted(con.execute("SELECT * FROM u").fetchall()) == [(1, "c"), (2, "b")]
    assert set(registry.subjects) == {f"{topic}-key", f"{topic}-value"}


def test_users_and_refusals(topics: Topics, con: tsdb.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    topic = topics.create()
    monkeypatch.setenv("TSDB_TEST_USER", "ann:hush-hush")
    with schema_registry.running("ann:hush-hush") as registry:
        create(con, "id INT", topics, topic, registry.url, **{
            "avro-confluent.basic-auth.credentials-source": "USER_INFO",
            "avro-confluent.basic-auth.user-info": "ann:hush-hush",
        })  # fmt: skip
        con.execute("INSERT INTO t VALUES (1)")
        assert con.execute("SELECT * FROM t").fetchall() == [(1,)]
        assert "hush-hush" not in str(con.execute("SHOW CREATE TABLE t").fetchall())
        reference = "/*+ OPTIONS('avro-confluent.basic-auth.user-info' = '${env:TSDB_TEST_USER}') */"
        assert con.execute(f"SELECT * FROM t {reference}").fetchall() == [(1,)]
        wrong = "/*+ OPTIONS('avro-confluent.basic-auth.user-info' = 'ann:other') */"
        with pytest.raises(tsdb.OperationalError, match="401 Unauthorized") as caught:
            con.execute(f"SELECT * FROM t {wrong}").fetchall()
        assert "other" not in str(caught.value)
        con.execute("DROP TABLE t")
        create(con, "id INT", topics, topic, registry.url, **{
            "avro-confluent.basic-auth.user-info": "ann:hush-hush", "avro-confluent.subject": "frozen",
        })  # fmt: skip
        with pytest.raises(tsdb.OperationalError, match="409 incompatible"):
            con.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(tsdb.OperationalError, match="no schema registry answers"):
        con.execute("SELECT * FROM t").fetchall()
    con.execute("DROP TABLE t")
    with pytest.raises(tsdb.ProgrammingError, match=r"needs the option 'avro-confluent\.url'"):
        create(con, "id INT", topics, topic, "")
