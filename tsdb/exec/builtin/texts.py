"""Functions of strings over Arrow arrays.

Parsing of URLs, `findall` of `re`, number bases and digests know only single values: `by_value` runs them once for each
distinct row of arguments.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus, unquote_to_bytes

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.errors import DataError

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MASK = 2**64 - 1


def named(name: str, function: Callable[..., Any], result: pa.DataType) -> Callable[..., pa.Array]:
    """The function as DataFusion wants it: an array of the result's type, errors under the function's name."""

    def wanted(*arrays: pa.Array) -> pa.Array:
        try:
            values = function(*arrays)
        except (ValueError, TypeError, LookupError, pa.ArrowException) as err:
            raise DataError(f"{name.upper()}: {err}") from err
        values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        return values if values.type == result else values.cast(result)

    return wanted


def by_value(function: Callable[..., Any], kind: pa.DataType, *arrays: pa.Array, nulls: bool = False) -> pa.Array:
    """function of each distinct row of arguments; NULL where one is NULL, unless nulls is set."""
    encoded = [array.dictionary_encode(null_encoding="encode") for array in arrays]
    codes = np.zeros(len(arrays[0]), np.int64)
    for array in encoded:
        codes = codes * max(len(array.dictionary), 1) + np.asarray(array.indices)
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    rows = zip(*(array.take(pa.array(first)).to_pylist() for array in arrays), strict=True)
    values = [None if not nulls and None in row else function(*row) for row in rows]
    return pa.array(values, kind).take(pa.array(inverse.reshape(-1)))


def url_encode(text: pa.Array) -> pa.Array:
    """application/x-www-form-urlencoded, in UTF-8."""
    return by_value(lambda value: quote_plus(value, safe="*").replace("~", "%7E"), pa.string(), text)


def url_decode(text: pa.Array) -> pa.Array:
    """Back; NULL where a % is not followed by two digits, or the bytes are no UTF-8."""
    return by_value(_url_decoded, pa.string(), text)


def _url_decoded(value: str) -> str | None:
    if re.search(r"%(?![0-9A-Fa-f]{2})", value):
        return None
    try:
        return unquote_to_bytes(value.replace("+", " ")).decode()
    except UnicodeDecodeError:
        return None


_URL = re.compile(
    r"(?P<PROTOCOL>[A-Za-z][A-Za-z0-9+.-]*)://(?P<AUTHORITY>[^/?#]*)(?P<PATH>[^?#]*)(?:\?(?P<QUERY>[^#]*))?(?:#(?P<REF>.*))?",
    re.DOTALL,
)


def parse_url(url: pa.Array, part: pa.Array, key: pa.Array) -> pa.Array:
    """A part of a URL, or of its query; NULL where there is none."""
    return by_value(_url_part, pa.string(), url, part, key, nulls=True)


def _url_part(url: str | None, part: str | None, key: str | None) -> str | None:
    found = None if url is None or part is None else _URL.fullmatch(url)
    if found is None:
        return None
    parts = found.groupdict()
    user, at, host = parts["AUTHORITY"].rpartition("@")
    parts["USERINFO"] = user if at else None
    parts["HOST"] = re.sub(r":\d*$", "", host)
    parts["FILE"] = parts["PATH"] + (f"?{parts['QUERY']}" if parts["QUERY"] is not None else "")
    value: str | None = parts.get(str(part))
    if key is None or value is None:
        return value
    pair = re.search(rf"(?:^|&){re.escape(key)}=([^&]*)", value) if part == "QUERY" else None
    return pair[1] if pair else None


def regexp_extract_all(text: pa.Array, pattern: pa.Array, group: pa.Array) -> pa.Array:
    """A group of every match; 0: the matches; NULL for a group that the pattern lacks."""
    return by_value(_all_groups, pa.list_(pa.string()), text, pattern, group)


def _all_groups(text: str, pattern: str, group: int) -> list[str | None] | None:
    try:
        compiled = re.compile(pattern)
    except re.error as err:
        raise ValueError(f"the pattern '{pattern}' is not valid: {err}") from err
    if not 0 <= group <= compiled.groups:
        return None
    return [match[group] for match in compiled.finditer(text)]


def str_to_map(text: pa.Array, pairs: pa.Array, key_value: pa.Array) -> pa.Array:
    """Pairs of key and value; of equal keys the last, a key without a value has NULL."""
    return by_value(_pairs, pa.map_(pa.string(), pa.string()), text, pairs, key_value)


def _pairs(text: str, pairs: str, key_value: str) -> list[tuple[str, str | None]]:
    split = [re.split(key_value, pair, maxsplit=1) for pair in re.split(pairs, text)]
    return list({part[0]: part[1] if len(part) > 1 else None for part in split}.items())


def conv(number: pa.Array, start: pa.Array, end: pa.Array) -> pa.Array:
    """The digits of a number in another base; 64 bits, a negative base means that the sign is kept."""
    return by_value(_converted, pa.string(), number, start, end)


def _converted(number: str, start: int, end: int) -> str | None:
    if not (2 <= abs(start) <= 36 and 2 <= abs(end) <= 36):
        return None
    sign, digits = re.fullmatch(r"\s*(-?)(.*)", number, re.DOTALL).groups()  # type: ignore[union-attr] # matches always
    value = 0
    for digit in digits.upper():
        place = _DIGITS.find(digit)
        if not 0 <= place < abs(start):
            break
        value = value * abs(start) + place
    value = min(value, _MASK)
    value = -value if sign else value
    if end > 0:
        value &= _MASK
    text = ""
    rest = abs(value)
    while rest:
        rest, place = divmod(rest, abs(end))
        text = _DIGITS[place] + text
    return ("-" if value < 0 else "") + (text or "0")


_CHARSETS = {
    "US-ASCII": "ascii", "ISO-8859-1": "latin-1", "UTF-8": "utf-8", "UTF-16BE": "utf-16-be", "UTF-16LE": "utf-16-le",
}  # fmt: skip


def encode_text(text: pa.Array, charset: pa.Array) -> pa.Array:
    """The bytes of text in a character set; `?` for what it lacks."""
    return by_value(_encoded, pa.binary(), text, charset)


def _encoded(text: str, charset: str) -> bytes:
    if charset.upper() == "UTF-16":
        return b"\xfe\xff" + text.encode("utf-16-be")
    return text.encode(_codec(charset), "replace")


def decode_text(data: pa.Array, charset: pa.Array) -> pa.Array:
    """The text of bytes in a character set."""
    return by_value(_decoded, pa.string(), data, charset)


def _decoded(data: bytes, charset: str) -> str:
    if charset.upper() == "UTF-16":
        return data.decode("utf-16" if data[:2] in (b"\xfe\xff", b"\xff\xfe") else "utf-16-be", "replace")
    return data.decode(_codec(charset), "replace")


def _codec(charset: str) -> str:
    if charset.upper() not in _CHARSETS:
        raise ValueError(f"'{charset}' is no character set; there are {', '.join(_CHARSETS)} and UTF-16")
    return _CHARSETS[charset.upper()]


def only_one(size: pa.Array) -> pa.Array:
    """1, for arrays of one element at most. Raises ValueError for a longer one."""
    longest = pc.max(size).as_py()
    if longest is not None and longest > 1:
        raise ValueError(f"an array has {longest} elements, not one")
    return pc.if_else(pc.is_valid(size), pa.scalar(1, pa.int64()), None)


def only_row(rows: pa.Array) -> pa.Array:
    """The number of rows, 0 or 1, that a subquery gives for a row around it. Raises ValueError for more."""
    most = pc.max(rows).as_py()
    if most is not None and most > 1:
        raise ValueError(f"a subquery that stands for one value gave {most} rows; use an aggregate or LIMIT 1")
    return rows


def nth_place(text: pa.Array, part: pa.Array, start: pa.Array, nth: pa.Array) -> pa.Array:
    """Where a part begins the n-th time, from 1; backwards from a negative start; 0 if nowhere."""
    return by_value(_nth_place, pa.int32(), text, part, start, nth)


def _nth_place(text: str, part: str, start: int, nth: int) -> int:
    if nth < 1:
        raise ValueError(f"the n-th place is counted from 1, not {nth}")
    if start == 0:
        return 0
    place = start - 2 if start > 0 else len(text) + start + 1
    for _ in range(nth):
        if start > 0:
            place = text.find(part, place + 1)
        else:
            place = text.rfind(part, 0, max(place - 1 + len(part), 0)) if place > 0 else -1
        if place < 0:
            return 0
    return place + 1


def sha1(text: pa.Array) -> pa.Array:
    """In hexadecimal digits."""
    return by_value(lambda value: hashlib.sha1(value.encode()).hexdigest(), pa.string(), text)


def type_name(arrow: pa.Array) -> pa.Array:
    """Our name of a type of DataFusion."""
    return by_value(_type_name, pa.string(), arrow)


_PLAIN = {
    "Null": "NULL", "Boolean": "BOOLEAN", "Utf8": "STRING", "Utf8View": "STRING", "LargeUtf8": "STRING",
    "Binary": "BYTES", "BinaryView": "BYTES", "LargeBinary": "BYTES", "Int8": "TINYINT", "Int16": "SMALLINT",
    "Int32": "INT", "Int64": "BIGINT", "UInt8": "SMALLINT", "UInt16": "INT", "UInt32": "BIGINT", "UInt64": "BIGINT",
    "Float16": "FLOAT", "Float32": "FLOAT", "Float64": "DOUBLE", "Date32": "DATE", "Date64": "DATE",
}  # fmt: skip
_PRECISION = {"Second": 0, "s": 0, "Millisecond": 3, "ms": 3, "Microsecond": 6, "µs": 6, "Nanosecond": 9, "ns": 9}


def _type_name(arrow: str) -> str:
    if arrow in _PLAIN:
        return _PLAIN[arrow]
    decimal = re.fullmatch(r"Decimal\d+\((\d+), (-?\d+)\)", arrow)
    if decimal:
        return f"DECIMAL({decimal[1]}, {decimal[2]})"
    moment = re.fullmatch(r"Timestamp\((\w+|µs)(, .*)?\)", arrow)
    if moment:
        zoned = moment[2] is not None and moment[2] != ", None"
        return f"TIMESTAMP{'_LTZ' if zoned else ''}({_PRECISION[moment[1]]})"
    if arrow.startswith("Time"):
        return "TIME(3)"
    if arrow.startswith("Interval"):
        return "INTERVAL"
    return _nested_name(arrow)


def _nested_name(arrow: str) -> str:
    for head, name in (("List(", "ARRAY"), ("LargeList(", "ARRAY"), ("Map(", "MAP"), ("Struct(", "ROW")):
        if arrow.startswith(head):
            inner = re.sub(r"(non-null |field: |nullable )", "", arrow[len(head) : -1])
            return f"ARRAY<{_type_name(inner)}>" if name == "ARRAY" and inner in _PLAIN else name
    return arrow
