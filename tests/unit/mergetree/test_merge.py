"""`live_masks` and `merge_steps` against a Python fold over random runs."""

import numpy as np
import pyarrow as pa
import pytest

import tsdb.mergetree.merge as merge
from tests.unit.mergetree.files import MemoryFiles, fold, rows_table
from tsdb.data_types import parse_type
from tsdb.errors import CorruptFile
from tsdb.mergetree.merge import MaskCache, MergeSpec, live_masks, merge_steps
from tsdb.mergetree.sorted_run import key_ranges

LONG, TEXT = parse_type("BIGINT NOT NULL"), parse_type("STRING NOT NULL")
KEYS = {
    "bigint": (("k",), (LONG,), lambda i: {"k": pa.array(i, pa.int64())}),
    "string": (("k",), (TEXT,), lambda i: {"k": pa.array([f"user_{'x' * (v % 5)}{v}" for v in i], pa.string())}),
    "two": (
        ("k", "n"),
        (LONG, TEXT),
        lambda i: {"k": pa.array(i // 4, pa.int64()), "n": pa.array([f"n{v % 4}" for v in i], pa.string())},
    ),
    "long": (("k",), (TEXT,), lambda i: {"k": pa.array([f"{'y' * (v % 90)}{v}" for v in i], pa.string())}),
}


def random_bucket(rng, kind, *, overlapping_sequences=False):
    """A bucket of up to five runs, level 2 in several files, and all its rows as Python dicts."""
    key, types, columns = KEYS[kind]
    files, metas, rows, sequence = MemoryFiles(), [], [], 0
    for run in range(int(rng.integers(1, 6))):
        ids = np.unique(rng.integers(0, 60, int(rng.integers(1, 50))))
        n = len(ids)
        numbers = np.arange(sequence, sequence + n)
        if overlapping_sequences:
            numbers = rng.permutation(np.arange(run, run + 5 * n, 5))
        sequence += n
        table = rows_table(
            {
                **columns(ids),
                "s": pa.array([None if v == 9 else int(v) for v in rng.integers(0, 10, n)], pa.int64()),
                "v": rng.integers(0, 99, n),
            },
            numbers,
            rng.choice([0, 0, 2, 3, 1] if run % 2 else [0], n),
        )
        if run == 0:
            table = table.sort_by([(k, "ascending") for k in key])
            for start in range(0, n, 10):
                metas.append(files.add(f"old{start}", table.slice(start, 10), key, types, 2))
        else:
            metas.append(files.add(f"new{run}", table, key, types, 0))
        rows += table.to_pylist()
    return files, metas, rows


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    monkeypatch.setattr(merge, "_STEP_ROWS", 13)


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sequence_fields": ("s",)},
        {"sequence_fields": ("s",), "sequence_descending": True},
        {"ignore_delete": True},
    ],
)
@pytest.mark.parametrize("overlapping", [False, True])
def test_masks_are_the_fold(kind, options, overlapping):
    key, types, _ = KEYS[kind]
    for seed in range(12):
        files, metas, rows = random_bucket(np.random.default_rng(seed), kind, overlapping_sequences=overlapping)
        spec = MergeSpec(key, **options)
        masks = live_masks(metas, spec, key_ranges(types), files.read, MaskCache(1 << 20))
        live = [
            row
            for meta in metas
            for row, lives in zip(
                files.tables[meta.file_name].to_pylist(), _all_or(masks[meta.file_name], meta.row_count), strict=True
            )
            if lives
        ]
        wanted = fold(
            rows,
            key,
            options.get("sequence_fields", (None,))[0],
            options.get("ignore_delete", False),
            options.get("sequence_descending", False),
        )
        assert sorted(map(str, live)) == sorted(str(r) for r in wanted.values() if r["_VALUE_KIND"] in (0, 2)), seed


def _all_or(mask, count):
    return [True] * count if mask is None else mask.tolist()


@pytest.mark.parametrize("kind", KEYS)
def test_steps_give_the_survivors_in_key_order(kind):
    key = KEYS[kind][0]
    files, metas, rows = random_bucket(np.random.default_rng(3), kind)
    by_level = sorted(metas, key=lambda f: f.min_sequence_number)
    runs = [iter([b for f in by_level if f.level == 2 for b in files.tables[f.file_name].to_batches()])]
    runs += [iter(files.tables[f.file_name].to_batches(max_chunksize=5)) for f in by_level if f.level == 0]
    runs.append(iter([]))
    merged = []
    for step in merge_steps(runs, MergeSpec(key), by_sequence_number=False, step_rows=13):
        merged += pa.concat_tables(step.rows).take(step.survivors).to_pylist()
    wanted = fold(rows, key)
    assert merged == [wanted[k] for k in sorted(wanted)]


def test_files_that_overlap_nothing_are_not_read():
    files = MemoryFiles()
    metas = [
        files.add(
            f"f{i}",
            rows_table({"k": np.arange(10 * i, 10 * i + 9)}, np.arange(10 * i, 10 * i + 9), [0] * 9),
            ("k",),
            (LONG,),
            0,
        )
        for i in range(4)
    ]
    assert live_masks(metas, MergeSpec(("k",)), key_ranges((LONG,)), files.read, MaskCache(1000)) == dict.fromkeys(
        files.tables
    )
    assert files.reads == 0


def test_masks_are_kept_and_forgotten():
    files = MemoryFiles()
    metas = [
        files.add(f"f{i}", rows_table({"k": np.arange(9)}, np.arange(9) + 9 * i, [0] * 9), ("k",), (LONG,), 0)
        for i in range(2)
    ]
    cache = MaskCache(1000)
    first = live_masks(metas, MergeSpec(("k",)), key_ranges((LONG,)), files.read, cache)
    again = live_masks(metas, MergeSpec(("k",)), key_ranges((LONG,)), files.read, cache)
    assert files.reads == 2 and again["f1"] is None and not first["f0"].any() and not again["f0"].any()
    for i in range(20):
        cache.put((MergeSpec(("k",)), (str(i),)), {"x": None})
    live_masks(metas, MergeSpec(("k",)), key_ranges((LONG,)), files.read, cache)
    assert files.reads == 4


def test_an_unsorted_run_is_refused():
    table = rows_table({"k": [3, 1, 2]}, [1, 2, 3], [0, 0, 0])
    with pytest.raises(CorruptFile, match="order of its key"):
        list(merge_steps([iter(table.to_batches())], MergeSpec(("k",)), by_sequence_number=False))
