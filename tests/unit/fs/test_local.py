"""Local files: the one atomic step, whole replacement, and quiet deletion."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tsdb.errors import NotSupportedError, WarehouseError
from tsdb.fs import LocalFileIO, open_warehouse

IO = LocalFileIO()


def test_of_many_writers_one_creates(tmp_path: Path) -> None:
    path = str(tmp_path / "snapshot" / "snapshot-1")
    barrier, won = threading.Barrier(8), []

    def publish(i: int) -> None:
        barrier.wait()
        if IO.try_create(path, b"%d" % i * 1000):
            won.append(i)

    threads = [threading.Thread(target=publish, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and IO.read_bytes(path) == b"%d" % won[0] * 1000
    assert os.listdir(tmp_path / "snapshot") == ["snapshot-1"]  # nothing unfinished is left


def test_readers_see_the_old_or_the_new_hint(tmp_path: Path) -> None:
    path = str(tmp_path / "LATEST")
    IO.replace(path, b"1" * 100)
    seen, stop = set(), threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen.add(IO.read_bytes(path))

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(200):
        IO.replace(path, b"%d" % (i % 10) * 100)
    stop.set()
    reader.join()
    assert all(len(data) == 100 and len(set(data)) == 1 for data in seen)


def test_a_file_that_cannot_be_written_whole_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        IO.write_bytes(str(tmp_path / "new" / "file"), "no bytes")  # type: ignore[arg-type]
    assert os.listdir(tmp_path / "new") == []


@pytest.mark.parametrize("write", [IO.try_create, IO.replace], ids=["try_create", "replace"])
def test_a_failed_write_leaves_nothing(
    write: Callable[[str, bytes], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        write(str(tmp_path / "x"), b"data")
    assert os.listdir(tmp_path) == []


def test_what_is_published_cannot_be_replaced_by_who_saw_its_place_free(tmp_path: Path) -> None:
    path, theirs = str(tmp_path / "x"), tmp_path / ".x.123.tmp"
    others = [tmp_path / ".x2.123.tmp", tmp_path / ".x.123.new"]
    for file in (theirs, *others):
        file.write_bytes(b"theirs")
    assert IO.try_create(path, b"ours")
    with pytest.raises(FileNotFoundError):
        os.rename(theirs, path)
    assert IO.read_bytes(path) == b"ours" and all(file.exists() for file in others)
    IO.settle(str(tmp_path / "x2"))  # what is not there is nobody's
    assert others[0].exists()


def test_listing(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"123")
    (tmp_path / "a").mkdir()
    (tmp_path / ".b.x.tmp").write_bytes(b"")
    found = IO.list_files(str(tmp_path))
    assert [(f.name, f.size_bytes, f.is_dir) for f in found] == [("a", 0, True), ("b", 3, False)]
    assert found[1].path == str(tmp_path / "b") and found[1].mtime_ms > 1_600_000_000_000
    assert IO.list_files(str(tmp_path / "gone")) == [] == IO.list_files(str(tmp_path / "b"))


def test_files(tmp_path: Path) -> None:
    path = str(tmp_path / "new" / "folder" / "x")
    IO.write_bytes(path, b"abc")
    assert IO.exists(path) and IO.size_bytes(path) == 3 and IO.local_path(path) == path
    with IO.open_input(path) as file:
        assert file.read() == b"abc"
    with IO.open_output(str(tmp_path / "other" / "y")) as out:
        out.write(b"12")
    assert IO.read_bytes(str(tmp_path / "other" / "y")) == b"12"
    IO.delete(path)
    IO.delete(path)
    IO.delete_dir(str(tmp_path / "other"))
    IO.delete_dir(str(tmp_path / "other"))
    assert not IO.exists(path) and not IO.exists(str(tmp_path / "other"))
    for read in (IO.read_bytes, IO.open_input, IO.size_bytes):
        with pytest.raises(FileNotFoundError):
            read(path)


def test_an_empty_file_can_be_opened(tmp_path: Path) -> None:
    IO.write_bytes(str(tmp_path / "x"), b"")
    with IO.open_input(str(tmp_path / "x")) as file:
        assert file.read() == b""


def test_a_directory_moves_to_a_free_place_only(tmp_path: Path) -> None:
    IO.write_bytes(str(tmp_path / "a" / "x"), b"1")
    IO.mkdirs(str(tmp_path / "b"))
    with pytest.raises(FileExistsError):
        IO.rename_dir(str(tmp_path / "a"), str(tmp_path / "b"))
    IO.rename_dir(str(tmp_path / "a"), str(tmp_path / "c"))
    assert IO.read_bytes(str(tmp_path / "c" / "x")) == b"1"


def test_where_a_warehouse_may_lie(tmp_path: Path) -> None:
    for location in (str(tmp_path / "a b"), f"file:{tmp_path}/a%20b", f"file://{tmp_path}/a%20b"):
        storage = open_warehouse(location)
        assert storage.root == str(tmp_path / "a b") and os.path.isdir(storage.root)
        storage.close()
        assert os.path.isdir(storage.root)
    memory = open_warehouse(":memory:")
    memory.file_io.write_bytes(f"{memory.root}/x", b"1")
    memory.close()
    assert not os.path.exists(memory.root)


def test_where_a_warehouse_may_not_lie(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WarehouseError, match=r"is a file"):
        open_warehouse(str(tmp_path / "file"))
    with pytest.raises(WarehouseError, match=r"cannot be made"):
        open_warehouse(str(tmp_path / "file" / "below"))
    for url in ("gs://bucket/x", "file://elsewhere/x"):
        with pytest.raises(NotSupportedError, match=url):
            open_warehouse(url)


def test_files_on_other_storage_are_refused_by_name() -> None:
    for refused in (LocalFileIO().open_input, LocalFileIO().local_path):
        with pytest.raises(NotSupportedError, match="s3://bucket/data is on no local disk"):
            refused("s3://bucket/data")
