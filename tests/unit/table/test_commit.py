"""The commit protocol: races, crashes, conflicts, overwrites; and that manifests stay few."""

import datetime as dt
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from tests.unit.table.tables import make_table
from tsdb.errors import CommitConflict, ProgrammingError
from tsdb.fs.local import LocalFileIO
from tsdb.metadata.manifest import ADD, fold, read_manifest
from tsdb.metadata.paths import FileNames
from tsdb.metadata.snapshot import BATCH_IDENTIFIER
from tsdb.table.commit import Overwrite, commit, filter_committed
from tsdb.table.commit_message import CommitMessage
from tsdb.table.compact import compact
from tsdb.table.manifest_merge import merge_manifests
from tsdb.table.read import read_table
from tsdb.table.scan import entries_of_list, live_files, manifests, plan_scan
from tsdb.table.table import Identifier, open_table
from tsdb.table.write import TableWriter

LOCAL, NAME = LocalFileIO(), Identifier("default", "t")
ROOT = Path(__file__).parent.parent.parent.parent
COLUMNS = {"k": "INT NOT NULL", "v": "STRING"}
PARTITIONED = {"p": "STRING NOT NULL", "k": "INT NOT NULL"}


def keyed(tmp_path, **options):
    return make_table(tmp_path, COLUMNS, ("k",), (), {"bucket": "1", **options})


def appended(tmp_path, **options):
    return make_table(tmp_path, COLUMNS, (), (), options)


def rows(*keys, value="a"):
    return pa.table({"k": pa.array(keys, pa.int32()), "v": [value] * len(keys)})


def messages_of(table, data, *, overwrite=False, user="u"):
    with TableWriter(table, user=user, overwrite=overwrite) as writer:
        writer.write(data)
        return writer.prepare_commit()


def insert(table, data, **how):
    return commit(table, messages_of(table, data), user="u", **how)


def state(table, snapshot=None):
    found = read_table(table, plan_scan(table, snapshot or table.latest_snapshot())).to_pylist()
    return sorted(tuple(row.values()) for row in found)


def everything(path):
    return {str(p): p.read_bytes() for p in Path(path).rglob("*") if p.is_file()}


def test_counts_and_manifest_lists(tmp_path):
    table = keyed(tmp_path)
    first = insert(table, rows(1, 2, 3), properties={"a": "b"}, watermark=7)
    second = insert(table, rows(2, 3, value="b"), watermark=5)
    assert (first.id, first.commit_kind, first.total_record_count, first.delta_record_count) == (1, "APPEND", 3, 3)
    assert (second.id, second.total_record_count, second.delta_record_count, second.watermark) == (2, 5, 2, 7)
    assert first.properties == {"a": "b"} and second.properties is None
    assert first.commit_identifier == BATCH_IDENTIFIER
    for snapshot in (first, second):
        path = table.paths.manifest(snapshot.delta_manifest_list)
        assert table.file_io.size_bytes(path) == snapshot.delta_manifest_list_size
        assert table.snapshots.snapshot(snapshot.id) == snapshot
    assert [e.file.row_count for e in entries_of_list(table, second.base_manifest_list)] == [3]
    assert state(table) == [(1, "a"), (2, "b"), (3, "b")]
    assert state(table, first) == [(1, "a"), (2, "a"), (3, "a")]


def test_nothing_to_commit_is_no_snapshot(tmp_path):
    table = keyed(tmp_path)
    assert commit(table, [], user="u") is None
    assert insert(table, rows()) is None
    assert table.latest_snapshot() is None


def test_log_offsets_are_carried_on(tmp_path):
    table = keyed(tmp_path)
    insert(table, rows(1), log_offsets={"0": 10, "1": 3})
    assert insert(table, rows(2)).log_offsets == {"0": 10, "1": 3}
    assert commit(table, [], user="u", log_offsets={"1": 4}).log_offsets == {"0": 10, "1": 4}


