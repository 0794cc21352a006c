"""What was written is what is read: random commits against a Python fold, merged by tsdb's own reader."""

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.table.tables import fold, make_table
from tsdb.table.commit import commit
from tsdb.table.compact import compact
from tsdb.table.read import read_table
from tsdb.table.scan import plan_scan
from tsdb.table.write import TableWriter

COLUMNS = {
    "p": "DATE NOT NULL",
    "k": "STRING NOT NULL",
    "n": "INT NOT NULL",
    "s": "TIMESTAMP(3)",
    "v": "DECIMAL(20, 2)",
    "t": "TIMESTAMP(9)",
}


def random_rows(rng, n):
    return pa.table(
        {
            "p": pa.array(rng.integers(19_000, 19_003, n), pa.int32()).cast(pa.date32()),
            "k": pa.array([f"user_{'é' * (i % 7)}{i}" for i in rng.integers(0, 30, n)], pa.string()),
            "n": pa.array(rng.integers(-3, 3, n), pa.int32()),
            "s": pa.array([None if i == 0 else int(i) for i in rng.integers(0, 20, n)], pa.timestamp("ms")),
            "v": pa.array(rng.integers(-9, 9, n)).cast(pa.decimal128(38, 2)).cast(pa.decimal128(20, 2)),
            "t": pa.array(rng.integers(-(10**18), 10**18, n) // 1000 * 1000, pa.timestamp("ns")),
        }
    )


@pytest.mark.parametrize("partition_keys", [(), ("p",)])
@pytest.mark.parametrize(
    "options", [{}, {"sequence.field": "s"}, {"ignore-delete": "true"}, {"data-file.thin-mode": "true"}]
)
def test_reading_is_the_fold_of_what_was_written(tmp_path, partition_keys, options):
    key = ("p", "k", "n")
    table = make_table(tmp_path, COLUMNS, key, partition_keys, {"bucket": "2", "write-buffer-size": "4 kb"} | options)
    rng = np.random.default_rng(8)
    given: list[dict] = []
    writers = [TableWriter(table, user=f"u{i}") for i in range(2)]
    for step in range(9):
        n = int(rng.integers(0, 120))
        kinds = rng.choice([0, 2] if "sequence.field" in options else [0, 2, 3, 1], n).astype(np.int8)
        rows, writer = random_rows(rng, n), int(rng.integers(0, 2))
        writers[writer].write(rows, kinds)
        commit(table, writers[writer].prepare_commit(), user=f"u{writer}", identifier=step)
        given += [r | {"kind": int(k)} for r, k in zip(rows.to_pylist(), kinds, strict=True)]
        assert state(table) == wanted(given, key, options), step
    compact(table, user="c")
    assert state(table) == wanted(given, key, options)


def state(table):
    return sorted(map(str, read_table(table, plan_scan(table, table.latest_snapshot())).to_pylist()))


def wanted(given, key, options):
    if "ignore-delete" in options:
        given = [row for row in given if row["kind"] in (0, 2)]
    field = options.get("sequence.field")
    epoch = [row | {"order": row[field].timestamp() + 1 if field and row[field] else None} for row in given]
    left = fold(epoch, key, "order" if field else None).values()
    return sorted(str({k: v for k, v in row.items() if k in COLUMNS}) for row in left if row["kind"] in (0, 2))
