"""The wires of JSON columns: from the declared type and from what stands in the first values.

Text means: TIMESTAMP and DATE in ISO form, BYTES in base64, DECIMAL as `DecimalText` says. Numbers mean: TIMESTAMP in
milliseconds up to precision 3, else microseconds; DATE in days; TIME as the caller says.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.connector.serde.wire import Convert, Kind, Wire, base64_bytes, fit, time_of_text, timestamp_of_text

DecimalText = Callable[[pa.Array, pa.DataType], pa.Array]


_SPECIALS = ("NaN", "Infinity", "-Infinity")


def plain_decimal(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    """DECIMAL of digits with a sign, a point, an exponent; an empty text is refused."""
    return pc.cast(texts, kind)


def kind_of(values: Iterable[Any]) -> Kind | None:
    """The kind of the first value that is not null; None: all are null."""
    for value in values:
        if value is None:
            continue
        if isinstance(value, bool):
            return Kind.FLAG
        if isinstance(value, str):
            return Kind.TEXT
        if isinstance(value, int | float):
            return Kind.NUMBER
        return Kind.OBJECT if isinstance(value, dict) else Kind.LIST
    return None


def is_free_form(kind: pa.DataType, values: Iterable[Any]) -> bool:
    """Whether pyarrow's parser cannot read this column, so that `python_column` has to."""
    values = list(values)
    if pa.types.is_map(kind):
        return True
    if pa.types.is_string(kind):
        return any(isinstance(v, dict | list) for v in values)
    if pa.types.is_struct(kind):
        inner = [v for v in values if isinstance(v, dict)]
        return any(is_free_form(f.type, [v.get(f.name) for v in inner]) for f in kind)
    if pa.types.is_list(kind):
        return is_free_form(kind.value_type, [x for v in values if isinstance(v, list) for x in v])
    return False


def wire(
    kind: pa.DataType, values: list[Any], *, decimal_text: DecimalText = plain_decimal, time_unit: str = "ms"
) -> Wire:
    """How a column of this type is read, judged by sampled values; time_unit: of TIME in numbers, `ms` or `us`."""
    if pa.types.is_struct(kind):
        inner = [v for v in values if isinstance(v, dict)]
        parts = {
            f.name: wire(f.type, [v.get(f.name) for v in inner], decimal_text=decimal_text, time_unit=time_unit)
            for f in kind
        }
        return Wire(pa.struct([pa.field(n, w.read) for n, w in parts.items()]), _struct_convert(kind, parts))
    if pa.types.is_list(kind):
        flat = [x for v in values if isinstance(v, list) for x in v]
        element = wire(kind.value_type, flat, decimal_text=decimal_text, time_unit=time_unit)
        return Wire(pa.list_(element.read), _list_convert(kind, element))
    if pa.types.is_floating(kind):
        values = [v for v in values if v not in _SPECIALS]
    seen = kind_of(values)
    if seen is Kind.NUMBER:
        return _of_number(kind, any(isinstance(v, float) for v in values), time_unit)
    if seen is Kind.FLAG:
        return Wire(pa.bool_(), lambda flags: fit(flags, kind))
    if seen is Kind.TEXT:
        return _of_text(kind, decimal_text)
    return _usual(kind, decimal_text)


def _usual(kind: pa.DataType, decimal_text: DecimalText) -> Wire:
    """The wire when nothing was seen: the form that the format's writers use by default."""
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return Wire(kind, lambda values: values)
    return _of_text(kind, decimal_text)


def _of_number(kind: pa.DataType, has_fraction: bool, time_unit: str) -> Wire:
    if pa.types.is_boolean(kind):
        return Wire(pa.int64(), lambda numbers: pc.not_equal(numbers, 0))
    if pa.types.is_timestamp(kind):
        unit = "ms" if kind.unit in ("s", "ms") else "us"
        return Wire(pa.int64(), lambda numbers: fit(pc.cast(numbers, pa.timestamp(unit, kind.tz)), kind))
    if pa.types.is_time(kind):
        storage = pa.int32() if time_unit == "ms" else pa.int64()
        clock = pa.time32("ms") if time_unit == "ms" else pa.time64("us")
        return Wire(storage, lambda numbers: fit(pc.cast(numbers, clock), kind))
    if pa.types.is_date(kind):
        return Wire(pa.int32(), lambda days: pc.cast(days, kind))
    if pa.types.is_string(kind):
        return Wire(pa.float64() if has_fraction else pa.int64(), lambda numbers: pc.cast(numbers, kind))
    return Wire(kind, lambda values: values)


def _of_text(kind: pa.DataType, decimal_text: DecimalText) -> Wire:
    convert: Convert
    if pa.types.is_string(kind):
        convert = _checked_text
    elif pa.types.is_binary(kind):
        convert = lambda texts: base64_bytes(texts).cast(kind)  # noqa: E731
    elif pa.types.is_decimal(kind):
        convert = lambda texts: decimal_text(texts, kind)  # noqa: E731
    elif pa.types.is_timestamp(kind):
        convert = lambda texts: timestamp_of_text(texts, kind)  # noqa: E731
    elif pa.types.is_time(kind):
        convert = lambda texts: time_of_text(texts, kind)  # noqa: E731
    else:
        convert = lambda texts: pc.cast(texts, kind)  # noqa: E731
    return Wire(pa.string(), convert)


def _checked_text(texts: pa.Array) -> pa.Array:
    texts.validate(full=True)  # UTF-8
    return texts


def _struct_convert(kind: pa.DataType, parts: Mapping[str, Wire]) -> Convert:
    def convert(values: pa.Array) -> pa.Array:
        columns = [parts[f.name].convert(values.field(f.name)) for f in kind]
        return pa.StructArray.from_arrays(columns, fields=list(kind), mask=pc.is_null(values))

    return convert


def _list_convert(kind: pa.DataType, element: Wire) -> Convert:
    def convert(values: pa.Array) -> pa.Array:
        return pa.ListArray.from_arrays(values.offsets, element.convert(values.values), kind, mask=pc.is_null(values))

    return convert


def python_column(values: list[Any], kind: pa.DataType) -> pa.Array:
    """A column of Python values as `values_at` gives them: objects become MAPs, anything becomes text for STRING."""
    return pa.array([python_value(v, kind) for v in values], kind)


def python_value(value: Any, kind: pa.DataType) -> Any:
    """One JSON value as `pa.array` wants it for this type."""
    if value is None:
        return None
    if pa.types.is_map(kind):
        if not isinstance(value, dict):
            raise ValueError(f"a MAP is a JSON object, not {_json_text(value)[:40]}")
        keys = pa.array(list(value)).cast(kind.key_type).to_pylist()
        return [(k, python_value(v, kind.item_type)) for k, v in zip(keys, value.values(), strict=True)]
    if pa.types.is_struct(kind) and isinstance(value, dict):
        return {f.name: python_value(value.get(f.name), f.type) for f in kind}
    if pa.types.is_list(kind) and isinstance(value, list):
        return [python_value(v, kind.value_type) for v in value]
    if pa.types.is_string(kind):
        return value if isinstance(value, str) else _json_text(value)
    made = wire(kind, [value])
    return made.convert(pa.array([value], made.read))[0].as_py()


def _json_text(value: Any) -> str:
    return orjson.dumps(value).decode()
