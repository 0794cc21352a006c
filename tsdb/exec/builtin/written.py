"""Values as text in the way of CAST AS STRING, and PRINTF, over Arrow arrays.

DataFusion's own text of a value arrives together with its Arrow type, because a function of Python takes arguments of
one type only. What differs is written anew: TRUE, 1.0E20, +1 02:03:04.500; the rest stays.
Source: Flink, CAST to a character string (measured).
"""

from __future__ import annotations

import datetime as dt
import re

import pyarrow as pa
import pyarrow.compute as pc

from tsdb.exec.builtin.texts import by_value
from tsdb.time_zone import tzinfo

_PLAIN_FROM, _PLAIN_BELOW = 1e-3, 1e7
_INTERVAL = re.compile(r"(-?[\d.]+) (year|mon|day|hour|min|sec)s?")
_ESCAPE = re.compile(r"%(\d+\$)?([-#+ 0,(]*)(\d+)?(\.\d+)?([a-zA-Z%])")


def text_of(text: pa.Array, kind: pa.Array) -> pa.Array:
    """Values as text, each given as DataFusion writes it, with its Arrow type."""
    kinds = pc.unique(kind).to_pylist()
    if len(kinds) == 1 and not _differs(str(kinds[0])):
        return text
    return by_value(_text_of, pa.string(), text, kind)


def list_text(items: pa.Array, kind: pa.Array) -> pa.Array:
    """[1, NULL]: arrays whose elements are given as DataFusion writes them, with the type of the array."""
    inner = _part(kind, r"^(?:Large)?List\((?:non-null )?(\w+)")
    texts = _elements(items, inner)
    return pa.array([None if row is None else f"[{', '.join(row)}]" for row in texts], pa.string())


def map_text(keys: pa.Array, values: pa.Array, key_kind: pa.Array, value_kind: pa.Array) -> pa.Array:
    """{a=1, b=2}: maps whose keys and values are given as arrays of texts."""
    pattern = r"^(?:Large)?List\((?:non-null )?(\w+)"
    rows = zip(_elements(keys, _part(key_kind, pattern)), _elements(values, _part(value_kind, pattern)), strict=True)
    return pa.array([None if k is None or v is None else _pairs(k, v) for k, v in rows], pa.string())


def printf(pattern: pa.Array, values: pa.Array, kinds: pa.Array) -> pa.Array:
    """Text by a pattern of Java's Formatter; the values are given as texts, with their Arrow types."""
    rows = zip(pattern.to_pylist(), values.to_pylist(), kinds.to_pylist(), strict=True)
    return pa.array([None if p is None else _printed(p, v or [], k or []) for p, v, k in rows], pa.string())


def _pairs(keys: list[str], values: list[str]) -> str:
    return "{" + ", ".join(f"{key}={value}" for key, value in zip(keys, values, strict=True)) + "}"


def _part(kind: pa.Array, pattern: str) -> str:
    found = next((re.match(pattern, str(one)) for one in pc.unique(kind).to_pylist()), None)
    return found[1] if found else ""


def _elements(rows: pa.Array, kind: str) -> list[list[str] | None]:
    differs = _differs(kind)
    return [
        None
        if row is None
        else ["NULL" if one is None else _text_of(one, kind) if differs else str(one) for one in row]
        for row in rows.to_pylist()
    ]


def _differs(kind: str) -> bool:
    return kind == "Boolean" or kind.startswith(("Float", "Interval", "Duration", "Timestamp"))


def _timestamp(text: str, kind: str) -> str:
    """kind: with the zone of the session behind an @, unless that is UTC."""
    plain, (_, _, zone) = text.removesuffix("Z"), kind.partition("@")
    if not zone or '"UTC"' not in kind:
        return plain
    whole, point, fraction = plain.partition(".")
    moment = dt.datetime.fromisoformat(whole).replace(tzinfo=dt.UTC).astimezone(tzinfo(zone))
    return f"{moment:%Y-%m-%d %H:%M:%S}{point}{fraction}"


