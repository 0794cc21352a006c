"""Change-log messages on lines: with or without inline schema, bare or as captured with topic and key.

`{"topic":…,"key":…,"value":V}` is a captured message; a bare line is V. V is a payload P, `{"schema":S,"payload":P}` or
null (a tombstone). Inline schemas are cut out as text, before any JSON is parsed, and the lines are grouped by them: a
schema is ten times as long as its payload and one of a few.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.connector.serde.json_block import sample
from tsdb.connector.serde.json_writer import lines_of
from tsdb.connector.serde.serde import Lines

_TOMBSTONE = r'^\s*(?:null|\{.*"topic"\s*:.*"value"\s*:\s*null\s*\})\s*$'
_SCHEMA = r'\{\s*"schema"\s*:\s*(?P<schema>null|\{.*?\})\s*,\s*"payload"\s*:\s*(?P<payload>null|\{.*\})\s*\}'
_BARE = r"^\s*" + _SCHEMA + r"\s*$"
_CAPTURED = r'^\s*\{"topic"\s*:.*?,\s*"value"\s*:\s*' + _SCHEMA + r"\s*\}\s*$"


@dataclass(frozen=True, slots=True)
class Messages:
    """Lines of one shape. path: where the payload stands in each line; schema: the inline schema, parsed; index: the
    place of each line in the block."""  # fmt: skip

    lines: Lines
    path: tuple[str, ...]
    schema: Mapping[str, Any] | None
    index: np.ndarray


def is_message(lines: Lines) -> np.ndarray:
    """False for blank lines and tombstones."""
    first = lines.first_bytes()
    out = first != 0
    if b"null" in lines.data:
        out &= ~pc.match_substring_regex(lines.array(), _TOMBSTONE).to_numpy(zero_copy_only=False)
    return np.asarray(out)


def messages(lines: Lines) -> Iterator[Messages]:
    """The lines in groups of one shape and one inline schema. No blank lines, no tombstones.

    Raises ValueError if the lines have several shapes.
    """
    objects = sample(lines)
    if not objects:
        raise ValueError("not a JSON object")
    captured = is_captured(objects[0])
    value = objects[0]["value"] if captured else objects[0]
    everyone = np.arange(len(lines))
    if not (isinstance(value, dict) and value.keys() >= {"schema", "payload"}):
        yield Messages(lines, ("value",) if captured else (), None, everyone)
        return
    cut = pc.extract_regex(lines.array(), _CAPTURED if captured else _BARE)
    if cut.null_count:
        yield _message_alone(lines, value)
        return
    schemas = pc.struct_field(cut, "schema").dictionary_encode()
    codes = schemas.indices.to_numpy(zero_copy_only=False)
    payloads = Lines(lines_of(pc.struct_field(cut, "payload").cast(pa.large_string())))
    is_null = payloads.first_bytes() == ord("n")
    for code, text in enumerate(schemas.dictionary.to_pylist()):
        mask = (codes == code) & ~is_null
        if mask.any():
            yield Messages(payloads.select(mask), (), orjson.loads(text), everyone[mask])


def is_captured(line: Mapping[str, Any]) -> bool:
    """Whether a line is a captured message, and not a payload that has such columns."""
    return "value" in line and "topic" in line and "op" not in line


def _message_alone(lines: Lines, value: Mapping[str, Any]) -> Messages:
    """A message that is not written as Kafka Connect writes it, by a slower way."""
    if len(lines) > 1:
        raise ValueError("lines of several shapes")
    is_tombstone = value["payload"] is None
    payload = Lines(b"" if is_tombstone else orjson.dumps(value["payload"]))
    return Messages(payload, (), value["schema"], np.arange(len(payload)))
