"""Tables that Paimon Java wrote read as its own program printed them, batch and stream (`README-trace.txt`)."""

import datetime as dt
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tsdb.catalog.filesystem import FileSystemCatalog
from tsdb.changes import ROW_KIND_SYMBOLS
from tsdb.fs.local import LocalFileIO
from tsdb.metadata.binary_row import decode_row
from tsdb.metadata.manifest import ADD
from tsdb.table.read import fragments, raw_files, read_plan, read_table
from tsdb.table.scan import entries_of_list, live_files, plan_scan
from tsdb.table.stream_scan import StreamScan, read_changes
from tsdb.table.table import Identifier

WAREHOUSE = Path(__file__).parent.parent.parent / "fixtures" / "java-warehouse"
CATALOG = FileSystemCatalog(LocalFileIO(), str(WAREHOUSE))
TRACE = (WAREHOUSE / "README-trace.txt").read_text()


def table_of(name):
    return CATALOG.get_table(Identifier("db", name))


def current(name):
    table = table_of(name)
    return read_table(table, plan_scan(table, table.latest_snapshot())).to_pylist()


def printed(title):
    """The lines of the section with that title, up to the next one."""
    body = TRACE.split(f"-- {title}\n", 1)[1]
    return re.split(r"^(?:--|====|FAIL)", body, maxsplit=1, flags=re.MULTILINE)[0].splitlines()


def text(row):
    return " ".join("null" if v is None else str(v) for v in row.values())


@pytest.mark.parametrize("name", ["dv32", "dv64", "dyn", "thin", "postpone"])
def test_batch(name):
    assert sorted(f"+I {text(row)}" for row in current(name)) == sorted(printed(f"{name} {{}}"))


CHANGES = ["cl_none", "cl_input", "cl_lookup", "cl_full_compaction"]
FROM_1 = {"scan.snapshot-id": "1", "scan.mode": "from-snapshot"}
FULL = {"scan.mode": "latest-full"}
FULL_2 = {"scan.mode": "from-snapshot-full", "scan.snapshot-id": "2"}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("options", [FROM_1, FULL, FULL_2], ids=["from-snapshot", "latest-full", "from-snapshot-full"])
def test_stream(name, options):
    title = f"stream {name} {{{', '.join(f'{k}={v}' for k, v in options.items())}}}"
    wanted, changes = [], []
    for line in printed(title):
        match = re.match(r" \[plan -> next snapshot (\d+)\]", line)
        if match:
            changes = []
            wanted.append((int(match[1]), changes))
        else:
            changes.append(line.strip())
    table = table_of(name)
    scan = StreamScan(table, options)
    got = []
    while (plan := scan.plan()) is not None:
        changes = [
            f"{ROW_KIND_SYMBOLS[kind]} {text(row)}"
            for batch, kinds in read_changes(table, plan)
            for row, kind in zip(batch.to_pylist(), kinds, strict=True)
        ]
        if changes:
            got.append((scan.position, changes))
    # a merged state comes in no order
    if options is not FROM_1 and wanted:
        got[0][1].sort()
        wanted[0][1].sort()
    assert got == wanted
    assert scan.position == table.snapshots.latest_id() + 1


@pytest.mark.parametrize("name", CHANGES)
def test_a_stream_accumulates_to_the_batch_result(name):
    table = table_of(name)
    for start in range(1, table.snapshots.latest_id() + 1):
        scan = StreamScan(table, {"scan.mode": "from-snapshot-full", "scan.snapshot-id": str(start)})
        state = {}
        while (plan := scan.plan()) is not None:
            for batch, kinds in read_changes(table, plan):
                for row, kind in zip(batch.to_pylist(), kinds, strict=True):
                    if kind in (0, 2):
                        state[row["k"]] = row
                    else:
                        state.pop(row["k"], None)
        assert sorted(state.values(), key=text) == sorted(current(name), key=text)


def test_all_types():
    rows = {row["id"]: row for row in current("alltypes_pk")}
    assert set(rows) == {1, 2, 5} and rows[5]["b"] is False
    line = next(line for line in printed("alltypes_pk {}") if line.startswith("+I 1 "))
    words = line.split()[1:]
    values = [v for k, v in rows[1].items()]
    # numbers and strings as Java prints them; bytes and times it prints otherwise
    assert [str(v).lower() for v in values[:10]] == words[:10]
    assert all(v is None for k, v in rows[2].items() if k != "id")


