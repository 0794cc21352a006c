"""Where a warehouse lies: a path, `file:` URL, or `:memory:` (a temporary directory, removed at close)."""

import os
import tempfile
from dataclasses import dataclass
from urllib.parse import unquote, urlparse

from tsdb.errors import NotSupportedError, WarehouseError
from tsdb.fs.file_io import FileIO, FileStatus
from tsdb.fs.local import LocalFileIO

__all__ = ["FileIO", "FileStatus", "LocalFileIO", "Storage", "open_warehouse"]


@dataclass(frozen=True, slots=True)
class Storage:
    """An open warehouse: its files, its root (no trailing slash), and the temporary directory to remove at close."""

    file_io: FileIO
    root: str
    temporary: "tempfile.TemporaryDirectory[str] | None" = None

    def close(self) -> None:
        """Removes what was temporary."""
        if self.temporary is not None:
            self.temporary.cleanup()


def open_warehouse(location: str) -> Storage:
    """The storage of a warehouse, which is made if it is not there. Raises WarehouseError if that cannot be done."""
    if location == ":memory:":
        folder = tempfile.TemporaryDirectory(prefix="tsdb-")
        return Storage(LocalFileIO(), folder.name, folder)
    url = urlparse(location)
    if url.scheme and len(url.scheme) > 1:
        if url.scheme != "file" or url.netloc not in ("", "localhost"):
            raise NotSupportedError(f"warehouse `{location}`: only paths, file: URLs and ':memory:' are supported")
        location = unquote(url.path)
    root = os.path.abspath(os.path.expanduser(location))
    if os.path.exists(root) and not os.path.isdir(root):
        raise WarehouseError(f"warehouse `{location}` is a file; a warehouse is a directory")
    try:
        os.makedirs(root, exist_ok=True)
    except OSError as err:
        raise WarehouseError(f"warehouse `{location}` is not there and cannot be made: {err.strerror}") from err
    return Storage(LocalFileIO(), root)
