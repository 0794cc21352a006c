"""Object stores that speak S3, by obstore (the extra `tsdb[s3]`). A file is published by a PUT that fails if taken.

There are no directories, only names with `/` in them: a directory is there while something lies in it. `mkdirs` puts a
hidden, empty file where nothing else does yet, so that an empty database is there for every engine that lists names.
"""

import contextlib
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from tsdb import clock
from tsdb.errors import NotSupportedError, OptionError, nearest
from tsdb.fs.file_io import FileStatus
from tsdb.secrets import resolved

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config

try:
    import obstore
    from obstore.exceptions import AlreadyExistsError, BaseError
    from obstore.store import S3Store
except ImportError:
    obstore = None  # type: ignore[assignment]

SCHEMES = ("s3", "s3a")

S3_OPTIONS = {
    "s3.endpoint": ("endpoint", "The URL of the service; without it, that of AWS."),
    "s3.access-key": ("access_key_id", "The id of the access key; without it, what AWS_ACCESS_KEY_ID says."),
    "s3.secret-key": ("secret_access_key", "The secret of the access key; may be `${env:NAME}` or `${file:/path}`."),
    "s3.session.token": ("session_token", "The token of a session of limited time."),
    "s3.region": ("region", "The region; without it, what AWS_REGION says, else us-east-1."),
    "s3.path.style.access": ("", "`true`: the bucket stands in the path of a URL, not in the name of its host."),
}
"""Options of a warehouse in an object store, with obstore's name for each and what it means."""

_DIRECTORY = ".directory"
_WHOLE_BYTES = 4 << 20  # smaller files are fetched by one request
_AHEAD_BYTES = 1 << 20
_PUBLISH_ATTEMPTS = 6
_RETRY: "RetryConfig" = {"max_retries": 4, "retry_timeout": timedelta(seconds=30)}
_ONCE: "RetryConfig" = {"max_retries": 0, "retry_timeout": timedelta(seconds=30)}
_T = TypeVar("_T")


