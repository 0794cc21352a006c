"""Arrow rows to JSON objects, one text per row, by joining columns of text: no loop over rows.

Values are written so that the format `json` reads them back: TIMESTAMP, DATE and TIME in ISO form, DECIMAL as a number,
BYTES in base64, NaN and infinities as text. Nested columns go value by value through `orjson`, which is slower.
"""

import base64
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc


def json_objects(rows: pa.Table, *, nulls: bool = True, blank: bool = False) -> pa.Array:
    """large_string, length n: `{"a":1,"b":null}`.

    nulls: False leaves NULL columns out. blank: timestamps have a blank between date and time, not `T`.
    """
    if blank:
        rows = pa.table([_with_blank(column) for column in rows.columns], names=rows.column_names)
    if not nulls:
        return _without_nulls(rows)
    parts: list[Any] = []
    for index, field in enumerate(rows.schema):
        prefix = ("," if index else "{") + orjson.dumps(field.name).decode() + ":"
        parts += [_text(prefix), json_values(rows.column(index).combine_chunks())]
    if not parts:
        return pa.array(["{}"] * rows.num_rows, pa.large_string())
    parts.append(_text("}"))
    return pc.binary_join_element_wise(*parts, _text(""))


def _without_nulls(rows: pa.Table) -> pa.Array:
    parts = [pa.array([""] * rows.num_rows, pa.large_string())]
    for field, column in zip(rows.schema, rows.columns, strict=True):
        values = column.combine_chunks()
        prefix = _text("," + orjson.dumps(field.name).decode() + ":")
        there = pc.binary_join_element_wise(prefix, json_values(values), _text(""))
        parts.append(pc.if_else(values.is_valid(), there, _text("")))
    joined = pc.binary_join_element_wise(*parts, _text(""))
    return pc.binary_join_element_wise(_text("{"), pc.utf8_slice_codeunits(joined, 1), _text("}"), _text(""))


def _with_blank(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of timestamps as the text that stands in the JSON; others as they are."""
    if not pa.types.is_timestamp(column.type):
        return column
    return pa.chunked_array([pc.replace_substring(_iso(column.combine_chunks()), "T", " ")])


def json_values(values: pa.Array) -> pa.Array:
    """large_string, length n: each value as JSON; NULL is `null`."""
    kind = values.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        texts = pa.array([_value(v) for v in values.to_pylist()], pa.large_string())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        texts = _quoted(_escaped(values.cast(pa.large_string())))
    elif pa.types.is_timestamp(kind):
        texts = _quoted(_iso(values))
    elif pa.types.is_date(kind) or pa.types.is_time(kind):
        texts = _quoted(pc.cast(values, pa.large_string()))
    elif pa.types.is_decimal(kind):
        texts = _without_exponent(values)
    elif pa.types.is_floating(kind):
        plain = pc.cast(values, pa.large_string())
        odd = pc.if_else(pc.is_nan(values), "NaN", pc.if_else(pc.greater(values, 0), "Infinity", "-Infinity"))
        texts = pc.if_else(pc.is_finite(values), plain, _quoted(pc.cast(odd, pa.large_string())))
    else:
        texts = pc.cast(values, pa.large_string())
    return pc.fill_null(texts, "null")


def lines_of(texts: pa.Array) -> bytes:
    """Each text, ended by a newline, as one run of bytes."""
    ended = pc.binary_join_element_wise(texts.cast(pa.large_string()), _text(""), _text("\n"))
    data = ended.buffers()[2]
    assert ended.offset == 0
    return b"" if data is None else data.to_pybytes()[: pc.sum(pc.binary_length(ended)).as_py()]


def _text(value: str) -> pa.Scalar:
    return pa.scalar(value, pa.large_string())


def _quoted(texts: pa.Array) -> pa.Array:
    quote = _text('"')
    return pc.binary_join_element_wise(quote, texts, quote, _text(""))


def _escaped(texts: pa.Array) -> pa.Array:
    texts = pc.replace_substring(pc.replace_substring(texts, "\\", "\\\\"), '"', '\\"')
    if pc.any(pc.match_substring_regex(texts, "[\x00-\x1f]")).as_py():
        for code in range(32):
            texts = pc.replace_substring(texts, chr(code), orjson.dumps(chr(code)).decode()[1:-1])
    return texts


def _without_exponent(values: pa.Array) -> pa.Array:
    """Arrow writes small decimals as `1E-8`; only those go through Python."""
    texts = pc.cast(values, pa.large_string())
    short = pc.fill_null(pc.match_substring(texts, "E"), False)
    if not pc.any(short).as_py():
        return texts
    whole = pa.array([format(v, "f") for v in values.filter(short).to_pylist()], pa.large_string())
    return pc.replace_with_mask(texts, short, whole)


def _iso(values: pa.Array) -> pa.Array:
    """`2024-01-02T03:04:05.678`, with Z for a type that has a zone."""
    has_zone = values.type.tz is not None
    text = pc.cast(pc.cast(values, pa.timestamp(values.type.unit)), pa.large_string())
    text = pc.replace_substring(text, " ", "T")
    return pc.binary_join_element_wise(text, _text("Z"), _text("")) if has_zone else text


def _value(value: Any) -> str | None:
    return None if value is None else orjson.dumps(_plain(value), default=str).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        if value and all(isinstance(v, tuple) for v in value):
            return {str(k): _plain(v) for k, v in value}
        return [_plain(v) for v in value]
    return value
