"""Index files in commits: the folded list, conflicts between writers, overwrites, expiration, checkpoints."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.table.test_commit import PARTITIONED, insert, keyed, make_table, messages_of, rows
from tsdb.errors import CommitConflict
from tsdb.metadata.index_file import (
    DELETION_VECTORS,
    HASH,
    DeletionRange,
    IndexEntry,
    IndexFileMeta,
    read_index_manifest,
    write_index_manifest,
)
from tsdb.table.changelog import Retention
from tsdb.table.commit import Overwrite, commit
from tsdb.table.commit_message import CommitMessage
from tsdb.table.expire import expire_snapshots
from tsdb.table.index_change import index_entries
from tsdb.table.scan import live_files
from tsdb.table.write import discard

JAVA = Path(__file__).parent.parent.parent / "fixtures" / "java-warehouse" / "db.db"
ROW = bytes(12)


def hash_file(table, name, count=1):
    table.file_io.write_bytes(table.paths.index(name), bytes(4 * count))
    return IndexFileMeta(HASH, name, 4 * count, count)


def deletions(table, name, *files):
    table.file_io.write_bytes(table.paths.index(name), b"\1")
    return IndexFileMeta(DELETION_VECTORS, name, 1, len(files), {f: DeletionRange(1, 24, 2) for f in files})


def index(table, snapshot=None):
    return sorted(e.file.file_name for e in index_entries(table, snapshot or table.latest_snapshot()))


def with_index(message, **files):
    return replace(message, **{key: tuple(value) for key, value in files.items()})


def put(table, *, new=(), old=(), bucket=0):
    return commit(
        table, [CommitMessage(ROW, bucket, 1, new_index_files=tuple(new), deleted_index_files=tuple(old))], user="u"
    )


@pytest.mark.parametrize("table", ["dv32", "dv64", "dyn"])
def test_the_index_manifests_of_java_are_written_as_they_were_read(table, tmp_path):
    io = keyed(tmp_path).file_io
    manifests = sorted((JAVA / table / "manifest").glob("index-manifest-*"))
    assert manifests
    for path in manifests:
        entries = read_index_manifest(io, str(path))
        assert entries
        write_index_manifest(io, str(tmp_path / "copy"), entries)
        assert read_index_manifest(io, str(tmp_path / "copy")) == entries


def test_an_index_file_goes_with_its_rows_and_is_replaced(tmp_path):
    table = keyed(tmp_path)
    first = hash_file(table, "index-a")
    message = with_index(messages_of(table, rows(1))[0], new_index_files=[first])
    assert CommitMessage.from_json(json.loads(json.dumps(message.to_json()))) == message
    snapshot = commit(table, [message], user="u")
    assert snapshot.commit_kind == "APPEND" and index(table) == ["index-a"]
    assert insert(table, rows(2)).index_manifest == snapshot.index_manifest  # nothing new, nothing written
    after = put(table, new=[hash_file(table, "index-b", 2)], old=[first])
    assert index(table) == ["index-b"] and index(table, snapshot) == ["index-a"]
    assert after.commit_kind == "APPEND"
    assert put(table, old=[replace(first, file_name="index-b")]).index_manifest is None


def test_who_did_not_see_the_newest_index_loses(tmp_path):
    table = keyed(tmp_path)
    insert(table, rows(1, 2))
    name = live_files(table, table.latest_snapshot())[0].file.file_name
    first = deletions(table, "index-a", name)
    put(table, new=[first])
    with pytest.raises(CommitConflict, match="another index file of type DELETION_VECTORS"):
        put(table, new=[deletions(table, "index-x", name)])
    put(table, new=[deletions(table, "index-b", name)], old=[first])
    with pytest.raises(CommitConflict, match=r"index-a .* no longer there"):
        put(table, new=[deletions(table, "index-y", name)], old=[first])
    assert index(table) == ["index-b"]


def test_who_did_not_see_the_newest_hash_index_adds_its_keys_to_it(tmp_path):
    table = keyed(tmp_path)
    insert(table, rows(1))
    first = hash_file(table, "index-a", 1)
    put(table, new=[first])
    put(table, new=[hash_file(table, "index-x", 2)])
    merged = index_entries(table, table.latest_snapshot())[0].file
    assert merged.row_count == 1 and merged.file_name not in ("index-a", "index-x")
    assert not table.file_io.exists(table.paths.index("index-x"))
    other = IndexFileMeta(HASH, "index-o", 4, 1)
    table.file_io.write_bytes(table.paths.index("index-o"), b"\0\0\0\1")
    with pytest.raises(CommitConflict, match="has lost its hash index"):
        put(table, new=[hash_file(table, "index-y")], old=[other])


def test_a_deletion_vector_is_of_a_live_file_and_goes_with_it(tmp_path):
    table = keyed(tmp_path)
    insert(table, rows(1, 2))
    file = live_files(table, table.latest_snapshot())[0].file
    with pytest.raises(CommitConflict, match=r"file data-gone.parquet .* no longer there"):
        put(table, new=[deletions(table, "index-0", "data-gone.parquet")])
    vector = deletions(table, "index-1", file.file_name)
    assert put(table, new=[vector]).commit_kind == "OVERWRITE"
    merged = replace(file, file_name="data-merged.parquet")
    message = CommitMessage(ROW, 0, 1, compact_before=(file,), compact_after=(merged,))
    with pytest.raises(CommitConflict, match="deleted by another writer"):
        commit(table, [message], user="v")
    commit(table, [replace(message, compact_deleted_index_files=(vector,))], user="v")
    assert index(table) == []


def test_of_two_writers_that_delete_rows_of_a_file_one_loses(tmp_path):
    table = make_table(tmp_path, {"k": "INT", "v": "STRING"}, (), (), {})
    insert(table, rows(1, 2))
    name = live_files(table, table.latest_snapshot())[0].file.file_name
    put(table, new=[deletions(table, "index-1", name)])
    with pytest.raises(CommitConflict, match="another writer"):
        put(table, new=[deletions(table, "index-2", name)])


def test_an_overwritten_partition_loses_its_index(tmp_path):
    table = make_table(tmp_path, PARTITIONED, ("p", "k"), ("p",), {"bucket": "1"})
    data = rows(1, 2).drop_columns("v").add_column(0, "p", [["x", "y"]])
    messages = messages_of(table, data)
    named = [with_index(m, new_index_files=[hash_file(table, f"index-{i}")]) for i, m in enumerate(messages)]
    commit(table, named, user="u")
    assert index(table) == ["index-0", "index-1"]
    new = messages_of(table, data.slice(0, 1), overwrite=True)[0]
    place = [m.partition for m in messages].index(new.partition)
    commit(table, [with_index(new, new_index_files=[hash_file(table, "index-n")])], user="u",
           overwrite=Overwrite("dynamic"))  # fmt: skip
    assert index(table) == sorted({"index-0", "index-1", "index-n"} - {f"index-{place}"})
    commit(table, [], user="u", overwrite=Overwrite({"p": "x"}))
    assert len(index(table)) == 1
    commit(table, [], user="u", overwrite=Overwrite({}))
    assert table.latest_snapshot().index_manifest is None


def test_expired_and_discarded_index_files_are_deleted(tmp_path):
    table = keyed(tmp_path)
    first, second = hash_file(table, "index-a"), hash_file(table, "index-b")
    message = with_index(messages_of(table, rows(1))[0], new_index_files=[first])
    commit(table, [message], user="u")
    put(table, new=[second], old=[first])
    insert(table, rows(2))
    assert expire_snapshots(table, Retention(1, 1, 2**60, 50)) == 2
    assert sorted(p.name for p in (Path(table.path) / "index").iterdir()) == ["index-b"]
    assert len(list((Path(table.path) / "manifest").glob("index-manifest-*"))) == 1
    discard(table, [CommitMessage(ROW, 0, 1, new_index_files=(hash_file(table, "index-c"),))])
    assert sorted(p.name for p in (Path(table.path) / "index").iterdir()) == ["index-b"]


def test_a_checkpoint_without_index_files_is_still_read():
    message = CommitMessage(ROW, 0, 1)
    old = {key: value for key, value in message.to_json().items() if "index" not in key}
    assert CommitMessage.from_json(old) == message
    assert IndexEntry(ROW, 0, IndexFileMeta(HASH, "a", 4, 1)).file.index_type == HASH
