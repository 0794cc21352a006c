"""How the rows of a log are written into messages: as Arrow, many to a message, or one by one for other systems.

`arrow` holds rows with their kinds and any type, and is the quickest. `json`, `debezium-json` and `avro` make one
message a row; with a primary key each has a key, and in `upsert` mode a row that is gone is a message without a value.

Source: the log formats of Flink Table Store, `KafkaLogSerializationSchema`.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.changes import ChangeBatch, RowKind, inserts
from tsdb.connector.kafka.formats import reader, writer
from tsdb.connector.serde.serde import BadLine
from tsdb.errors import NotSupportedError, OperationalError, OptionError
from tsdb.kafka.client import MessageTooLarge
from tsdb.log.settings import LogSettings

BYTES_MAX = 700_000
"""Of one message of Arrow with several rows; brokers refuse those over a megabyte by default."""

_KIND = "_VALUE_KIND"
_KEY_FORMATS = ("json", "avro", "raw")

Kinds = npt.NDArray[np.int8]
Bodies = Sequence[bytes | None]


class CannotTell(Exception):
    """The format has no message for such a change."""


class LogFormat(Protocol):
    """Rows to messages and back."""

    def write(self, rows: pa.RecordBatch, kinds: Kinds) -> Iterator[tuple[Bodies, Bodies]]:
        """Keys and values of messages, in the order of the rows. Raises CannotTell."""
        ...

    def sizes(self, rows: pa.RecordBatch, kinds: Kinds) -> npt.NDArray[np.int64]:
        """The bytes of each row as a message of its own, key and value. Raises CannotTell."""
        ...

    def read(self, keys: Bodies, values: Bodies) -> tuple[pa.Table, Kinds]:
        """The rows of messages, in order; of a row that is gone maybe only the key. Raises OperationalError."""
        ...


def log_format(
    settings: LogSettings, schema: pa.Schema, primary_key: Sequence[str], bytes_max: int | None = None
) -> LogFormat:
    """The format of a log. Raises OptionError or NotSupportedError where it does not fit the table.

    bytes_max: of a message; None: unknown.
    """
    if settings.format == "arrow":
        if settings.key_format not in (None, "none"):
            raise OptionError("'log.key.format' is for formats with a message a row; 'log.format' = 'arrow' has none")
        return ArrowFormat(settings.is_upsert, bytes_max)
    if settings.key_format not in (None, "none", *_KEY_FORMATS):
        raise OptionError(f"'log.key.format' is none, {', '.join(_KEY_FORMATS)}, not '{settings.key_format}'")
    named = settings.key_format not in (None, "none")
    if (primary_key and settings.key_format == "none") or (named and not primary_key):
        raise OptionError(
            f"'log.key.format' = '{settings.key_format}': the messages' keys are the primary key, so a table has "
            "them with a PRIMARY KEY, and then only; leave the option out"
        )
    return RowFormat(settings, schema, primary_key, bytes_max)


class ArrowFormat:
    """A message is an Arrow stream with the rows and their kinds."""

    def __init__(self, is_upsert: bool, bytes_max: int | None = None) -> None:
        self._is_upsert = is_upsert
        self._bytes_max = bytes_max

    def write(self, rows: pa.RecordBatch, kinds: Kinds) -> Iterator[tuple[Bodies, Bodies]]:
        """See `LogFormat`. Raises MessageTooLarge for a row that is too large for a message of its own."""
        rows, kinds = _without_before(rows, kinds) if self._is_upsert else (rows, kinds)
        for body in _bodies(rows, kinds, self._bytes_max):
            yield [None], [body]

    def sizes(self, rows: pa.RecordBatch, kinds: Kinds) -> npt.NDArray[np.int64]:
        """See `LogFormat`."""
        found = [len(_body(rows.slice(n, 1), kinds[n : n + 1])) for n in range(rows.num_rows)]
        return np.array(found, np.int64)

    def read(self, keys: Bodies, values: Bodies) -> tuple[pa.Table, Kinds]:
        """See `LogFormat`."""
        parts = []
        for value in values:
            with pa.ipc.open_stream(value or b"") as stream:
                parts.append(stream.read_all())
        whole = parts[0] if len(parts) == 1 else pa.concat_tables(parts)
        return whole.drop_columns([_KIND]), whole[_KIND].to_numpy().astype(np.int8)


def _bodies(rows: pa.RecordBatch, kinds: Kinds, bytes_max: int | None) -> Iterator[bytes]:
    if not rows.num_rows:
        return
    body = _body(rows, kinds)
    if rows.num_rows == 1:
        if bytes_max is not None and len(body) > bytes_max:
            raise _too_large(len(body), bytes_max)
        yield body.to_pybytes()
    elif len(body) <= (BYTES_MAX if bytes_max is None else min(BYTES_MAX, bytes_max)):
        yield body.to_pybytes()
    else:
        middle = rows.num_rows // 2
        yield from _bodies(rows.slice(0, middle), kinds[:middle], bytes_max)
        yield from _bodies(rows.slice(middle), kinds[middle:], bytes_max)


def _body(rows: pa.RecordBatch, kinds: Kinds) -> pa.Buffer:
    whole = rows.append_column(_KIND, pa.array(kinds, pa.int8()))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, whole.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as out:
        out.write_batch(whole)
    return sink.getvalue()


class RowFormat:
    """A message is a row."""

    def __init__(
        self, settings: LogSettings, schema: pa.Schema, primary_key: Sequence[str], bytes_max: int | None = None
    ) -> None:
        self._schema = schema
        self._bytes_max = bytes_max
        self._is_upsert = settings.is_upsert
        self._word = settings.format
        self._keys_of = [schema.get_field_index(name) for name in primary_key]
        key_schema = pa.schema([schema.field(i) for i in self._keys_of])
        self._values_in, self._values_out = reader(self._word, schema, (), {}), writer(self._word, schema, {})
        self._keyed = bool(primary_key)
        if self._keyed:
            word = settings.key_format or "json"
            self._keys_in, self._keys_out = reader(word, key_schema, (), {}), writer(word, key_schema, {})
        tells_kinds = self._values_out.mode == "all"
        if self._keyed and not settings.is_upsert and not tells_kinds:
            raise NotSupportedError(
                f"'log.format' = '{self._word}' has no row kinds; with 'log.changelog-mode' = 'all' use debezium-json"
            )

    def write(self, rows: pa.RecordBatch, kinds: Kinds) -> Iterator[tuple[Bodies, Bodies]]:
        """See `LogFormat`. Raises MessageTooLarge."""
        keys, values = self._written(rows, kinds)
        if self._bytes_max is not None and (sizes := _lengths(keys, values)).size and sizes.max() > self._bytes_max:
            raise _too_large(int(sizes.max()), self._bytes_max)
        if values:
            yield keys, values

    def sizes(self, rows: pa.RecordBatch, kinds: Kinds) -> npt.NDArray[np.int64]:
        """See `LogFormat`."""
        return _lengths(*self._written(rows, kinds))

    def _written(self, rows: pa.RecordBatch, kinds: Kinds) -> tuple[Bodies, Bodies]:
        rows, kinds = _without_before(rows, kinds) if self._is_upsert else (rows, kinds)
        if not rows.num_rows:
            return [], []
        leaves = (kinds == RowKind.DELETE) | (kinds == RowKind.UPDATE_BEFORE)
        table = pa.Table.from_batches([rows])
        if leaves.any() and not self._is_upsert and self._values_out.mode == "append":
            raise CannotTell(f"the format {self._word} only tells rows that are new, and rows are gone")
        signs = np.where(leaves & (self._values_out.mode == "all"), -1, 1).astype(np.int64)
        values: Bodies = self._values_out.write(ChangeBatch(table, signs))
        if self._is_upsert and leaves.any():
            values = [None if gone else value for value, gone in zip(values, leaves.tolist(), strict=True)]
        keys: Bodies = [None] * rows.num_rows
        if self._keyed:
            keys = self._keys_out.write(inserts(table.select(self._keys_of)))
        return keys, values

    def read(self, keys: Bodies, values: Bodies) -> tuple[pa.Table, Kinds]:
        """See `LogFormat`."""
        gone = np.array([value is None for value in values])
        alive = [value for value in values if value is not None]
        parts, weights = [], [np.empty(0, np.int64)]
        try:
            for change in self._values_in.read(alive) if alive else ():
                assert isinstance(change, ChangeBatch), "nobody empties a table in a log"
                parts.append(change.rows)
                weights.append(change.weights)
            if gone.any():
                found = self._keys_in.read([key for key, is_gone in zip(keys, gone, strict=True) if is_gone])
                parts.append(self._only_keys(found[0]))  # type: ignore[arg-type]
                weights.append(np.full(int(gone.sum()), -1, np.int64))
        except BadLine as bad:
            raise OperationalError(f"a message of the log is no {self._word}: {bad.reason}") from bad
        rows, weight = pa.concat_tables(parts), np.concatenate(weights)
        if gone.any():
            order = np.argsort(np.concatenate([np.flatnonzero(~gone), np.flatnonzero(gone)]), kind="stable")
            rows, weight = rows.take(pa.array(order)), weight[order]
        return rows, np.where(weight > 0, RowKind.INSERT, RowKind.DELETE).astype(np.int8)

    def _only_keys(self, change: ChangeBatch) -> pa.Table:
        keys = change.rows
        columns = [keys[f.name] if f.name in keys.column_names else pa.nulls(len(keys), f.type) for f in self._schema]
        return pa.table(columns, schema=self._schema)


def _lengths(keys: Bodies, values: Bodies) -> npt.NDArray[np.int64]:
    return np.array([len(key or b"") + len(value or b"") for key, value in zip(keys, values, strict=True)], np.int64)


def _too_large(size: int, bytes_max: int) -> MessageTooLarge:
    return MessageTooLarge(
        f"key and value of a row are {size:,} bytes, and the topic takes {bytes_max:,}; raise its 'max.message.bytes', "
        "and 'kafka.max.request.size' of the table"
    )


def _without_before(rows: pa.RecordBatch, kinds: Kinds) -> tuple[pa.RecordBatch, Kinds]:
    kept = kinds != RowKind.UPDATE_BEFORE
    return (rows, kinds) if kept.all() else (rows.filter(pa.array(kept)), kinds[kept])
