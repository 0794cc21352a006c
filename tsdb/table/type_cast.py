"""Scalar values of one type as values of another, as Paimon's casts do it.

Integers wrap; decimals that do not fit become NULL; fractions are rounded half up for decimals and cut off for
integers; a time as a number is its seconds; what loses digits before 1970 does so towards 1970, as Java divides.
Source: Paimon, `CastExecutors`; every pair of types is checked against it.
"""

import decimal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.data_types import DataType, TypeRoot, timestamp_unit, to_arrow
from tsdb.table.text_cast import from_text, to_text

_INTEGERS = (TypeRoot.TINYINT, TypeRoot.SMALLINT, TypeRoot.INT, TypeRoot.BIGINT)
_FLOATS = (TypeRoot.FLOAT, TypeRoot.DOUBLE)
_TEXTS = (TypeRoot.CHAR, TypeRoot.VARCHAR)
_BYTES = (TypeRoot.BINARY, TypeRoot.VARBINARY)
_INSTANTS = (TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ)
_DAY_MILLIS = 86_400_000
_PER_MILLI = {"ms": 1, "us": 1000, "ns": 1_000_000}
Integers = npt.NDArray[np.int64]


def cast_scalars(array: pa.Array, old: DataType, new: DataType) -> pa.Array:
    """The array as one that casts to the Arrow type of `new` without further ado. Raises ArrowInvalid."""
    if new.root in _TEXTS:
        return to_text(array, old, new)
    if new.root in _BYTES:
        return _fitted(array.cast(pa.binary()), new)
    if old.root in _TEXTS:
        values = from_text(array, new)
        return _rounded(values, new) if new.root is TypeRoot.DECIMAL else values
    if old.root in _INSTANTS and new.root not in _INSTANTS:
        return _from_instant(array, old, new)
    if new.root in _INSTANTS:
        return _to_instant(array, old, new)
    if new.root in _INTEGERS:
        return _to_integer(array, old, new)
    if new.root is TypeRoot.DECIMAL:
        return _to_decimal(array, old, new)
    if new.root is TypeRoot.BOOLEAN:
        return pc.not_equal(array, pa.scalar(0, array.type))
    if new.root in _FLOATS and old.root is TypeRoot.BOOLEAN:
        return array.cast(pa.int8())
    if new.root in _FLOATS and old.root is TypeRoot.DECIMAL:
        return array.cast(pa.string())  # the nearest number is that of the text
    return array.cast(to_arrow(new), safe=False)


def _fitted(array: pa.Array, new: DataType) -> pa.Array:
    """Bytes that are cut where they are too long, and for BINARY filled up with zeros."""
    cut = pc.binary_slice(array, 0, new.length)
    if new.root is TypeRoot.VARBINARY:
        return cut
    filler = pa.scalar(b"\0" * new.length, pa.binary())
    return pc.binary_slice(pc.binary_join_element_wise(cut, filler, pa.scalar(b"", pa.binary())), 0, new.length)


def _numbers(array: pa.Array) -> Integers:
    """64-bit integers, 0 where there is NULL."""
    return np.asarray(array.cast(pa.int64(), safe=False).fill_null(0).to_numpy(zero_copy_only=False))


def _with_nulls_of(values: Integers, array: pa.Array, kind: pa.DataType) -> pa.Array:
    nulls = np.asarray(array.is_null().to_numpy(zero_copy_only=False))
    return pa.array(values, pa.int64(), mask=nulls).cast(kind, safe=False)


def _divided(values: Integers, by: int) -> Integers:
    """Divided and cut off towards zero."""
    quotient: Integers = np.sign(values) * (np.abs(values) // by)
    return quotient


def _from_instant(array: pa.Array, old: DataType, new: DataType) -> pa.Array:
    millis = _numbers(array) // _PER_MILLI[array.type.unit]
    if new.root is TypeRoot.DATE:
        days = millis // _DAY_MILLIS if old.root is TypeRoot.TIMESTAMP_LTZ else _divided(millis, _DAY_MILLIS)
        return _with_nulls_of(days, array, pa.int32()).cast(pa.date32())
    if new.root is TypeRoot.TIME:
        return _with_nulls_of(millis % _DAY_MILLIS, array, pa.int32()).cast(pa.time32("ms"))
    return _with_nulls_of(_divided(millis, 1000), array, to_arrow(new))


def _to_instant(array: pa.Array, old: DataType, new: DataType) -> pa.Array:
    target = to_arrow(new)
    per_milli = _PER_MILLI[timestamp_unit(new.precision)]
    if old.root is TypeRoot.DATE:
        return _with_nulls_of(_numbers(array.cast(pa.int32())) * _DAY_MILLIS * per_milli, array, target)
    if old.root is TypeRoot.TIME:
        return _with_nulls_of(_numbers(array.cast(pa.int32())) * per_milli, array, target)
    if old.root in _INTEGERS:
        return _with_nulls_of(_numbers(array) * 1000 * per_milli, array, target)
    if new.precision >= old.precision:
        return array.cast(target)
    if new.precision > 3:
        lost = 10 ** ((9 if array.type.unit == "ns" else 6) - new.precision)
        values = _numbers(array)
        return _with_nulls_of(values - values % lost, array, array.type).cast(target, safe=False)
    millis = _numbers(array) // _PER_MILLI[array.type.unit]
    lost = 10 ** (3 - new.precision)
    return _with_nulls_of(_divided(millis, lost) * lost, array, target)


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