def test_a_commit_that_also_compacts_is_two_snapshots(tmp_path):
    table = keyed(tmp_path, **{"num-sorted-run.compaction-trigger": "2"})
    insert(table, rows(1, 2), identifier=1)
    last = insert(table, rows(2, 3, value="b"), identifier=2)
    kinds = [(s.commit_kind, s.commit_identifier) for s in map(table.snapshots.snapshot, (1, 2, 3))]
    assert kinds == [("APPEND", 1), ("APPEND", 2), ("COMPACT", 2)] and last.id == 3
    assert (last.total_record_count, last.delta_record_count) == (3, -1)
    assert state(table, table.snapshots.snapshot(2)) == state(table) == [(1, "a"), (2, "b"), (3, "b")]


def test_the_same_commit_twice_is_one(tmp_path):
    table = keyed(tmp_path, **{"num-sorted-run.compaction-trigger": "2"})
    insert(table, rows(1), identifier=1)
    messages = messages_of(table, rows(2))
    last = commit(table, messages, user="u", identifier=2)
    assert commit(table, messages, user="u", identifier=2) == table.snapshots.snapshot(last.id)
    assert table.latest_snapshot() == last
    assert filter_committed(table, "u", [3, 2, 1, 4]) == [3, 4]
    assert filter_committed(table, "other", [2, 1]) == [1, 2]


def test_batch_commits_of_one_user_are_all_done(tmp_path):
    table = appended(tmp_path)
    for key in range(3):
        insert(table, rows(key))
    assert state(table) == [(0, "a"), (1, "a"), (2, "a")]


def test_processes_that_race_all_succeed(tmp_path):
    make_table(tmp_path, COLUMNS, (), (), {})
    (tmp_path / "db.db").rename(tmp_path / "default.db")
    (tmp_path / "default.db" / "t").rename(tmp_path / "default.db" / "log")
    make_table(tmp_path, COLUMNS, ("k",), (), {"bucket": "1", "write-only": "true"})
    (tmp_path / "db.db" / "t").rename(tmp_path / "default.db" / "state")
    users, count = ["a", "b", "c"], 8
    script = str(Path(__file__).parent / "racing_writer.py")
    processes = [
        subprocess.Popen(
            [sys.executable, script, str(tmp_path), user, str(count)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)},
        )
        for user in users
    ]  # fmt: skip
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    wanted = sorted((i, f"{user}-{i}") for user in users for i in range(count))
    for name in ("log", "state"):
        table = open_table(LOCAL, NAME, str(tmp_path / "default.db" / name))
        ids = table.snapshots.ids()
        assert ids == list(range(1, len(users) * count + 1))
        for total, snapshot in enumerate(map(table.snapshots.snapshot, ids), 1):
            assert (snapshot.total_record_count, snapshot.delta_record_count) == (total, 1)
            files = [entry.file for entry in live_files(table, snapshot)]
            assert sum(file.row_count for file in files) == total
            assert len(entries_of_list(table, snapshot.delta_manifest_list)) == 1
        lists = {f.name for f in LOCAL.list_files(f"{table.path}/manifest") if f.name.startswith("manifest-list-")}
        assert len(lists) == 2 * len(ids), "the lists of lost attempts are deleted"
        found = state(table)
        assert found == wanted if name == "log" else [k for k, _ in found] == list(range(count))


def test_losing_the_race_builds_on_the_winner(tmp_path):
    table = keyed(tmp_path)
    insert(table, rows(1))
    late = messages_of(table, rows(3))
    rival = open_table(table.file_io, table.identifier, table.path)
    real = table.snapshots.try_commit
    raced = []

    def slow(snapshot):
        if not raced:
            raced.append(insert(rival, rows(2)))
        return real(snapshot)

    object.__setattr__(table, "snapshots", Delegate(table.snapshots, slow))
    last = commit(table, late, user="late")
    assert (last.id, last.total_record_count, last.delta_record_count) == (3, 3, 1)
    assert state(table) == [(1, "a"), (2, "a"), (3, "a")]


def test_after_too_many_lost_races_it_gives_up_and_leaves_nothing(tmp_path):
    table = keyed(tmp_path, **{"commit.max-retries": "2"})
    messages = messages_of(table, rows(1))
    before = everything(table.path)
    object.__setattr__(table, "snapshots", Delegate(table.snapshots, lambda _: False))
    with pytest.raises(CommitConflict, match="3 times"):
        commit(table, messages, user="u")
    assert everything(table.path) == before