class ObjectStoreFileIO:
    """See `FileIO`. Paths are URLs in one bucket, such as `s3://bucket/warehouse/default.db/t/snapshot/snapshot-1`."""

    look_interval_s = 1.0  # requests cost money

    def __init__(self, bucket_url: str, options: Mapping[str, str]) -> None:
        """bucket_url: `s3://bucket`. Raises NotSupportedError without obstore, OptionError for options unknown."""
        if obstore is None:
            raise NotSupportedError("a warehouse in an object store needs the extra: pip install 'tsdb[s3]'")
        config = _config(options)
        client: ClientConfig = {
            "allow_http": _endpoint(config).startswith("http:"),
            "connect_timeout": timedelta(seconds=5),
        }
        bucket = bucket_url.partition("://")[2]
        self._url = bucket_url
        self._store = S3Store(bucket, config=config, client_options=client, retry_config=_RETRY)
        self._store_once = S3Store(bucket, config=config, client_options=client, retry_config=_ONCE)

    def read_bytes(self, path: str) -> bytes:
        """The whole file."""
        return bytes(_tried(lambda: obstore.get(self._store, self._key(path)).bytes()))

    def write_bytes(self, path: str, data: bytes) -> None:
        """A new file, whole or not at all."""
        self.replace(path, data)

    def try_create(self, path: str, data: bytes) -> bool:
        """Publish by a PUT that fails if there is a file.

        A PUT whose answer got lost may have been carried out: then the file is ours if it has our content, as
        whatever is published names its writer. Only such a doubt leads to another attempt.
        """
        key = self._key(path)
        for attempt in range(_PUBLISH_ATTEMPTS):
            try:
                obstore.put(self._store_once, key, data, mode="create")
            except AlreadyExistsError:
                return attempt > 0 and self.read_bytes(path) == data
            except (BaseError, OSError) as err:
                if attempt == _PUBLISH_ATTEMPTS - 1 or isinstance(err, (FileNotFoundError, PermissionError)):
                    raise _as_os_error(err) from err
                clock.current().sleep(0.05 * 2**attempt)
            else:
                return True
        raise AssertionError("the last attempt returns or raises")

    def settle(self, path: str) -> None:
        """Nothing to do: a published object is there under its own name only."""

    def replace(self, path: str, data: bytes, *, durable: bool = True) -> None:
        """One PUT, which is durable in any case."""
        _tried(lambda: obstore.put(self._store, self._key(path), data, mode="overwrite", use_multipart=False))

    def exists(self, path: str) -> bool:
        """Whether there is a file, or something below."""
        try:
            self.size_bytes(path)
        except FileNotFoundError:
            return next(self._below(path), None) is not None
        return True

    def list_files(self, directory: str, hidden: bool = False) -> list[FileStatus]:
        """Entries by name."""
        key = self._key(directory)
        listing = _tried(lambda: obstore.list_with_delimiter(self._store, key or None))
        found = [FileStatus(f"{self._url}/{path}", _name(path), 0, 0, True) for path in listing["common_prefixes"]]
        marks = {key, *listing["common_prefixes"]}  # other programs mark directories by empty objects, `name/`
        for entry in listing["objects"]:
            if entry["path"] not in marks:
                changed_ms = round(entry["last_modified"].timestamp() * 1000)
                path = entry["path"]
                found.append(FileStatus(f"{self._url}/{path}", _name(path), entry["size"], changed_ms, False))
        return sorted((f for f in found if hidden or not f.name.startswith(".")), key=lambda f: f.name)

    def size_bytes(self, path: str) -> int:
        """The size of a file."""
        return int(_tried(lambda: obstore.head(self._store, self._key(path)))["size"])

    def delete(self, path: str) -> None:
        """Delete a file."""
        with contextlib.suppress(FileNotFoundError):
            _tried(lambda: obstore.delete(self._store, self._key(path)))

    def delete_dir(self, path: str) -> None:
        """Delete all objects below."""
        for keys in _chunks(self._below(path)):
            _tried(partial(obstore.delete, self._store, keys))

    def delete_empty_dir(self, path: str) -> None:
        """A directory ends with its last file; only the file that kept it is deleted."""
        if [entry.name for entry in self.list_files(path, hidden=True)] == [_DIRECTORY]:
            self.delete(f"{path}/{_DIRECTORY}")

    def mkdirs(self, path: str) -> None:
        """Put a hidden file in it, if nothing is there."""
        if next(self._below(path), None) is None:
            self.replace(f"{path}/{_DIRECTORY}", b"")

    def rename_dir(self, source: str, target: str) -> None:
        """Copy all objects, then delete them: not one step. What makes a table, its schema, comes last and goes first.

        Stopped in between, both places hold files, and the table is whole in at least one of them.
        """
        if self.exists(target):
            raise FileExistsError(target)
        start = len(self._key(source))
        keys = sorted(self._below(source), key=lambda key: (key[start:].startswith("/schema/"), key))
        for key in keys:
            # what is listed and not there is the mark of a directory, `name/`, of another program
            with contextlib.suppress(FileNotFoundError):
                _tried(partial(obstore.copy, self._store, key, self._key(target) + key[start:]))
        for chunk in _chunks(reversed(keys)):
            _tried(partial(obstore.delete, self._store, chunk))

    def open_input(self, path: str) -> pa.NativeFile:
        """A small file whole in memory, a large one by ranges."""
        size = self.size_bytes(path)
        if size <= _WHOLE_BYTES:
            return pa.BufferReader(self.read_bytes(path))
        return pa.PythonFile(_Ranges(self._store, self._key(path), size), mode="r")

    def open_output(self, path: str) -> pa.NativeFile:
        """An upload in parts; the file is there when it is closed."""
        return pa.PythonFile(_Upload(obstore.open_writer(self._store, self._key(path))), mode="w")

    def local_path(self, path: str) -> str | None:
        """None: no library opens these files by a path."""
        return None

    def _key(self, path: str) -> str:
        if path != self._url and not path.startswith(f"{self._url}/"):
            raise NotSupportedError(f"{path} lies outside of {self._url}; a warehouse reads and writes one bucket only")
        return path[len(self._url) :].strip("/")

    def _below(self, path: str) -> Iterator[str]:
        key = self._key(path)
        chunks = iter(obstore.list(self._store, key or None))
        while True:
            chunk = _tried(lambda: next(chunks, None))
            if chunk is None:
                return
            yield from (entry["path"] for entry in chunk if entry["path"] != key)


