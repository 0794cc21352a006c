"""Values of an old schema as values of today's: columns are found by field id, and converted where their type changed.

Source: Paimon, `SchemaEvolutionUtil` and `CastExecutors`; casts behave as Java's: integers wrap, decimals that do not
fit become NULL, fractions round half up for decimals and are cut off for integers.
"""

import decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.data_types import DataType, TypeRoot, to_arrow
from tsdb.errors import DataError

_INTEGERS = (TypeRoot.TINYINT, TypeRoot.SMALLINT, TypeRoot.INT, TypeRoot.BIGINT)
_FLOATS = (TypeRoot.FLOAT, TypeRoot.DOUBLE)
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
        return _cast(array, old, new).cast(target)
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
    """Whether texts may be longer than the new type allows."""
    return old.root in _TEXTS and new.root in _TEXTS and new.length < old.length


def _offsets(array: pa.Array) -> pa.Array:
    return array.offsets


def _nulls(array: pa.Array) -> pa.Array | None:
    return pc.is_null(array) if array.null_count else None


def _cast(array: pa.Array, old: DataType, new: DataType) -> pa.Array:
    """Something that casts to the new type without further ado."""
    if old.root in _TEXTS and new.root not in (*_TEXTS, *_BYTES):
        return _from_text(array, new)
    if new.root in _INTEGERS:
        return _to_integer(array, old, new)
    if new.root is TypeRoot.DECIMAL:
        return _to_decimal(array, old, new)
    if new.root in _TEXTS and old.root not in _TEXTS:
        return array.cast(pa.string())
    if _is_cut(old, new):
        return pc.utf8_slice_codeunits(array, 0, new.length)
    if new.root is TypeRoot.BOOLEAN:
        return pc.not_equal(array, pa.scalar(0, array.type))
    if new.root in _FLOATS and old.root is TypeRoot.BOOLEAN:
        return array.cast(pa.int8())
    return array.cast(to_arrow(new), safe=False)


def _from_text(array: pa.Array, new: DataType) -> pa.Array:
    trimmed = pc.utf8_trim_whitespace(array)
    if new.root is TypeRoot.BOOLEAN:
        return pc.utf8_lower(trimmed).cast(pa.bool_())
    if new.root is TypeRoot.DECIMAL:
        return _rounded(trimmed.cast(pa.decimal256(76, 38)), new)
    return trimmed.cast(to_arrow(new))


def _to_integer(array: pa.Array, old: DataType, new: DataType) -> pa.Array:
    if old.root in _FLOATS:
        return _saturated(array, new)
    if old.root is TypeRoot.DECIMAL:
        array = pc.trunc(array).cast(pa.int64(), safe=False)
    elif old.root is TypeRoot.BOOLEAN:
        array = array.cast(pa.int8())
    return array.cast(to_arrow(new), safe=False)


def _saturated(array: pa.Array, new: DataType) -> pa.Array:
    """As Java: NaN is 0, too large is the largest; to less than INT by way of INT, which wraps."""
    wide = np.int64 if new.root is TypeRoot.BIGINT else np.int32
    limits = np.iinfo(wide)
    values = np.nan_to_num(np.asarray(pc.fill_null(array, 0.0)).astype(np.float64), nan=0.0)
    inside = (values > float(limits.min)) & (values < float(limits.max))
    whole = np.where(inside, values, 0.0).astype(wide)
    whole = np.where(values >= float(limits.max), limits.max, np.where(values <= float(limits.min), limits.min, whole))
    nulls = np.asarray(pc.is_null(array).to_numpy(zero_copy_only=False))
    return pa.array(whole, mask=nulls).cast(to_arrow(new), safe=False)


def _to_decimal(array: pa.Array, old: DataType, new: DataType) -> pa.Array:
    if old.root in _FLOATS:
        # by way of its shortest text, as Java does: 1.005 is 1.01 with two digits
        values = array.cast(pa.float64())
        fits = pc.less(pc.abs(values), pa.scalar(float(10 ** (new.precision - new.scale))))
        values = pc.if_else(pc.and_(fits, pc.is_finite(values)), values, pa.scalar(None, pa.float64()))
        return _rounded(values.cast(pa.string()).cast(pa.decimal256(76, 38)), new)
    if old.root is not TypeRoot.DECIMAL:
        array = array.cast(pa.int64()).cast(pa.decimal128(19, 0))
    return _rounded(array.cast(pa.decimal256(76, array.type.scale)), new)


def _rounded(array: pa.Array, new: DataType) -> pa.Array:
    """Rounded half up; NULL where the precision is too small."""
    if array.type.scale > new.scale:
        array = pc.round(array, new.scale, "half_towards_infinity")
    whole = new.precision - new.scale
    if whole + array.type.scale >= array.type.precision:
        return array  # as many digits as the array can have at all
    limit = pa.scalar(decimal.Decimal(10**whole), array.type)
    return pc.if_else(pc.less(pc.abs(array), limit), array, pa.scalar(None, array.type))
