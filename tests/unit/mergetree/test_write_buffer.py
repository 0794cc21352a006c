"""The write buffer gives back every row once, each group in order of arrival."""

import numpy as np
import pyarrow as pa
import pytest

from tsdb.mergetree.write_buffer import WriteBuffer


@pytest.mark.parametrize("groups_max", [1, 3, 50, 100_000])
@pytest.mark.parametrize("with_kinds", [False, True])
def test_drain_gives_each_row_once_in_order(groups_max, with_kinds):
    rng = np.random.default_rng(groups_max)
    buffer, wanted = WriteBuffer(), {}
    for batch in range(4):
        n = int(rng.integers(0, 200))
        groups = rng.integers(0, groups_max, n).astype(np.int32)
        values = np.arange(n) + 1000 * batch
        kinds = rng.integers(0, 4, n).astype(np.int8) if with_kinds and batch % 2 else None
        buffer.add(pa.table({"v": values}), kinds, groups)
        for i in range(n):
            wanted.setdefault(int(groups[i]), []).append((int(values[i]), 0 if kinds is None else int(kinds[i])))
    found = {}
    for part in buffer.drain():
        kinds = np.zeros(part.rows.num_rows, np.int8) if part.kinds is None else part.kinds
        assert part.group not in found
        found[part.group] = list(zip(part.rows["v"].to_pylist(), kinds.tolist(), strict=True))
    assert found == wanted
    assert buffer.drain() == [] and buffer.size_bytes == 0


def test_small_groups_stay_when_the_buffer_is_full():
    buffer = WriteBuffer()
    groups = np.array([7] * 80 + [1, 2, 3] * 5 + [9] * 5, np.int32)
    buffer.add(pa.table({"v": np.arange(100)}), None, groups)
    assert [(part.group, part.rows.num_rows) for part in buffer.drain(keep_small=True)] == [(7, 80)]
    assert buffer.size_bytes == 20 * 8
    rest = buffer.drain()
    assert {part.group: part.rows["v"].to_pylist() for part in rest}[2] == [81, 84, 87, 90, 93]


@pytest.mark.parametrize("kind", [pa.int64(), pa.string(), pa.float64(), pa.binary(3), pa.date32()], ids=str)
@pytest.mark.parametrize("groups_max", [1, 5, 3000])
def test_rows_may_change_places_but_those_of_a_key_do_not(kind, groups_max):
    rng = np.random.default_rng(groups_max)
    count = 200_000
    numbers = rng.integers(-500, 500, count)
    keys = _keys(numbers, kind)
    rows = pa.table({"v": np.arange(count), "k": keys})
    groups = (numbers % groups_max).astype(np.int32)
    kinds = rng.integers(0, 4, count).astype(np.int8)
    buffer = WriteBuffer("k")
    for start in (0, 10, 70_000, 150_000):
        end = {0: 10, 10: 70_000, 70_000: 150_000}.get(start, count)
        buffer.add(rows.slice(start, end - start), kinds[start:end], groups[start:end])
    seen = 0
    for part in buffer.drain():
        values = part.rows["v"].to_numpy()
        assert (groups[values] == part.group).all() and (part.kinds == kinds[values]).all()
        assert part.rows["k"].combine_chunks().equals(keys.take(pa.array(values)))
        order = np.lexsort((np.arange(len(values)), numbers[values]))
        assert (np.diff(values[order])[np.diff(numbers[values][order]) == 0] > 0).all()
        for some in np.array_split(order, 3):
            if len(some):
                assert part.take(some)["v"].to_pylist() == values[some].tolist()
        seen += len(values)
    assert seen == count


def _keys(numbers, kind):
    if pa.types.is_string(kind):
        return pa.array([f"key of {n}" for n in numbers.tolist()])
    if pa.types.is_fixed_size_binary(kind):
        return pa.array([str(abs(n)).zfill(3).encode() for n in numbers.tolist()], kind)
    return pa.array(numbers.astype(np.int32) if pa.types.is_date32(kind) else numbers).cast(kind)
