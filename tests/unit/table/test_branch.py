"""Branches and tags over real tables: their histories, what they keep, and a stop at every change of a file."""

import pytest

from tests.unit.table.tables import make_table
from tests.unit.table.test_stops import OPTIONS, Stopped, StoppingFileIO, forget_what_was_read, insert, state
from tsdb.errors import AlreadyExists, ProgrammingError
from tsdb.fs.local import LocalFileIO
from tsdb.table.branch import (
    branches,
    create_branch,
    delete_branch,
    fast_forward,
    get_branch,
    rename_branch,
)
from tsdb.table.changelog import Retention, changelog_ids
from tsdb.table.expire import expire_changelogs, expire_snapshots
from tsdb.table.rollback import delete_tag, rollback_to
from tsdb.table.stream_scan import StreamScan, read_changes
from tsdb.table.table import open_table
from tsdb.table.tag import create_tag, rename_tag, tags

ALL = Retention(1, 1, 2**60, 100)
AT_2 = {0: "v0", 1: "v1", 2: "v1"}


def prepared(path, count=4):
    table = make_table(path, {"k": "INT NOT NULL", "v": "STRING"}, ("k",), (), OPTIONS)
    for i in range(count):
        insert(table, [i, i + 1], f"v{i}")
    return table


def reopened(table, file_io=None):
    return open_table(file_io or LocalFileIO(), table.identifier, table.path, table.branch)


def at(table, snapshot_id):
    return table.snapshots.snapshot(snapshot_id)


def test_a_branch_begins_with_a_tag_and_goes_its_own_way(tmp_path):
    table = prepared(tmp_path)
    create_tag(table, "two", at(table, 2))
    create_branch(table, "b", tag="two")
    branch = get_branch(table, "b")
    assert state(branch) == AT_2 and [t.name for t in tags(branch)] == ["two"]
    insert(branch, [9], "branch")
    before = state(table)
    assert state(branch) == AT_2 | {9: "branch"} and state(table) == before
    assert [b.name for b in branches(table)] == ["b"]
    rename_branch(table, "b", "c")
    assert state(get_branch(table, "c")) == AT_2 | {9: "branch"}
    delete_branch(table, "c")
    assert branches(table) == [] and state(table) == before
    with pytest.raises(ProgrammingError, match="has no branch `c`"):
        get_branch(table, "c")


def test_an_empty_branch_and_one_from_a_snapshot(tmp_path):
    table = prepared(tmp_path)
    create_branch(table, "empty")
    create_branch(table, "three", snapshot=at(table, 3))
    assert get_branch(table, "empty").latest_snapshot() is None
    assert insert(get_branch(table, "empty"), [1], "x").id == 1
    assert state(get_branch(table, "three")) == state(table, at(table, 3))
    with pytest.raises(AlreadyExists):
        create_branch(table, "empty")
    for name in ("main", "12", " ", "a/b", "a$b"):
        with pytest.raises(ProgrammingError, match="cannot be the name of a branch"):
            create_branch(table, name)


def test_expiring_and_deleting_spare_what_a_branch_needs(tmp_path):
    table = prepared(tmp_path)
    create_tag(table, "two", at(table, 2))
    create_branch(table, "b", tag="two")
    branch = get_branch(table, "b")
    insert(branch, [9], "branch")
    expire_snapshots(table, ALL)
    delete_tag(table, "two")
    assert state(branch, at(branch, 2)) == AT_2 and state(branch) == AT_2 | {9: "branch"}
    whole = state(table)
    expire_snapshots(branch, ALL)
    delete_tag(branch, "two")
    assert state(table) == whole and state(branch) == AT_2 | {9: "branch"}


def test_fast_forward(tmp_path):
    table = prepared(tmp_path)
    create_tag(table, "two", at(table, 2))
    create_branch(table, "b", tag="two")
    branch = get_branch(table, "b")
    insert(branch, [9], "branch")
    insert(branch, [10], "branch")
    fast_forward(table, "b")
    table = reopened(table)
    assert table.snapshots.ids() == [1, *branch.snapshots.ids()]
    assert state(table) == state(branch) == AT_2 | {9: "branch", 10: "branch"}
    assert [t.name for t in tags(table)] == ["two"]
    assert state(table, at(table, 1)) == {0: "v0", 1: "v0"}
    rollback_to(table, at(table, 2))
    assert state(reopened(branch)) == AT_2 | {9: "branch", 10: "branch"}, "the branch keeps its files"


