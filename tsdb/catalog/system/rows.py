"""What system tables are made of: rows of Python values under a schema, and values as text, as Paimon prints them."""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

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
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case dt.datetime():
            return value.replace(tzinfo=None).isoformat()
        case dt.date() | dt.time():
            return value.isoformat()
    return str(value)


def listed(values: Iterable[Any], brackets: str) -> str:
    """`{a, 1}`, `[1]`."""
    return brackets[0] + ", ".join(map(text, values)) + brackets[1]


def mapped(names: Sequence[str], values: Sequence[Any]) -> str:
    """`{k=0, v=null}`."""
    return "{" + ", ".join(f"{name}={text(value)}" for name, value in zip(names, values, strict=True)) + "}"
