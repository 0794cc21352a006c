"""NULL rows with parts that may not be NULL.

In Arrow a NULL struct has children all the same, whatever stands there. Where a child is declared NOT NULL, casts and
file writers look at it and complain about a NULL that nobody can see; so before, such children get some value.
"""

import decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def with_hidden_values(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """The same values, where no part that `kind` declares NOT NULL is NULL inside of a NULL row.

    kind: the type that the values are to have; of the same structure as theirs.
    """
    if not _has_required_parts(kind) or not _is_alike(array.type, kind):
        return array
    if isinstance(array, pa.ChunkedArray):
        return pa.chunked_array([with_hidden_values(chunk, kind) for chunk in array.chunks], array.type)
    missing = np.asarray(array.is_null())
    if pa.types.is_struct(kind):
        parts = []
        for i, field in enumerate(kind):
            part = array.field(i)
            if not field.nullable and part.null_count and missing.any():
                part = _filled(part, missing & np.asarray(part.is_null()))
            parts.append(with_hidden_values(part, field.type))
        fields = [pa.field(f.name, part.type, f.nullable) for f, part in zip(array.type, parts, strict=True)]
        return pa.StructArray.from_arrays(parts, fields=fields, mask=pa.array(missing))
    array = array.take(pa.array(np.arange(len(array))))  # a slice has offsets and values of rows that are not in it
    mask = pa.array(missing) if missing.any() else None
    if pa.types.is_map(kind):
        keys, items = with_hidden_values(array.keys, kind.key_type), with_hidden_values(array.items, kind.item_type)
        return pa.MapArray.from_arrays(array.offsets, keys, items, array.type, mask=mask)
    return pa.ListArray.from_arrays(array.offsets, with_hidden_values(array.values, kind.value_type), mask=mask)


def _has_required_parts(kind: pa.DataType) -> bool:
    """Whether there is a struct in the type with a part that may not be NULL."""
    if pa.types.is_struct(kind):
        return any(not field.nullable or _has_required_parts(field.type) for field in kind)
    if pa.types.is_map(kind):
        return _has_required_parts(kind.key_type) or _has_required_parts(kind.item_type)
    return bool(pa.types.is_list(kind)) and _has_required_parts(kind.value_type)


def _is_alike(have: pa.DataType, want: pa.DataType) -> bool:
    if pa.types.is_struct(want):
        return bool(pa.types.is_struct(have) and have.num_fields == want.num_fields)
    return bool(pa.types.is_map(have) if pa.types.is_map(want) else pa.types.is_list(have))


def _filled(array: pa.Array, holes: npt.NDArray[np.bool_]) -> pa.Array:
    """The array with some value in the holes."""
    valid = np.flatnonzero(np.asarray(array.is_valid()))
    if len(valid):
        return array.take(pa.array(np.where(holes, valid[0], np.arange(len(array)))))
    both = pa.concat_arrays([array, pa.array([_some_value(array.type)], array.type)])
    return both.take(pa.array(np.where(holes, len(array), np.arange(len(array)))))


def _some_value(kind: pa.DataType) -> Any:
    """A Python value of the type that is not NULL, down to its parts."""
    if pa.types.is_struct(kind):
        return {field.name: _some_value(field.type) for field in kind}
    if pa.types.is_map(kind) or pa.types.is_list(kind):
        return []
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return ""
    if pa.types.is_fixed_size_binary(kind):
        return bytes(kind.byte_width)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return b""
    if pa.types.is_boolean(kind):
        return False
    if pa.types.is_decimal(kind):
        return decimal.Decimal(0)
    return pa.array([0], pa.int32()).cast(pa.int64() if kind.bit_width == 64 else pa.int32()).cast(kind)[0].as_py()
