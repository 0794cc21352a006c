"""A NULL for a column declared NOT NULL is a bad line, in every format; a delete needs only the key."""

import json
from collections.abc import Callable

import pyarrow as pa
import pytest

from tsdb.connector.serde import SERDES
from tsdb.connector.serde.serde import BadLine, Decoded, Lines, Truncate

SCHEMA = pa.schema([pa.field("id", pa.int32(), False), pa.field("c", pa.int32(), False), pa.field("s", pa.string())])

GOOD, BAD = {"id": 1, "c": 1}, {"id": 2, "c": None}
MESSAGES: dict[str, Callable[[object], object]] = {
    "json": lambda row: row,
    "debezium-json": lambda row: {"op": "c", "before": None, "after": row},
    "canal-json": lambda row: {"type": "INSERT", "data": [row]},
    "maxwell-json": lambda row: {"type": "insert", "data": row},
    "ogg-json": lambda row: {"op_type": "I", "after": row},
}
KEY = {"debezium-json": ("id",), "canal-json": ("id",), "maxwell-json": ("id",), "ogg-json": ("id",)}


def decoded(fmt: str, *messages: object, **options: str) -> Decoded:
    text = "".join(f"{m if isinstance(m, str) else json.dumps(m)}\n" for m in messages)
    return SERDES[fmt].decoder(SCHEMA, KEY.get(fmt, ()), options).decode(Lines(text.encode()))


@pytest.mark.parametrize("fmt", [*MESSAGES, "csv"])
def test_null_for_not_null_is_a_bad_line(fmt: str) -> None:
    lines = ["1,1,", "2,,"] if fmt == "csv" else [MESSAGES[fmt](GOOD), MESSAGES[fmt](BAD)]
    with pytest.raises(BadLine, match="`c` is declared NOT NULL") as caught:
        decoded(fmt, *lines)
    assert caught.value.index == 1
    skipping = decoded(fmt, *lines, **{f"{fmt}.ignore-parse-errors": "true"})
    (change,) = skipping.changes
    assert skipping.skipped == 1 and not isinstance(change, Truncate) and change.num_rows == 1


@pytest.mark.parametrize(
    ("fmt", "delete", "move"),
    [
        (
            "debezium-json",
            {"op": "d", "before": {"id": 9}},
            {"op": "u", "before": {"id": 1}, "after": {"id": 9, "c": 1}},
        ),
        (
            "canal-json",
            {"type": "DELETE", "data": [{"id": 9}]},
            {"type": "UPDATE", "data": [{"id": 9, "c": 1}], "old": [{"id": 1}]},
        ),
        (
            "maxwell-json",
            {"type": "delete", "data": {"id": 9}},
            {"type": "update", "data": {"id": 9, "c": 1}, "old": {"id": 1}},
        ),
    ],
)
def test_a_removal_needs_only_the_key(fmt: str, delete: object, move: object) -> None:
    (change,) = decoded(fmt, MESSAGES[fmt](GOOD), move, delete).changes
    assert not isinstance(change, Truncate)
    ids = list(zip(change.weights.tolist(), change.rows["id"].to_pylist(), strict=True))
    assert ids == [(1, 1), (-1, 1), (1, 9), (-1, 9)]


def test_numbers_beyond_json() -> None:
    for text, message in (("NaN", "NaN is no number"), ("1e400", "1e400 is too large")):
        with pytest.raises(BadLine, match=message):
            decoded("debezium-json", f'{{"op":"c","after":{{"id":1,"c":1,"s":{text}}}}}')
