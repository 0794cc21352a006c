"""Publishing snapshots and schemas, and finding them again."""

import json
import threading
from pathlib import Path

import pytest

from tsdb.data_types import DataField, parse_type
from tsdb.fs.local import LocalFileIO
from tsdb.metadata.schema import SchemaManager, TableSchema
from tsdb.metadata.snapshot import BATCH_IDENTIFIER, Snapshot, SnapshotManager, SnapshotNotFound

IO = LocalFileIO()


def snapshot(snapshot_id: int, user: str = "u") -> Snapshot:
    return Snapshot(snapshot_id, 0, "base", "delta", user, BATCH_IDENTIFIER, "APPEND", 1000 * snapshot_id, 10, 10)


def with_snapshots(path: Path, count: int) -> SnapshotManager:
    manager = SnapshotManager(IO, str(path))
    for i in range(count):
        assert manager.try_commit(snapshot(i + 1))
        manager.announce(snapshot(i + 1))
    return manager


def test_one_of_many_commits_wins(tmp_path: Path) -> None:
    won: list[str] = []

    def commit(user: str) -> None:
        if SnapshotManager(IO, str(tmp_path)).try_commit(snapshot(1, user)):
            won.append(user)

    threads = [threading.Thread(target=commit, args=(str(i),)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and SnapshotManager(IO, str(tmp_path)).snapshot(1).commit_user == won[0]


def test_a_table_without_snapshots(tmp_path: Path) -> None:
    manager = SnapshotManager(IO, str(tmp_path))
    assert (manager.latest_id(), manager.earliest_id(), manager.latest()) == (None, None, None)
    assert manager.at_or_before(10**15) is None
    with pytest.raises(SnapshotNotFound, match="no snapshot"):
        manager.snapshot(1)


def test_finding(tmp_path: Path) -> None:
    manager = with_snapshots(tmp_path, 5)
    assert (tmp_path / "snapshot" / "LATEST").read_text() == "5"
    for expired in (1, 2):
        IO.delete(manager.path(expired))
    again = SnapshotManager(IO, str(tmp_path))
    assert (again.earliest_id(), again.latest_id(), again.ids()) == (3, 5, [3, 4, 5])
    with pytest.raises(SnapshotNotFound, match="snapshots 3 to 5 are there"):
        again.snapshot(1)
    times = {2999: None, 3000: 3, 3999: 3, 4000: 4, 10**12: 5}
    for time_ms, wanted in times.items():
        found = again.at_or_before(time_ms)
        assert (None if found is None else found.id) == wanted


def test_a_commit_outlives_hints_that_cannot_be_written(tmp_path: Path) -> None:
    manager = with_snapshots(tmp_path, 1)
    (tmp_path / "snapshot" / "LATEST").unlink()
    (tmp_path / "snapshot" / "LATEST").mkdir()
    assert manager.try_commit(snapshot(2)) and not manager.try_commit(snapshot(2))
    manager.announce(snapshot(2))  # quiet


def test_unknown_keys_are_ignored_and_missing_ones_named() -> None:
    text = snapshot(3).to_json()
    assert Snapshot.from_json(text[:-1] + ', "uuid": "x", "operation": "WRITE"}') == snapshot(3)
    with pytest.raises(ValueError, match="schemaId"):
        Snapshot.from_json(text.replace("schemaId", "schema_id"))


def test_schemas_are_numbered_and_published_once(tmp_path: Path) -> None:
    manager = SchemaManager(IO, str(tmp_path))
    assert manager.latest() is None
    first = TableSchema(0, (DataField(0, "k", parse_type("INT NOT NULL")),), primary_keys=("k",), highest_field_id=0)
    assert manager.try_create(first) and not manager.try_create(first)
    for i in range(1, 12):
        assert manager.try_create(TableSchema(i, first.fields, primary_keys=("k",), highest_field_id=0))
    assert manager.ids() == list(range(12))
    latest = manager.latest()
    assert latest is not None and latest.id == 11 and manager.schema(0) == first


VERSIONS = [(1, "orc", "1"), (2, "orc", None), (3, None, None)]


@pytest.mark.parametrize(("version", "file_format", "bucket"), VERSIONS)
def test_what_old_schemas_leave_unsaid(version: int, file_format: str | None, bucket: str | None) -> None:
    text = json.dumps({"version": version, "id": 0, "fields": [], "highestFieldId": -1, "options": {}})
    options = TableSchema.from_json(text).options
    assert (options.get("file.format"), options.get("bucket")) == (file_format, bucket)


def test_keys() -> None:
    fields = tuple(DataField(i, n, parse_type("INT")) for i, n in enumerate("abp"))
    schema = TableSchema(0, fields, ("p",), ("b", "p", "a"))
    assert (schema.trimmed_primary_keys, schema.bucket_keys) == (("b", "a"), ("b", "a"))
    assert TableSchema(0, fields, ("p",), ("b", "p"), {"bucket-key": "b"}).bucket_keys == ("b",)
    assert TableSchema(0, fields, ("p",), ("p",)).trimmed_primary_keys == ("p",)
    assert schema.names == ("a", "b", "p") and schema.has("p") and not schema.has("P")
