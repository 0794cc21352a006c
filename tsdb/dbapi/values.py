"""Arrow values to Python's: Decimal, datetime, date, time, bytes, list, dict.

Nothing is rounded: a timestamp with nanoseconds that a `datetime` cannot hold is a DataError that names the way out.
"""

import datetime as dt
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tsdb.data_types import sql_name
from tsdb.errors import DataError
from tsdb.time_zone import tzinfo


def python_rows(table: pa.Table) -> list[tuple[Any, ...]]:
    """The rows as tuples. Columns may have equal names."""
    columns = [python_values(table.column(i), table.schema.field(i).name) for i in range(table.num_columns)]
    return list(zip(*columns, strict=True)) if columns else [()] * table.num_rows


def python_values(values: pa.ChunkedArray, name: str) -> list[Any]:
    """One column. Raises DataError for a value that Python's types cannot hold."""
    try:
        return [x for chunk in values.chunks for x in _values(chunk)]
    except (OverflowError, ValueError, pa.ArrowInvalid) as err:
        raise DataError(
            f"column `{name}` ({sql_name(values.type)}): a value does not fit Python's types ({err}); use "
            "fetch_arrow_table(), or CAST it in the query, to TIMESTAMP(6) or STRING"
        ) from err


def _values(values: pa.Array) -> list[Any]:
    kind = values.type
    if pa.types.is_timestamp(kind):
        moments: list[Any] = pc.cast(pc.cast(values, pa.timestamp(kind.unit)), pa.timestamp("us")).to_pylist()
        if kind.tz is None:
            return moments
        zone = tzinfo(kind.tz)
        return [m and m.replace(tzinfo=dt.UTC).astimezone(zone) for m in moments]
    if pa.types.is_time64(kind) and kind.unit == "ns":
        return list(pc.cast(values, pa.time64("us")).to_pylist())
    if pa.types.is_map(kind):
        return _nested(values, [dict(zip(_values(k), _values(v), strict=True)) for k, v in _entries(values)])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _nested(values, [_values(x.values) for x in values if x.is_valid])
    if pa.types.is_struct(kind):
        fields = [_values(c) for c in values.flatten()]
        names = [f.name for f in kind]
        every = [dict(zip(names, row, strict=True)) for row in zip(*fields, strict=True)]
        return [row if valid else None for row, valid in zip(every, values.is_valid().to_pylist(), strict=True)]
    return list(values.to_pylist())


def _entries(maps: pa.MapArray) -> list[tuple[pa.Array, pa.Array]]:
    return [(x.values.field(0), x.values.field(1)) for x in maps if x.is_valid]


def _nested(values: pa.Array, valid: list[Any]) -> list[Any]:
    """None where the value is NULL, else the next of `valid`."""
    made = iter(valid)
    return [next(made) if is_valid else None for is_valid in values.is_valid().to_pylist()]


Column = tuple[str, str, None, None, int | None, int | None, bool | None]


def description_of(schema: pa.Schema) -> tuple[Column, ...]:
    """PEP 249's seven items of every column: name, type as SQL text, -, -, precision, scale, nullable."""
    return tuple(_describe(field) for field in schema)


def _describe(field: pa.Field) -> Column:
    precision = field.type.precision if pa.types.is_decimal(field.type) else None
    scale = field.type.scale if pa.types.is_decimal(field.type) else None
    return field.name, sql_name(field.type), None, None, precision, scale, field.nullable
