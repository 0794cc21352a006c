"""Where a warehouse lies: a path, `file:` or `s3:` URL, or `:memory:` (a temporary directory, removed at close)."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import ParseResult, unquote, urlparse

from tsdb.errors import NotSupportedError, OptionError, WarehouseError
from tsdb.fs.file_io import FileIO, FileStatus
from tsdb.fs.local import LocalFileIO
from tsdb.fs.object_store import S3_OPTIONS, SCHEMES, ObjectStoreFileIO

__all__ = ["S3_OPTIONS", "FileIO", "FileStatus", "LocalFileIO", "Storage", "open_warehouse"]


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


def open_warehouse(location: str, options: Mapping[str, str] | None = None) -> Storage:
    """The storage of a warehouse, which is made if it is not there. Raises WarehouseError if that cannot be done.

    options: `S3_OPTIONS`, for an object store only.
    """
    url = urlparse(location)
    is_url = bool(url.scheme) and len(url.scheme) > 1 and location != ":memory:"
    if is_url and url.scheme in SCHEMES:
        return _open_bucket(location, url, options or {})
    if options:
        raise OptionError(f"'{next(iter(options))}' is for warehouses in object stores; `{location}` is none")
    if location == ":memory:":
        folder = tempfile.TemporaryDirectory(prefix="tsdb-")
        return Storage(LocalFileIO(), folder.name, folder)
    if is_url:
        if url.scheme != "file" or url.netloc not in ("", "localhost"):
            raise NotSupportedError(
                f"warehouse `{location}`: only paths, file: and s3: URLs and ':memory:' are supported"
            )
        location = unquote(url.path)
    root = os.path.abspath(os.path.expanduser(location))
    if os.path.exists(root) and not os.path.isdir(root):
        raise WarehouseError(f"warehouse `{location}` is a file; a warehouse is a directory")
    try:
        os.makedirs(root, exist_ok=True)
    except OSError as err:
        raise WarehouseError(f"warehouse `{location}` is not there and cannot be made: {err.strerror}") from err
    return Storage(LocalFileIO(), root)


def _open_bucket(location: str, url: ParseResult, options: Mapping[str, str]) -> Storage:
    """Looks into it, so that what is wrong with the bucket, its place or the keys is said here."""
    if not url.netloc:
        raise WarehouseError(f"warehouse `{location}` names no bucket; write s3://bucket/path")
    root = f"s3://{url.netloc}{unquote(url.path).rstrip('/')}"
    file_io = ObjectStoreFileIO(f"s3://{url.netloc}", options)
    try:
        file_io.list_files(root)
    except OSError as err:
        raise WarehouseError(f"warehouse `{location}` cannot be opened: {err}") from err
    return Storage(file_io, root)
