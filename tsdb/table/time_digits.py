"""Digits of the second that a TIMESTAMP(p) or TIME(p) column has no place for: they are cut off, as Flink does it.

Arrow knows four units only, so a column of another precision is kept in the next finer one.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.data_types import DataType, TypeRoot

_TIMES = (TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ, TypeRoot.TIME)
_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_UNITS = ((0, "second"), (3, "millisecond"), (6, "microsecond"), (9, "nanosecond"))


def cut_digits(values: pa.ChunkedArray, kind: DataType) -> pa.ChunkedArray:
    """The values without the digits behind those of their type, at any depth; downwards, also before 1970."""
    if not _is_cut(values.type, kind):
        return values
    chunks = [_cut(chunk, kind) for chunk in values.chunks]
    return pa.chunked_array(chunks, chunks[0].type if chunks else values.type)


def _is_cut(given: pa.DataType, kind: DataType) -> bool:
    """Whether values of the Arrow type may have more digits than the column's."""
    if kind.root in _TIMES:
        return (pa.types.is_timestamp(given) or pa.types.is_time(given)) and _DIGITS[given.unit] > kind.precision
    match kind.root:
        case TypeRoot.ROW if pa.types.is_struct(given) and given.num_fields == len(kind.fields):
            return any(_is_cut(given.field(i).type, field.type) for i, field in enumerate(kind.fields))
        case TypeRoot.ARRAY if pa.types.is_list(given) and kind.element is not None:
            return _is_cut(given.value_type, kind.element)
        case TypeRoot.MAP if pa.types.is_map(given) and kind.value is not None:
            return _is_cut(given.item_type, kind.value)
    return False


def _cut(array: pa.Array, kind: DataType) -> pa.Array:
    if not _is_cut(array.type, kind):
        return array
    if kind.root in _TIMES:
        digits, unit = next(pair for pair in _UNITS if pair[0] >= kind.precision)
        return pc.floor_temporal(array, multiple=10 ** (digits - kind.precision), unit=unit)
    if array.offset:
        array = array.take(pa.array(np.arange(len(array))))  # a slice has the parts of all rows
    mask = array.is_null() if array.null_count else None
    if kind.root is TypeRoot.ROW:
        parts = [_cut(array.field(i), field.type) for i, field in enumerate(kind.fields)]
        fields = [array.type.field(i).with_type(part.type) for i, part in enumerate(parts)]
        return pa.StructArray.from_arrays(parts, fields=fields, mask=mask)
    if kind.root is TypeRoot.ARRAY:
        assert kind.element is not None
        return pa.ListArray.from_arrays(array.offsets, _cut(array.values, kind.element), array.type, mask=mask)
    assert kind.value is not None
    return pa.MapArray.from_arrays(array.offsets, array.keys, _cut(array.items, kind.value), array.type, mask=mask)
