"""Values of old types as values of new ones: a table of casts as Java does them, and nested fields found by id."""

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest

from tsdb.data_types import parse_type, to_arrow
from tsdb.errors import DataError, NotSupportedError
from tsdb.table.evolution import convert
from tsdb.table.type_change import retyped

CASES = [
    ("INT", "BIGINT", [1, None, -5], [1, None, -5]),
    ("BIGINT", "INT", [2**32 + 7, None], [7, None]),
    ("INT", "TINYINT", [300, -129], [44, 127]),
    ("INT", "DOUBLE", [3], [3.0]),
    ("DOUBLE", "INT", [2.9, -2.9, 1e20, -1e20, float("nan"), None], [2, -2, 2**31 - 1, -(2**31), 0, None]),
    ("DOUBLE", "BIGINT", [1e30, 5.5], [2**63 - 1, 5]),
    ("DOUBLE", "DECIMAL(5, 2)", [1.005, 2.675, 1234.5, None], [Decimal("1.01"), Decimal("2.68"), None, None]),
    ("DECIMAL(10, 3)", "DECIMAL(5, 2)", [Decimal("1.005"), Decimal("-1.005"), Decimal("1234.5")],
     [Decimal("1.01"), Decimal("-1.01"), None]),
    ("DECIMAL(10, 2)", "DECIMAL(20, 4)", [Decimal("1.25"), None], [Decimal("1.2500"), None]),
    ("DECIMAL(10, 2)", "INT", [Decimal("2.99"), Decimal("-2.99")], [2, -2]),
    ("INT", "DECIMAL(4, 1)", [999, 1000], [Decimal("999.0"), None]),
    ("STRING", "INT", ["12", "-7.5", None], [12, -7, None]),
    ("STRING", "DECIMAL(4, 1)", ["12.34", "99999"], [Decimal("12.3"), None]),
    ("STRING", "DECIMAL(38, 0)", ["9" * 38, "1.5"], [Decimal("9" * 38), Decimal(2)]),
    ("STRING", "BOOLEAN", ["true", "FALSE"], [True, False]),
    ("STRING", "DATE", ["2024-05-14"], [dt.date(2024, 5, 14)]),
    ("STRING", "TIMESTAMP(3)", ["2024-05-14 13:34:56"], [dt.datetime(2024, 5, 14, 13, 34, 56)]),
    ("INT", "STRING", [5, None], ["5", None]),
    ("DECIMAL(5, 2)", "STRING", [Decimal("1.50")], ["1.50"]),
    ("DATE", "STRING", [dt.date(2024, 5, 14)], ["2024-05-14"]),
    ("BOOLEAN", "INT", [True, None], [1, None]),
    ("INT", "BOOLEAN", [0, 3, None], [False, True, None]),
    ("VARCHAR(10)", "VARCHAR(3)", ["abcdef"], ["abc"]),
    ("VARCHAR(3)", "STRING", ["abc"], ["abc"]),
    ("TIMESTAMP(6)", "TIMESTAMP(3)", [dt.datetime(2024, 1, 1, 0, 0, 0, 123456)],
     [dt.datetime(2024, 1, 1, 0, 0, 0, 123000)]),
    ("TIMESTAMP(3)", "DATE", [dt.datetime(2024, 1, 1, 23)], [dt.date(2024, 1, 1)]),
    ("DATE", "TIMESTAMP(3)", [dt.date(2024, 1, 1)], [dt.datetime(2024, 1, 1)]),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "values", "wanted"), CASES, ids=[f"{c[0]} to {c[1]}" for c in CASES])
def test_casts(old, new, values, wanted):
    old, new = parse_type(old), parse_type(new)
    assert retyped(old, new, 0, True)[0] == new
    for given in (
        pa.array(values, to_arrow(old)),
        pa.array([None, *values, None], to_arrow(old)).slice(1, len(values)),
    ):
        got = convert(given, old, new)
        assert got.type == to_arrow(new) and got.to_pylist() == wanted


def test_text_that_is_no_value():
    with pytest.raises(DataError, match=r"STRING in an old file cannot be read as INT.*'x'"):
        convert(pa.array(["x"]), parse_type("STRING"), parse_type("INT"))


@pytest.mark.parametrize(
    ("old", "new"), [("INT", "BYTES"), ("DATE", "INT"), ("BOOLEAN", "DATE"), ("DATE", "VARCHAR(10)")]
)
def test_what_does_not_convert(old, new):
    with pytest.raises(NotSupportedError, match="do not convert"):
        retyped(parse_type(old), parse_type(new), 0, True)


def row(*fields, kind="ROW"):
    return {"type": kind, "fields": [{"id": i, "name": n, "type": t} for i, n, t in fields]}


def test_nested_fields_are_found_by_id():
    old = row((1, "a", "INT"), (2, "b", "STRING"), (3, "gone", "INT"))
    new = row((2, "bb", "STRING"), (9, "gone", "INT"), (1, "a", "BIGINT"))
    pairs = [
        (old, new, [{"a": 1, "b": "x", "gone": 7}, None, {"a": None, "b": "y", "gone": 8}],
         [{"bb": "x", "gone": None, "a": 1}, None, {"bb": "y", "gone": None, "a": None}]),
        ({"type": "ARRAY", "element": old}, {"type": "ARRAY", "element": new},
         [[{"a": 1, "b": "x", "gone": 7}], None, [], [None, {"a": 2, "b": "z", "gone": 7}]],
         [[{"bb": "x", "gone": None, "a": 1}], None, [], [None, {"bb": "z", "gone": None, "a": 2}]]),
        ({"type": "MAP", "key": "STRING", "value": old}, {"type": "MAP", "key": "STRING", "value": new},
         [[("k", {"a": 1, "b": "x", "gone": 7})], None, []],
         [[("k", {"bb": "x", "gone": None, "a": 1})], None, []]),
    ]  # fmt: skip
    for before, after, values, wanted in pairs:
        before, after = parse_type(before), parse_type(after)
        for given in (
            pa.array(values, to_arrow(before)),
            pa.array([values[0], *values, None], to_arrow(before)).slice(1, len(values)),
        ):
            got = convert(given, before, after)
            got.validate(full=True)
            assert got.type == to_arrow(after) and got.to_pylist() == wanted
