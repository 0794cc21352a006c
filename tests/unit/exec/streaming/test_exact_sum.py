import math
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from tsdb.exec.streaming.operators.accumulator import DecimalTotal, FloatTotal, Touched
from tsdb.row_hash import RowGroups


def touched(rows: int) -> Touched:
    groups = RowGroups(np.arange(rows), np.zeros(1, np.int64))
    return Touched([], groups, [], np.zeros(1, np.uint64), np.zeros(1, np.int64))


def float_sum(values: list[float], weights: list[int], *, steps: int = 1) -> float | None:
    total = FloatTotal(average=False)
    total.state = [np.zeros(4, np.int64) for _ in total.state]
    for some, w in zip(np.array_split(values, steps), np.array_split(weights, steps), strict=True):
        if len(some):
            total.add(touched(len(some)), pa.array(some, pa.float64()), w.astype(np.int64))
    result: float | None = total.result(np.zeros(1, np.int64))[0].as_py()
    return result


@pytest.mark.parametrize("spread", [0, 10, 300])
def test_float_sums_are_those_of_fsum(spread: int) -> None:
    random = np.random.default_rng(spread)
    values = (random.standard_normal(500) * 10.0 ** random.integers(-spread, spread + 1, 500)).tolist()
    expected = math.fsum(values)
    assert float_sum(values, [1] * 500, steps=7) == pytest.approx(expected, rel=4e-16, abs=0)


def test_what_is_taken_back_leaves_no_trace() -> None:
    values = [1e300, 0.1, -1e-300, 5e-324, 1e16, 0.1]
    assert float_sum([*values, *values[:-1]], [1] * 6 + [-1] * 5, steps=3) == 0.1
    assert float_sum([0.1, 0.2, 0.1, 0.2], [1, 1, -1, -1]) is None


@pytest.mark.parametrize(
    ("values", "weights", "expected"),
    [
        ([1.0, math.inf], [1, 1], math.inf),
        ([1.0, math.inf, math.inf], [1, 1, -1], 1.0),
        ([math.inf, -math.inf], [1, 1], math.nan),
        ([2.0, math.nan], [1, 1], math.nan),
        ([2.0, math.nan, math.nan], [1, 1, -1], 2.0),
        ([-0.0], [1], 0.0),
        ([-2.5], [3], -7.5),
        ([1.7e308, 1.7e308], [1, 1], math.inf),
    ],
)
def test_special_floats(values: list[float], weights: list[int], expected: float) -> None:
    assert float_sum(values, weights) == pytest.approx(expected, nan_ok=True, rel=0, abs=0)


@pytest.mark.parametrize("average", [False, True])
def test_decimals_are_exact(average: bool) -> None:
    random = np.random.default_rng(5)
    digits, exponents = random.integers(-99, 99, 300), random.integers(0, 25, 300)
    values = [Decimal(int(x)) * Decimal(10) ** int(e) / 100 for x, e in zip(digits, exponents, strict=True)]
    kind = pa.decimal128(38, 6 if average else 2)
    for size in (1, 2, 297):
        some = values[:size]
        total = DecimalTotal(pa.decimal128(30, 2), kind, average=average)
        total.state = [np.zeros(4, np.int64) for _ in total.state]
        total.add(touched(size), pa.array(some, pa.decimal128(30, 2)), np.ones(size, np.int64))
        whole = sum(int(v * 100) for v in some)
        expected = Decimal(abs(whole) * 10_000 // size) / 10**6 if average else Decimal(abs(whole)) / 100
        assert total.result(np.zeros(1, np.int64))[0].as_py() == expected.copy_sign(whole)
