"""The columns of a source, put into those of a target: matched by place, checked before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from tsdb.data_types import to_arrow
from tsdb.errors import BindError, ColumnNotFound, Position, nearest
from tsdb.exec.names import fitting
from tsdb.metadata.schema import TableSchema


def real_name(name: str, schema: TableSchema, table: object) -> str:
    """The table's column of that name. Raises ColumnNotFound naming the nearest."""
    found = fitting(name, schema.names)
    if found is None:
        raise ColumnNotFound(f"table `{table}` has no column `{name}`.{nearest(name, schema.names)}")
    return found


class Arrangement:
    """Where each column of the target comes from: a column of the source, a constant, or nothing (default, NULL)."""

    def __init__(
        self,
        source: pa.Schema,
        target: TableSchema,
        table: object,
        columns: Sequence[str] | None = None,
        constants: Mapping[str, Any] | None = None,
        place: Callable[[int | None], Position | None] = lambda _: None,
    ) -> None:
        """columns: the target columns that the source's stand for, None: all that are not constant.

        place: where the n-th column of the source stands in the user's text; None: all of them.
        """
        self._target = target
        self._constants = {real_name(name, target, table): value for name, value in (constants or {}).items()}
        wanted = self._wanted(columns, table)
        if len(wanted) != len(source):
            listed = ", ".join(f"`{name}`" for name in wanted)
            raise BindError(
                f"table `{table}` takes {len(wanted)} value{'s' * (len(wanted) != 1)} here ({listed}), "
                f"but the query gives {len(source)}",
                position=place(None),
            )
        self._index = {name: i for i, name in enumerate(wanted)}
        for i, (name, given) in enumerate(zip(wanted, source.types, strict=True)):
            try:
                check_castable(given, target, name, table)
            except BindError as err:
                err.position = place(i)
                raise

    def rows(self, batch: pa.RecordBatch) -> pa.Table:
        """The batch under the target's names and in its order; values are cast by the writer."""
        count = batch.num_rows
        columns = [self._column(name, batch, count) for name in self._target.names]
        return pa.Table.from_arrays(columns, names=list(self._target.names))

    def _wanted(self, columns: Sequence[str] | None, table: object) -> list[str]:
        if columns is None:
            return [name for name in self._target.names if name not in self._constants]
        wanted = [real_name(name, self._target, table) for name in columns]
        for i, name in enumerate(wanted):
            if name in wanted[:i] or name in self._constants:
                raise BindError(f"column `{name}` of table `{table}` is given twice")
        return wanted

    def _column(self, name: str, batch: pa.RecordBatch, count: int) -> pa.Array:
        kind = to_arrow(self._target.field(name).type)
        if name in self._index:
            return whole_to_decimal(batch.column(self._index[name]), kind)
        value = self._constants.get(name)
        return pa.repeat(constant(value, kind), count) if value is not None else pa.nulls(count, kind)


def whole_to_decimal(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Whole numbers for a decimal column, as decimals; Arrow casts them only where every number of their type fits."""
    if pa.types.is_integer(values.type) and pa.types.is_decimal(kind) and kind.precision - kind.scale < 19:
        return values.cast(pa.decimal128(19, 0)).cast(pa.decimal128(min(19 + kind.scale, 38), kind.scale))
    return values


def constant(value: Any, kind: pa.DataType) -> pa.Scalar:
    """A Python value, perhaps still text, as a scalar of the column's type. Raises BindError."""
    try:
        scalar = pa.scalar(value)
        return pa.scalar(value, kind) if not isinstance(value, str) or pa.types.is_string(kind) else scalar.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as err:
        raise BindError(f"{value!r} is no value of type {kind}: {err}") from err


def check_castable(given: pa.DataType, schema: TableSchema, name: str, table: object, zone: str = "UTC") -> None:
    """Refuse what no implicit cast turns into the column's type: numbers stay numbers, texts texts, times times.

    zone: of the session; in another than UTC a TIMESTAMP and a TIMESTAMP_LTZ are not the same digits.
    """
    field = schema.field(name)
    wanted = to_arrow(field.type)
    alike = given == wanted or pa.types.is_null(given) or any(is_a(given) and is_a(wanted) for is_a in _FAMILIES)
    if alike and (zone == "UTC" or not changes_zone(given, wanted)):
        return
    raise BindError(
        f"column `{name}` of table `{table}` is {field.type.sql()}, but the query gives {_sql_name(given)}; "
        f"write CAST(… AS {field.type.with_nullable(True).sql()})"
    )


def changes_zone(given: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether one is a TIMESTAMP_LTZ and the other a TIMESTAMP or a DATE."""
    if not (_is_point_in_time(given) and _is_point_in_time(wanted)):
        return False
    return is_moment(given) != is_moment(wanted)


def is_moment(kind: pa.DataType) -> bool:
    """Whether it is a TIMESTAMP_LTZ."""
    return pa.types.is_timestamp(kind) and kind.tz is not None


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind))


def _is_point_in_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_date(kind) or pa.types.is_timestamp(kind))


_FAMILIES = (_is_number, pa.types.is_string, _is_bytes, _is_point_in_time, pa.types.is_time, pa.types.is_nested)

_NAMES = (
    (pa.types.is_boolean, "BOOLEAN"),
    (pa.types.is_integer, "an integer"),
    (_is_number, "a number"),
    (pa.types.is_string, "STRING"),
    (_is_bytes, "BYTES"),
    (pa.types.is_date, "DATE"),
    (pa.types.is_timestamp, "TIMESTAMP"),
    (pa.types.is_time, "TIME"),
)


def _sql_name(kind: pa.DataType) -> str:
    return next((name for is_a, name in _NAMES if is_a(kind)), str(kind))
