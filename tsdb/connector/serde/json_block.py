"""JSON lines to Arrow columns with a given schema, by pyarrow's vectorised parser, within its safe bounds.

Bounds found by trying (pyarrow 26): a line `null` crashes the process, a second value on a line becomes a second
row, text that is no UTF-8 passes. So every line must begin with `{`, rows must be as many as lines, and text is
validated.
"""

import json
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.json as paj

from tsdb.connector.serde.serde import Lines

PARSE_ERRORS: tuple[type[Exception], ...] = (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError)
"""What `read` and the conversions after it raise for a bad block."""

_BLOCK_BYTES = 1 << 20
_SAMPLE_LINES = 24


def read(lines: Lines, schema: pa.Schema) -> pa.Table:
    """One row per line; keys that the schema lacks are ignored, absent ones are NULL. No blank lines.

    Raises one of PARSE_ERRORS if any line is not one JSON object of these types.
    """
    if len(lines) == 0:
        return schema.empty_table()
    if (lines.first_bytes() != ord("{")).any():
        raise ValueError("the line is not a JSON object")
    if len(schema) == 0:
        schema = pa.schema([pa.field("", pa.int8())])
    text = _bare_specials(lines.raw(), schema)
    longest = int(np.diff(lines.starts).max())
    table = paj.read_json(
        pa.BufferReader(text),
        read_options=paj.ReadOptions(block_size=max(_BLOCK_BYTES, 2 * longest), use_threads=len(lines) > 1000),
        parse_options=paj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
    )
    if table.num_rows != len(lines):
        raise ValueError("a line holds more than one JSON value")
    return table


def _bare_specials(text: bytes, schema: pa.Schema) -> bytes:
    """NaN and infinities of floating columns without their quotes, as the parser wants them."""
    if b'"NaN"' not in text and b'Infinity"' not in text:
        return text
    names = "|".join(re.escape(json.dumps(n, ensure_ascii=False)) for n in sorted(_floating(list(schema))))
    pattern = rf'((?:{names})\s*:\s*)"(NaN|-?Infinity)"'
    return re.sub(pattern.encode(), rb"\1\2", text) if names else text


def _floating(fields: list[pa.Field]) -> set[str]:
    """Names of floating columns, nested ones too."""
    names = {f.name for f in fields if pa.types.is_floating(f.type)}
    for field in fields:
        if pa.types.is_struct(field.type):
            names |= _floating(list(field.type))
    return names


def sample(lines: Lines) -> list[dict[str, Any]]:
    """The objects of a few lines spread over the block; lines that do not parse are left out."""
    step = max(1, len(lines) // _SAMPLE_LINES)
    objects = []
    for index in range(0, len(lines), step):
        try:
            value = orjson.loads(lines.line(index))
        except orjson.JSONDecodeError:
            continue
        if isinstance(value, dict):
            objects.append(value)
    return objects


def values_at(lines: Lines, path: Sequence[str]) -> list[Any]:
    """The Python values at a path of each line: for the rare types that pyarrow's parser has not (MAP, free JSON)."""
    out: list[Any] = []
    for index in range(len(lines)):
        value: Any = orjson.loads(lines.line(index))
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        out.append(value)
    return out


def reason(line: bytes, err: Exception) -> str:
    """Why one line is bad, in plain words."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as bad:
        return f"not UTF-8 at byte {bad.start + 1} of the line"
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except json.JSONDecodeError as bad:
        return f"not JSON: {bad.msg[0].lower()}{bad.msg[1:]} at column {bad.colno}"
    except ValueError as bad:
        return str(bad)
    if not isinstance(value, dict):
        return "not a JSON object"
    return str(err).splitlines()[0].removesuffix(" in row 0").removeprefix("JSON parse error: ")


def _no_number(text: str) -> float:
    raise ValueError(f"not JSON: {text} is no number there")


def _finite(text: str) -> float:
    if math.isinf(value := float(text)):
        raise ValueError(f"the number {text} is too large for a DOUBLE")
    return value
