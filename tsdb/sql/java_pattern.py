"""Java date patterns ('yyyy-MM-dd HH:mm:ss') as the strftime patterns of DataFusion ('%Y-%m-%d %H:%M:%S')."""

from __future__ import annotations

import re

from tsdb.errors import NotSupportedError

_LETTERS = {
    "yyyy": "%Y", "yy": "%y", "y": "%Y", "uuuu": "%Y",
    "MMMM": "%B", "MMM": "%b", "MM": "%m", "M": "%-m", "dd": "%d", "d": "%-d",
    "HH": "%H", "H": "%-H", "hh": "%I", "h": "%-I", "mm": "%M", "m": "%-M",
    "ss": "%S", "s": "%-S", "SSS": "%3f", "SSSSSS": "%6f",
    "SSSSSSSSS": "%9f", "EEEE": "%A", "EEE": "%a", "E": "%a", "a": "%p", "DDD": "%j", "D": "%-j",
}  # fmt: skip
_PIECE = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|[^A-Za-z']+")


def to_strftime(pattern: str) -> str:
    """The same format in strftime's letters; a letter that has none is refused."""
    pieces: list[str] = []
    position = 0
    while position < len(pattern):
        match = _PIECE.match(pattern, position)
        if match is None:
            raise NotSupportedError(f"the date pattern '{pattern}' has a quote that is not closed")
        text = match.group()
        if text.startswith("'"):
            pieces.append(match.group(1).replace("''", "'").replace("%", "%%") or "'")
        elif text[0].isalpha():
            if text not in _LETTERS:
                raise NotSupportedError(f"`{text}` in the date pattern '{pattern}' is not supported")
            pieces.append(_LETTERS[text])
        else:
            pieces.append(text.replace("%", "%%"))
        position = match.end()
    return "".join(pieces).replace(".%3f", "%.3f").replace(".%6f", "%.6f").replace(".%9f", "%.9f")
