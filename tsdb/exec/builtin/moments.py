"""Functions of times over Arrow arrays: patterns of Java, time zones.

A pattern is the same for most rows, so each distinct one is taken apart once and its rows are handled together.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.time_zone import local_times, moments_of

_PIECE = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|[^A-Za-z']+")
_MICROS = pa.timestamp("us")
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
           "November", "December")  # fmt: skip
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _pieces(pattern: str) -> list[tuple[str, str]]:
    """(letter, text): the letter of a field, '' for what stands for itself."""
    found: list[tuple[str, str]] = []
    position = 0
    while position < len(pattern):
        match = _PIECE.match(pattern, position)
        if match is None:
            raise ValueError(f"the pattern '{pattern}' has a quote that is not closed")
        if match[1] is not None:
            found.append(("", match[1].replace("''", "'") or "'"))
        else:
            found.append((match[2] or "", match[0]))
        position = match.end()
    return found


def _by_pattern(
    one: Callable[[pa.Array, str], pa.Array], kind: pa.DataType, values: pa.Array, patterns: pa.Array
) -> pa.Array:
    """one(values, pattern) for the rows of each distinct pattern, put together in order."""
    distinct = [pattern for pattern in patterns.unique().to_pylist() if pattern is not None]
    if len(distinct) == 1 and patterns.null_count == 0:
        return one(values, distinct[0])
    parts, places = [pa.array([], kind)], [np.zeros(0, np.int64)]
    for pattern in distinct:
        at = np.flatnonzero(np.asarray(pc.fill_null(pc.equal(patterns, pattern), False)))
        parts.append(one(values.take(pa.array(at)), pattern))
        places.append(at)
    row = np.full(len(values), -1, np.int64)
    row[np.concatenate(places)] = np.arange(sum(map(len, places)))
    return pa.concat_arrays(parts).take(pa.array(row, mask=row < 0))


def date_text(moment: pa.Array, pattern: pa.Array) -> pa.Array:
    """Times as text."""
    return _by_pattern(_formatted, pa.string(), moment, pattern)


def _formatted(moment: pa.Array, pattern: str) -> pa.Array:
    texts = [_field_text(moment, letter, piece) for letter, piece in _pieces(pattern)]
    return pc.binary_join_element_wise(*texts, "") if texts else pc.cast(pc.cast(moment, pa.int64()), pa.string())


def _field_text(moment: pa.Array, letter: str, piece: str) -> pa.Array:
    if not letter:
        return pc.if_else(pc.is_valid(moment), piece, pa.scalar(None, pa.string()))
    width = len(piece)
    if letter in "ML" and width >= 3:
        return pc.take(_names(_MONTHS, width), pc.subtract(pc.month(moment), 1))
    if letter == "E":
        return pc.take(_names(_DAYS, width), pc.day_of_week(moment))
    if letter == "a":
        return pc.if_else(pc.less(pc.hour(moment), 12), "AM", "PM")
    if letter == "S":
        micros = _fraction(moment)
        return pc.utf8_slice_codeunits(pc.utf8_lpad(pc.cast(micros, pa.string()), 6, "0"), 0, width)
    value = _field(moment, letter, piece)
    if letter in "yu" and width == 2:
        value = pc.subtract(value, pc.multiply(pc.floor(pc.divide(value, 100)), 100))
    return pc.utf8_lpad(pc.cast(pc.cast(value, pa.int64()), pa.string()), width, "0")


def _names(words: tuple[str, ...], width: int) -> pa.Array:
    return pa.array([word if width >= 4 else word[:3] for word in words])


def _fraction(moment: pa.Array) -> pa.Array:
    return pc.add(pc.multiply(pc.millisecond(moment), 1000), pc.microsecond(moment))


_FIELDS: dict[str, Callable[[pa.Array], pa.Array]] = {
    "y": pc.year,
    "u": pc.year,
    "M": pc.month,
    "L": pc.month,
    "d": pc.day,
    "D": pc.day_of_year,
    "Q": pc.quarter,
    "w": pc.iso_week,
    "H": pc.hour,
    "m": pc.minute,
    "s": pc.second,
}


def _field(moment: pa.Array, letter: str, piece: str) -> pa.Array:
    if letter in _FIELDS:
        return _FIELDS[letter](moment)
    if letter == "h":
        return pc.add(_modulo(pc.add(pc.hour(moment), 11), 12), 1)
    if letter == "k":
        return pc.add(_modulo(pc.add(pc.hour(moment), 23), 24), 1)
    if letter == "K":
        return _modulo(pc.hour(moment), 12)
    raise ValueError(f"`{piece}` in a pattern is not supported")


def _modulo(values: pa.Array, by: int) -> pa.Array:
    return pc.subtract(values, pc.multiply(pc.divide(values, by), by))


def parse_time(text: pa.Array, pattern: pa.Array) -> pa.Array:
    """Text as times; NULL where it does not fit the pattern, or is no time."""
    return _by_pattern(_parsed, _MICROS, text, pattern)


def _parsed(text: pa.Array, pattern: str) -> pa.Array:
    expression, letters = _expression(pattern)
    fields = pc.extract_regex(text, expression) if letters else None

    def field(letter: str, default: int) -> pa.Array:
        if letter not in letters:
            return pa.array(np.full(len(text), default, np.int64))
        return pc.cast(pc.struct_field(fields, f"f{letter}"), pa.int64())

    ok = pc.is_valid(fields) if fields is not None else pc.equal(text, pattern)
    year = field("y", 1970)
    if "y" in letters and letters["y"] == 2:
        year = pc.add(year, 2000)
    month = _month(fields, letters) if letters.get("M", 0) >= 3 else field("M", 1)
    hour = field("H", 0)
    if "h" in letters:
        hour = _modulo(field("h", 0), 12)
        if "a" in letters:
            afternoon = pc.equal(pc.utf8_upper(pc.struct_field(fields, "fa")), "PM")
            hour = pc.if_else(afternoon, pc.add(hour, 12), hour)
    micros = pa.array(np.zeros(len(text), np.int64))
    if "S" in letters:
        digits = pc.utf8_slice_codeunits(pc.utf8_rpad(pc.struct_field(fields, "fS"), 6, "0"), 0, 6)
        micros = pc.cast(digits, pa.int64())
    return _assembled(ok, (year, month, field("d", 1), hour, field("m", 0), field("s", 0), micros), text)


@cache
def _expression(pattern: str) -> tuple[str, dict[str, int]]:
    """A regular expression for the pattern, and how wide each field in it is."""
    parts: list[str] = []
    letters: dict[str, int] = {}
    pieces = _pieces(pattern)
    for place, (letter, piece) in enumerate(pieces):
        letter = {"u": "y", "L": "M", "k": "H"}.get(letter, letter)
        width = len(piece)
        if not letter:
            parts.append(re.escape(piece))
            continue
        if letter not in "yMdHhmsSa" or letter in letters:
            raise ValueError(f"`{piece}` in the pattern '{pattern}' cannot be read")
        letters[letter] = width
        packed = place + 1 < len(pieces) and pieces[place + 1][0] != ""  # no sign between: exactly so many digits
        if letter == "a":
            digits = "(?i:AM|PM)"
        elif letter == "M" and width >= 3:
            digits = "[A-Za-z]+"
        elif letter == "S":
            digits = rf"[0-9]{{{width}}}"
        elif letter == "y":
            digits = rf"[0-9]{{{width}}}" if width == 2 or packed else r"[0-9]{4}" if width >= 4 else "[0-9]{1,4}"
        else:
            digits = rf"[0-9]{{{width}}}" if width > 1 or packed else "[0-9]{1,2}"
        parts.append(f"(?P<f{letter}>{digits})")
    return "^" + "".join(parts) + "$", letters


def _month(fields: pa.Array, letters: dict[str, int]) -> pa.Array:
    names = pa.array([word.lower() if letters["M"] >= 4 else word[:3].lower() for word in _MONTHS])
    return pc.add(pc.cast(pc.index_in(pc.utf8_lower(pc.struct_field(fields, "fM")), names), pa.int64()), 1)


def _assembled(ok: pa.Array, parts: tuple[pa.Array, ...], text: pa.Array) -> pa.Array:
    year, month, day, hour, minute, second, micros = (
        np.asarray(pc.fill_null(part, -1)).astype(np.int64) for part in parts
    )
    good = np.asarray(pc.fill_null(ok, False)) & (month >= 1) & (month <= 12) & (day >= 1) & (hour >= 0) & (hour < 24)
    good &= (minute >= 0) & (minute < 60) & (second >= 0) & (second < 60) & (year >= 0)
    months = np.where(good, (year - 1970) * 12 + month - 1, 0).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (day - 1)
    good &= days.astype("datetime64[M]") == months
    seconds = ((hour * 60 + minute) * 60 + second) * 1_000_000 + micros
    values = days.astype("datetime64[us]").astype(np.int64) + seconds
    return pa.array(values, pa.int64(), mask=~good).cast(_MICROS)


def convert_tz(text: pa.Array, start: pa.Array, end: pa.Array) -> pa.Array:
    """The clock of another zone, as text; NULL where the text is no time."""
    moment = _parsed(pc.utf8_slice_codeunits(text, 0, 19), "yyyy-MM-dd HH:mm:ss")
    return _formatted(local_time(zoned_time(moment, start), end), "yyyy-MM-dd HH:mm:ss")


def local_time(moment: pa.Array, zone: pa.Array) -> pa.Array:
    """What the clocks of a zone show at a moment of UTC."""
    return _by_pattern(local_times, moment.type, moment, zone)


def zoned_time(moment: pa.Array, zone: pa.Array) -> pa.Array:
    """The moment of UTC at which the clocks of a zone show a time: see `tsdb.time_zone`."""
    return _by_pattern(moments_of, moment.type, moment, zone)
