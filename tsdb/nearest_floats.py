"""Decimals on their way into FLOAT and DOUBLE columns: each becomes the number nearest to it.

Arrow multiplies by a rounded power of ten instead: its FLOAT of 838.698 is 838.69806. Fifteen digits and their power of
ten are exact as DOUBLEs, so that one division rounds once; longer decimals go by their text, as in Java's BigDecimal.
"""

from typing import TypeVar

import pyarrow as pa

_EXACT_DIGITS = 15
Values = TypeVar("Values", pa.Array, pa.ChunkedArray)


def with_nearest_floats(values: Values, wanted: pa.DataType) -> Values:
    """The values, decimals that become floats replaced by what casts to the nearest one; also inside rows and lists."""
    step = _step(values.type, wanted)
    return values if step.equals(values.type) else values.cast(step)


def _step(kind: pa.DataType, wanted: pa.DataType) -> pa.DataType:
    """The type to cast to before `wanted`."""
    if pa.types.is_decimal(kind) and pa.types.is_floating(wanted):
        return pa.float64() if kind.precision <= _EXACT_DIGITS else pa.string()
    if pa.types.is_list(kind) and pa.types.is_list(wanted):
        return pa.list_(kind.value_field.with_type(_step(kind.value_type, wanted.value_type)))
    if pa.types.is_map(kind) and pa.types.is_map(wanted):
        return pa.map_(_step(kind.key_type, wanted.key_type), _step(kind.item_type, wanted.item_type))
    if pa.types.is_struct(kind) and pa.types.is_struct(wanted) and kind.num_fields == wanted.num_fields:
        pairs = zip(kind, wanted, strict=True)
        return pa.struct([given.with_type(_step(given.type, field.type)) for given, field in pairs])
    return kind
