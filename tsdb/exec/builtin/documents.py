"""Functions of JSON over Arrow arrays.

Python's parser takes one document at a time, so this runs once for each distinct row of arguments. Numbers keep the
digits they were written with.
Source: Flink, JSON functions (behaviour only); the paths are those of SQL/JSON: `lax` or `strict`, `$.a`, `$['a']`,
`$[0]`, `$[*]`, `$.*`, `$..a`.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

import pyarrow as pa

from tsdb.exec.builtin.texts import by_value

_MISSING = object()
_STEP = re.compile(
    r"\.\.(?P<deep>[\w$-]+)|\.\*|\.(?P<name>[^.\[\]\s()'\"*]+)|\[\*\]|\[\s*(?P<index>-?\d+)\s*\]"
    r"|\[\s*'(?P<single>(?:[^'\\]|\\.)*)'\s*\]|\[\s*\"(?P<double>(?:[^\"\\]|\\.)*)\"\s*\]"
)
Step = tuple[str, Any]


class _Number(float):
    """A number that is written as it was read."""

    text: str

    def __new__(cls, text: str) -> _Number:
        made = super().__new__(cls, text)
        made.text = repr(float(text)) if "e" in text.lower() else text
        return made

    def __repr__(self) -> str:
        """As it was read."""
        return self.text


@lru_cache(maxsize=256)
def _path(path: str) -> tuple[bool, tuple[Step, ...], bool]:
    """(strict, steps, whether it leads to one place at most). Raises ValueError."""
    mode = re.match(r"\s*(lax|strict)\s+", path, re.IGNORECASE)
    strict = mode is None or mode[1].lower() == "strict"
    rest = path[mode.end() :] if mode else path.strip()
    if not rest.startswith("$"):
        raise ValueError(f"the path '{path}' does not begin with $")
    position, steps, single = 1, [], True
    while position < len(rest.rstrip()):
        match = _STEP.match(rest, position)
        if match is None:
            raise ValueError(f"the path '{path}' cannot be read at `{rest[position:]}`")
        if match["deep"] is not None:
            steps.append(("deep", match["deep"]))
        elif match["index"] is not None:
            steps.append(("index", int(match["index"])))
        elif match[0] in (".*", "[*]"):
            steps.append(("all", None))
        else:
            name = match["name"] or match["single"] or match["double"] or ""
            steps.append(("name", re.sub(r"\\(.)", r"\1", name)))
        single = single and steps[-1][0] in ("name", "index")
        position = match.end()
    return strict, tuple(steps), single


def _walk(value: Any, steps: tuple[Step, ...]) -> list[Any]:
    found = [value]
    for kind, what in steps:
        found = [inner for outer in found for inner in _step(outer, kind, what)]
    return found


def _step(value: Any, kind: str, what: Any) -> list[Any]:
    if kind == "name":
        return [value[what]] if isinstance(value, dict) and what in value else []
    if kind == "index":
        return [value[what]] if isinstance(value, list) and -len(value) <= what < len(value) else []
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    if kind == "all":
        return inner
    return _step(value, "name", what) + [deep for part in inner for deep in _step(part, "deep", what)]


def _load(document: str) -> Any:
    return json.loads(document, parse_float=_Number, parse_constant=_refuse)


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def _found(document: str, path: str) -> Any:
    """The value at a path, a list where the path leads to many; `_MISSING` if there is none. Raises ValueError."""
    strict, steps, single = _path(path)
    try:
        found = _walk(_load(document), steps)
    except RecursionError as err:
        raise _Unreadable("the document is nested too deeply") from err
    except ValueError as err:
        raise _Unreadable(str(err)) from err
    if not single:
        return found
    if not found and strict:
        raise _Unreadable(f"the path '{path}' leads nowhere")
    return found[0] if found else _MISSING


class _Unreadable(ValueError):
    """A document that is no JSON, or a strict path that leads nowhere: what ON ERROR is about."""


def _written(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k, ensure_ascii=False)}:{_written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    return value.text if isinstance(value, _Number) else json.dumps(value, ensure_ascii=False)


def json_value(*arrays: pa.Array) -> pa.Array:
    """(document, path, kind, on_empty, its default, on_error, its default) → the scalar at the path, as text."""
    return by_value(_value, pa.string(), *arrays, nulls=True)


def _value(
    document: str | None,
    path: str | None,
    kind: str,
    on_empty: str,
    empty: str | None,
    on_error: str,
    error: str | None,
) -> str | None:
    if document is None or path is None:
        return None
    try:
        value = _found(document, path)
        if isinstance(value, dict | list):
            raise _Unreadable(f"there is no scalar at the path '{path}'")
        if value is not _MISSING and value is not None:
            return _scalar(value, kind)
    except _Unreadable as err:
        return _instead(on_error, error, str(err))
    return _instead(on_empty, empty, f"there is nothing at the path '{path}'")


def _scalar(value: Any, kind: str) -> str:
    text = value if isinstance(value, str) else _written(value)
    try:
        if kind == "BOOLEAN" and text.lower() not in ("true", "false"):
            raise ValueError(text)
        if kind == "INTEGER":
            text = str(int(text))
        if kind == "DOUBLE":
            float(text)
    except ValueError as err:
        raise _Unreadable(f"'{text}' is no {kind}") from err
    return text


def _instead(behaviour: str, default: str | None, why: str) -> str | None:
    if behaviour == "ERROR":
        raise ValueError(why)
    return default if behaviour == "DEFAULT" else None


def json_query(*arrays: pa.Array) -> pa.Array:
    """(document, path, wrapper, on_empty, on_error) → the object or array at the path, as JSON."""
    return by_value(_query, pa.string(), *arrays, nulls=True)


def _query(document: str | None, path: str | None, wrapper: str, on_empty: str, on_error: str) -> str | None:
    if document is None or path is None:
        return None
    try:
        value = _found(document, path)
        if value is _MISSING or value is None:
            return _json_instead(on_empty, f"there is nothing at the path '{path}'")
        if wrapper == "UNCONDITIONAL" or (wrapper == "CONDITIONAL" and not isinstance(value, list)):
            value = [value]
        if not isinstance(value, dict | list):
            raise _Unreadable(f"there is neither an object nor an array at the path '{path}'")
    except _Unreadable as err:
        return _json_instead(on_error, str(err))
    return _written(value)


def _json_instead(behaviour: str, why: str) -> str | None:
    if behaviour == "ERROR":
        raise ValueError(why)
    return {"EMPTY ARRAY": "[]", "EMPTY OBJECT": "{}"}.get(behaviour)


def json_exists(*arrays: pa.Array) -> pa.Array:
    """(document, path, on_error) → whether there is something at the path."""
    return by_value(_exists, pa.bool_(), *arrays, nulls=True)


def _exists(document: str | None, path: str | None, on_error: str) -> bool | None:
    if document is None or path is None:
        return None
    try:
        value = _found(document, path)
    except _Unreadable as err:
        if on_error == "ERROR":
            raise
        return {"TRUE": True, "UNKNOWN": None}.get(on_error, False) if err else None
    return value is not _MISSING and value != []


_BARE = re.compile(r"U?Int\d+|Float\d+|Decimal.*|Boolean")


def json_text(value: pa.Array, kind: pa.Array) -> pa.Array:
    """A value, given as text with its Arrow type, as JSON."""
    return by_value(_json_of, pa.string(), value, kind)


def _json_of(value: str, kind: str) -> str:
    if _BARE.fullmatch(kind) and value.lower() not in ("nan", "inf", "-inf"):
        return value
    if kind.startswith(("List", "Struct", "Map", "LargeList")):
        raise ValueError("arrays, maps and rows cannot be written as JSON; build it with JSON_OBJECT and JSON_ARRAY")
    return json.dumps(value, ensure_ascii=False)


def json_unquote(text: pa.Array) -> pa.Array:
    """A JSON string without its quotes; everything else as it is."""
    return by_value(_unquoted, pa.string(), text)


def _unquoted(text: str) -> str:
    if len(text) < 2 or not (text.startswith('"') and text.endswith('"')):
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return text


def is_json(text: pa.Array, kind: pa.Array) -> pa.Array:
    """Whether the text is a JSON VALUE, SCALAR, OBJECT or ARRAY."""
    return by_value(_is_json, pa.bool_(), text, kind)


def _is_json(text: str, kind: str) -> bool:
    try:
        value = _load(text)
    except (ValueError, RecursionError):
        return False
    found = "OBJECT" if isinstance(value, dict) else "ARRAY" if isinstance(value, list) else "SCALAR"
    return kind in ("VALUE", found)