@pytest.mark.parametrize("expired", [False, True], ids=["shared", "first-expired"])
def test_fast_forward_stopped_anywhere_leaves_a_state_of_both_and_can_be_done_again(tmp_path, expired):
    for n in range(60):
        table = prepared(tmp_path / str(n))
        create_tag(table, "two", at(table, 2))
        create_branch(table, "b", tag="two")
        branch = get_branch(table, "b")
        insert(branch, [9], "branch")
        insert(branch, [10], "branch")
        if expired:
            expire_snapshots(table, ALL)
        states = [state(table, at(table, i)) for i in table.snapshots.ids()] + [AT_2]
        states += [state(branch, at(branch, i)) for i in branch.snapshots.ids()]
        try:
            fast_forward(reopened(table, StoppingFileIO(n)), "b")
            stopped = False
        except Stopped:
            stopped = True
        forget_what_was_read()
        table = reopened(table)
        assert state(table) in states and state(reopened(branch)) == states[-1]
        fast_forward(table, "b")
        table = reopened(table)
        assert state(table) == states[-1] and [t.name for t in tags(table)] == ["two"]
        assert insert(table, [11], "on").id > branch.snapshots.latest_id()
        if not stopped:
            break
    assert not stopped and n > 4


def test_creating_and_deleting_a_branch_stopped_anywhere(tmp_path):
    for n in range(60):
        table = prepared(tmp_path / str(n))
        create_tag(table, "two", at(table, 2))
        stopping = reopened(table, StoppingFileIO(n))
        try:
            create_branch(stopping, "b", tag="two")
            delete_branch(stopping, "b")
            stopped = False
        except Stopped:
            stopped = True
        forget_what_was_read()
        table = reopened(table)
        if "b" in [b.name for b in branches(table)]:
            assert state(get_branch(table, "b")) == AT_2
            delete_branch(table, "b")
        create_branch(table, "b", tag="two")
        assert state(get_branch(table, "b")) == AT_2 and state(table)[4] == "v3"
        if not stopped:
            break
    assert not stopped and n > 4


def test_tags_stopped_anywhere(tmp_path):
    for n in range(60):
        table = prepared(tmp_path / str(n))
        stopping = reopened(table, StoppingFileIO(n))
        try:
            create_tag(stopping, "two", at(table, 2))
            expire_snapshots(stopping, ALL)
            rename_tag(stopping, "two", "deux")
            delete_tag(stopping, "deux")
            stopped = False
        except Stopped:
            stopped = True
        forget_what_was_read()
        table = reopened(table)
        assert state(table)[4] == "v3"
        for tag in tags(table):
            try:
                assert state(table, tag.snapshot) == AT_2
            finally:
                delete_tag(table, tag.name)
        assert state(table)[4] == "v3" and insert(table, [7], "x")
        if not stopped:
            break
    assert not stopped and n > 4


def test_expiring_with_changelogs_that_stay_stopped_anywhere(tmp_path):
    for n in range(80):
        table = prepared(tmp_path / str(n)).with_options({"changelog.num-retained.min": "100"})
        wanted = changes(table)
        stopping = reopened(table, StoppingFileIO(n)).with_options(table.options.values)
        try:
            expire_snapshots(stopping, ALL)
            expire_changelogs(stopping, Retention(3, 100, 2**60, 100))
            stopped = False
        except Stopped:
            stopped = True
        forget_what_was_read()
        table = reopened(table).with_options(table.options.values)
        assert state(table)[4] == "v3"
        expire_snapshots(table, ALL)
        expire_changelogs(table, Retention(3, 100, 2**60, 100))
        found = changes(table)
        assert found == wanted[len(wanted) - len(found) :] and len(found) >= 2
        assert insert(table, [7], "x")
        if not stopped:
            break
    assert not stopped and n > 10


def changes(table):
    first = (changelog_ids(table) or [table.snapshots.earliest_id()])[0]
    scan = StreamScan(table, {"scan.mode": "from-snapshot", "scan.snapshot-id": str(first)})
    found = []
    while (plan := scan.plan()) is not None:
        for rows, _ in read_changes(table, plan):
            found += zip(rows["k"].to_pylist(), rows["v"].to_pylist(), strict=True)
    scan.release()
    return found
