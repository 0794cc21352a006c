from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tsdb.changes import ChangeBatch
from tsdb.exec.streaming.arrangement import Arrangement
from tsdb.exec.streaming.run import Run
from tsdb.row_hash import hash_rows

SCHEMA = pa.schema([("c0", pa.int64()), ("c1", pa.string())])


def delta(rows: list[tuple[Any, Any]], weights: list[int]) -> ChangeBatch:
    columns = [pa.array([r[i] for r in rows], t) for i, t in enumerate(SCHEMA.types)]
    return ChangeBatch(pa.Table.from_arrays(columns, schema=SCHEMA), np.array(weights, np.int64))


def found(arrangement: Arrangement, keys: list[Any]) -> dict[Any, Counter[Any]]:
    probe = [pa.array(keys, pa.int64())]
    matches = arrangement.lookup(probe, hash_rows(probe, len(keys)))
    result: dict[Any, Counter[Any]] = {k: Counter() for k in keys}
    for at, row, weight in zip(matches.probe, matches.rows.to_pylist(), matches.weights, strict=True):
        result[keys[at]][tuple(row.values())] += int(weight)
    return {k: +rows for k, rows in result.items()}


class CountingStore:
    def __init__(self) -> None:
        self.tables: list[pa.Table] = []

    def put(self, table: pa.Table) -> str:
        self.tables.append(table)
        return str(len(self.tables) - 1)

    def get(self, name: str) -> pa.Table:
        return self.tables[int(name)]


def test_lookups_after_random_changes() -> None:
    random = np.random.default_rng(1)
    arrangement, expected = Arrangement(SCHEMA, [0]), Counter[Any]()
    for _ in range(60):
        rows = [(None if k == 9 else int(k), str(v)) for k, v in random.integers(0, 10, (20, 2))]
        weights = []
        for row in rows:
            weight = -1 if expected[row] > 0 and random.random() < 0.6 else 1
            expected[row] += weight
            weights.append(weight)
        arrangement.insert(delta(rows, weights))
    by_key = {k: Counter({r: n for r, n in expected.items() if r[0] == k and n}) for k in [None, *range(12)]}
    assert found(arrangement, [None, *range(12)]) == by_key
    assert arrangement.rows <= 2 * len(+expected) + 40
    everything = arrangement.everything()
    assert len(everything.weights) == len(+expected)


def test_what_cancels_is_forgotten() -> None:
    arrangement = Arrangement(SCHEMA, [0])
    rows = [(i, "x") for i in range(100)]
    arrangement.insert(delta(rows, [1] * 100))
    arrangement.insert(delta(rows, [-1] * 100))
    assert arrangement.state_size().rows == arrangement.state_size().size_bytes == 0


def test_without_a_key_everything_is_found() -> None:
    arrangement = Arrangement(SCHEMA, [])
    arrangement.insert(delta([(1, "a"), (2, "b")], [1, 2]))
    matches = arrangement.lookup([], hash_rows([], 1))
    assert sorted(matches.weights.tolist()) == [1, 2]


def test_colliding_hashes_find_only_their_key() -> None:
    rows = delta([(1, "a"), (2, "b"), (None, "c")], [1, 1, 1])
    zeros = np.zeros(3, np.uint64)
    arrangement = Arrangement(SCHEMA, [0])
    arrangement._runs = [Run(zeros, zeros, rows.weights, rows.rows, widest=3)]
    matches = arrangement.lookup([pa.array([2, None, 5])], zeros)
    assert list(zip(matches.probe, matches.rows.column("c1").to_pylist(), strict=True)) == [(0, "b"), (1, "c")]


def test_a_checkpoint_puts_only_new_runs() -> None:
    store, arrangement = CountingStore(), Arrangement(SCHEMA, [0])
    arrangement.insert(delta([(i, "x") for i in range(1000)], [1] * 1000))
    first = arrangement.checkpoint(store)
    arrangement.insert(delta([(5000, "y")], [1]))
    second = arrangement.checkpoint(store)
    assert len(store.tables) == 2 and set(first) < set(second)
    assert arrangement.checkpoint(store) == second and len(store.tables) == 2
    restored = Arrangement(SCHEMA, [0])
    restored.restore(second, store)
    assert found(restored, [5, 5000, 7777]) == found(arrangement, [5, 5000, 7777])
    assert restored.checkpoint(store) == second and len(store.tables) == 2


def test_long_runs_are_found_by_their_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsdb.exec.streaming.run.INDEXED_ROWS", 4)
    test_lookups_after_random_changes()
    probe = [pa.array([1, 2, None], pa.int64())]
    arrangement = Arrangement(SCHEMA, [0])
    arrangement.insert(delta([(1, "a"), (1, "b"), (1, "c"), (None, "d"), (3, "e")], [2, 1, 1, 1, 1]))
    hashes = hash_rows(probe, 3)
    assert arrangement.weigh(probe, hashes).tolist() == [4, 0, 1]
    assert arrangement.fan_out(hashes).tolist() == [3, 0, 1]
