"""Procedures over real tables: what they leave readable, and which files they leave behind."""

import numpy as np
import pyarrow as pa
import pytest

from tsdb import clock
from tsdb.catalog.filesystem import FileSystemCatalog
from tsdb.data_types import DataField, parse_type
from tsdb.errors import AlreadyExists, ProgrammingError, TableNotFound
from tsdb.fs.local import LocalFileIO
from tsdb.metadata.schema import TableSchema
from tsdb.metadata.snapshot import SnapshotNotFound
from tsdb.procedure import PROCEDURES
from tsdb.table.commit import Overwrite, commit
from tsdb.table.read import read_table
from tsdb.table.reference import live_data_files, metadata_files
from tsdb.table.scan import plan_scan
from tsdb.table.table import Identifier
from tsdb.table.tag import tags
from tsdb.table.write import TableWriter

NAME = Identifier("default", "t")


@pytest.fixture
def catalog(tmp_path):
    catalog = FileSystemCatalog(LocalFileIO(), str(tmp_path))
    fields = (DataField(0, "k", parse_type("INT")), DataField(1, "v", parse_type("STRING")))
    options = {"bucket": "2", "changelog-producer": "input", "num-sorted-run.compaction-trigger": "3"}
    catalog.create_table(NAME, TableSchema(0, fields, primary_keys=("k",), options=options))
    return catalog


def write(catalog, keys, value, overwrite=None):
    table = catalog.get_table(NAME)
    rows = pa.table({"k": pa.array(keys, pa.int32()), "v": [value] * len(keys)})
    with TableWriter(table, user=clock.current().new_id(), overwrite=overwrite is not None) as writer:
        writer.write(rows)
        commit(table, writer.prepare_commit(), user=clock.current().new_id(), overwrite=overwrite)
    return dict.fromkeys(keys, value)


def state(catalog, snapshot=None):
    table = catalog.get_table(NAME)
    rows = read_table(table, plan_scan(table, snapshot or table.latest_snapshot()))
    return dict(zip(rows["k"].to_pylist(), rows["v"].to_pylist(), strict=True))


def call(catalog, name, *positional, **named):
    return PROCEDURES[name].run(catalog, positional, named).to_pylist()


def history(catalog, count, seed=0):
    """States by snapshot id after random commits, with compactions and an overwrite among them."""
    rng = np.random.default_rng(seed)
    table, now, states = catalog.get_table(NAME), {}, {}
    for i in range(count):
        keys = [int(k) for k in np.unique(rng.integers(0, 20, 6))]
        overwrite = Overwrite({}) if i == count // 2 else None
        now = ({} if overwrite else now) | write(catalog, keys, f"v{i}", overwrite)
        for snapshot_id in table.snapshots.ids():
            states.setdefault(snapshot_id, now)
    return states


def files_there(tmp_path):
    found = set()
    for path in (tmp_path / "default.db" / "t").rglob("*"):
        if path.is_file() and path.parent.name not in ("schema", "snapshot", "tag", "consumer"):
            found.add(str(path))
    return found


def files_needed(catalog):
    table = catalog.get_table(NAME)
    needed = set()
    for snapshot in [*map(table.snapshots.snapshot, table.snapshots.ids()), *(t.snapshot for t in tags(table))]:
        needed |= live_data_files(table, snapshot) | metadata_files(table, snapshot)
    return needed


def test_expiring_deletes_exactly_what_nobody_needs(catalog, tmp_path):
    states = history(catalog, 12)
    table = catalog.get_table(NAME)
    latest = table.snapshots.latest_id()
    call(catalog, "create_tag", "default.t", "early", 3)
    before = files_there(tmp_path)
    for keep in (latest - 4, 5, 1):
        call(catalog, "expire_snapshots", "t", retain_min=keep, older_than="2100-01-01", max_deletes=100)
        table = catalog.get_table(NAME)
        assert table.snapshots.ids() == list(range(latest - keep + 1, latest + 1))
        assert table.snapshots.earliest_id() == latest - keep + 1
        there, needed = files_there(tmp_path), files_needed(catalog)
        assert needed <= there
        # beside these only the changelogs of the snapshots that are left, and what an overwrite replaced
        assert all("changelog-" in path or is_replaced(table, path) for path in there - needed), there - needed
        for snapshot_id in table.snapshots.ids():
            assert state(catalog, table.snapshots.snapshot(snapshot_id)) == states[snapshot_id]
        assert state(catalog, tags(table)[0].snapshot) == states[3]
    assert len(files_there(tmp_path)) < len(before)
    with pytest.raises(SnapshotNotFound, match=f"snapshots {latest} to {latest}"):
        table.snapshots.snapshot(latest - 1)
    call(catalog, "delete_tag", "default.t", "early")
    assert {p for p in files_there(tmp_path) if "changelog-" not in p} == files_needed(catalog)
    assert state(catalog) == states[latest]


