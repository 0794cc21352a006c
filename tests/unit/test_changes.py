from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tsdb.changes import ChangeBatch, RowKind, consolidate, to_row_kinds

INSERT, UB, UA, D = (k.symbol for k in RowKind)


def changes(rows: list[tuple[Any, ...]], weights: list[int], names: str = "kv") -> ChangeBatch:
    columns = [pa.array([r[i] for r in rows]) for i in range(len(names))]
    return ChangeBatch(pa.Table.from_arrays(columns, names=list(names)), np.array(weights, np.int64))


def kinds_of(batch: ChangeBatch, key: list[str] | None) -> list[tuple[Any, ...]]:
    rows, kinds = to_row_kinds(batch, key)
    assert kinds.dtype == np.int8
    return [(RowKind(k).symbol, *r.values()) for k, r in zip(kinds, rows.to_pylist(), strict=True)]


def test_consolidated_rows_are_distinct_and_weigh_something() -> None:
    random = np.random.default_rng(1)
    for size in (0, 1, 2, 50):
        rows = [(int(k), None if v == 0 else str(v)) for k, v in random.integers(0, 4, (size, 2))]
        weights = random.integers(-1, 2, size).tolist()
        batch = changes(rows, weights)
        net = consolidate(
            ChangeBatch(batch.rows.cast(pa.schema([("k", pa.int64()), ("v", pa.string())])), batch.weights)
        )
        expected: Counter[Any] = Counter()
        for row, weight in zip(rows, weights, strict=True):
            expected[row] += weight
        found = list(zip((tuple(r.values()) for r in net.rows.to_pylist()), net.weights.tolist(), strict=True))
        assert len(found) == len({r for r, _ in found})
        assert dict(found) == {r: w for r, w in expected.items() if w}


@pytest.mark.parametrize(
    ("name", "key", "batch", "expected"),
    [
        ("update", ["k"], changes([(1, 1), (1, 2)], [-1, 1]), [(UB, 1, 1), (UA, 1, 2)]),
        ("update, new row first", ["k"], changes([(1, 2), (1, 1)], [1, -1]), [(UB, 1, 1), (UA, 1, 2)]),
        ("equal rows cancel", ["k"], changes([(1, 1), (1, 1)], [-1, 1]), []),
        ("insert and delete", ["k"], changes([(1, 1), (2, 2)], [1, -1]), [(INSERT, 1, 1), (D, 2, 2)]),
        ("updates keep together", ["k"], changes([(1, 1), (2, 1), (2, 2), (1, 2)], [-1, -1, 1, 1]),
         [(UB, 1, 1), (UA, 1, 2), (UB, 2, 1), (UA, 2, 2)]),
        ("no key", None, changes([(1, 1), (1, 2), (2, 2)], [1, -1, 2]), [(D, 1, 2), (INSERT, 1, 1), (INSERT, 2, 2),
        (INSERT, 2, 2)]), ("null key", ["k"], changes([(None, 1), (None, 2)], [-1, 1]), [(UB, None, 1), (UA, None, 2)]),
        ("more comes than leaves", ["k"], changes([(1, 1), (1, 2), (1, 3)], [-1, 1, 1]),
         [(UB, 1, 1), (UA, 1, 2), (INSERT, 1, 3)]),
        ("empty key", [], changes([(1, 1), (1, 2)], [-1, 1]), [(UB, 1, 1), (UA, 1, 2)]),
        ("nothing", ["k"], changes([], []), []),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)  # fmt: skip
def test_row_kinds(name: str, key: list[str] | None, batch: ChangeBatch, expected: list[tuple[Any, ...]]) -> None:
    assert kinds_of(batch, key) == expected
