"""Files as tsdb sees them: whole small files, streams of large ones, and one atomic step.

`FileIO.try_create` is the step every commit rests on: of any number of callers with one path, exactly one gets True.
"""

from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class FileStatus:
    """An entry of a directory. path: as it would be opened; size_bytes 0 for a directory."""

    path: str
    name: str
    size_bytes: int
    mtime_ms: int
    is_dir: bool


class FileIO(Protocol):
    """A file system. Paths are absolute, with `/`. Implementations are thread-safe.

    look_interval_s: how long who waits for a new file should leave the storage alone between two looks.
    """

    look_interval_s: float

    def read_bytes(self, path: str) -> bytes:
        """The whole file. Raises FileNotFoundError."""
        ...

    def write_bytes(self, path: str, data: bytes) -> None:
        """A new file with a name nobody else has; parent directories are made."""
        ...

    def try_create(self, path: str, data: bytes) -> bool:
        """Publish a file whole and durably, only if there is none of that name; False if there is."""
        ...

    def settle(self, path: str) -> None:
        """See to it that nobody can replace a published file any more; who reads it after that may believe it.

        `try_create` has done so for what it publishes. Quiet if the file is not there.
        """
        ...

    def replace(self, path: str, data: bytes, *, durable: bool = True) -> None:
        """Put the file in the place of what is there: readers see the old or the new one, never a part.

        durable: it outlives a power cut; else an old one, or one without content, may be found after that.
        """
        ...

    def exists(self, path: str) -> bool:
        """Whether there is a file or directory."""
        ...

    def list_files(self, directory: str, hidden: bool = False) -> list[FileStatus]:
        """The entries of a directory by name; [] if there is none. hidden: also those whose name begins with a dot."""
        ...

    def size_bytes(self, path: str) -> int:
        """The size of a file. Raises FileNotFoundError."""
        ...

    def delete(self, path: str) -> None:
        """Delete a file; quiet if there is none."""
        ...

    def delete_dir(self, path: str) -> None:
        """Delete a directory and all that is in it; quiet if there is none."""
        ...

    def delete_empty_dir(self, path: str) -> None:
        """Delete a directory if nothing is in it; quiet if there is something, or no directory."""
        ...

    def mkdirs(self, path: str) -> None:
        """Make a directory and its parents."""
        ...

    def rename_dir(self, source: str, target: str) -> None:
        """Move a directory to a place where there is nothing. Raises FileExistsError."""
        ...

    def open_input(self, path: str) -> pa.NativeFile:
        """A readable, seekable file. Raises FileNotFoundError."""
        ...

    def open_output(self, path: str) -> pa.NativeFile:
        """A writable new file; parent directories are made."""
        ...

    def local_path(self, path: str) -> str | None:
        """The path for libraries that open local files themselves, or None on another kind of storage."""
        ...