def is_replaced(table, path):
    first = table.snapshots.snapshot(table.snapshots.earliest_id())
    return first.commit_kind == "OVERWRITE" and "/bucket-" in path


def test_young_snapshots_stay(catalog):
    history(catalog, 3)
    assert call(catalog, "expire_snapshots", "default.t", retain_min=1) == [{"deleted_snapshots_count": 0}]


def test_a_consumer_keeps_what_it_has_not_read(catalog, tmp_path):
    history(catalog, 6)
    consumer = tmp_path / "default.db" / "t" / "consumer" / "consumer-c"
    consumer.parent.mkdir()
    consumer.write_text('{"nextSnapshot" : 3}')
    call(catalog, "expire_snapshots", "t", retain_max=1, older_than="2100-01-01")
    assert catalog.get_table(NAME).snapshots.earliest_id() == 3


@pytest.mark.parametrize("by_tag", [False, True])
def test_rolling_back_leaves_the_older_state_and_no_file_too_many(catalog, tmp_path, by_tag):
    states = history(catalog, 9)
    call(catalog, "create_tag", "default.t", "here", 4)
    call(catalog, "create_tag", "default.t", "later", 7)
    if by_tag:
        call(catalog, "expire_snapshots", "t", retain_max=2, retain_min=1, older_than="2100-01-01")
        call(catalog, "rollback_to", "default.t", tag="here")
    else:
        call(catalog, "rollback_to", "default.t", 4)
    table = catalog.get_table(NAME)
    assert table.snapshots.ids() == ([4] if by_tag else [1, 2, 3, 4]) and table.snapshots.latest_id() == 4
    assert [tag.name for tag in tags(table)] == ["here"]
    assert state(catalog) == states[4]
    assert {p for p in files_there(tmp_path) if "changelog-" not in p} == {
        p for p in files_needed(catalog) if "changelog-" not in p
    }
    assert state(catalog) | write(catalog, [1, 2], "new") == state(catalog)
    assert catalog.get_table(NAME).snapshots.latest_id() >= 5


def test_compacting(catalog):
    states = history(catalog, 5)
    call(catalog, "compact", "default.t")
    table = catalog.get_table(NAME)
    plan = plan_scan(table, table.latest_snapshot())
    assert all(split.raw for split in plan.splits) and {f.level for s in plan.splits for f in s.files} == {3}
    assert state(catalog) == states[max(states)]
    assert call(catalog, "compact", "default.t") == [{"result": "nothing to compact"}]


def test_tags(catalog):
    history(catalog, 2)
    call(catalog, "create_tag", "t", tag="a", time_retained="7 d")
    assert [(t.name, t.time_retained.days) for t in tags(catalog.get_table(NAME))] == [("a", 7)]
    with pytest.raises(AlreadyExists, match="already has a tag `a`"):
        call(catalog, "create_tag", "t", "a")
    with pytest.raises(ProgrammingError, match=r"no tag `aa`\. Did you mean `a`"):
        call(catalog, "delete_tag", "t", "aa")


@pytest.mark.parametrize(
    ("name", "positional", "named", "message"),
    [
        ("create_tag", ("t",), {}, "needs the argument `tag`"),
        ("create_tag", ("t", "a", 1, "1 d", 5), {}, "at most 4 arguments, not 5"),
        ("create_tag", ("t",), {"tagg": "a"}, "no argument `tagg`. Did you mean `tag`"),
        ("create_tag", ("t", "a"), {"tag": "b"}, "given twice"),
        ("create_tag", ("t", "a", "x"), {}, "`snapshot_id` is a whole number, not 'x'"),
        ("rollback_to", ("t",), {}, "either `snapshot_id` or `tag`"),
        ("compact", ("t",), {"partitions": "p=1"}, "`p` is no partition column"),
        ("compact", ("t",), {"compact_strategy": "big"}, "'full' or 'minor'"),
    ],
)
def test_wrong_arguments(catalog, name, positional, named, message):
    with pytest.raises(ProgrammingError, match=message):
        call(catalog, name, *positional, **named)


def test_an_unknown_table(catalog):
    with pytest.raises(TableNotFound, match=r"table `tt` not found in database `default`. Did you mean `t`\?"):
        call(catalog, "compact", "default.tt")
