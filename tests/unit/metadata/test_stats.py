"""Statistics bound every value, in the short forms that Java writes."""

import datetime as dt
import decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tsdb.data_types import DataField, arrow_schema, parse_type, to_arrow
from tsdb.errors import OptionError
from tsdb.metadata.data_file import EMPTY_STATS, DataFileMeta, SimpleStats
from tsdb.metadata.schema import TableSchema
from tsdb.metadata.stats import column_ranges, compute_stats

D = decimal.Decimal


def fields(*types: Any) -> tuple[DataField, ...]:
    return tuple(DataField(i, f"c{i}", parse_type(t)) for i, t in enumerate(types))


def ranges(columns: tuple[DataField, ...], stats: SimpleStats, names: tuple[str, ...] | None) -> dict[str, Any]:
    file = DataFileMeta("f", 1, 3, b"", b"", EMPTY_STATS, stats, 0, 0, 0, 0, value_stats_cols=names)
    return dict(column_ranges(file, TableSchema(0, columns)))


def of(kind: str, values: list[Any]) -> Any:
    columns = fields(kind)
    table = pa.table([pa.array(values, to_arrow(columns[0].type))], ["c0"])
    return ranges(columns, *compute_stats(table, columns))["c0"]


LAST = chr(0x10FFFF)
CASES = [
    ("INT", [3, None, -1], (-1, 3, 1)),
    ("STRING", ["b", "a", None], ("a", "b", 1)),
    ("STRING", ["this is a very long text"], ("this is a very l", "this is a very m", 0)),
    ("STRING", ["exactly 16 chars"], ("exactly 16 chars", "exactly 16 chars", 0)),
    ("STRING", ["x" * 15 + LAST + "y"], ("x" * 15 + LAST, "x" * 14 + "y", 0)),
    ("STRING", [LAST * 17], (None, None, 0)),
    ("STRING", ["x" * 15 + "\ud7ff" + "y"], ("x" * 15 + "\ud7ff", "x" * 15 + "\ue000", 0)),
    ("STRING", [None, None], (None, None, 2)),
    ("BYTES", [b"a"], (None, None, 0)),
    ("DOUBLE", [1.5, float("nan")], (None, None, 0)),
    ("DECIMAL(20, 2)", [D("1.50"), D("-7.00")], (D("-7.00"), D("1.50"), 0)),
    ("BOOLEAN", [True, False], (False, True, 0)),
    ("DATE", [dt.date(2024, 1, 1), None], (dt.date(2024, 1, 1), dt.date(2024, 1, 1), 1)),
    ("TIMESTAMP(6)", [dt.datetime(2024, 1, 1, 0, 0, 0, 1)], (dt.datetime(2024, 1, 1, 0, 0, 0, 1),) * 2 + (0,)),
    ("TIMESTAMP(9)", [dt.datetime(2024, 1, 1)], (None, None, 0)),
]


@pytest.mark.parametrize(("kind", "values", "wanted"), CASES)
def test_the_range_of_a_column(kind: str, values: list[Any], wanted: Any) -> None:
    assert of(kind, values) == wanted


def test_times_of_others_in_nanoseconds_bound_nothing() -> None:
    columns = fields("TIMESTAMP(9)")
    other = fields("TIMESTAMP(6)")
    table = pa.table([pa.array([dt.datetime(2024, 1, 1)], pa.timestamp("us"))], ["c0"])
    stats, names = compute_stats(table, other)
    assert ranges(columns, stats, names)["c0"] == (None, None, 0)


def test_cut_texts_still_bound() -> None:
    rng = np.random.default_rng(2)
    alphabet = np.array(["a", "z", "é", "\ud7ff", "\uffff", "😀", LAST])
    for _ in range(200):
        values = ["".join(rng.choice(alphabet, int(rng.integers(0, 20)))) for _ in range(3)]
        low, high, _ = of("STRING", values)
        assert low is None or (low <= min(values) and max(values) <= high and len(low) <= 16 and len(high) <= 16)


def test_only_the_columns_that_have_statistics_are_named() -> None:
    columns = fields("INT", {"type": "ARRAY", "element": "INT"}, "STRING")
    table = pa.Table.from_pylist([{"c0": 1, "c1": [1], "c2": "x"}], arrow_schema(columns))
    stats, names = compute_stats(table, columns)
    assert names == ("c0", "c2") and ranges(columns, stats, names) == {"c0": (1, 1, 0), "c2": ("x", "x", 0)}
    assert compute_stats(table, columns[1:2]) == (EMPTY_STATS, ())
    assert ranges(columns, EMPTY_STATS, ()) == {}
    assert ranges(columns, SimpleStats(bytes(12), bytes(12), None), None) == {}


def test_modes() -> None:
    columns = fields("STRING", "INT")
    table = pa.Table.from_pylist([{"c0": "x" * 20, "c1": 1}, {"c0": None, "c1": 2}], arrow_schema(columns))
    modes = ("none", "counts", "truncate(2)", "FULL")
    of_mode = {m: ranges(columns, *compute_stats(table, columns, mode=m)) for m in modes}
    assert of_mode == {
        "none": {},
        "counts": {"c0": (None, None, 1), "c1": (None, None, 0)},
        "truncate(2)": {"c0": ("xx", "xy", 1), "c1": (1, 2, 0)},
        "FULL": {"c0": ("x" * 20, "x" * 20, 1), "c1": (1, 2, 0)},
    }
    for wrong in ("all", "truncate(0)", "truncate(-1)", ""):
        with pytest.raises(OptionError, match="truncate"):
            compute_stats(table, columns, mode=wrong)
