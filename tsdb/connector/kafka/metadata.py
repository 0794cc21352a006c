"""Metadata columns: what Kafka keeps beside key and value, under Flink's names."""

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa

from tsdb.connector.connector import ConnectorTable
from tsdb.connector.kafka.format_metadata import format_keys, format_type
from tsdb.connector.kafka.options import METADATA_PREFIX, VIRTUAL_PREFIX
from tsdb.data_types import from_arrow
from tsdb.errors import NotSupportedError, OptionError, nearest
from tsdb.kafka.client import Fetched, Headers

_TIMESTAMP_TYPES = {-1: "NoTimestampType", 0: "CreateTime", 1: "LogAppendTime"}
_HEADERS = pa.map_(pa.string(), pa.binary())

_READERS: Mapping[str, Callable[[Fetched], pa.Array]] = {
    "topic": lambda f: pa.array([f.partition[0]] * len(f), pa.string()),
    "partition": lambda f: pa.array([f.partition[1]] * len(f), pa.int32()),
    "offset": lambda f: pa.array(f.offsets, pa.int64()),
    "timestamp": lambda f: pa.array(f.timestamps_ms, pa.int64()).cast(pa.timestamp("ms", "UTC")),
    "timestamp-type": lambda f: pa.array([_TIMESTAMP_TYPES.get(t) for t in f.timestamp_types], pa.string()),
    "leader-epoch": lambda f: pa.array([e if e >= 0 else None for e in f.leader_epochs], pa.int32()),
    "headers": lambda f: pa.array(f.headers, _HEADERS),
}
WRITABLE = ("timestamp", "headers")


def metadata_columns(table: ConnectorTable, form: str) -> dict[str, str]:
    """Column → metadata key. form: of the values; it may have metadata of its own.

    Raises OptionError for a key that is not there, NotSupportedError for a type.
    """
    found = {
        key.removeprefix(METADATA_PREFIX): value
        for key, value in table.options.items()
        if key.startswith(METADATA_PREFIX)
    }
    for column, key in found.items():
        known = [*_READERS, *format_keys(form)]
        if key not in known:
            raise OptionError(
                f"column `{column}`: Kafka has no metadata '{key}'.{nearest(key, known)} There are "
                + ", ".join(f"'{k}'" for k in known)
            )
        if table.schema.has(column):
            field = table.schema.arrow_schema.field(column)
            nothing = Fetched(("t", 0), [], [], [], [], [], [], [])
            given = _READERS[key](nothing).type if key in _READERS else format_type(form, key)
            if not _fits(given, field.type):
                raise NotSupportedError(
                    f"column `{column}`: the metadata '{key}' is {from_arrow(given).sql()}, not "
                    f"{from_arrow(field.type).sql()}"
                )
    return found


def is_virtual(table: ConnectorTable, column: str) -> bool:
    """A metadata column that is only read: declared VIRTUAL, or one that a writer cannot give."""
    key = table.options.get(METADATA_PREFIX + column)
    return key is not None and (key not in WRITABLE or VIRTUAL_PREFIX + column in table.options)


def metadata_values(key: str, records: Fetched, kind: pa.DataType) -> pa.Array:
    """The column's values."""
    values = _READERS[key](records)
    return values if values.type == kind else values.cast(kind)


def timestamps_of(values: pa.ChunkedArray) -> list[int | None]:
    """A writable `timestamp` column as Kafka takes it."""
    zone = values.type.tz
    times: list[int | None] = values.cast(pa.timestamp("ms", zone), safe=False).cast(pa.int64()).to_pylist()
    return times


def headers_of(values: pa.ChunkedArray) -> list[Headers]:
    """A writable `headers` column as Kafka takes it."""
    rows: Sequence[Headers | None] = values.to_pylist()
    return [[] if row is None else [(name, value) for name, value in row] for row in rows]


def _fits(given: pa.DataType, wanted: pa.DataType) -> bool:
    if pa.types.is_timestamp(given):
        return bool(pa.types.is_timestamp(wanted))
    if pa.types.is_integer(given):
        return bool(pa.types.is_integer(wanted) and wanted.bit_width >= given.bit_width)
    return bool(given == wanted or (pa.types.is_string(given) and pa.types.is_string(wanted)))
