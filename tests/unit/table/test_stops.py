"""Stopped at any change of a file, a commit, an expiration or a rollback leaves a table that reads and goes on."""

import errno

import pyarrow as pa
import pytest

from tests.unit.table.tables import make_table
from tsdb.errors import OperationalError
from tsdb.fs.local import LocalFileIO
from tsdb.metadata import manifest
from tsdb.table.changelog import Retention
from tsdb.table.commit import Overwrite, commit
from tsdb.table.compact import compact
from tsdb.table.expire import expire_snapshots
from tsdb.table.read import read_table
from tsdb.table.reference import live_data_files, metadata_files
from tsdb.table.rollback import rollback_to
from tsdb.table.scan import plan_scan
from tsdb.table.table import open_table
from tsdb.table.tag import create_tag, find_tag
from tsdb.table.write import TableWriter

CHANGES = ("write_bytes", "try_create", "replace", "delete", "delete_dir", "rename_dir", "open_output")


def forget_what_was_read():
    """As in a new process."""
    for name in ("_CACHE", "_LIST_CACHE"):
        cache = getattr(manifest, name)
        setattr(manifest, name, type(cache)(1000))


class Stopped(BaseException):
    """Not caught by anything that handles errors."""


class StoppingFileIO(LocalFileIO):
    """Stops before its n-th change; nothing works after that, as in a process that was killed."""

    def __init__(self, after):
        self.left = after

    def __getattribute__(self, name):
        if name in CHANGES:
            if self.left <= 0:
                raise Stopped
            self.left -= 1
        return super().__getattribute__(name)


class FullDisk(LocalFileIO):
    """From its n-th new file on there is no space; deleting goes on."""

    def __init__(self, after):
        self.left = after

    def __getattribute__(self, name):
        if name in ("write_bytes", "try_create", "replace", "open_output"):
            self.left -= 1
            if self.left < 0:
                return no_space
        return super().__getattribute__(name)


def no_space(path, *_, **__):
    raise OSError(errno.ENOSPC, "No space left on device", path)


def insert(table, keys, value, **how):
    rows = pa.table({"k": pa.array(keys, pa.int32()), "v": [value] * len(keys)})
    with TableWriter(table, user="u", overwrite="overwrite" in how) as writer:
        writer.write(rows)
        return commit(table, writer.prepare_commit(), user="u", **how)


def state(table, snapshot=None):
    rows = read_table(table, plan_scan(table, snapshot or table.latest_snapshot()))
    return dict(zip(rows["k"].to_pylist(), rows["v"].to_pylist(), strict=True))


def prepared(path, **more):
    table = make_table(path, {"k": "INT NOT NULL", "v": "STRING"}, ("k",), (), {**OPTIONS, **more})
    for i in range(4):
        insert(table, [i, i + 1], f"v{i}")
    return table


OPTIONS = {"bucket": "1", "num-sorted-run.compaction-trigger": "2", "manifest.merge-min-count": "3"}
VECTORS = {"deletion-vectors.enabled": "true", "deletion-vectors.merge-on-read": "true"}
DYNAMIC = {"bucket": "-1", "dynamic-bucket.target-row-num": "2"}
BEFORE = {0: "v0", 1: "v1", 2: "v2", 3: "v3", 4: "v3"}


@pytest.mark.parametrize("more", [{}, VECTORS, DYNAMIC], ids=["plain", "deletion vectors", "dynamic buckets"])
@pytest.mark.parametrize("how", [{}, {"overwrite": Overwrite({})}], ids=["append", "overwrite"])
def test_commit(tmp_path, how, more):
    after = ({} if how else BEFORE) | {4: "new", 9: "new"}
    outcomes = []
    for n in range(40):
        table = prepared(tmp_path / str(n), **more)
        count = table.snapshots.latest_id()
        stopping = open_table(StoppingFileIO(n), table.identifier, table.path)
        try:
            insert(stopping, [4, 9], "new", **how)
            stopped = False
        except Stopped:
            stopped = True
        forget_what_was_read()
        table = open_table(LocalFileIO(), table.identifier, table.path)
        done = table.snapshots.latest_id() > count
        outcomes.append(done)
        assert state(table) == (after if done else BEFORE)
        assert table.snapshots.ids() == list(range(1, table.snapshots.latest_id() + 1))
        assert insert(table, [4, 9], "new", **how) is not None and state(table) == after
        if not stopped:
            break
    assert not stopped and outcomes == sorted(outcomes) and outcomes.count(False) > 3