@pytest.mark.parametrize("published", [False, True])
def test_an_error_while_publishing(tmp_path, published):
    """The outcome is unknown until the file is looked at."""
    table = keyed(tmp_path)
    real = table.snapshots.try_commit

    def failing(snapshot):
        if published:
            assert real(snapshot)
        raise OSError("disk gone")

    object.__setattr__(table, "snapshots", Delegate(table.snapshots, failing))
    if published:
        assert insert(table, rows(1)).id == 1
        assert state(table) == [(1, "a")]
    else:
        with pytest.raises(OSError, match="disk gone"):
            insert(table, rows(1))
        assert table.latest_snapshot() is None


class Delegate:
    def __init__(self, manager, try_commit):
        self._manager, self.try_commit = manager, try_commit

    def __getattr__(self, name):
        return getattr(self._manager, name)


def test_dynamic_overwrite_replaces_the_partitions_that_get_rows(tmp_path):
    table = make_table(tmp_path, PARTITIONED, (), ("p",), {})
    data = pa.table({"p": ["a", "b", "b", "c"], "k": pa.array([1, 2, 3, 4], pa.int32())})
    insert(table, data)
    new = messages_of(table, pa.table({"p": ["b"], "k": pa.array([9], pa.int32())}), overwrite=True)
    snapshot = commit(table, new, user="u", overwrite=Overwrite("dynamic"))
    assert (snapshot.commit_kind, snapshot.total_record_count, snapshot.delta_record_count) == ("OVERWRITE", 3, -1)
    assert state(table) == [("a", 1), ("b", 9), ("c", 4)]
    assert commit(table, [], user="u", overwrite=Overwrite("dynamic")) is None


@pytest.mark.parametrize(("spec", "left"), [({"p": "b"}, [("a", 1), ("b", 9), ("c", 4)]), ({}, [("b", 9)])])
def test_static_overwrite(tmp_path, spec, left):
    table = make_table(tmp_path, PARTITIONED, (), ("p",), {})
    insert(table, pa.table({"p": ["a", "b", "b", "c"], "k": pa.array([1, 2, 3, 4], pa.int32())}))
    new = messages_of(table, pa.table({"p": ["b"], "k": pa.array([9], pa.int32())}), overwrite=True)
    commit(table, new, user="u", overwrite=Overwrite(spec))
    assert state(table) == left
    commit(table, [], user="u", overwrite=Overwrite({}))
    assert state(table) == []


BY_TEXT = [
    ({"d": "2024-05-14"}, [3, 4]),
    ({"b": "true"}, [2, 3, 4]),
    ({"b": False, "d": None}, [1, 2, 4]),
    ({"d": "__DEFAULT_PARTITION__"}, [1, 2, 4]),
    ({"d": dt.date(2024, 5, 14), "b": True}, [2, 3, 4]),
]


@pytest.mark.parametrize(("spec", "left"), BY_TEXT)
def test_partitions_are_named_by_value_or_by_text(tmp_path, spec, left):
    table = make_table(tmp_path, {"d": "DATE", "b": "BOOLEAN", "k": "INT"}, (), ("d", "b"), {})
    days = [dt.date(2024, 5, 14), dt.date(2024, 5, 14), None, dt.date(1999, 1, 1)]
    insert(table, pa.table({"d": days, "b": [True, False, False, None], "k": pa.array([1, 2, 3, 4], pa.int32())}))
    commit(table, [], user="u", overwrite=Overwrite(spec))
    rows = read_table(table, plan_scan(table, table.latest_snapshot()))
    assert sorted(rows["k"].to_pylist()) == left


def test_rows_outside_the_overwritten_partition_are_refused(tmp_path):
    table = make_table(tmp_path, PARTITIONED, (), ("p",), {})
    new = messages_of(table, pa.table({"p": ["b"], "k": pa.array([9], pa.int32())}), overwrite=True)
    with pytest.raises(ProgrammingError, match="do not belong to the partition"):
        commit(table, new, user="u", overwrite=Overwrite({"p": "a"}))
    with pytest.raises(ProgrammingError, match="`q` is no partition column"):
        commit(table, new, user="u", overwrite=Overwrite({"q": "a"}))