def test_schema_evolution():
    table = table_of("evo")
    rows = read_table(table, plan_scan(table, table.latest_snapshot()))
    assert rows.schema == table.schema.arrow_schema
    old, new = sorted(rows.to_pylist(), key=lambda row: row["k"])
    assert old["a2"] == 10 and set(old["r"]) == {"x", "y", "z"} and old["r"]["z"] is None
    assert new["r"]["z"] is not None


def test_partitions_come_from_manifests_not_from_paths():
    rows = sorted(current("part"), key=lambda row: (row["k"], row["v"], len(row["p"] or "")))
    assert [(row["k"], row["p"]) for row in rows] == [(1, "x/y:z=1 %{}"), (2, None), (3, ""), (3, "  ")]


@pytest.mark.parametrize(
    "name", ["part_types", "part_types_legacy", "append_b", "modb", "bloom_emb", "bitmapidx", "dyn"]
)
def test_paths_are_found_and_counts_agree(name):
    table = table_of(name)
    snapshot = table.latest_snapshot()
    plan = plan_scan(table, snapshot)
    assert raw_files(table, plan) is not None
    assert sum(f.row_count for f in fragments(table, plan)) == snapshot.total_record_count == len(current(name))
    assert sum(batch.num_rows for batch in read_plan(table, plan, [])) == snapshot.total_record_count


def test_other_formats():
    assert current("orct") == [{"k": 1, "v": "a"}]
    utc = dt.datetime(1970, 1, 1, 0, 0, 0, 5000, dt.UTC)
    assert current("avrot") == [{"k": 1, "v": "a", "ts": dt.datetime(1970, 1, 1, 0, 0, 0, 1002), "lz": utc, "m": None}]
    for name in ("orct", "avrot"):
        table = table_of(name)
        plan = plan_scan(table, table.latest_snapshot())
        assert raw_files(table, plan) is None and sum(batch.num_rows for batch in read_plan(table, plan, [])) == 1


def test_every_snapshot_is_the_fold_of_its_files():
    """By brute force over the rows of the files: the row with the highest sequence number of each key."""
    for name in CHANGES:
        table = table_of(name)
        for snapshot_id in table.snapshots.ids():
            snapshot = table.snapshots.snapshot(snapshot_id)
            newest = {}
            for entry in live_files(table, snapshot):
                path = f"{table.path}/bucket-{entry.bucket}/{entry.file.file_name}"
                for row in pa.parquet.read_table(path).to_pylist():
                    if row["_SEQUENCE_NUMBER"] >= newest.get(row["k"], row)["_SEQUENCE_NUMBER"]:
                        newest[row["k"]] = row
            wanted = sorted((r["k"], r["v"]) for r in newest.values() if r["_VALUE_KIND"] in (0, 2))
            got = read_table(table, plan_scan(table, snapshot)).to_pylist()
            assert sorted((r["k"], r["v"]) for r in got) == wanted


def test_an_overwrite_streams_as_the_difference():
    table = table_of("ow")
    scan = StreamScan(table, FROM_1)
    weights = {}
    while (plan := scan.plan()) is not None:
        for batch, kinds in read_changes(table, plan):
            for row, kind in zip(batch.to_pylist(), kinds, strict=True):
                weights[text(row)] = weights.get(text(row), 0) + (1 if kind == 0 else -1)
        snapshot = table.snapshots.snapshot(plan.snapshot_id)
        state = read_table(table, plan_scan(table, snapshot)).to_pylist()
        assert {k: w for k, w in weights.items() if w} == {text(row): 1 for row in state}
    without = StreamScan(table.with_options({"streaming-read-overwrite": "false"}), FROM_1)
    kinds = set()
    while (plan := without.plan()) is not None:
        kinds |= set(np.concatenate([k for _, k in read_changes(table, plan)]).tolist())
    assert kinds == {0}


def test_delta_entries_name_partitions():
    table = table_of("ow")
    entries = entries_of_list(table, table.snapshots.snapshot(1).delta_manifest_list)
    types = [table.schema.field("p").type]
    assert {decode_row(entry.partition, types) for entry in entries if entry.kind == ADD} == {("a",), ("b",)}
