from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tsdb.row_hash import arrays, equal_rows, group_equal, group_rows, hash_rows

NAN = float("nan")
LONG = "x" * 1000

# type, values of which each is another row
DISTINCT: list[tuple[pa.DataType, list[Any]]] = [
    (pa.int64(), [0, 1, -1, 2**62, None]),
    (pa.uint8(), [0, 1, 255, None]),
    (pa.float64(), [0.0, 1.0, NAN, float("inf"), float("-inf"), None]),
    (pa.float32(), [0.0, 1.5, NAN, None]),
    (pa.bool_(), [True, False, None]),
    (pa.string(), ["", "a", "b", "ab", "ba", "a\0", "12345678", "123456789", LONG, LONG + "y", None]),
    (pa.large_string(), ["", "a", None]),
    (pa.binary(), [b"", b"\0", b"\0\0", b"a", None]),
    (pa.binary(3), [b"abc", b"abd", None]),
    (pa.decimal128(38, 2), [Decimal("0"), Decimal("1.10"), Decimal("-1.10"), Decimal(10) ** 30, None]),
    (pa.decimal256(50, 2), [Decimal("0"), Decimal("1.10"), Decimal(10) ** 40, None]),
    (pa.date32(), [0, 1, None]),
    (pa.timestamp("us", "UTC"), [0, 1, None]),
    (pa.time32("ms"), [0, 1, None]),
    (pa.list_(pa.int64()), [[], [None], [1], [1, 2], [2, 1], [1, None], None]),
    (pa.list_(pa.list_(pa.string())), [[], [[]], [["a"]], [["a"], []], [[], ["a"]], None]),
    (pa.list_(pa.int32(), 2), [[1, 2], [2, 1], [None, 1], None]),
    (pa.struct([("a", pa.int64())]), [{"a": 1}, {"a": None}, None]),
    (pa.struct([("a", pa.int64()), ("b", pa.string())]), [{"a": None, "b": "x"}, {"a": 1, "b": None}, None]),
    (pa.map_(pa.string(), pa.int64()), [[], [("a", 1)], [("a", None)], [("a", 1), ("b", 2)], None]),
    (pa.null(), [None]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "values"), DISTINCT, ids=[str(k) for k, _ in DISTINCT])
def test_equal_rows_and_only_they_are_grouped(kind: pa.DataType, values: list[Any]) -> None:
    repeated = pa.array(values * 3, kind)
    # a slice, so that offsets are not zero
    column = pa.concat_arrays([repeated.slice(1), repeated.slice(0, 1)]).slice(1)
    number = np.array([(i + 2) % len(values) for i in range(len(column))])
    hashes = hash_rows([column], len(column))
    assert len(set(hashes.tolist())) == len(values)
    collided = np.zeros(len(column), np.uint64)
    for groups in (group_rows([column], hashes), group_rows([column], collided), group_equal([column], len(column))):
        ids = groups.ids()
        assert groups.count == len(values)
        assert all((ids[i] == ids[j]) == (number[i] == number[j]) for i in range(len(ids)) for j in range(len(ids)))
    left, right = np.meshgrid(np.arange(len(values)), np.arange(len(values)))
    base = pa.array(values, kind)
    pairs = equal_rows([base.take(pa.array(left.ravel()))], [base.take(pa.array(right.ravel()))], left.size)
    assert (pairs == (left == right).ravel()).all()


def test_long_strings_that_differ_in_the_middle_are_other_rows() -> None:
    words = ["x" * 300 + middle + "y" * 300 for middle in ("a", "b", "a", "", "c")]
    assert (
        group_equal([pa.array(words)], 5).ids().tolist()
        == group_rows([pa.array(words)], hash_rows([pa.array(words)], 5)).ids().tolist()
    )
    assert group_equal([pa.array(words)], 5).count == 4
    assert group_equal([pa.array([], pa.string())], 0).count == 0


def test_zeros_are_equal_but_not_inside_lists() -> None:
    zeros = pa.array([0.0, -0.0])
    assert group_rows([zeros], hash_rows([zeros], 2)).count == 1
    lists = pa.array([[0.0], [-0.0]])
    assert group_rows([lists], hash_rows([lists], 2)).count == 2


def test_layout_does_not_change_the_hash() -> None:
    same = [
        [pa.array(["a", "bc"], t) for t in (pa.string(), pa.large_string(), pa.string_view())]
        + [pa.array(["a", "bc"]).dictionary_encode()],
        [pa.array([1, -5], t) for t in (pa.int8(), pa.int32(), pa.int64())],
    ]
    for columns in same:
        hashes = [hash_rows([c], 2).tolist() for c in columns]
        assert all(h == hashes[0] for h in hashes)


def test_a_hash_does_not_depend_on_its_neighbours() -> None:
    words = [LONG, "a", "", "some longer word"]
    together = hash_rows([pa.array(words)], len(words))
    assert together.tolist() == [int(hash_rows([pa.array([w])], 1)[0]) for w in words]


def test_hashes_are_stable() -> None:
    """They are kept in checkpoints: this test may only change together with the checkpoint format."""
    table = pa.table({"i": [7], "s": ["seven"], "f": [7.5]})
    assert int(hash_rows(arrays(table), 1)[0]) == 13392214339046887685
