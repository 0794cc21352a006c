"""Words sort as the keys do: compared with Python's own comparison of the values."""

import datetime
import math
import struct
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from tsdb.mergetree.key_order import count_at_most, grouped_order, order_words, stable_order

D = Decimal
CASES = {
    "int": pa.array([5, -3, 2**62, -(2**63), 5, 0], pa.int64()),
    "tinyint": pa.array([5, -3, 127, -128, 5, 0], pa.int8()),
    "wide and narrow": pa.array([2**63 - 1, -(2**63), 0, 1, 2**63 - 1, -1], pa.int64()),
    "double": pa.array([0.0, -0.0, math.inf, -math.inf, 1.5, math.nan], pa.float64()),
    "bool": pa.array([True, False, True, False, True, False]),
    "date": pa.array([datetime.date(2024, 1, d) for d in (3, 2, 3, 1, 5, 4)]),
    "timestamp": pa.array([datetime.datetime(1969, 1, d) for d in (3, 2, 3, 1, 5, 4)], pa.timestamp("us")),
    "time": pa.array([datetime.time(1, d) for d in (3, 2, 3, 1, 5, 4)], pa.time32("ms")),
    "small decimal": pa.array(
        [D("1.50"), D("-2.00"), D("0.01"), D("1.50"), D("-0.01"), D("9.99")], pa.decimal128(10, 2)
    ),
    "big decimal": pa.array([D(10) ** 30, -(D(10) ** 30), D(1), D(-1), D(2) ** 64, D(0)], pa.decimal128(38, 0)),
    "string": pa.array(["user_b", "user_a", "user_a\0", "user_", "user_éa", "user_abcdefghijklm"]),
    "short string": pa.array(["", "a", "\0", "a\0", "a\0\0", "a"]),
    "binary": pa.array([b"\xff", b"\x00", b"", b"\xff\xff", b"\x7f", b"\x80"]),
    "long string": pa.array(["x" * 100 + "b", "x" * 200, "y" * 300, "x" * 100 + "a", "x" * 100, "y" * 299]),
    "with nulls": pa.array([3, None, -5, None, 0, 3]),
    "string with nulls": pa.array(["b", None, "", None, "a", "b"]),
    "date with nulls": pa.array([datetime.date(2024, 1, 1), None, None, datetime.date(1960, 1, 1), None, None]),
    "decimal with nulls": pa.array([D("1.5"), None, D("-2.0"), None, None, D(0)], pa.decimal128(10, 1)),
    "timestamp with nulls": pa.array([None, 5, None, -5, 0, 1], pa.timestamp("ms")),
    "float with nulls": pa.array([None, 1.0, None, -5.0, 0.0, 1.0], pa.float32()),
    "bool with nulls": pa.array([None, True, None, False, None, True]),
}


def comparable(value):
    """A Python value that compares as Paimon compares."""
    if value is None:
        return (0,)
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, float):
        bits = struct.unpack("<q", struct.pack("<d", value))[0]
        value = (math.isnan(value), value if not math.isnan(value) else 0.0, bits >= 0)
    return (1, value)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("other", [None, "int", "short string", "wide and narrow"])
def test_order_of_one_and_two_columns(name, other):
    columns = [CASES[name]] if other is None else [CASES[name], CASES[other]]
    words = order_words([[pa.chunked_array([c]) for c in columns]])[0]
    keys = [tuple(comparable(c[i].as_py()) for c in columns) for i in range(6)]
    assert stable_order(words).tolist() == sorted(range(6), key=lambda i: keys[i])


@pytest.mark.parametrize("kind", ["int", "pair", "string", "wide"])
def test_runs_are_comparable_and_groups_are_the_distinct_keys(kind):
    rng = np.random.default_rng(7)
    runs = []
    for n in (100, 0, 57, 1):
        ids = np.sort(rng.integers(0, 60, n))
        if kind == "int":
            runs.append([pa.chunked_array([pa.array(ids[:50]), pa.array(ids[50:])], pa.int64())])
        elif kind == "wide":
            runs.append(
                [
                    pa.chunked_array(
                        [
                            pa.array(ids - 2**62),
                        ],
                        pa.int64(),
                    ),
                    pa.chunked_array([ids * 2**56]),
                ]
            )
        elif kind == "pair":
            runs.append(
                [pa.chunked_array([ids // 7]), pa.chunked_array([pa.array([f"s{i % 7}" for i in ids], pa.string())])]
            )
        else:
            names = pa.array([f"user_{i:020d}" for i in ids], pa.string())
            runs.append([pa.chunked_array([names[:11], names[11:]])])
    keys = [tuple(c[i].as_py() for c in run) for run in runs for i in range(len(run[0]))]
    words = order_words(runs)
    together = tuple(np.concatenate(parts) for parts in zip(*words, strict=True))
    order, starts = grouped_order(together)
    assert order.tolist() == sorted(range(len(keys)), key=lambda i: keys[i])
    assert [keys[order[s]] for s in starts[:-1]] == sorted(set(keys))
    assert starts[-1] == len(keys)
    for key, position in {keys[i]: i for i in range(len(keys))}.items():
        bound = tuple(int(w[position]) for w in together)
        assert count_at_most(words[0], bound) == sum(k <= key for k in keys[:100])


def test_sliced_columns():
    names = pa.array([f"k{i}" for i in range(20)])[5:15]
    decimals = pa.array([Decimal(i) for i in range(20)], pa.decimal128(20, 0))[5:15]
    for column in (names, decimals):
        words = order_words([[pa.chunked_array([column])]])[0]
        values = column.to_pylist()
        assert stable_order(words).tolist() == sorted(range(10), key=lambda i: values[i])


@pytest.mark.parametrize("spread", [3, 1000, 2**40, 2**62])
@pytest.mark.parametrize("columns", [1, 2, 3])
def test_large_arrays_sort_stably(spread, columns):
    rng = np.random.default_rng(4)
    words = tuple(rng.integers(-spread, spread, 20_000) // (1 + 9 * i) for i in range(columns))
    words = tuple(np.where(np.arange(20_000) % 3 == 0, word[0], word) for word in words)
    assert np.array_equal(stable_order(words), np.lexsort(words[::-1]))
    runs = (np.concatenate([np.sort(words[0][i::4]) for i in range(4)]),)
    assert np.array_equal(stable_order(runs), np.argsort(runs[0], kind="stable"))
