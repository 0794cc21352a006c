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
        found[part.group] = list(
            zip(part.rows["v"].to_numpy()[part.positions].tolist(), kinds[part.positions].tolist(), strict=True)
        )
    assert found == wanted
    assert buffer.drain() == [] and buffer.size_bytes == 0


def test_small_groups_stay_when_the_buffer_is_full():
    buffer = WriteBuffer()
    groups = np.array([7] * 80 + [1, 2, 3] * 5 + [9] * 5, np.int32)
    buffer.add(pa.table({"v": np.arange(100)}), None, groups)
    assert [(part.group, len(part.positions)) for part in buffer.drain(keep_small=True)] == [(7, 80)]
    assert buffer.size_bytes == 20 * 8
    rest = buffer.drain()
    assert {part.group: part.rows["v"].to_numpy()[part.positions].tolist() for part in rest}[2] == [81, 84, 87, 90, 93]
