"""Rows a second into and out of a log table (batched Arrow) and a JSON topic, beside the client's own raw rate."""

import importlib
import importlib.util
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import kafka
import numpy as np
import pyarrow as pa
from kafka.admin import NewTopic

import tsdb
from bench.kafka_broker import broker
from bench.side import warehouse
from tsdb.exec.streaming.hybrid_source import HybridSource
from tsdb.fs.local import LocalFileIO
from tsdb.table.log import log_of
from tsdb.table.table import Identifier, Table, open_table

_BATCH = 100_000
_TURNS = 2


def main(row_count: int, repeat: int) -> None:
    rows = min(row_count, 1_000_000)
    messages = min(rows // 5, 200_000)
    del repeat
    with broker() as address, warehouse() as folder, tsdb.connect(str(folder)) as con:
        ids = np.arange(rows)
        con.register("source", pa.table({"id": ids, "v": ids * 7 % 1000, "s": pa.array(ids).cast(pa.string())}))
        columns = "id BIGINT, v BIGINT, s STRING"
        log = f"'log.system' = 'kafka', 'kafka.bootstrap.servers' = '{address}', 'kafka.topic' = 'log'"
        con.execute(f"CREATE TABLE logged ({columns}) WITH ('bucket' = '2', 'bucket-key' = 'id', {log})")
        con.execute(f"CREATE TABLE plain ({columns}) WITH ('bucket' = '2', 'bucket-key' = 'id')")
        into_plain = _rate(rows, lambda: _insert(con, "plain", rows))
        into_log = _rate(rows, lambda: _insert(con, "logged", rows))
        logged = open_table(LocalFileIO(), Identifier("default", "logged"), f"{folder}/default.db/logged")
        assert logged is not None
        out_of_log = _rate(rows, lambda: _read_log(logged, rows))
        print(f"kafka_throughput: into a table {into_plain:,.0f} rows/s, into a log table {into_log:,.0f} rows/s")
        print(f"kafka_throughput: out of the log {out_of_log:,.0f} rows/s")
        _json(con, address, messages)


def _insert(con: tsdb.Connection, table: str, rows: int) -> None:
    for begin in range(0, rows, _BATCH):
        con.execute(f"INSERT INTO {table} SELECT * FROM source WHERE id >= {begin} AND id < {begin + _BATCH}")


def _read_log(table: Table, rows: int) -> None:
    """All of the topic, as a streaming query reads it."""
    found = log_of(table)
    assert found is not None
    source = HybridSource(table, found, {"scan.mode": "from-snapshot", "scan.snapshot-id": "1"}, starts_in_topic=True)
    seen = 0
    while seen < rows:
        delta = source.poll(65_536)
        seen += 0 if delta is None else sum(change.num_rows for change in delta.changes)
    assert source.reads_topic
    source.close()


def _json(con: tsdb.Connection, address: str, messages: int) -> None:
    """One JSON message per row, and the same bodies by the same client alone; with each client that is installed."""
    bodies = [b'{"id":%d,"v":%d,"s":"%d"}' % (n, n * 7 % 1000, n) for n in range(messages)]
    some = f"SELECT * FROM source WHERE id < {messages}"
    for client, (produce, consume) in _RAW.items():
        if client == "confluent-kafka" and importlib.util.find_spec("confluent_kafka") is None:
            continue
        best: dict[str, list[float]] = {name: [] for name in ("in", "raw in", "out", "raw out")}
        for turn in range(_TURNS):
            ours, raw = f"json-{client}-{turn}", f"raw-{client}-{turn}"
            admin = kafka.KafkaAdminClient(bootstrap_servers=address)
            admin.create_topics([NewTopic(name, 1, 1) for name in (ours, raw)])
            admin.close()
            con.execute("DROP TABLE IF EXISTS json")
            con.execute(
                f"CREATE TABLE json (id BIGINT, v BIGINT, s STRING) WITH ('connector' = 'kafka', 'topic' = '{ours}', "
                f"'properties.bootstrap.servers' = '{address}', 'format' = 'json', 'properties.client' = '{client}')"
            )
            best["in"].append(_rate(messages, lambda: con.execute(f"INSERT INTO json {some}")))
            best["raw in"].append(_rate(messages, partial(produce, address, raw, bodies)))
            best["out"].append(_rate(messages, lambda: con.execute("SELECT count(*), max(s) FROM json").fetchall()))
            best["raw out"].append(_rate(messages, partial(consume, address, raw, messages)))
        for way in ("in", "out"):
            ours_best, raw_best = max(best[way]), max(best[f"raw {way}"])
            text = f"{ours_best:,.0f}/s, client alone {raw_best:,.0f}/s, ratio {ours_best / raw_best:.2f}"
            print(f"kafka_throughput: {client}: JSON {way} {text}")


def _python_produce(address: str, topic: str, bodies: list[bytes]) -> None:
    producer = kafka.KafkaProducer(bootstrap_servers=address, batch_size=256 << 10, linger_ms=1)
    for body in bodies:
        producer.send(topic, body)
    producer.flush()
    producer.close()


def _python_consume(address: str, topic: str, messages: int) -> None:
    consumer = kafka.KafkaConsumer(
        bootstrap_servers=address, isolation_level="read_committed", max_partition_fetch_bytes=8 << 20
    )
    partition = kafka.TopicPartition(topic, 0)
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    seen = 0
    while seen < messages:
        for records in consumer.poll(1000, max_records=32_768).values():
            seen += len([record.value for record in records])
    consumer.close()


def _confluent_produce(address: str, topic: str, bodies: list[bytes]) -> None:
    library = importlib.import_module("confluent_kafka")
    own = {"enable.idempotence": True, "linger.ms": 1, "batch.size": 256 << 10, "queue.buffering.max.messages": 200_000}
    producer = library.Producer({"bootstrap.servers": address, **own})
    for body in bodies:
        producer.produce(topic, body)
    producer.flush()


def _confluent_consume(address: str, topic: str, messages: int) -> None:
    library = importlib.import_module("confluent_kafka")
    own = {"group.id": "bench", "isolation.level": "read_committed", "max.partition.fetch.bytes": 8 << 20}
    consumer = library.Consumer({"bootstrap.servers": address, "enable.auto.commit": False, **own})
    consumer.assign([library.TopicPartition(topic, 0, 0)])
    seen = 0
    while seen < messages:
        seen += len([message.value() for message in consumer.consume(32_768, 0.1)])
    consumer.close()


_RAW = {
    "kafka-python": (_python_produce, _python_consume),
    "confluent-kafka": (_confluent_produce, _confluent_consume),
}


def _rate(rows: int, work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return rows / (time.perf_counter() - begun)
