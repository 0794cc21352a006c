"""How one column is written in JSON, and its way to the column's type, a whole column at a time.

A `Wire` has two steps: `read` is the type that the JSON parser is told to expect, `convert` makes the declared
type of it.
pyarrow's parser refuses a number where it expects text, so the kind of the first values decides (`Kind`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Convert = Callable[[pa.Array], pa.Array]


class Kind(Enum):
    """What stands in the JSON."""

    NUMBER = "number"
    TEXT = "text"
    FLAG = "true or false"
    OBJECT = "object"
    LIST = "array"


@dataclass(frozen=True, slots=True)
class Wire:
    """read: the type for the JSON parser; convert: to the declared type (raises ArrowInvalid or ValueError)."""

    read: pa.DataType
    convert: Convert


def base64_bytes(texts: pa.Array) -> pa.Array:
    """Bytes of base64 texts (with padding). texts: string array. Raises ValueError for anything else.

    Each text has a multiple of four characters, so all of them are decoded as one: no loop over values.
    """
    offsets, joined = _octets(texts)
    lengths = np.diff(offsets)
    if (lengths % 4).any():
        raise ValueError("not base64: the length is no multiple of 4")
    sextets = _SEXTETS[joined]
    if (sextets == _INVALID).any():
        raise ValueError("not base64: a character outside of A-Z a-z 0-9 + /")
    is_pad = joined == ord("=")
    quads = np.where(is_pad, 0, sextets).reshape(-1, 4).astype(np.uint32)
    words = (quads[:, 0] << 18) | (quads[:, 1] << 12) | (quads[:, 2] << 6) | quads[:, 3]
    octets = np.stack([words >> 16, words >> 8, words], axis=1).astype(np.uint8).ravel()
    pads = is_pad.reshape(-1, 4)
    keep = np.stack([np.ones(len(words), bool), ~pads[:, 2], ~pads[:, 3]], axis=1)
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(keep.sum(axis=1))])[offsets // 4]
    buffers = [None, pa.py_buffer(ends.astype(np.int64)), pa.py_buffer(octets[keep.ravel()].tobytes())]
    out = pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(texts), buffers)
    return pc.if_else(texts.is_valid(), out, pa.scalar(None, pa.large_binary()))


_INVALID = 255
_SEXTETS = np.full(256, _INVALID, np.uint8)
_SEXTETS[np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", np.uint8)] = np.arange(64)
_SEXTETS[ord("=")] = 0


def _octets(values: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The offsets (int64, n + 1, from 0) and the bytes of a string or binary array; NULL counts as empty."""
    filled = pc.fill_null(values.cast(pa.large_binary()), b"")
    offsets = np.frombuffer(filled.buffers()[1], np.int64)[filled.offset : filled.offset + len(filled) + 1]
    data = filled.buffers()[2]
    codes = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
    return offsets - offsets[0], codes[offsets[0] : offsets[-1]]


def decimal_of_bytes(values: pa.Array, scale: int) -> pa.Array:
    """decimal128(38, scale) of big-endian two's complement integers. Raises ValueError beyond 16 bytes."""
    offsets, octets = _octets(values)
    lengths = np.diff(offsets)
    if len(lengths) and lengths.max() > 16:
        raise ValueError("the decimal number has more than 38 digits")
    out = np.zeros((len(values), 16), np.uint8)  # little-endian
    for place in range(int(lengths.max()) if len(lengths) else 0):  # at most 16 rounds: a byte of every value each
        rows = np.flatnonzero(lengths > place)
        out[rows, place] = octets[offsets[rows + 1] - 1 - place]
    has_sign = np.zeros(len(values), bool)
    rows = np.flatnonzero(lengths > 0)
    has_sign[rows] = octets[offsets[rows]] >= 128
    out[has_sign[:, None] & (np.arange(16)[None, :] >= lengths[:, None])] = 255
    valid = pc.and_(values.is_valid(), pa.array(lengths > 0))
    plain = pa.Array.from_buffers(pa.decimal128(38, scale), len(values), [None, pa.py_buffer(out.tobytes())])
    return pc.if_else(valid, plain, pa.scalar(None, plain.type))


def fit(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Cast without loss, where a cast exists. Raises ArrowInvalid otherwise."""
    if values.type.equals(kind):
        return values
    if pa.types.is_boolean(kind) and pa.types.is_integer(values.type):
        return pc.not_equal(values, 0)
    if pa.types.is_timestamp(kind) and pa.types.is_timestamp(values.type):
        return pc.cast(values, kind, safe=False) if _coarser(kind, values.type) else pc.cast(values, kind)
    if pa.types.is_time(kind) and pa.types.is_time(values.type):
        return pc.cast(values, kind, safe=False)
    return pc.cast(values, kind)


def _coarser(kind: pa.DataType, than: pa.DataType) -> bool:
    units = ("s", "ms", "us", "ns")
    return units.index(kind.unit) < units.index(than.unit)


def timestamp_of_text(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    """Timestamps of ISO 8601 text, with `T` or a blank; digits beyond the type's precision are cut off.

    A zone counts for a type with one (UTC if absent); for a type without one, only a trailing Z is allowed.
    """
    zone = kind.tz is not None
    texts = pc.utf8_trim_whitespace(texts)
    if zone:
        has_zone = pc.match_substring_regex(texts, r"(Z|[+-]\d\d:?\d\d)$")
        texts = pc.if_else(has_zone, texts, pc.binary_join_element_wise(texts, "Z", ""))
    else:
        texts = pc.replace_substring_regex(texts, r"Z$", "")
    for unit in ("us", "ns"):
        try:
            return fit(pc.cast(texts, pa.timestamp(unit, "UTC" if zone else None)), kind)
        except pa.ArrowInvalid:
            if unit == "ns":
                raise
    raise AssertionError("unreachable")


def time_of_text(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    """Times of `HH:MM:SS[.ffffff]`; a trailing Z is ignored."""
    on_first_day = pc.binary_join_element_wise("1970-01-01", pc.replace_substring_regex(texts, "Z$", ""), "T")
    return fit(pc.cast(pc.cast(on_first_day, pa.timestamp("us")), pa.time64("us")), kind)