def test_an_append_never_loses_to_a_compaction(tmp_path):
    table = keyed(tmp_path)
    insert(table, rows(1, 2))
    with TableWriter(table, user="u") as writer:
        writer.write(rows(2, value="b"))
        messages = writer.prepare_commit(compact=True)
    assert any(message.compact_after for message in messages)
    rival = open_table(table.file_io, table.identifier, table.path)
    insert(rival, rows(3, value="c"))
    assert compact(rival, user="rival").commit_kind == "COMPACT"
    snapshot = commit(table, messages, user="u")
    assert snapshot.commit_kind == "APPEND"
    given_up = [f.file_name for m in messages for f in m.compact_after]
    assert not any((Path(table.path) / "bucket-0" / name).exists() for name in given_up)
    assert state(table) == [(1, "a"), (2, "b"), (3, "c")]


def test_a_compaction_of_files_that_are_gone_is_a_conflict(tmp_path):
    table = keyed(tmp_path, **{"write-only": "true"})
    insert(table, rows(1))
    insert(table, rows(2))
    before = [entry.file for entry in live_files(table, table.latest_snapshot())]
    merged = replace(before[0], file_name="data-merged.parquet", level=5)
    message = CommitMessage(bytes(12), 0, 1, compact_before=tuple(before), compact_after=(merged,))
    commit(table, [], user="u", overwrite=Overwrite({}))
    with pytest.raises(CommitConflict, match="no longer there"):
        commit(table, [message], user="v")


def test_overlapping_runs_are_a_conflict(tmp_path):
    table = keyed(tmp_path)
    insert(table, rows(1, 5))
    compact(table, user="u")
    high = live_files(table, table.latest_snapshot())[0].file
    assert high.level == 5
    message = CommitMessage(bytes(12), 0, 1, compact_after=(replace(high, file_name="data-other.parquet"),))
    with pytest.raises(CommitConflict, match="overlap on level 5"):
        commit(table, [message], user="v")


def test_another_number_of_buckets_is_refused(tmp_path):
    table = keyed(tmp_path)
    insert(table, rows(1))
    messages = [replace(m, total_buckets=2) for m in messages_of(table, rows(2))]
    with pytest.raises(ProgrammingError, match="files in 1 buckets where this commit writes 2"):
        commit(table, messages, user="u")
    assert commit(table, messages, user="u", overwrite=Overwrite({})).commit_kind == "OVERWRITE"
    assert state(table) == [(2, "a")]


def test_manifests_stay_few(tmp_path):
    table = appended(tmp_path, **{"manifest.merge-min-count": "4"})
    most = 0
    for key in range(15):
        snapshot = insert(table, rows(key))
        most = max(most, len(manifests(table, snapshot)))
    assert most <= 5
    assert state(table) == [(key, "a") for key in range(15)]


def test_a_full_merge_drops_what_cancels(tmp_path):
    table = keyed(tmp_path, **{"write-only": "true", "manifest.full-compaction-threshold-size": "1 b"})
    for key in range(6):
        insert(table, rows(key % 2, value=str(key)))
        if key == 3:
            compact(table, user="c")
    compact(table, user="c")
    snapshot = insert(table, rows(7, value="7"))
    entries = entries_of_list(table, snapshot.base_manifest_list)
    assert [entry.kind for entry in entries] == [ADD] * len(entries) and len(entries) == 1
    assert state(table) == [(0, "4"), (1, "5"), (7, "7")]


def test_merging_manifests_keeps_the_state(tmp_path):
    table = appended(tmp_path)
    for key in range(5):
        insert(table, rows(key))
    commit(table, [], user="u", overwrite=Overwrite({}))
    insert(table, rows(9))
    snapshot = table.latest_snapshot()
    before = [e.identity for e in live_files(table, snapshot)]
    for options in ({"manifest.merge-min-count": "2"}, {"manifest.full-compaction-threshold-size": "1 b"}):
        other = table.with_options(options)
        merged = merge_manifests(other, manifests(table, snapshot), FileNames(), [])
        entries = [e for m in merged for e in read_manifest(table.file_io, table.paths.manifest(m.file_name))]
        assert [e.identity for e in fold(entries) if e.kind == ADD] == before
        assert len(merged) == 1
