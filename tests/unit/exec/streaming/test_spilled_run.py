"""Arrangements within a budget: what is in files is found, merged, forgotten and stored like what is in memory."""

import itertools
import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tsdb.changes import ChangeBatch
from tsdb.errors import CorruptFile
from tsdb.exec.streaming.arrangement import Arrangement
from tsdb.exec.streaming.run_store import WarehouseRunStore
from tsdb.exec.streaming.spilled_run import SpilledRun
from tsdb.exec.streaming.state_memory import StateMemory, sharing, state_memory
from tsdb.fs import LocalFileIO
from tsdb.row_hash import hash_rows

SCHEMA = pa.schema([("c0", pa.int64()), ("c1", pa.string())])


def delta(keys: np.ndarray, weight: int = 1) -> ChangeBatch:
    rows = pa.table({"c0": pa.array(keys), "c1": pa.array([f"v{k % 7}" for k in keys.tolist()])}, SCHEMA)
    return ChangeBatch(rows, np.full(len(keys), weight, np.int64))


def found(arrangement: Arrangement, keys: list[Any]) -> Counter[Any]:
    probe = [pa.array(keys, pa.int64())]
    matches = arrangement.lookup(probe, hash_rows(probe, len(keys)))
    result: Counter[Any] = Counter()
    for at, row, weight in zip(matches.probe, matches.rows.to_pylist(), matches.weights, strict=True):
        assert row["c0"] == keys[at]
        result[tuple(row.values())] += int(weight)
    return Counter({row: n for row, n in result.items() if n})


def rows_of(changes: ChangeBatch) -> Counter[Any]:
    return Counter({tuple(r.values()): int(w) for r, w in zip(changes.rows.to_pylist(), changes.weights, strict=True)})


@pytest.mark.parametrize("limit_bytes", [1, 20_000])
def test_random_changes_are_found_again(limit_bytes: int) -> None:
    random, expected = np.random.default_rng(3), Counter[Any]()
    with state_memory(limit_bytes):
        arrangement = Arrangement(SCHEMA, [0])
    for _ in range(40):
        keys = random.integers(0, 300, 90)
        weight = int(random.choice([1, 1, -1]))
        arrangement.insert(delta(keys, weight))
        for key in keys.tolist():
            expected[key, f"v{key % 7}"] += weight
    expected = Counter({row: n for row, n in expected.items() if n})
    assert any(isinstance(run, SpilledRun) for run in arrangement._runs)
    assert found(arrangement, list(range(310))) == expected
    assert found(arrangement, list(range(309, -1, -1))) == expected
    assert rows_of(arrangement.everything()) == expected


def test_a_run_of_many_blocks_is_cut_between_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsdb.exec.streaming.spilled_run._BLOCK_ROWS", 16)
    with state_memory(1):
        arrangement = Arrangement(SCHEMA, [0])
    arrangement.insert(delta(np.arange(1000) % 200))
    arrangement.insert(delta(np.arange(100, 900)))
    assert arrangement.everything().num_rows == 900
    (run,) = arrangement._runs
    assert isinstance(run, SpilledRun) and len(run.blocks) > 10
    ends = [(block.hashes[0], block.hashes[-1]) for block in run.blocks]
    assert all(a[1] < b[0] for a, b in itertools.pairwise(ends))
    assert found(arrangement, list(range(1000))) == Counter(
        {(k, f"v{k % 7}"): 5 * (k < 200) + (100 <= k < 900) for k in range(900)}
    )


def test_the_budget_of_a_dataflow_is_kept() -> None:
    memory = StateMemory(200_000)
    with sharing(memory):
        some = [Arrangement(SCHEMA, [0]) for _ in range(3)]
    for step in range(30):
        for arrangement in some:
            arrangement.insert(delta(np.arange(step * 1000, step * 1000 + 1000)))
            assert sum(a._held_bytes() for a in some) <= memory.limit_bytes
    assert all(a.rows == 30_000 for a in some)


def test_files_of_spilled_runs_have_no_name() -> None:
    before = {name for name in os.listdir(tempfile.gettempdir()) if name.startswith("tsdb-state-")}
    with state_memory(1):
        arrangement = Arrangement(SCHEMA, [0])
    arrangement.insert(delta(np.arange(1000)))
    after = {name for name in os.listdir(tempfile.gettempdir()) if name.startswith("tsdb-state-")}
    assert arrangement.rows == 1000 and after <= before


def test_a_checkpoint_puts_only_new_runs_and_is_opened_where_it_lies(tmp_path: Path) -> None:
    store = WarehouseRunStore(LocalFileIO(), str(tmp_path), 1)
    with state_memory(1):
        arrangement, again = Arrangement(SCHEMA, [0]), Arrangement(SCHEMA, [0])
    arrangement.insert(delta(np.arange(1000)))
    first = arrangement.checkpoint(store)
    arrangement.insert(delta(np.arange(1000, 1200)))
    second = arrangement.checkpoint(store)
    assert first == second[:1] and len(second) == 2
    again.restore(second, store)
    assert [type(run) for run in again._runs] == [SpilledRun, SpilledRun]
    assert again.checkpoint(store) == second
    again.insert(delta(np.arange(1200), -1))
    assert not found(again, list(range(1200)))


def test_a_state_file_cut_short_says_so(tmp_path: Path) -> None:
    store = WarehouseRunStore(LocalFileIO(), str(tmp_path), 1)
    with state_memory(1):
        arrangement = Arrangement(SCHEMA, [0])
    arrangement.insert(delta(np.arange(1000)))
    (name,) = arrangement.checkpoint(store)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CorruptFile, match="DROP JOB"):
        store.get(name)
    path.unlink()
    with pytest.raises(CorruptFile, match=name):
        store.get(name)