def _text_of(text: str, kind: str) -> str:
    if kind == "Boolean":
        return text.upper()
    if kind.startswith("Float"):
        return _floating(text)
    if kind.startswith("Timestamp"):
        return _timestamp(text.replace("T", " "), kind)
    return _interval(text) if kind.startswith("Interval") else text


def _floating(text: str) -> str:
    """A DOUBLE or FLOAT as Java writes it: with an exponent below 0.001 and from ten millions on."""
    special = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}
    if text.lower() in special:
        return special[text.lower()]
    size = abs(float(text))
    if size == 0 or _PLAIN_FROM <= size < _PLAIN_BELOW:
        return text
    sign, digits = ("-" if text.startswith("-") else ""), text.lstrip("-").lower()
    mantissa, _, power = digits.partition("e")
    whole, _, fraction = mantissa.partition(".")
    significant = (whole + fraction).lstrip("0")
    zeros = len(whole + fraction) - len(significant)
    exponent = len(whole) - zeros - 1 + int(power or 0)
    return f"{sign}{significant[0]}.{significant[1:].rstrip('0') or '0'}E{exponent}"


def _interval(text: str) -> str:
    """+1 02:03:04.500, or of years and months +1-02; both, where an interval has both."""
    amounts = {unit: float(amount) for amount, unit in _INTERVAL.findall(text)}
    months = int(amounts.get("year", 0)) * 12 + int(amounts.get("mon", 0))
    hours = int(amounts.get("day", 0)) * 24 + int(amounts.get("hour", 0))
    millis = (hours * 60 + int(amounts.get("min", 0))) * 60_000 + round(amounts.get("sec", 0) * 1000)
    by_month = f"{'-' if months < 0 else '+'}{abs(months) // 12}-{abs(months) % 12:02}"
    seconds, rest = divmod(abs(millis), 1000)
    clock = f"{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:03}"
    by_clock = f"{'-' if millis < 0 else '+'}{seconds // 86400} {clock}"
    if months:
        return by_month if not millis else f"{by_month} {by_clock}"
    return by_clock


def _printed(pattern: str, values: list[str | None], kinds: list[str]) -> str | None:
    """NULL where Java refuses the pattern or a value for it."""
    place = 0

    def one(found: re.Match[str]) -> str:
        nonlocal place
        number, flags, width, precision, letter = found.groups()
        if letter in "n%":
            return "\n" if letter == "n" else "%"
        index = int(number[:-1]) - 1 if number else place
        place += not number
        return _converted(values[index], kinds[index], flags, width or "", precision or "", letter)

    try:
        return _ESCAPE.sub(one, pattern)
    except (ValueError, IndexError):
        return None


def _converted(value: str | None, kind: str, flags: str, width: str, precision: str, letter: str) -> str:
    lower = letter.lower()
    left = "<" if "-" in flags else ""
    sign = "+" if "+" in flags else " " if " " in flags else ""
    size = ("0" if "0" in flags else "") + width + ("," if "," in flags else "")
    if value is None or lower in "sb":
        shown = "null" if value is None else value.lower() if kind == "Boolean" else value
        shown = str(value is not None).lower() if lower == "b" and kind != "Boolean" else shown
        written = f"%{'-' if left else ''}{width}{precision}s" % shown
    elif lower in "doxc" and "Int" in kind:
        number = int(value) % 2 ** int(kind.removeprefix("Int")) if lower in "ox" else int(value)
        written = f"{{:{left}{sign}{size}{lower}}}".format(number)
    elif lower in "feg" and kind.startswith(("Float", "Decimal")):
        written = f"{{:{left}{sign}{size}{precision or '.6'}{lower}}}".format(float(value))
    else:
        raise ValueError(f"%{letter} takes no {kind}")
    return written.upper() if letter.isupper() else written
