"""Scalar values as texts, and texts as values, as Java writes and reads them.

Texts of numbers with a fraction, of decimals and of times are made value by value, once for each different value: they
are needed only for files that are older than a change of a column's type.
Source: Paimon, `BinaryStringUtils`, `DateTimeUtils`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.data_types import MAX_LENGTH, DataType, TypeRoot, timestamp_unit, to_arrow
from tsdb.metadata.paths import java_number, time_text

_INTEGERS = (TypeRoot.TINYINT, TypeRoot.SMALLINT, TypeRoot.INT, TypeRoot.BIGINT)
_INSTANTS = (TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ)
_TRUE, _FALSE = ["t", "true", "y", "yes", "1"], ["f", "false", "n", "no", "0"]
_DATE = r"(?P<year>\d{1,4})(?:-(?P<month>\d{1,2}))?(?:-(?P<day>\d{1,2}))?"
_TIME = r"(?P<hour>\d{1,2})(?::(?P<minute>\d{1,2}))?(?::(?P<second>\d{1,2}))?(?:\.(?P<fraction>\d*))?"
_DATE_TIME = r"(?P<year>\d{1,4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})(?: " + _TIME + ")?"


def to_text(array: pa.Array, old: DataType, new: DataType) -> pa.Array:
    """As texts of type `new`: cut where they are too long, and for CHAR filled up with spaces."""
    texts = _texts(array, old)
    if old.root in (TypeRoot.BINARY, TypeRoot.VARBINARY):
        return texts
    if new.length != MAX_LENGTH:
        texts = pc.utf8_slice_codeunits(texts, 0, new.length)
    return pc.utf8_rpad(texts, new.length, " ") if new.root is TypeRoot.CHAR else texts


def _texts(array: pa.Array, old: DataType) -> pa.Array:
    match old.root:
        case TypeRoot.FLOAT:
            return _each(array, lambda value: _number_text(value, str(np.float32(value))))
        case TypeRoot.DOUBLE:
            return _each(array, lambda value: _number_text(value, repr(value)))
        case TypeRoot.DECIMAL:
            return _each(array, lambda value: f"{value:f}")
        case TypeRoot.TIME:
            return _each(array, lambda value: time_text(value, old, legacy=False))
        case TypeRoot.TIMESTAMP_LTZ:
            return array.cast(pa.timestamp(array.type.unit)).cast(pa.string())
    return array.cast(pa.string())


def _number_text(value: float, text: str) -> str:
    return java_number(value, text)


def _each(array: pa.Array, text_of: Callable[[Any], str]) -> pa.Array:
    encoded = array.dictionary_encode()
    texts = pa.array([text_of(value) for value in encoded.dictionary.to_pylist()], pa.string())
    return texts.take(encoded.indices)


def from_text(array: pa.Array, new: DataType) -> pa.Array:
    """As values of type `new`, decimals with all of their digits. Raises ArrowInvalid for a text that is no value."""
    match new.root:
        case TypeRoot.BOOLEAN:
            return _booleans(array)
        case TypeRoot.DECIMAL:
            return array.cast(pa.decimal256(76, 38))
        case TypeRoot.DATE:
            return _or_number(array, _DATE + r"(?: .*)?", pa.int32(), lambda parts: _days(parts).cast(pa.int32()))
        case TypeRoot.TIME:
            return _or_number(array, _TIME, pa.int32(), _millis_of_day).cast(pa.time32("ms"))
        case TypeRoot.TIMESTAMP | TypeRoot.TIMESTAMP_LTZ:
            return _instants(array, new)
    if new.root in _INTEGERS:
        # Java takes a fraction and drops it, and takes no spaces
        plain = pc.replace_substring_regex(array, r"^\+?(-?\d+)\.\d*$", r"\1")
        return plain.cast(to_arrow(new))
    return pc.utf8_trim_whitespace(array).cast(to_arrow(new))


def _booleans(array: pa.Array) -> pa.Array:
    lowered = pc.utf8_lower(array)
    yes, no = (pc.is_in(lowered, pa.array(words)) for words in (_TRUE, _FALSE))
    wrong = pc.and_(pc.is_valid(array), pc.invert(pc.or_(yes, no)))
    _refuse(array, wrong, "BOOLEAN")
    return pc.if_else(pc.is_valid(array), yes, pa.scalar(None, pa.bool_()))


def _refuse(array: pa.Array, wrong: pa.Array, what: str) -> None:
    if pc.any(wrong).as_py():
        raise pa.ArrowInvalid(f"'{array.filter(wrong)[0].as_py()}' is no {what}")


def _or_number(
    array: pa.Array, pattern: str, kind: pa.DataType, value_of: Callable[[pa.StructArray], pa.Array]
) -> pa.Array:
    """Texts of digits only are the stored numbers themselves; others are taken apart by the pattern."""
    trimmed = pc.utf8_trim_whitespace(array)
    is_number = pc.match_substring_regex(array, r"^-?\d+$")
    parts = pc.extract_regex(trimmed, "^" + pattern + "$")
    _refuse(array, pc.and_(pc.is_valid(array), pc.and_(pc.invert(is_number), pc.is_null(parts))), "date or time")
    numbers = pc.if_else(is_number, array, pa.scalar(None, pa.string())).cast(kind)
    return pc.if_else(is_number, numbers, value_of(parts).cast(kind))


def _part(parts: pa.StructArray, name: str, missing: str) -> pa.Array:
    texts = pc.struct_field(parts, name)
    return pc.if_else(pc.equal(texts, ""), missing, texts)


def _days(parts: pa.StructArray) -> pa.Array:
    """Days since 1970 of a year, a month and a day; those that are missing are the first."""
    year, month, day = _part(parts, "year", "1"), _part(parts, "month", "1"), _part(parts, "day", "1")
    padded = [pc.utf8_lpad(year, 4, "0"), pc.utf8_lpad(month, 2, "0"), pc.utf8_lpad(day, 2, "0")]
    return pc.binary_join_element_wise(*padded, "-").cast(pa.date32())


def _millis_of_day(parts: pa.StructArray) -> pa.Array:
    fraction = pc.utf8_slice_codeunits(pc.utf8_rpad(_part(parts, "fraction", "0"), 3, "0"), 0, 3)
    total = fraction.cast(pa.int32())
    for name, millis in (("hour", 3_600_000), ("minute", 60_000), ("second", 1000)):
        total = pc.add(total, pc.multiply(_part(parts, name, "0").cast(pa.int32()), millis))
    return total


def _instants(array: pa.Array, new: DataType) -> pa.Array:
    """Texts of digits count seconds, milliseconds … by the precision; TIMESTAMP_LTZ takes no such texts."""
    target = to_arrow(new)
    digits = {0: 1, 3: 3, 6: 6, 9: 9}
    unit = timestamp_unit(new.precision)

    def instants(parts: pa.StructArray) -> pa.Array:
        kept = pc.utf8_slice_codeunits(pc.utf8_rpad(_part(parts, "fraction", "0"), 9, "0"), 0, 9)
        lost = 10 ** (9 - new.precision)
        nanos = pc.multiply(pc.divide(kept.cast(pa.int64()), lost), lost)
        millis = pc.subtract(_millis_of_day(parts), _fraction_millis(parts)).cast(pa.int64())
        per_milli = {"ms": 1, "us": 1000, "ns": 1_000_000}[unit]
        days = pc.multiply(_days(parts).cast(pa.int32()).cast(pa.int64()), 86_400_000)
        whole = pc.multiply(pc.add(days, millis), per_milli)
        return pc.add(whole, pc.divide(nanos, 1_000_000 // per_milli))

    if new.root is TypeRoot.TIMESTAMP_LTZ:
        parts = pc.extract_regex(array, "^" + _DATE_TIME + "$")
        _refuse(array, pc.and_(pc.is_valid(array), pc.is_null(parts)), "time")
        return instants(parts).cast(target)
    values = _or_number(array, _DATE_TIME, pa.int64(), instants)
    if new.precision not in digits or new.precision == 0:
        is_number = pc.match_substring_regex(array, r"^-?\d+$")
        values = pc.if_else(is_number, pc.multiply(values, 10 ** (3 - new.precision)), values)
    return values.cast(target)


def _fraction_millis(parts: pa.StructArray) -> pa.Array:
    return pc.utf8_slice_codeunits(pc.utf8_rpad(_part(parts, "fraction", "0"), 3, "0"), 0, 3).cast(pa.int32())
