"""Captures of real databases fold to what the databases held; `*.expected.json` was read from the servers."""

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from cdc_captures import CAPTURES, FIXTURES, RENAMED, leads_to, schema_of

from tsdb.connector.serde import SERDES
from tsdb.connector.serde.serde import BadLine, Lines, Truncate
from tsdb.errors import OptionError


def fold(changes: list[Any], key: list[str]) -> list[dict[str, Any]]:
    """The oracle: ten lines of Python."""
    state: dict[Any, list[dict[str, Any]]] = {}
    for change in changes:
        if isinstance(change, Truncate):
            state.clear()
            continue
        for row, weight in zip(change.rows.to_pylist(), change.weights, strict=True):
            slot = tuple(row[k] for k in key) if key else tuple(row.values())
            if weight < 0:
                state[slot] = state.get(slot, [])[1:]
            else:
                state[slot] = [row] if key else [*state.get(slot, []), row]
    return [row for rows in state.values() for row in rows]


@pytest.mark.parametrize(("capture", "name"), CAPTURES, ids="-".join)
def test_fold_of_a_capture_is_what_the_server_held(capture: str, name: str) -> None:
    expected = json.loads((FIXTURES / f"{capture}.expected.json").read_text())["tables"][name]
    schema, key = schema_of(expected), expected["primary_key"]
    include = name.replace(".", r"\.") if name != RENAMED else r"fxm\.nopk(_renamed)?"
    decoder = SERDES["debezium-json"].decoder(schema, key, {"debezium-json.table.include": include})
    decoded = decoder.decode(Lines((FIXTURES / f"{capture}.jsonl").read_bytes()))
    assert decoded.skipped == 0
    leads_to(sorted(fold(decoded.changes, key), key=str), name, expected)


def debezium(op: str, before: Any, after: Any, **source: str) -> bytes:
    return json.dumps({"before": before, "after": after, "source": source, "op": op}).encode() + b"\n"


SCHEMA = pa.schema([("id", pa.int32()), ("v", pa.string())])


def decode(data: bytes, *, key: tuple[str, ...] = ("id",), schema: pa.Schema = SCHEMA, **options: str) -> list[Any]:
    keyed = {"debezium-json." + k.replace("_", "."): v for k, v in options.items()}
    changes = SERDES["debezium-json"].decoder(schema, key, keyed).decode(Lines(data)).changes
    out: list[Any] = []
    for change in changes:
        if isinstance(change, Truncate):
            out.append("truncate")
        else:
            out += [(int(w), *r.values()) for r, w in zip(change.rows.to_pylist(), change.weights, strict=True)]
    return out


ROWS = [
    ("create", debezium("c", None, {"id": 1, "v": "a"}), [(1, 1, "a")]),
    ("update_without_before", debezium("u", None, {"id": 1, "v": "b"}), [(1, 1, "b")]),
    ("update_with_before", debezium("u", {"id": 1, "v": "a"}, {"id": 1, "v": "b"}), [(1, 1, "b")]),
    (
        "key_change_in_one_message",
        debezium("u", {"id": 1, "v": "a"}, {"id": 2, "v": "a"}),
        [(-1, 1, None), (1, 2, "a")],
    ),
    ("delete_has_only_the_key", debezium("d", {"id": 1, "v": "made up"}, None), [(-1, 1, None)]),
    ("tombstone", b"null\n" + debezium("r", None, {"id": 1, "v": None}), [(1, 1, None)]),
    ("unknown_and_missing_columns", debezium("c", None, {"id": 1, "new": [1]}), [(1, 1, None)]),
    (
        "marks",
        b'{"status":"BEGIN","id":"7","ts_ms":1}\n{"ts_ms":5}\n{"ddl":"create table t(id int)","source":{}}\n',
        [],
    ),
    (
        "truncate",
        debezium("c", None, {"id": 1, "v": "a"}) + debezium("t", None, None) + debezium("c", None, {"id": 2, "v": "b"}),
        [(1, 1, "a"), "truncate", (1, 2, "b")],
    ),
]


