"""DataFusion scans the files of a primary-key table itself; the rows are those of the merge."""

import random

import numpy as np
import pyarrow as pa
import pytest

import tsdb
from tsdb.catalog.filesystem import FileSystemCatalog
from tsdb.fs.local import LocalFileIO
from tsdb.table.live_rows import flags_by_number, live_files, may_have_live_files
from tsdb.table.scan import plan_scan
from tsdb.table.table import Identifier

VARIANTS = {
    "plain": "",
    "vectors": ", 'deletion-vectors.enabled' = 'true'",
    "first-row": ", 'merge-engine' = 'first-row'",
    "sequence-field": ", 'sequence.field' = 'v'",
    "uncompacted": ", 'write-only' = 'true'",
}


def _table(warehouse):
    return FileSystemCatalog(LocalFileIO(), str(warehouse)).get_table(Identifier("default", "t"))


def _files(warehouse):
    table = _table(warehouse)
    plan = plan_scan(table, table.latest_snapshot())
    return live_files(table, plan) if may_have_live_files(table, plan) else None


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_random_upserts_and_deletes(tmp_path, options):
    rng = random.Random(options)
    want: dict[int, tuple[int, str | None]] = {}
    keeps_first, by_value, seen = "first-row" in options, "sequence.field" in options, 0
    with tsdb.connect(tmp_path) as con:
        con.execute(
            f"CREATE TABLE t (k INT, v INT, s STRING, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '2'{options})"
        )
        for _ in range(8):
            rows = {k: (rng.randrange(1000), rng.choice(["a", None, "z"])) for k in rng.sample(range(60), 25)}
            listed = [(k, v, s) for k, (v, s) in rows.items()]
            con.executemany("INSERT INTO t VALUES (?, ?, ?)", listed)
            for k, row in rows.items():
                if k in want and (keeps_first or (by_value and want[k][0] > row[0])):
                    continue
                want[k] = row
            if not keeps_first and not by_value and rng.random() < 0.5:
                gone = rng.randrange(60)
                con.execute("DELETE FROM t WHERE k = ?", (gone,))
                want.pop(gone, None)
            got = con.execute("SELECT k, v, s FROM t ORDER BY k").fetchall()
            assert got == [(k, *want[k]) for k in sorted(want)]
            assert con.execute("SELECT a.k, a.v, b.s FROM t AS a JOIN t AS b USING (k) ORDER BY 1").fetchall() == got
            low = rng.randrange(1000)
            few = con.execute(
                f"SELECT count(*), max(t.v) FROM t JOIN t AS o USING (k) WHERE t.v >= {low} AND o.s IS NOT NULL"
            ).fetchall()
            fit = [v for v, s in want.values() if v >= low and s is not None]
            assert few == [(len(fit), max(fit, default=None))]
            seen += _files(tmp_path) is not None
    assert seen or keeps_first  # whose rows above level 0 need no merging


def test_numbers_that_do_not_tell():
    """Writers that did not see each other may give one number twice."""
    live = np.array([True, False, True])
    assert flags_by_number(np.array([7, 8, 9]), live).tolist() == [True, False, True]
    assert flags_by_number(np.array([7, 8, 7]), live).tolist() == [True, False]
    assert flags_by_number(np.array([7, 7, 9]), live) is None
    assert flags_by_number(np.array([7, 8, 900]), live) is None


def test_join_sides_and_explain(tmp_path):
    """The smaller table is the side that is kept in memory, and EXPLAIN says how the rows come."""
    with tsdb.connect(tmp_path) as con:
        for name, rows in (("small", 10), ("large", 5000)):
            con.execute(f"CREATE TABLE {name} (k INT, v INT, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '1')")
            con.register(
                "i", pa.table({"k": pa.array(range(rows), pa.int32()), "v": pa.array(range(rows), pa.int32())})
            )
            con.execute(f"INSERT INTO {name} SELECT * FROM i")
            con.execute(f"INSERT INTO {name} VALUES (3, 7)")
        text = con.execute("EXPLAIN ANALYZE SELECT count(*) FROM large JOIN small ON large.k = small.k").fetchone()[0]
        lines = text.splitlines()
        join = next(i for i, line in enumerate(lines) if "HashJoin" in line)
        first_scan = next(line for line in lines[join:] if "DataSourceExec" in line)
        assert "default.db/small/" in first_scan
        assert "large: table default.large" in text and "live rows of Parquet" in text