FIRST_ROW = {"merge-engine": "first-row", "write-only": "true"}


@pytest.mark.parametrize("more", [{}, VECTORS, DYNAMIC, FIRST_ROW], ids=["plain", "vectors", "dynamic", "first-row"])
@pytest.mark.parametrize("failure", ["killed", "disk full"])
def test_compaction_and_tag(tmp_path, more, failure):
    """Killed, or told that the disk is full: the table stays whole, and the same is done the next time."""
    for n in range(0, 60, 1 if not more else 3):
        table = prepared(tmp_path / str(n), **{**more, "num-sorted-run.compaction-trigger": "20"})
        before = None if more is FIRST_ROW else state(table)
        files = StoppingFileIO(n) if failure == "killed" else FullDisk(n)
        stopping = open_table(files, table.identifier, table.path)
        stopped = False
        try:
            compact(stopping, user="c")
            create_tag(stopping, "t", stopping.latest_snapshot())
        except (Stopped, OSError, OperationalError):
            stopped = True
        forget_what_was_read()
        table = open_table(LocalFileIO(), table.identifier, table.path)
        assert before is None or state(table) == before
        assert table.snapshots.ids() == list(range(1, table.snapshots.latest_id() + 1))
        compact(table, user="c")
        for name in ("t", "u"):
            if find_tag(table, name) is None:
                create_tag(table, name, table.latest_snapshot())
        after = {0: "v0", 1: "v0", 2: "v1", 3: "v2", 4: "v3"} if more is FIRST_ROW else BEFORE
        assert state(table) == after == state(table, find_tag(table, "t").snapshot)
        if not stopped:
            break
    assert not stopped


def test_expiration(tmp_path):
    for n in range(60):
        table = prepared(tmp_path / str(n))
        latest = table.snapshots.latest_id()
        stopping = open_table(StoppingFileIO(n), table.identifier, table.path)
        keep = Retention(2, 10, 2**60, 100)
        try:
            expire_snapshots(stopping, keep)
            stopped = False
        except Stopped:
            stopped = True
        forget_what_was_read()
        table = open_table(LocalFileIO(), table.identifier, table.path)
        assert state(table) == BEFORE and state(table, table.snapshots.snapshot(latest - 1)) == BEFORE
        expire_snapshots(table, keep)
        assert table.snapshots.ids() == [latest - 1, latest] and table.snapshots.earliest_id() == latest - 1
        assert orphans(table) == set()
        if not stopped:
            break
    assert not stopped and n > 10


def test_rollback(tmp_path):
    for n in range(60):
        table = prepared(tmp_path / str(n))
        target = table.snapshots.snapshot(2)
        stopping = open_table(StoppingFileIO(n), table.identifier, table.path)
        try:
            rollback_to(stopping, target)
            stopped = False
        except Stopped:
            stopped = True
        forget_what_was_read()
        table = open_table(LocalFileIO(), table.identifier, table.path)
        ids = table.snapshots.ids()
        assert ids == list(range(1, len(ids) + 1)) and len(ids) >= 2
        assert state(table, table.snapshots.snapshot(2)) == {0: "v0", 1: "v1", 2: "v1"}
        assert insert(table, [7], "x").id > len(ids) and state(table)[7] == "x"
        if not stopped:
            break
    assert not stopped and n > 4


def orphans(table):
    needed = set()
    for snapshot in map(table.snapshots.snapshot, table.snapshots.ids()):
        needed |= live_data_files(table, snapshot) | metadata_files(table, snapshot)
    there = {f.path for d in ("manifest", "bucket-0") for f in LocalFileIO().list_files(f"{table.path}/{d}")}
    return there - needed