class _Ranges(io.RawIOBase):
    """An object as a seekable file; each read is one request, of a mebibyte at least."""

    def __init__(self, store: "S3Store", key: str, size: int) -> None:
        self._store, self._key, self._size = store, key, size
        self._position = 0
        self._block_start, self._block = 0, b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + (0, self._position, self._size)[whence]
        return self._position

    def read(self, size: int = -1) -> bytes:
        end = self._size if size < 0 else min(self._size, self._position + size)
        start = self._position
        if end <= start:
            return b""
        if start < self._block_start or end > self._block_start + len(self._block):
            self._fetch(start, max(end, min(self._size, start + _AHEAD_BYTES)))
        self._position = end
        return self._block[start - self._block_start : end - self._block_start]

    def _fetch(self, start: int, end: int) -> None:
        start = max(0, min(start, self._size - _AHEAD_BYTES))  # footers are read from the end backwards
        self._block = bytes(_tried(lambda: obstore.get_range(self._store, self._key, start=start, end=end)))
        self._block_start = start


class _Upload(io.RawIOBase):
    """A writer of obstore as a file of Python."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self._count = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._count

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        _tried(lambda: self._writer.write(view))
        self._count += view.nbytes
        return view.nbytes

    def close(self) -> None:
        if not self.closed:
            super().close()
            _tried(self._writer.close)


def _config(options: Mapping[str, str]) -> "S3Config":
    config: dict[str, Any] = {}
    for key, value in options.items():
        if key not in S3_OPTIONS:
            known = ", ".join(f"'{name}'" for name in S3_OPTIONS)
            raise OptionError(
                f"unknown option '{key}' of a warehouse in an object store.{nearest(key, S3_OPTIONS)} Known are {known}"
            )
        if S3_OPTIONS[key][0]:
            config[S3_OPTIONS[key][0]] = resolved(key, value)
    style = options.get("s3.path.style.access", "true" if _endpoint(config) else "false").lower()
    if style not in ("true", "false"):
        raise OptionError(f"'s3.path.style.access' is '{style}'; it must be true or false")
    config["virtual_hosted_style_request"] = style == "false"
    return config  # type: ignore[return-value]


def _endpoint(config: Mapping[str, Any]) -> str:
    """What the options say, else the environment; '' for AWS itself."""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    return str(config.get("endpoint") or next((os.environ[name] for name in names if os.environ.get(name)), ""))


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _chunks(keys: Iterable[str], size: int = 1000) -> Iterator[list[str]]:
    chunk: list[str] = []
    for key in keys:
        chunk.append(key)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _tried(work: Callable[[], _T]) -> _T:
    """Its result; what fails is an OSError, as with files on a disk."""
    try:
        return work()
    except (BaseError, OSError) as err:
        raise _as_os_error(err) from err


def _as_os_error(err: BaseException) -> OSError:
    """The first line of what obstore says, which repeats itself at length below, and the service's own message."""
    line, _, more = str(err).partition("\n")
    said = re.search(r"<Message>(.*?)</Message>", more)
    words = f"{said[1]} ({line.partition(': <?xml')[0]})" if said is not None else line
    kind = type(err) if isinstance(err, OSError) and type(err) in (FileNotFoundError, PermissionError) else OSError
    return kind(words)
