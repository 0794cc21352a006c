"""Rows that a table can take: its columns, in its order and types, no NULL where none may be, no text too long."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.data_types import DataField, sql_name, to_arrow
from tsdb.errors import ColumnNotFound, DataError, NullKeyError, nearest
from tsdb.metadata.schema import TableSchema
from tsdb.nearest_floats import with_nearest_floats
from tsdb.nested_nulls import with_hidden_values
from tsdb.table.default_value import default_scalar
from tsdb.table.nested_check import check_values
from tsdb.table.time_digits import cut_digits


def conform(rows: pa.Table, schema: TableSchema, table_name: str, first_row: int = 1) -> pa.Table:
    """The rows in the table's own Arrow schema; columns are matched by name, defaults replace NULL.

    first_row: the number of the first of them, for messages. Raises ColumnNotFound, DataError, NullKeyError.
    """
    _check_names(rows.column_names, schema, table_name)
    columns = [_column(rows[field.name], field, schema, table_name, first_row) for field in schema.fields]
    return pa.Table.from_arrays(columns, schema=schema.arrow_schema)


def _check_names(names: Sequence[str], schema: TableSchema, table_name: str) -> None:
    known = set(schema.names)
    for name in names:
        if name not in known:
            raise ColumnNotFound(f"table `{table_name}` has no column `{name}`.{nearest(name, known)}")
    missing = [name for name in schema.names if name not in set(names)]
    if missing:
        listed = ", ".join(f"`{name}`" for name in missing)
        raise ColumnNotFound(
            f"the rows for table `{table_name}` lack {listed}; give every column, NULL where there is no value"
        )
    if len(set(names)) != len(names):
        raise ColumnNotFound(f"the rows for table `{table_name}` have a column twice: {', '.join(names)}")


def _column(
    values: pa.ChunkedArray, field: DataField, schema: TableSchema, table_name: str, first_row: int
) -> pa.ChunkedArray:
    wanted = to_arrow(field.type)
    values = cut_digits(values, field.type)
    where = f"column `{field.name}` of table `{table_name}`"
    if values.type != wanted:
        misfit = f"{where} is {field.type.sql()}; values of type {sql_name(values.type)} do not fit"
        if not _is_related(values.type, wanted):
            raise DataError(f"{misfit}: use CAST")
        try:
            values = _converted(values, wanted)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as err:
            raise DataError(f"{misfit}{_first_misfit(values, wanted, first_row)}: {err}") from err
        values = cut_digits(values, field.type)
    if field.default_value is not None and values.null_count:
        values = values.fill_null(default_scalar(field))
    if not field.type.nullable and values.null_count:
        row = first_row + int(np.flatnonzero(values.is_null().to_numpy())[0])
        reason = "is part of the primary key" if field.name in schema.primary_keys else "is NOT NULL"
        raise NullKeyError(f"NULL in row {row}: {where} {reason}; give a value, or leave the row out")
    check_values(values, field.type, where, first_row)
    return values


def _converted(values: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_integer(values.type) and pa.types.is_decimal(wanted):
        values = values.cast(pa.decimal256(76, wanted.scale))  # Arrow refuses by type, not by value, otherwise
    elif pa.types.is_decimal(values.type) and pa.types.is_decimal(wanted) and values.type.scale > wanted.scale:
        values = _rounded(values, wanted.scale)
    return with_nearest_floats(with_hidden_values(in_place(values, wanted), wanted), wanted).cast(wanted)


def _rounded(values: pa.ChunkedArray, scale: int) -> pa.ChunkedArray:
    """Decimals with fewer digits behind the point, halves away from zero: what SQL does when a value is stored."""
    wide = values.cast(pa.decimal256(76, values.type.scale))  # 9.99 to one digit is 10.0, a digit more
    return pc.round(wide, ndigits=scale, round_mode="half_towards_infinity")


def _first_misfit(values: pa.ChunkedArray, wanted: pa.DataType, first_row: int) -> str:
    """Where the first value lies that does not convert, found by halving; '' if it is not for a value."""
    start, count = 0, len(values)
    while count > 1:
        half = count // 2
        if _fits(values.slice(start, half), wanted):
            start, count = start + half, count - half
        else:
            count = half
    if count == 0 or _fits(values.slice(start, 1), wanted) or not values[start].is_valid:
        return ""
    return f", in row {first_row + start}"


def _fits(values: pa.ChunkedArray, wanted: pa.DataType) -> bool:
    try:
        _converted(values, wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True


def in_place(values: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    """The same values, fields of rows renamed to those of `wanted`: they match by place, Arrow would match by name."""
    if not pa.types.is_nested(values.type):
        return values
    return pa.chunked_array([_renamed(chunk, wanted) for chunk in values.chunks] or [pa.nulls(0, wanted)])


def _renamed(values: pa.Array, wanted: pa.DataType) -> pa.Array:
    if pa.types.is_struct(values.type) and pa.types.is_struct(wanted):
        given, fields = values.type.num_fields, wanted.num_fields
        if given != fields:
            raise pa.ArrowInvalid(f"the row has {given} fields, the column's type {fields}")
        parts = [_renamed(values.field(i), wanted.field(i).type) for i in range(fields)]
        names = [wanted.field(i).name for i in range(fields)]
        return pa.StructArray.from_arrays(parts, names, mask=values.is_null())
    if pa.types.is_list(values.type) and pa.types.is_list(wanted) and pa.types.is_nested(wanted.value_type):
        parts = _renamed(values.flatten(), wanted.value_type)
        lengths = values.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
        return pa.ListArray.from_arrays(offsets, parts, mask=values.is_null())
    if pa.types.is_map(values.type) and pa.types.is_map(wanted) and pa.types.is_nested(wanted.item_type):
        if values.offset:
            values = values.take(pa.array(np.arange(len(values))))  # offsets of a slice are in no constructor of Arrow
        items = _renamed(values.items, wanted.item_type)
        kind = pa.map_(values.type.key_type, items.type)
        mask = values.is_null() if values.null_count else None
        return pa.MapArray.from_arrays(values.offsets, values.keys, items, kind, mask=mask)
    return values


def _is_related(given: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a cast keeps the meaning of a value: numbers stay numbers, texts texts, points in time points in time."""
    if pa.types.is_dictionary(given):
        given = given.value_type
    return pa.types.is_null(given) or given == wanted or any(is_a(given) and is_a(wanted) for is_a in _FAMILIES)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind)) or _is_large_bytes(kind)


def _is_large_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind) or pa.types.is_fixed_size_binary(kind))


def _is_point_in_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_date(kind) or pa.types.is_timestamp(kind))


_FAMILIES = (_is_number, _is_text, _is_bytes, _is_point_in_time, pa.types.is_time, pa.types.is_nested)
