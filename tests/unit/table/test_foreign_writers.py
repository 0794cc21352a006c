"""Programs that look whether a snapshot is there and then rename over it, as Paimon Java does on local disks.

Between the two steps they must not replace a snapshot that was published meanwhile, else its commit is lost.
"""

import os

import pyarrow as pa
import pytest

from tests.unit.table.tables import make_table
from tsdb.fs.local import LocalFileIO
from tsdb.table.commit import commit
from tsdb.table.read import read_table
from tsdb.table.scan import plan_scan
from tsdb.table.table import open_table
from tsdb.table.write import TableWriter


class RenamingFileIO(LocalFileIO):
    """Publishes as `FileIO.tryToWriteAtomic` and `LocalFileIO.rename` of Paimon Java do. between: done once, after the
    look and before the renaming.
    """

    def __init__(self, between):
        self.between = between
        self.pending = None

    def try_create(self, path, data):
        self.pending = (f"{os.path.dirname(path)}/.{os.path.basename(path)}.6a1c.tmp", path)
        self.write_bytes(self.pending[0], data)
        if os.path.exists(path):
            os.unlink(self.pending[0])
            return False
        between, self.between = self.between, lambda: None
        between()
        return self.rename()

    def rename(self):
        """True also if it is done already."""
        if self.pending is not None:
            try:
                os.rename(*self.pending)
            except FileNotFoundError:
                return False
            self.pending = None
        return True


def insert(table, key, user):
    with TableWriter(table, user=user) as writer:
        writer.write(pa.table({"k": pa.array([key], pa.int32()), "v": [user]}))
        return commit(table, writer.prepare_commit(), user=user, identifier=1)


def state(table):
    rows = read_table(table, plan_scan(table, table.latest_snapshot()))
    return dict(zip(rows["k"].to_pylist(), rows["v"].to_pylist(), strict=True))


def prepared(path, between):
    table = make_table(path, {"k": "INT NOT NULL", "v": "STRING"}, ("k",), (), {"bucket": "1"})
    insert(table, 0, "first")
    files = RenamingFileIO(between)
    return table, files, open_table(files, table.identifier, table.path)


def test_a_commit_outlives_a_foreign_one_that_saw_its_place_free(tmp_path):
    table, _, theirs = prepared(tmp_path, lambda: insert(table, 1, "ours"))
    assert insert(theirs, 2, "theirs").id == 3
    assert state(table) == {0: "first", 1: "ours", 2: "theirs"}
    assert [table.snapshots.snapshot(i).commit_user for i in table.snapshots.ids()] == ["first", "ours", "theirs"]


def test_a_commit_that_was_replaced_at_once_is_made_again(tmp_path, monkeypatch):
    link = os.link

    def link_and_lose(source, target):
        link(source, target)
        files.rename()

    def ours():
        with monkeypatch.context() as patch:
            patch.setattr(os, "link", link_and_lose)
            assert insert(table, 1, "ours").id == 3

    table, files, theirs = prepared(tmp_path, ours)
    assert insert(theirs, 2, "theirs").id == 2
    assert state(table) == {0: "first", 1: "ours", 2: "theirs"}


@pytest.mark.parametrize("look", [lambda table: state(table), lambda table: table.latest_snapshot()])
def test_what_was_read_stays_true(tmp_path, monkeypatch, look):
    """A reader, or the next writer, sees a snapshot whose publisher has not come to protect it yet."""

    def ours():
        with monkeypatch.context() as patch:
            patch.setattr(LocalFileIO, "settle", lambda self, path: None)
            insert(table, 1, "ours")
        seen.append(look(reader))

    seen = []
    table, _, theirs = prepared(tmp_path, ours)
    reader = open_table(LocalFileIO(), table.identifier, table.path)
    insert(theirs, 2, "theirs")
    assert state(table) == {0: "first", 1: "ours", 2: "theirs"}
    assert seen in ([{0: "first", 1: "ours"}], [reader.snapshots.snapshot(2)])
