"""Writing to a topic: at once, or exactly once with the checkpoints of the job.

Exactly once: what is written between two checkpoints lies in the checkpoint itself, as compressed Arrow; after that is
published, one transaction sends it and, in the same transaction, commits an offset of a group of its own as the mark
that this version is done. Whoever recovers first takes over the transactional id, which ends whatever the crashed
process had open, and then looks at the mark. So a version is in the topic once, for readers of `read_committed`.

Source: the transactions of KIP-98; Flink resumes the crashed transaction instead, which fails after its time-out.
"""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tsdb import clock
from tsdb.changes import ChangeBatch
from tsdb.connector.connector import ChangelogMode, ConnectorTable, Json
from tsdb.connector.kafka.options import KafkaOptions
from tsdb.connector.kafka.records import RecordWriter
from tsdb.errors import OperationalError
from tsdb.kafka import connect
from tsdb.kafka.client import Outgoing, Partition, Producer, Unreachable
from tsdb.kafka.patience import GaveUp

_TRIES = 3
_HEADERS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))
_STAGED = pa.schema(
    [("key", pa.binary()), ("value", pa.binary()), ("partition", pa.int32()), ("time", pa.int64()), ("head", _HEADERS)]
)


class KafkaSink:
    """See the module."""

    def __init__(self, table: ConnectorTable, options: KafkaOptions) -> None:
        self._options = options
        self._topic = options.topic()
        self._writer = RecordWriter(table, options)
        self._client = connect(options.properties)
        self._partitions = _partitions(self._client.consumer(), self._topic)
        self._turn = 0
        self._staged: list[Outgoing] = []
        prefix = options.values.get("sink.transactional-id-prefix") or f"tsdb-{table.identifier}"
        self._own_id = f"{prefix}-{clock.current().new_id()}"
        self._producer: Producer | None = None
        self._producer_id: str | None = None
        self._done: int | None = None
        self.accepts: ChangelogMode = self._writer.mode

    def write(self, changes: ChangeBatch) -> None:
        """Send, or keep for the transaction."""
        try:
            messages = self._placed(self._writer.messages(changes))
        except Unreachable as err:  # a schema registry
            raise OperationalError(f"topic '{self._topic}': {err}") from err
        if self._options.exactly_once:
            self._staged.append(messages)
        else:
            self._open(None).send(messages)

    def prepare(self, version: int) -> Json | None:
        """What the transaction will send; without transactions, wait until all is acknowledged."""
        if not self._options.exactly_once:
            if self._producer is not None:
                self._producer.flush()
            return None
        staged, self._staged = self._staged, []
        if not staged:
            return None
        table = pa.concat_tables([_table(messages) for messages in staged])
        return {"id": self._own_id, "topic": self._topic, "messages": _packed(table)}

    def commit(self, version: int, committable: Json) -> None:
        """Send it in one transaction, unless the mark says that this was done; again, if the broker goes away."""
        for attempt in range(_TRIES):
            try:
                self._commit(version, committable)
                return
            except OperationalError as err:
                if attempt + 1 == _TRIES or isinstance(err, GaveUp):
                    raise

    def _commit(self, version: int, committable: Json) -> None:
        producer = self._open(committable["id"])
        group, mark = f"{committable['id']}", (committable["topic"], 0)
        if self._done is None:  # nobody else has the id from now on
            self._done = _mark(self._client.consumer(group), mark) or 0
        if self._done >= version:
            return
        producer.begin()
        try:
            producer.send(_outgoing(committable["topic"], _unpacked(committable["messages"])))
            producer.flush()
            producer.commit({mark: version}, group)
            self._done = version
        except BaseException:
            producer.close()
            self._producer = None
            raise

    def abort(self) -> None:
        """Forget what is kept."""
        self._staged = []

    def close(self) -> None:
        """Let the broker go."""
        self._staged = []
        if self._producer is not None:
            self._producer.close()
            self._producer = None

    def _open(self, transactional_id: str | None) -> Producer:
        """The producer; one with a transactional id takes it over from whoever had it."""
        if self._producer is None or self._producer_id != transactional_id:
            if self._producer is not None:
                self._producer.close()
            self._producer = self._client.producer(transactional_id)
            self._producer_id, self._done = transactional_id, None
        return self._producer

    def _placed(self, messages: Outgoing) -> Outgoing:
        """With partitions, where the options and not the keys decide."""
        how, count = self._options.values.get("sink.partitioner", "default").lower(), len(messages.values)
        if how == "default":
            return messages
        numbers = np.zeros(count, np.int64)
        if how == "round-robin":
            numbers = (self._turn + np.arange(count)) % len(self._partitions)
            self._turn += count
        chosen: Sequence[int] = np.array(self._partitions)[numbers].tolist()
        return Outgoing(
            messages.topic, messages.keys, messages.values, chosen, messages.timestamps_ms, messages.headers
        )


def _partitions(consumer: Any, topic: str) -> list[int]:
    try:
        found = [number for _, number in consumer.partitions([topic])]
    except Unreachable as err:
        raise OperationalError(f"topic '{topic}': {err}") from err
    finally:
        consumer.close()
    if not found:
        raise OperationalError(f"topic '{topic}' is not there; create it first")
    return found


def _mark(consumer: Any, mark: Partition) -> int | None:
    try:
        done: int | None = consumer.committed([mark])[mark]
    except Unreachable as err:
        raise OperationalError(f"topic '{mark[0]}': {err}") from err
    finally:
        consumer.close()
    return done


def _table(messages: Outgoing) -> pa.Table:
    count = len(messages.values)
    heads = None if messages.headers is None else [[{"key": k, "value": v} for k, v in h] for h in messages.headers]
    columns = [messages.keys, messages.values, messages.partitions, messages.timestamps_ms, heads]
    arrays = [
        pa.nulls(count, f.type) if values is None else pa.array(values, f.type)
        for f, values in zip(_STAGED, columns, strict=True)
    ]
    return pa.table(arrays, schema=_STAGED)


def _outgoing(topic: str, table: pa.Table) -> Outgoing:
    def values(name: str) -> Any:
        column = table[name]
        return None if column.null_count == len(column) else column.to_pylist()

    count = table.num_rows
    heads = values("head")
    headers = None if heads is None else [[(h["key"], h["value"]) for h in head or ()] for head in heads]
    nothing = [None] * count
    return Outgoing(topic, values("key") or nothing, values("value") or nothing, values("partition"), values("time"),
                    headers)  # fmt: skip


def _packed(table: pa.Table) -> str:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as out:
        out.write_table(table)
    return base64.b64encode(sink.getvalue()).decode()


def _unpacked(text: str) -> pa.Table:
    with pa.ipc.open_stream(base64.b64decode(text)) as stream:
        return stream.read_all()
