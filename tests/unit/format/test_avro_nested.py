"""Structured columns of Avro files, with both forms of a map."""

from pathlib import Path

import fastavro

from tsdb.data_types import DataField, parse_type
from tsdb.format.avro import BATCH_ROWS, read_avro
from tsdb.fs.local import LocalFileIO

IO = LocalFileIO()
ENTRY = {
    "type": "record",
    "name": "entry",
    "fields": [{"name": "key", "type": "int"}, {"name": "value", "type": ["null", {"type": "map", "values": "int"}]}],
}
SCHEMA = {
    "type": "record",
    "name": "record",
    "fields": [
        {"name": "n", "type": "int"},
        {"name": "m", "type": ["null", {"type": "array", "items": ENTRY}]},
        {"name": "r", "type": {"type": "record", "name": "r", "fields": [
            {"name": "s", "type": {"type": "map", "values": "int"}}, {"name": "x", "type": "int"},
        ]}},
        {"name": "a", "type": {"type": "array", "items": ["null", {"type": "map", "values": "int"}]}},
    ],
}  # fmt: skip
TEXT_TO_INT = {"type": "MAP", "key": "STRING", "value": "INT"}
FIELDS = [
    DataField(0, "n", parse_type("INT")),
    DataField(1, "m", parse_type({"type": "MAP", "key": "INT", "value": TEXT_TO_INT})),
    DataField(2, "r", parse_type({"type": "ROW", "fields": [
        {"id": 3, "name": "s", "type": {"type": "MULTISET", "element": "STRING"}},
        {"id": 4, "name": "x", "type": "INT"},
    ]})),
    DataField(5, "a", parse_type({"type": "ARRAY", "element": TEXT_TO_INT})),
]  # fmt: skip


def test_maps_within_maps_rows_and_arrays(tmp_path: Path) -> None:
    path = tmp_path / "x.avro"
    rows = [
        {"n": 1, "m": [{"key": 7, "value": {"a": 1}}, {"key": 8, "value": None}], "r": {"s": {"b": 2}, "x": 1}, "a": []}
    ]
    rows += [
        {"n": 2, "m": None, "r": {"s": {}, "x": 2}, "a": [None, {"c": 3}]},
    ]
    with path.open("wb") as out:
        fastavro.writer(out, SCHEMA, rows)
    (batch,) = read_avro(IO, str(path), FIELDS)
    assert batch.to_pylist() == [
        {"n": 1, "m": [(7, [("a", 1)]), (8, None)], "r": {"s": [("b", 2)], "x": 1}, "a": []},
        {"n": 2, "m": None, "r": {"s": [], "x": 2}, "a": [None, [("c", 3)]]},
    ]


def test_batches_keep_the_order(tmp_path: Path) -> None:
    path = tmp_path / "x.avro"
    schema = {"type": "record", "name": "record", "fields": SCHEMA["fields"][:1]}
    with path.open("wb") as out:
        fastavro.writer(out, schema, ({"n": i} for i in range(BATCH_ROWS + 5)))
    batches = list(read_avro(IO, str(path), FIELDS[:1]))
    assert [b.num_rows for b in batches] == [BATCH_ROWS, 5]
    assert [v for b in batches for v in b["n"].to_pylist()] == list(range(BATCH_ROWS + 5))
