"""What lies between two snapshots: as Paimon Java prints it, and against the difference of two batch reads."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.table.tables import make_table
from tsdb.catalog.filesystem import FileSystemCatalog
from tsdb.changes import RowKind
from tsdb.errors import OperationalError, OptionError
from tsdb.fs.local import LocalFileIO
from tsdb.metadata.predicate import Comparison
from tsdb.table.commit import Overwrite, commit
from tsdb.table.compact import compact
from tsdb.table.incremental import between, incremental_parts
from tsdb.table.read import read_table
from tsdb.table.scan import plan_scan
from tsdb.table.table import Identifier
from tsdb.table.tag import create_tag
from tsdb.table.write import TableWriter

WAREHOUSE = Path(__file__).parent.parent.parent / "fixtures" / "java-warehouse"
TRACE = (WAREHOUSE / "README-trace.txt").read_text()
PRINTED = re.findall(r"^-- (cl_\w+) \{(incremental-between=[^}]*)\}$", TRACE, re.MULTILINE)
COLUMNS = {"p": "STRING NOT NULL", "k": "INT NOT NULL", "v": "STRING"}


def changes(table, **options):
    wanted = {key.replace("_", "-"): value for key, value in options.items()}
    for part in incremental_parts(table, between(table, wanted)):
        for rows, kinds in part.changes():
            for row, kind in zip(rows.to_pylist(), kinds, strict=True):
                yield RowKind(kind), tuple(row.values())


def rows_between(table, predicate=None, **options):
    wanted = {key.replace("_", "-"): value for key, value in options.items()}
    parts = incremental_parts(table, between(table, wanted), predicate)
    return [tuple(row.values()) for part in parts for batch in part.to_batches() for row in batch.to_pylist()]


@pytest.mark.parametrize(("name", "options"), PRINTED)
def test_as_java_prints_it(name, options):
    table = FileSystemCatalog(LocalFileIO(), str(WAREHOUSE)).get_table(Identifier("db", name))
    first, *more = re.split(r", (?=incremental)", options)
    given = dict(part.split("=", 1) for part in [first, *more])
    printed = re.split(r"^(?:--|====)", TRACE.split(f"-- {name} {{{options}}}\n", 1)[1], maxsplit=1, flags=re.M)[0]
    ours = list(changes(table, **given))
    if "diff" in options:  # the kind of a row that differs is that of the file in Java
        wanted = Counter(line.split(" ", 1)[1] for line in printed.splitlines())
        assert Counter(" ".join(map(str, row)) for kind, row in ours if kind != RowKind.DELETE) == wanted
    else:
        assert Counter(f"{kind.symbol} {' '.join(map(str, row))}" for kind, row in ours) == Counter(
            printed.splitlines()
        )


def write(table, rng, kind=None):
    count = int(rng.integers(1, 8))
    rows = pa.table(
        {
            "p": rng.choice(["x", "y"], count),
            "k": pa.array(rng.integers(0, 12, count), pa.int32()),
            "v": pa.array(rng.choice(["a", "b", None], count), pa.string()),
        }
    )
    if kind == "overwrite":
        with TableWriter(table, user="u", overwrite=True) as writer:
            writer.write(rows)
            return commit(table, writer.prepare_commit(), user="u", overwrite=Overwrite("dynamic"))
    if kind == "compact":
        return compact(table, user="u")
    kinds = None
    if table.is_primary_key:
        kinds = rng.choice([RowKind.INSERT, RowKind.DELETE], count, p=[0.7, 0.3]).astype(np.int8)
    with TableWriter(table, user="u") as writer:
        writer.write(rows, kinds)
        return commit(table, writer.prepare_commit(), user="u")


def state(table, snapshot_id):
    snapshot = table.snapshots.snapshot(snapshot_id)
    return Counter(tuple(row.values()) for row in read_table(table, plan_scan(table, snapshot)).to_pylist())


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("keys", [("p", "k"), ()], ids=["primary-key", "append"])
def test_a_diff_is_the_difference_of_two_batch_reads(tmp_path, keys, seed):
    rng = np.random.default_rng(seed)
    options = {"bucket": "2", "num-sorted-run.compaction-trigger": "3"} if keys else {}
    table = make_table(tmp_path, COLUMNS, keys, ("p",), options)
    for i in range(10):
        write(table, rng, {3: "overwrite", 6: "compact"}.get(i))
    ids = table.snapshots.ids()
    for first in ids[::2]:
        for last in (i for i in ids[1::2] if i > first):
            old, new = state(table, first), state(table, last)
            how = {"incremental_between": f"{first},{last}", "incremental_between_scan_mode": "diff"}
            found = rows_between(table, **how)
            assert Counter(found) == new - old
            only_x = [row for row in rows_between(table, Comparison("=", "p", ("x",)), **how) if row[0] == "x"]
            assert Counter(only_x) == Counter({row: n for row, n in (new - old).items() if row[0] == "x"})
            went = Counter(row for kind, row in changes(table, **how) if kind == RowKind.DELETE)
            gone = old - new
            if keys:
                gone = Counter({row: n for row, n in gone.items() if row[:2] not in {r[:2] for r in new}})
            assert went == gone


def test_which_snapshots(tmp_path):
    table = make_table(tmp_path, COLUMNS, ("p", "k"), ("p",), {"bucket": "1"})
    rng = np.random.default_rng(1)
    for _ in range(4):
        write(table, rng)
    snapshots = [table.snapshots.snapshot(i) for i in table.snapshots.ids()]
    create_tag(table, "a", snapshots[0])
    create_tag(table, "c", snapshots[2])
    by_ids = list(changes(table, incremental_between="1,3"))
    assert by_ids and list(changes(table, incremental_between="3,3")) == []
    to_snapshot = {"incremental_between_tag_to_snapshot": "true"}
    assert list(changes(table, incremental_between="a,c", **to_snapshot)) == by_ids
    diff = list(changes(table, incremental_between="1,3", incremental_between_scan_mode="diff"))
    assert list(changes(table, incremental_between="a,c")) == diff
    times = [snapshot.time_millis for snapshot in snapshots]
    if len(set(times)) == 4:
        assert list(changes(table, incremental_between_timestamp=f"{times[0]},{times[2]}")) == by_ids
        everything = list(changes(table, incremental_between="0,4"))
        assert list(changes(table, incremental_between_timestamp=f"0,{times[3]}")) == everything
    for wrong in ("1", "a,3", "b,x", "3,1"):
        with pytest.raises(OptionError):
            list(changes(table, incremental_between=wrong))
    for wrong in ("1,9", "0,77"):
        with pytest.raises(OperationalError, match="has the snapshots 1 to 4"):
            list(changes(table, incremental_between=wrong))


def test_up_to_an_automatic_tag(tmp_path):
    table = make_table(tmp_path, COLUMNS, ("p", "k"), ("p",), {"bucket": "1"})
    rng = np.random.default_rng(2)
    for name in ("2024-05-13", "other", "2024-05-14"):
        write(table, rng)
        create_tag(table, name, table.latest_snapshot())
    wanted = list(changes(table, incremental_between="2024-05-13,2024-05-14"))
    assert wanted and list(changes(table, incremental_to_auto_tag="2024-05-14")) == wanted
    assert list(changes(table, incremental_to_auto_tag="2024-05-13")) == []
    assert list(changes(table, incremental_to_auto_tag="2024-06-01")) == []
    with pytest.raises(OptionError):
        list(changes(table, incremental_to_auto_tag="other"))
