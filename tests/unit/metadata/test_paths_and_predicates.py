"""Partition directories are those of Java; predicates never exclude what may match."""

import datetime as dt
import decimal
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tsdb.data_types import parse_type
from tsdb.metadata.paths import TablePaths
from tsdb.metadata.predicate import And, Comparison, Or, equalities, may_match

D = decimal.Decimal
# (type of the partition column, value, 'partition.legacy-name', what Paimon Java 1.4.2 named the directory)
PATHS: list[tuple[str, Any, bool, str]] = [
    ("STRING", "x/y:z=1 %{}", True, "x%2Fy%3Az%3D1 %25%7B%7D"),
    ("STRING", None, True, "__DEFAULT_PARTITION__"),
    ("STRING", "", True, "__DEFAULT_PARTITION__"),
    ("STRING", "  ", True, "__DEFAULT_PARTITION__"),
    ("BIGINT", -7, True, "-7"),
    ("FLOAT", 0.1, True, "0.1"),
    ("FLOAT", 1.5, True, "1.5"),
    ("FLOAT", 10000000000.0, True, "1.0E10"),
    ("FLOAT", 3.4e-05, True, "3.4E-5"),
    ("FLOAT", 16777216.0, True, "1.6777216E7"),
    ("FLOAT", 10000000.0, True, "1.0E7"),
    ("FLOAT", 100.0, True, "100.0"),
    ("FLOAT", 0.001, True, "0.001"),
    ("FLOAT", -0.0, True, "-0.0"),
    ("FLOAT", 3.4028235e38, True, "3.4028235E38"),
    ("DOUBLE", 0.1, True, "0.1"),
    ("DOUBLE", 10000000.0, True, "1.0E7"),
    ("DOUBLE", 9999999.0, True, "9999999.0"),
    ("DOUBLE", 0.001, True, "0.001"),
    ("DOUBLE", 0.00099, True, "9.9E-4"),
    ("DOUBLE", 123456789.125, True, "1.23456789125E8"),
    ("DOUBLE", 1e21, True, "1.0E21"),
    ("DOUBLE", -0.0, True, "-0.0"),
    ("DOUBLE", 1e-05, True, "1.0E-5"),
    ("DOUBLE", 1234567.0, True, "1234567.0"),
    ("DOUBLE", 0.002, True, "0.002"),
    ("TIMESTAMP(6)", dt.datetime(2024, 1, 1), True, "2024-01-01T00%3A00"),
    ("TIMESTAMP(6)", dt.datetime(2024, 5, 14, 13, 34, 56, 789000), True, "2024-05-14T13%3A34%3A56.789"),
    ("TIMESTAMP(6)", dt.datetime(2024, 5, 14, 13, 34, 56, 789120), True, "2024-05-14T13%3A34%3A56.789120"),
    ("TIMESTAMP(6)", dt.datetime(1, 1, 1, 0, 0, 0, 1), True, "0001-01-01T00%3A00%3A00.000001"),
    ("TIMESTAMP(3)", dt.datetime(2024, 1, 1), True, "2024-01-01T00%3A00"),
    ("TIMESTAMP(3)", dt.datetime(2024, 5, 14, 13, 34, 56, 700000), True, "2024-05-14T13%3A34%3A56.700"),
    ("TIMESTAMP(0)", dt.datetime(2024, 1, 1), True, "2024-01-01T00%3A00"),
    ("TIMESTAMP_LTZ(6)", dt.datetime(2024, 1, 1, tzinfo=dt.UTC), True, "2024-01-01T00%3A00"),
    (
        "TIMESTAMP_LTZ(6)",
        dt.datetime(2024, 5, 14, 13, 34, 56, 789000, tzinfo=dt.UTC),
        True,
        "2024-05-14T13%3A34%3A56.789",
    ),
    ("TIME(0)", dt.time(0, 0, 0, 0), True, "0"),
    ("TIME(0)", dt.time(12, 34, 56, 0), True, "45296000"),
    ("TIME(3)", dt.time(0, 0, 0, 0), True, "0"),
    ("TIME(3)", dt.time(12, 34, 56, 789000), True, "45296789"),
    ("TIME(3)", dt.time(12, 34, 56, 700000), True, "45296700"),
    ("TIME(3)", dt.time(12, 34, 56, 0), True, "45296000"),
    ("TIME(3)", dt.time(12, 34, 56, 5000), True, "45296005"),
    ("DATE", dt.date(1970, 1, 1), True, "0"),
    ("DATE", dt.date(2024, 5, 14), True, "19857"),
    ("DATE", dt.date(1969, 12, 31), True, "-1"),
    ("DECIMAL(10, 2)", D("1.50"), True, "1.50"),
    ("DECIMAL(10, 2)", D("-0.05"), True, "-0.05"),
    ("DECIMAL(10, 2)", D("0.00"), True, "0.00"),
    ("DECIMAL(20, 10)", D("0.0000000001"), True, "0.0000000001"),
    ("BOOLEAN", True, True, "true"),
    ("BOOLEAN", False, True, "false"),
    ("STRING", "a b", True, "a b"),
    ("STRING", "é", True, "é"),
    ("STRING", "a|b<c>&;,$!@`~+", True, "a|b<c>&;,$!@`~+"),
    ("STRING", "tab\tx", True, "tab%09x"),
    ("STRING", "null", True, "null"),
    ("STRING", "NULL", True, "NULL"),
    ("CHAR(5)", "ab", True, "ab"),
    ("TIMESTAMP(6)", dt.datetime(2024, 1, 1), False, "2024-01-01 00%3A00%3A00.000000"),
    ("TIMESTAMP(6)", dt.datetime(2024, 5, 14, 13, 34, 56, 789000), False, "2024-05-14 13%3A34%3A56.789000"),
    ("TIMESTAMP(6)", dt.datetime(2024, 5, 14, 13, 34, 56, 789120), False, "2024-05-14 13%3A34%3A56.789120"),
    ("TIMESTAMP(6)", dt.datetime(1, 1, 1, 0, 0, 0, 1), False, "0001-01-01 00%3A00%3A00.000001"),
    ("TIMESTAMP(3)", dt.datetime(2024, 1, 1), False, "2024-01-01 00%3A00%3A00.000"),
    ("TIMESTAMP(3)", dt.datetime(2024, 5, 14, 13, 34, 56, 700000), False, "2024-05-14 13%3A34%3A56.700"),
    ("TIMESTAMP(0)", dt.datetime(2024, 1, 1), False, "2024-01-01 00%3A00%3A00"),
    ("TIMESTAMP_LTZ(6)", dt.datetime(2024, 1, 1, tzinfo=dt.UTC), False, "2024-01-01 00%3A00%3A00.000000"),
    (
        "TIMESTAMP_LTZ(6)",
        dt.datetime(2024, 5, 14, 13, 34, 56, 789000, tzinfo=dt.UTC),
        False,
        "2024-05-14 13%3A34%3A56.789000",
    ),
    ("TIMESTAMP(9)", np.datetime64("2024-05-14T13:34:56.700000001"), True, "2024-05-14T13%3A34%3A56.700000001"),
    ("TIMESTAMP(9)", np.datetime64("2024-05-14T13:34:00", "ns"), True, "2024-05-14T13%3A34"),
    ("TIMESTAMP(9)", np.datetime64("2024-05-14T13:34:56.7", "ns"), False, "2024-05-14 13%3A34%3A56.700000000"),
    ("TIME(0)", dt.time(0, 0, 0, 0), False, "00%3A00%3A00"),
    ("TIME(0)", dt.time(12, 34, 56, 0), False, "12%3A34%3A56"),
    ("TIME(3)", dt.time(0, 0, 0, 0), False, "00%3A00%3A00.0"),
    ("TIME(3)", dt.time(12, 34, 56, 789000), False, "12%3A34%3A56.789"),
    ("TIME(3)", dt.time(12, 34, 56, 700000), False, "12%3A34%3A56.7"),
    ("TIME(3)", dt.time(12, 34, 56, 0), False, "12%3A34%3A56.0"),
    ("TIME(3)", dt.time(12, 34, 56, 5000), False, "12%3A34%3A56.005"),
    ("DATE", dt.date(1970, 1, 1), False, "1970-01-01"),
    ("DATE", dt.date(2024, 5, 14), False, "2024-05-14"),
    ("DATE", dt.date(1969, 12, 31), False, "1969-12-31"),
]


