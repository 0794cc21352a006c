"""A file system that dies: at its n-th operation, and from then on, everything raises."""

from tsdb.fs.file_io import FileIO


class Stopped(OSError):
    """The process is gone, as far as files are concerned."""


class StoppingFileIO:
    """Wraps a FileIO. stop_at: the operation, counted from 1, that fails; after: it is done before it fails. only: the
    kind of operation that is counted.

    Operations are atomic as seen by another process, except a file being written, which may be cut off: `write_bytes`
    that fails leaves half of the file.
    """

    def __init__(
        self, inner: FileIO, stop_at: int | None = None, *, after: bool = False, only: str | None = None
    ) -> None:
        self._inner = inner
        self._stop_at = stop_at
        self._after = after
        self._only = only
        self.count = 0
        self.stopped = False

    def __getattr__(self, name: str):
        operation = getattr(self._inner, name)
        if name in ("local_path", "look_interval_s"):
            return operation

        def call(*args, **named):
            if self.stopped:
                raise Stopped(f"{name}{args[:1]} after the stop")
            if self._only not in (None, name):
                return operation(*args, **named)
            self.count += 1
            if self.count != self._stop_at:
                return operation(*args, **named)
            self.stopped = True
            if self._after:
                operation(*args, **named)
            elif name == "write_bytes":
                operation(args[0], args[1][: len(args[1]) // 2])
            raise Stopped(f"{name}{args[:1]} is operation {self.count}")

        return call
