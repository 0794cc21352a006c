"""Local disks. A file is published by writing it beside its place, `fsync`, and a hard link, which fails if taken.

Paimon's own programs (Java, pypaimon) write `.NAME.<uuid>.tmp`, look whether NAME is there, and if not rename over it;
a lock makes these two steps one, but only inside their process. So between the two they can replace what another
process has published meanwhile. Who still has its temporary file may do that; who lost it has lost the race, as it
finds out by the failing rename, and begins again. Hence `LocalFileIO.settle`.
"""

import contextlib
import os
import shutil
from pathlib import Path

import pyarrow as pa

from tsdb import clock
from tsdb.errors import NotSupportedError
from tsdb.fs.file_io import FileStatus

_FOREIGN = ".tmp"


class LocalFileIO:
    """See `FileIO`."""

    look_interval_s = 0.0

    def read_bytes(self, path: str) -> bytes:
        """The whole file."""
        with open(path, "rb") as file:
            return file.read()

    def write_bytes(self, path: str, data: bytes) -> None:
        """A new file; removed again if writing fails."""
        _make_parent(path)
        try:
            with open(path, "wb") as file:
                file.write(data)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise

    def try_create(self, path: str, data: bytes) -> bool:
        """Publish: a reader sees the whole file or none, and the file outlives a power cut."""
        unfinished = self._write_beside(path, data)
        try:
            os.link(unfinished, path)
            self.settle(path)
            if _is_replaced(path, unfinished):
                return False
        except FileExistsError:
            return False
        finally:
            os.unlink(unfinished)
        _sync_directory(os.path.dirname(path))
        return True

    def settle(self, path: str) -> None:
        """Take the temporary files from the programs that could still rename them over the file.

        Nothing happens in a directory that is not ours to write in.
        """
        if not os.path.exists(path):
            return
        directory, name = os.path.split(path)
        for other in os.listdir(directory):
            if other.startswith(f".{name}.") and other.endswith(_FOREIGN):
                with contextlib.suppress(OSError):
                    os.unlink(f"{directory}/{other}")

    def replace(self, path: str, data: bytes, *, durable: bool = True) -> None:
        """Atomic overwrite."""
        unfinished = self._write_beside(path, data, durable=durable)
        os.replace(unfinished, path)

    def _write_beside(self, path: str, data: bytes, *, durable: bool = True) -> str:
        """A hidden file in the same directory, if durable on disk; removed again if writing fails."""
        _make_parent(path)
        directory, name = os.path.split(path)
        unfinished = f"{directory}/.{name}.{clock.current().new_id()}.new"
        try:
            with open(unfinished, "wb") as file:
                file.write(data)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
        except BaseException:
            Path(unfinished).unlink(missing_ok=True)
            raise
        return unfinished

    def exists(self, path: str) -> bool:
        """Whether there is a file or directory."""
        return os.path.exists(path)

    def list_files(self, directory: str, hidden: bool = False) -> list[FileStatus]:
        """Entries by name. hidden: with the files of unfinished publications."""
        found = []
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    if hidden or not entry.name.startswith("."):
                        found.append(_status(entry))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted((f for f in found if f is not None), key=lambda f: f.name)

    def size_bytes(self, path: str) -> int:
        """The size of a file."""
        return os.stat(path).st_size

    def delete(self, path: str) -> None:
        """Delete a file; quiet if there is none."""
        Path(path).unlink(missing_ok=True)

    def delete_dir(self, path: str) -> None:
        """Delete a directory; quiet if there is none."""
        if os.path.isdir(path):
            shutil.rmtree(path)

    def delete_empty_dir(self, path: str) -> None:
        """Delete a directory if nothing is in it."""
        with contextlib.suppress(OSError):
            os.rmdir(path)

    def mkdirs(self, path: str) -> None:
        """Make a directory and its parents."""
        os.makedirs(path, exist_ok=True)

    def rename_dir(self, source: str, target: str) -> None:
        """Move a directory."""
        if os.path.exists(target):
            raise FileExistsError(target)
        os.rename(source, target)

    def open_input(self, path: str) -> pa.NativeFile:
        """A plain file: a map would end the process when another cuts the file short, and count as its memory."""
        return pa.OSFile(_on_disk(path))

    def open_output(self, path: str) -> pa.NativeFile:
        """A writable new file."""
        _make_parent(path)
        return pa.OSFile(path, "wb")

    def local_path(self, path: str) -> str | None:
        """The path itself."""
        return _on_disk(path)


def _on_disk(path: str) -> str:
    """The path. Raises NotSupportedError for a place on another kind of storage, where tables can have files, too."""
    if "://" in path:
        raise NotSupportedError(f"{path} is on no local disk; the files of a local warehouse are")
    return path


def _status(entry: os.DirEntry[str]) -> FileStatus | None:
    """None for an entry that vanished meanwhile."""
    try:
        stat = entry.stat()
    except FileNotFoundError:
        return None
    is_dir = entry.is_dir()
    return FileStatus(entry.path, entry.name, 0 if is_dir else stat.st_size, stat.st_mtime_ns // 1_000_000, is_dir)


def _is_replaced(path: str, by_us: str) -> bool:
    """Whether another file is in the place of ours; what has been deleted since (an expired snapshot) was ours."""
    try:
        return not os.path.samefile(path, by_us)
    except FileNotFoundError:
        return False


def _make_parent(path: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)


def _sync_directory(directory: str) -> None:
    """Makes the new name durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
