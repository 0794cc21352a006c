"""Partition directories are those of Java; predicates never exclude what may match."""

import datetime as dt
import decimal
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tsdb.metadata.paths import TablePaths
from tsdb.metadata.predicate import And, Comparison, Or, equalities, may_match

PATHS = [
    ("x/y:z=1 %{}", True, "x%2Fy%3Az%3D1 %25%7B%7D"),
    (None, True, "__DEFAULT_PARTITION__"),
    ("", True, "__DEFAULT_PARTITION__"),
    ("  ", True, "__DEFAULT_PARTITION__"),
    (True, True, "true"),
    (-7, True, "-7"),
    (1.5e10, True, "1.5E10"),
    (0.5, True, "0.5"),
    (1e7, True, "1.0E7"),
    (decimal.Decimal("1.50"), True, "1.50"),
    (dt.date(2024, 5, 14), True, "19857"),
    (dt.date(2024, 5, 14), False, "2024-05-14"),
    (dt.time(12, 34, 56, 789000), True, "45296789"),
    (dt.datetime(2024, 5, 14, 13, 34, 56, 789000), True, "2024-05-14T13%3A34%3A56.789"),
    (dt.datetime(2024, 5, 14, 13, 34), True, "2024-05-14T13%3A34"),
    (dt.datetime(2024, 5, 14, 13, 34, 56, 789120), False, "2024-05-14 13%3A34%3A56.789120"),
]


@pytest.mark.parametrize(("value", "legacy", "text"), PATHS)
def test_partition_directories(value: object, legacy: bool, text: str) -> None:
    paths = TablePaths("/t", legacy_names=legacy)
    assert paths.bucket({"p": value}, 3) == f"/t/p={text}/bucket-3"


Test = Callable[[Any, Any], bool]


def both(f: Test, x: Any, g: Test, y: Any) -> Callable[[Any], bool]:
    return lambda v: f(v, x) and g(v, y)


def either(f: Test, x: Any, g: Test, y: Any) -> Callable[[Any], bool]:
    return lambda v: f(v, x) or g(v, y)


def test_a_predicate_that_excludes_has_no_matching_row() -> None:
    rng = np.random.default_rng(5)
    tests: dict[str, Test] = {
        "=": lambda v, w: v == w,
        "!=": lambda v, w: v != w,
        "<": lambda v, w: v < w,
        "<=": lambda v, w: v <= w,
        ">": lambda v, w: v > w,
        ">=": lambda v, w: v >= w,
    }
    excluded = 0
    for _ in range(300):
        rows = [None if rng.random() < 0.2 else int(rng.integers(0, 8)) for _ in range(int(rng.integers(1, 4)))]
        present = [v for v in rows if v is not None]
        known = (min(present, default=None), max(present, default=None), len(rows) - len(present), len(rows))
        for (a, f), (b, g) in itertools.product(tests.items(), repeat=2):
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


def test_equalities_choose_buckets() -> None:
    a, b = Comparison("=", "k", (1,)), Comparison("in", "k", (1, 2))
    assert equalities(And((a, Comparison(">", "v", (5,))))) == {"k": {1}}
    assert equalities(And((a, b))) == {"k": {1}}
    assert equalities(Or((a, b))) == {"k": {1, 2}}
    assert equalities(Or((a, Comparison("=", "v", (1,))))) == {}