@pytest.mark.parametrize(("kind", "value", "legacy", "text"), PATHS)
def test_partition_directories_are_those_of_java(kind: str, value: object, legacy: bool, text: str) -> None:
    paths = TablePaths("/t", legacy_names=legacy, partition_types={"p": parse_type(kind)})
    assert paths.bucket({"p": value}, 3) == f"/t/p={text}/bucket-3"


def test_unpartitioned_and_postponed() -> None:
    paths = TablePaths("/t")
    assert paths.bucket({}, 0) == "/t/bucket-0" and paths.bucket({}, -2) == "/t/bucket-postpone"
    assert paths.partition({"a=b": 1, "c": None}) == "/t/a%3Db=1/c=__DEFAULT_PARTITION__"


Test = Callable[[Any, Any], bool]
TESTS: dict[str, Test] = {
    "=": lambda v, w: v == w,
    "!=": lambda v, w: v != w,
    "<": lambda v, w: v < w,
    "<=": lambda v, w: v <= w,
    ">": lambda v, w: v > w,
    ">=": lambda v, w: v >= w,
}


def both(f: Test, x: Any, g: Test, y: Any) -> Callable[[Any], bool]:
    return lambda v: f(v, x) and g(v, y)


def either(f: Test, x: Any, g: Test, y: Any) -> Callable[[Any], bool]:
    return lambda v: f(v, x) or g(v, y)


