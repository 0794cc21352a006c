"""Values of an old schema as values of today's: columns are found by field id, and converted where their type changed.

Source: Paimon, `SchemaEvolutionUtil`.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.data_types import DataType, TypeRoot, to_arrow
from tsdb.errors import DataError
from tsdb.table.type_cast import cast_scalars

_TEXTS = (TypeRoot.CHAR, TypeRoot.VARCHAR)
_BYTES = (TypeRoot.BINARY, TypeRoot.VARBINARY)
_INSTANTS = (TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ)


def convert(array: pa.Array, old: DataType, new: DataType) -> pa.Array:
    """The array, of the Arrow type of `old`, as one of that of `new`. Raises DataError for text that is no value."""
    target = to_arrow(new)
    if array.type == target and not _has_rows(new) and not _is_cut(old, new):
        return array
    if array.offset and pa.types.is_nested(array.type):
        array = array.take(pa.array(np.arange(len(array))))  # the offset of a slice is in no constructor of Arrow
    if new.root is TypeRoot.ROW and old.root is TypeRoot.ROW:
        return _convert_row(array, old, new)
    if new.element is not None and old.element is not None and new.root is TypeRoot.ARRAY:
        values = convert(array.values, old.element, new.element)
        return pa.ListArray.from_arrays(_offsets(array), values, target, mask=_nulls(array))
    if new.value is not None and old.value is not None and new.key is not None and old.key is not None:
        keys, items = convert(array.keys, old.key, new.key), convert(array.items, old.value, new.value)
        return pa.MapArray.from_arrays(_offsets(array), keys, items, target, mask=_nulls(array))
    if array.type == target and not _is_cut(old, new):
        return array
    try:
        return cast_scalars(array, old, new).cast(target)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as err:
        raise DataError(
            f"a value of type {old.sql()} in an old file cannot be read as {new.sql()}: {err}; "
            f"change the type of the column back, or rewrite the table"
        ) from err


def _convert_row(array: pa.StructArray, old: DataType, new: DataType) -> pa.Array:
    by_id = {field.id: (i, field) for i, field in enumerate(old.fields)}
    children = []
    for field in new.fields:
        found = by_id.get(field.id)
        if found is None:
            children.append(pa.nulls(len(array), to_arrow(field.type)))
        else:
            children.append(convert(array.field(found[0]), found[1].type, field.type))
    mask = pc.is_null(array) if array.null_count else None
    return pa.StructArray.from_arrays(children, fields=list(to_arrow(new)), mask=mask)


def _has_rows(kind: DataType) -> bool:
    """Whether equal Arrow types may still hide that a nested field was dropped and another of its name added."""
    if kind.root is TypeRoot.ROW:
        return True
    return any(part is not None and _has_rows(part) for part in (kind.element, kind.key, kind.value))


def _is_cut(old: DataType, new: DataType) -> bool:
    """Whether values of equal Arrow types may still have to change: longer ones, CHAR and BINARY that are filled up."""
    if old.root in _INSTANTS and new.root in _INSTANTS:
        return new.precision < old.precision
    both = (old.root in _TEXTS and new.root in _TEXTS) or (old.root in _BYTES and new.root in _BYTES)
    if new.root in (TypeRoot.CHAR, TypeRoot.BINARY) and (old.root, old.length) != (new.root, new.length):
        return both
    return both and new.length < old.length


def _offsets(array: pa.Array) -> pa.Array:
    return array.offsets


def _nulls(array: pa.Array) -> pa.Array | None:
    return pc.is_null(array) if array.null_count else None