@pytest.mark.parametrize(("data", "expected"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
def test_messages_become_upserts(data: bytes, expected: list[Any]) -> None:
    assert decode(data) == expected


def test_without_a_key_old_rows_are_taken_away() -> None:
    data = debezium("c", None, {"id": 1, "v": "a"}) + debezium("u", {"id": 1, "v": "a"}, {"id": 1, "v": "b"})
    assert decode(data, key=()) == [(1, 1, "a"), (-1, 1, "a"), (1, 1, "b")]


BAD = [
    ("not_json", b'{"op":"c",', 0, "not JSON"),
    ("no_op", b'{"before":null,"after":{"id":1}}\n', 0, "no `op`"),
    ("unknown_op", debezium("x", None, {"id": 1}), 0, "unknown `op` 'x'"),
    ("wrong_type", debezium("c", None, {"id": 1}) + debezium("c", None, {"id": "one"}), 1, "id"),
    ("no_key", debezium("c", None, {"v": "a"}), 0, "primary-key column `id`"),
    ("no_after", debezium("c", None, None), 0, "no `after`"),
    ("delete_without_before", debezium("d", None, None), 0, "no `before`"),
    (
        "null_in_the_middle",
        debezium("c", None, {"id": 1}) + b"[1]\n" + debezium("c", None, {"id": 2}),
        1,
        "JSON object",
    ),
    ("toast", debezium("u", None, {"id": 1, "v": "__debezium_unavailable_value"}), 0, "REPLICA IDENTITY FULL"),
]


@pytest.mark.parametrize(("data", "index", "reason"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_lines_are_found(data: bytes, index: int, reason: str) -> None:
    with pytest.raises(BadLine, match=reason) as caught:
        decode(data)
    assert caught.value.index == index


def test_an_update_without_before_and_without_key_says_what_to_do() -> None:
    with pytest.raises(BadLine, match="PRIMARY KEY"):
        decode(debezium("u", None, {"id": 1, "v": "b"}), key=())


def test_bad_lines_are_skipped_and_counted() -> None:
    good = [debezium("c", None, {"id": i, "v": "x"}) for i in range(100)]
    data = b"".join([*good[:40], b"oops\n", *good[40:70], b'{"op":"c"}\n', *good[70:]])
    decoder = SERDES["debezium-json"].decoder(SCHEMA, ("id",), {"debezium-json.ignore-parse-errors": "true"})
    decoded = decoder.decode(Lines(data))
    assert decoded.skipped == 2
    assert [r["id"] for c in decoded.changes for r in c.rows.to_pylist()] == list(range(100))


def test_two_tables_are_never_mixed() -> None:
    data = debezium("c", None, {"id": 1}, schema="public", table="a", db="x")
    other = debezium("c", None, {"id": 1, "v": 7}, schema="public", table="b", db="x")
    with pytest.raises(OptionError, match=r"public\.a.*public\.b.*debezium-json.table.include"):
        decode(data + other)
    assert decode(data + other, table_include=r"public\.a") == [(1, 1, None)]
    assert decode(data + other, table_include=r"x\.b", schema=pa.schema([("v", pa.int32())]), key=()) == [(1, 7)]
    assert decode(data + other, database_include="y") == []


VALUES = [
    (pa.decimal128(10, 2), "BEw=", Decimal("11.00")),
    (pa.decimal128(10, 2), "10.50", Decimal("10.50")),
    (pa.decimal128(10, 2), 10.5, Decimal("10.50")),
    (pa.decimal128(10, 0), "-12", Decimal("-12")),
    (pa.timestamp("ms"), 1767323045678, dt.datetime(2026, 1, 2, 3, 4, 5, 678000)),
    (pa.timestamp("us"), 1767323045123456, dt.datetime(2026, 1, 2, 3, 4, 5, 123456)),
    (pa.timestamp("us", "UTC"), "2026-03-01T12:00:00.123456+02:00", dt.datetime(2026, 3, 1, 10, 0, 0, 123456, dt.UTC)),
    (pa.date32(), -1, dt.date(1969, 12, 31)),
    (pa.time32("ms"), 36672345000, dt.time(10, 11, 12, 345000)),
    (pa.binary(), "AP8=", b"\x00\xff"),
    (pa.bool_(), 1, True),
    (pa.string(), 12, "12"),
    (pa.string(), {"a": [1]}, '{"a":[1]}'),
    (pa.float64(), "-Infinity", float("-inf")),
]


@pytest.mark.parametrize(("kind", "wire", "value"), VALUES, ids=lambda v: str(v))
def test_values_without_schema_go_by_the_declared_type(kind: pa.DataType, wire: Any, value: Any) -> None:
    schema = pa.schema([("id", pa.int32()), ("v", kind)])
    data = debezium("c", None, {"id": 1, "v": wire}) + debezium("c", None, {"id": 2, "v": None})
    rows = [r[2] for r in decode(data, schema=schema)]
    assert [v.replace(tzinfo=dt.UTC) if isinstance(v, dt.datetime) and v.tzinfo else v for v in rows] == [value, None]


SEMANTIC = [
    (
        "int64",
        "io.debezium.time.MicroTimestamp",
        {},
        1767323045123456,
        pa.timestamp("ms"),
        dt.datetime(2026, 1, 2, 3, 4, 5, 123000),
    ),
    (
        "int64",
        "io.debezium.time.NanoTimestamp",
        {},
        1767323045123456789,
        pa.timestamp("us"),
        dt.datetime(2026, 1, 2, 3, 4, 5, 123456),
    ),
    ("int64", "io.debezium.time.Timestamp", {}, 1000, pa.timestamp("us"), dt.datetime(1970, 1, 1, 0, 0, 1)),
    ("int32", "io.debezium.time.Time", {}, 1000, pa.time32("ms"), dt.time(0, 0, 1)),
    ("bytes", "org.apache.kafka.connect.data.Decimal", {"scale": "3"}, "BEw=", pa.decimal128(10, 3), Decimal("1.100")),
    ("bytes", None, None, "AP8=", pa.binary(), b"\x00\xff"),
    (
        "struct",
        "io.debezium.data.VariableScaleDecimal",
        None,
        {"scale": 1, "value": "BEw="},
        pa.decimal128(10, 2),
        Decimal("110.00"),
    ),
    ("int32", None, None, 7, pa.int64(), 7),
]


@pytest.mark.parametrize(
    ("wire_type", "name", "parameters", "wire", "kind", "value"), SEMANTIC, ids=[str(s[1]) for s in SEMANTIC]
)
def test_inline_schemas_say_what_values_mean(
    wire_type: str, name: Any, parameters: Any, wire: Any, kind: pa.DataType, value: Any
) -> None:
    row = [
        {"type": "int32", "field": "id"},
        {"type": wire_type, "name": name, "parameters": parameters, "field": "v", "optional": True},
    ]
    envelope = {"type": "struct", "fields": [{"type": "struct", "fields": row, "field": "after"}, {"field": "op", "type": "string"}]}  # noqa: E501  # fmt: skip
    payload = {"before": None, "after": {"id": 1, "v": wire}, "op": "c"}
    line = json.dumps({"schema": envelope, "payload": payload}).encode()
    compact = json.dumps({"schema": envelope, "payload": payload}, separators=(",", ":")).encode()
    odd_order = json.dumps({"payload": payload, "schema": envelope}).encode()
    schema = pa.schema([("id", pa.int32()), ("v", kind)])
    for text_of_line in (line, compact, odd_order):
        assert decode(text_of_line + b"\n", schema=schema) == [(1, 1, value)]
