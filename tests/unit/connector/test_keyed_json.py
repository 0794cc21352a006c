"""canal-json, maxwell-json and ogg-json fold to the documented rows."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tsdb.connector.serde import SERDES
from tsdb.connector.serde.serde import BadLine, Lines, Truncate
from tsdb.errors import NotSupportedError

FIXTURES = Path(__file__).parents[2] / "fixtures" / "cdc"
EXPECTED = json.loads((FIXTURES / "documented.expected.json").read_text())["rows"]
SCHEMA = pa.schema(
    [
        ("id", pa.int32()),
        ("customer", pa.string()),
        ("amount", pa.decimal128(10, 2)),
        ("qty", pa.int32()),
        ("note", pa.string()),
        ("extra", pa.string()),
    ]
)


def fold(data: bytes, fmt: str, **options: str) -> dict[int, dict[str, Any]]:
    state: dict[int, dict[str, Any]] = {}
    for change in SERDES[fmt].decoder(SCHEMA, ("id",), options).decode(Lines(data)).changes:
        if isinstance(change, Truncate):
            state.clear()
            continue
        for row, weight in zip(change.rows.to_pylist(), change.weights, strict=True):
            if weight > 0:
                state[row["id"]] = row
            else:
                state.pop(row["id"], None)
    return state


@pytest.mark.parametrize("fmt", ["canal", "maxwell", "ogg"])
def test_documented_messages_fold_to_their_rows(fmt: str) -> None:
    state = fold((FIXTURES / f"{fmt}.documented.jsonl").read_bytes(), f"{fmt}-json")
    rows = [{**r, "amount": None if r["amount"] is None else str(r["amount"])} for r in state.values()]
    assert sorted(rows, key=str) == sorted(EXPECTED, key=str)


def test_swapped_keys_in_one_canal_message() -> None:
    insert = {"data": [{"id": "1", "customer": "a"}, {"id": "2", "customer": "b"}], "old": None, "type": "INSERT"}
    swap = {
        "data": [{"id": "2", "customer": "a"}, {"id": "1", "customer": "b"}],
        "old": [{"id": "1"}, {"id": "2"}],
        "type": "UPDATE",
    }
    lines = "".join(json.dumps({**m, "database": "d", "table": "t"}) + "\n" for m in (insert, swap))
    assert {k: r["customer"] for k, r in fold(lines.encode(), "canal-json").items()} == {2: "a", 1: "b"}


def test_truncate_and_bad_lines() -> None:
    insert = json.dumps({"data": {"id": 1}, "type": "insert", "table": "t"}).encode() + b"\n"
    assert fold(
        insert + b'{"op_type":"I"}\n', "maxwell-json", **{"maxwell-json.ignore-parse-errors": "true"}
    ).keys() == {1}
    with pytest.raises(BadLine, match="no `type`"):
        fold(insert + b'{"op_type":"I"}\n', "maxwell-json")
    ogg = b'{"table":"A.B","op_type":"I","after":{"id":1}}\n{"table":"A.B","op_type":"T"}\n'
    assert fold(ogg, "ogg-json") == {}


def test_a_key_is_needed() -> None:
    with pytest.raises(NotSupportedError, match="PRIMARY KEY"):
        SERDES["canal-json"].decoder(SCHEMA, (), {})
