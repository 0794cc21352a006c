from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tsdb.changes import ChangeBatch
from tsdb.exec.streaming.operators.group_order import OrderColumn, ordered
from tsdb.exec.streaming.operators.top_rows import TopRows
from tsdb.exec.streaming.row_heap import RowHeap
from tsdb.exec.streaming.state_memory import state_memory

ROWS = pa.schema([("c0", pa.int64()), ("c1", pa.int64()), ("c2", pa.string())])
OUT = pa.schema([*ROWS, pa.field("c3", pa.uint64())])


class Store:
    def __init__(self) -> None:
        self.tables: dict[str, pa.Table] = {}

    def put(self, table: pa.Table) -> str:
        self.tables[f"run{len(self.tables)}"] = table
        return f"run{len(self.tables) - 1}"

    def get(self, name: str) -> pa.Table:
        return self.tables[name]


def table(rows: list[tuple[Any, ...]]) -> pa.Table:
    columns = [list(c) for c in zip(*rows, strict=True)] if rows else [[], [], []]
    return pa.Table.from_arrays([pa.array(c, t) for c, t in zip(columns, ROWS.types, strict=True)], schema=ROWS)


def top(*, grows: bool) -> TopRows:
    return TopRows([0], [OrderColumn(1, False, False)], 2, OUT, grows=grows)


def changes(operator: TopRows, rows: list[tuple[Any, ...]], weights: list[int]) -> list[tuple[Any, ...]]:
    out = operator.step([ChangeBatch(table(rows), np.array(weights, np.int64))])
    columns = [c.to_pylist() for c in out.rows.columns]
    return sorted(zip(out.weights.tolist(), *columns, strict=True))


def test_the_older_of_equal_rows_is_first() -> None:
    operator = top(grows=True)
    assert changes(operator, [(1, 5, "a"), (1, 5, "b"), (1, 5, "c")], [1, 1, 1]) == [
        (1, 1, 5, "a", 1),
        (1, 1, 5, "b", 2),
    ]
    assert changes(operator, [(1, 5, "d")], [1]) == []
    assert changes(operator, [(1, 6, "e")], [1]) == [
        (-1, 1, 5, "a", 1), (-1, 1, 5, "b", 2), (1, 1, 5, "a", 2), (1, 1, 6, "e", 1)
    ]  # fmt: skip
    assert operator.state_size().rows == 2


def test_a_row_that_goes_makes_room_for_one_that_was_put_aside() -> None:
    operator = top(grows=False)
    changes(operator, [(1, 9, "a"), (1, 8, "b"), (1, 7, "c"), (1, 7, "c"), (2, 1, "x")], [1] * 5)
    assert changes(operator, [(1, 8, "b")], [-1]) == [(-1, 1, 8, "b", 2), (1, 1, 7, "c", 2)]
    assert changes(operator, [(1, 7, "c"), (2, 1, "x")], [-1, -1]) == [(-1, 2, 1, "x", 1)]
    assert operator.state_size().rows == 2


def test_a_row_may_go_before_it_comes() -> None:
    operator, store = top(grows=False), Store()
    changes(operator, [(1, 9, "a")], [1])
    assert changes(operator, [(1, 8, "b"), (1, 7, "c")], [-1, 1]) == [(1, 1, 7, "c", 2)]
    again = top(grows=False)
    again.restore(operator.checkpoint(store), store)
    assert changes(again, [(1, 8, "b")], [1]) == []
    assert changes(again, [(1, 8, "b")], [1]) == [(-1, 1, 7, "c", 2), (1, 1, 8, "b", 2)]


@pytest.mark.parametrize("limit_bytes", [None, 1 << 10])
def test_a_heap_gives_its_rows_also_after_a_restart(limit_bytes: int | None) -> None:
    with state_memory(limit_bytes):
        _random_heap()


def _random_heap() -> None:
    heap, store, random = RowHeap(ROWS), Store(), np.random.default_rng(1)
    kept: dict[int, tuple[Any, ...]] = {}
    for step in range(60):
        rows = [(step, i, "x" * 40 * i) for i in range(int(random.integers(0, 9)))]
        kept |= dict(zip(heap.add(table(rows)).tolist(), rows, strict=True))
        gone = random.permutation(list(kept))[: int(random.integers(0, 9))].astype(np.int64)
        heap.free(gone)
        kept = {n: row for n, row in kept.items() if n not in gone}
        some = random.permutation(list(kept))[:20].astype(np.int64)
        assert heap.take(some).to_pydict() == table([kept[n] for n in some]).to_pydict()
        assert heap.take(some, [2]).column(0).to_pylist() == [kept[n][2] for n in some]
        if step % 9 == 0:
            names, heap = heap.checkpoint(store), RowHeap(ROWS)
            heap.restore(names, store, np.array(list(kept), np.int64))
        assert heap.rows == len(kept)
        assert heap.largest_bytes <= 1 << 10 or heap._memory is None
    numbers, _ = heap.everything([0])
    assert numbers.tolist() == sorted(kept)


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("nulls_first", [True, False])
def test_rows_are_ordered_as_python_does(ascending: bool, nulls_first: bool) -> None:
    random = np.random.default_rng(3)
    groups = random.integers(0, 4, 300)
    columns: list[list[Any]] = [
        [None if x == 0 else float(x - 3) for x in random.integers(0, 6, 300)],
        [None if x == 0 else "abcde"[x - 1] * int(x) for x in random.integers(0, 6, 300)],
        [None if x == 0 else int(x) << 60 for x in random.integers(-7, 7, 300)],
    ]
    made = [pa.array(columns[0]), pa.array(columns[1]), pa.array(columns[2], pa.int64())]
    order = [OrderColumn(i, ascending, nulls_first) for i in range(3)]
    result = ordered(groups, order, lambda column, rows: made[column].take(pa.array(rows)))
    expected = list(range(300))
    for values in reversed(columns):
        known = sorted((i for i in expected if values[i] is not None), key=lambda i: values[i], reverse=not ascending)
        nulls = [i for i in expected if values[i] is None]
        expected = nulls + known if nulls_first else known + nulls
    expected.sort(key=lambda i: groups[i])
    assert result.tolist() == expected
