"""What system tables are made of: rows of Python values under a schema, and values as text, as Paimon prints them."""

import datetime as dt
import decimal
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tsdb.data_types import DataType, parse_type, to_arrow
from tsdb.metadata.binary_row import array_of
from tsdb.metadata.paths import java_number, timestamp_text
from tsdb.table.text_cast import to_text

REQUIRED_TIME = pa.timestamp("ms")


def string(name: str) -> pa.Field:
    """A STRING column."""
    return pa.field(name, pa.string())


def required_string(name: str) -> pa.Field:
    """A STRING NOT NULL column."""
    return pa.field(name, pa.string(), False)


def bigint(name: str) -> pa.Field:
    """A BIGINT column."""
    return pa.field(name, pa.int64())


def required_bigint(name: str) -> pa.Field:
    """A BIGINT NOT NULL column."""
    return pa.field(name, pa.int64(), False)


def table_of(rows: Iterable[Sequence[Any]], schema: pa.Schema) -> pa.Table:
    """The rows as a table. Metadata is small: it is made of Python values."""
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.table([pa.array(list(c), f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)


def text(value: Any) -> str:
    """A value in a list such as `{a, 1}`."""
    if isinstance(value, np.float32):
        return java_number(float(value), str(value))
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case dt.datetime() | np.datetime64():
            return timestamp_text(value, None, legacy=True)
        case float():
            return java_number(value, repr(value))
        case decimal.Decimal():
            return f"{value:f}"
        case dt.date() | dt.time():
            return value.isoformat()
    return str(value)


def typed_text(value: Any, kind: DataType) -> str:
    """A value of a partition column: as CAST makes a text of it."""
    return text(to_text(array_of(value, to_arrow(kind)), kind, parse_type("STRING"))[0].as_py())


def partition_text(values: Iterable[Any], kinds: Sequence[DataType]) -> str:
    """`{a, 1}`: a partition."""
    return listed((typed_text(value, kind) for value, kind in zip(values, kinds, strict=True)), "{}")


def listed(values: Iterable[Any], brackets: str) -> str:
    """`{a, 1}`, `[1]`."""
    return brackets[0] + ", ".join(map(text, values)) + brackets[1]


def mapped(names: Sequence[str], values: Sequence[Any]) -> str:
    """`{k=0, v=null}`, by name."""
    pairs = sorted(zip(names, values, strict=True), key=lambda pair: pair[0])
    return "{" + ", ".join(f"{name}={text(value)}" for name, value in pairs) + "}"


def duration(value: dt.timedelta) -> str:
    """`PT168H`, `PT1M30S`: as Java prints a duration."""
    micros = value // dt.timedelta(microseconds=1)
    if micros == 0:
        return "PT0S"
    sign, micros = (-1, -micros) if micros < 0 else (1, micros)
    hours, rest = divmod(micros, 3_600_000_000)
    minutes, rest = divmod(rest, 60_000_000)
    seconds = f"{sign * rest / 1_000_000:.6f}".rstrip("0").rstrip(".")
    parts = ((sign * hours, "H"), (sign * minutes, "M"))
    return "PT" + "".join(f"{n}{unit}" for n, unit in parts if n) + (f"{seconds}S" if rest else "")
