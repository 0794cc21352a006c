"""A damaged file gives one clear error that names it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tsdb.errors import CorruptFile, OperationalError
from tsdb.format.parquet import read_batches
from tsdb.fs.local import LocalFileIO
from tsdb.metadata.deletion_vector import read_deletion_vector
from tsdb.metadata.manifest import read_manifest, read_manifest_list
from tsdb.metadata.schema import SchemaManager
from tsdb.metadata.snapshot import SnapshotManager

FIXTURE = Path(__file__).parent.parent.parent / "fixtures" / "java-warehouse" / "db.db" / "dv32"
IO = LocalFileIO()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIXTURE, tmp_path / "t"))


def first(table: Path, pattern: str) -> Path:
    return sorted(table.glob(pattern))[0]


def read_any(table: Path, path: Path) -> object:
    name = path.name
    if name.startswith("schema-"):
        return SchemaManager(IO, str(table)).schema(int(name[7:]))
    if name.startswith("snapshot-"):
        return SnapshotManager(IO, str(table)).snapshot(int(name[9:]))
    if name.startswith("manifest-list-"):
        return read_manifest_list(IO, str(path))
    if name.startswith("manifest-"):
        return read_manifest(IO, str(path))
    if name.startswith("index-"):
        return read_deletion_vector(IO, str(path), 1)
    return list(read_batches(IO, str(path)))


KINDS = {
    "schema": "schema/schema-0",
    "snapshot": "snapshot/snapshot-1",
    "manifest list": "manifest/manifest-list-*",
    "manifest": "manifest/manifest-[0-9a-f]*",
    "deletion vector": "index/index-*",
    "data file": "bucket-*/data-*",
}
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "garbage": lambda data: b"\x00garbage" * (len(data) // 8 + 1),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_named(table: Path, kind: str, damage: str) -> None:
    path = first(table, KINDS[kind])
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(CorruptFile) as caught:
        read_any(table, path)
    assert path.name in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_file_is_named(table: Path, kind: str) -> None:
    path = first(table, KINDS[kind])
    path.unlink()
    with pytest.raises(OperationalError) as caught:
        read_any(table, path)
    assert path.name in str(caught.value) or "snapshot 1 " in str(caught.value)
    if kind == "snapshot":
        assert "are there" in str(caught.value)


@pytest.mark.parametrize("hint", [b"", b"999", b"x", b"0", None])
def test_hints_are_never_trusted_alone(table: Path, hint: bytes | None) -> None:
    wanted = SnapshotManager(IO, str(table)).ids()
    for name in ("LATEST", "EARLIEST"):
        path = table / "snapshot" / name
        path.unlink(missing_ok=True)
        if hint is not None:
            path.write_bytes(hint)
    snapshots = SnapshotManager(IO, str(table))
    assert (snapshots.earliest_id(), snapshots.latest_id()) == (wanted[0], wanted[-1])