def test_a_predicate_that_excludes_has_no_matching_row() -> None:
    rng = np.random.default_rng(5)
    excluded = 0
    for _ in range(300):
        rows = [None if rng.random() < 0.2 else int(rng.integers(0, 8)) for _ in range(int(rng.integers(1, 4)))]
        present = [v for v in rows if v is not None]
        known = (min(present, default=None), max(present, default=None), len(rows) - len(present), len(rows))
        for (a, f), (b, g) in itertools.product(TESTS.items(), repeat=2):
            x, y = int(rng.integers(-1, 9)), int(rng.integers(-1, 9))
            left, right = Comparison(a, "c", (x,)), Comparison(b, "c", (y,))
            for predicate, holds in (
                (And((left, right)), both(f, x, g, y)),
                (Or((left, right)), either(f, x, g, y)),
            ):
                may = may_match(predicate, {"c": known}.get)
                excluded += not may
                assert may or not any(holds(v) for v in present), (predicate, rows)
    assert excluded > 100


def test_nulls_and_unknown_columns() -> None:
    ranges = {"a": (None, None, 3, 3), "b": (1, 5, 0, 3), "c": (1, 5, None, 3)}.get
    assert may_match(Comparison("is null", "a"), ranges) and not may_match(Comparison("is not null", "a"), ranges)
    assert not may_match(Comparison("=", "a", (1,)), ranges)
    assert not may_match(Comparison("is null", "b"), ranges) and may_match(Comparison("is null", "c"), ranges)
    assert may_match(Comparison("=", "nobody knows", (1,)), ranges)
    assert may_match(Comparison("=", "b", ("text",)), ranges)


def test_floats_match_in_whatever_order_an_engine_has() -> None:
    nan = float("nan")
    numbers = [-1.0, -0.0, 0.0, 2.0, nan]
    for low, high in itertools.product(numbers, repeat=2):
        if low > high:
            continue
        for op, holds in TESTS.items():
            for value in numbers:
                may = may_match(Comparison(op, "c", (value,)), {"c": (low, high, 0, 2)}.get)
                # IEEE, where NaN is beside every order, and the total order, where it is the largest and -0.0 < 0.0
                assert may or not (holds(low, value) or holds(high, value)), (op, low, high, value)
                assert may or not (holds(total(low), total(value)) or holds(total(high), total(value)))
    assert not may_match(Comparison("<", "c", (1.0,)), {"c": (2.0, 3.0, 0, 2)}.get)
    assert not may_match(Comparison("=", "c", (5.0,)), {"c": (2.0, 3.0, 0, 2)}.get)


def total(value: float) -> tuple[bool, float, bool]:
    return (value != value, 0.0 if value != value else value, str(value) == "0.0")


def test_equalities_choose_buckets() -> None:
    a, b = Comparison("=", "k", (1,)), Comparison("in", "k", (1, 2))
    assert equalities(And((a, Comparison(">", "v", (5,))))) == {"k": {1}}
    assert equalities(And((a, b))) == {"k": {1}}
    assert equalities(Or((a, b))) == {"k": {1, 2}}
    assert equalities(Or((a, Comparison("=", "v", (1,))))) == {}
