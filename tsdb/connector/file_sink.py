"""Writing files of lines, exactly once: a hidden staged file becomes visible, or is appended, at commit.

A path with an extension (`out.json`), or one that is a file, is one file that grows; any other path is a directory that
gets one file per version. A committable names the staged file, so that any process can commit it, and twice is once.
"""

import os
from typing import Any, BinaryIO

import numpy as np

from tsdb import clock
from tsdb.changes import ChangeBatch
from tsdb.connector.connector import ChangelogMode, Json
from tsdb.connector.serde.serde import Encoder
from tsdb.errors import NotSupportedError, OperationalError


class FileSink:
    """See the module."""

    def __init__(self, name: str, path: str, encoder: Encoder, extension: str) -> None:
        """name: of the table, for messages; extension: of the files in a directory, without the dot."""
        self._name = name
        self._path = path
        self._encoder = encoder
        self._extension = extension
        self._staged: BinaryIO | None = None
        self.accepts: ChangelogMode = encoder.mode

    def write(self, changes: ChangeBatch) -> None:
        """Encode to the staged file."""
        if self.accepts == "append":
            if (changes.weights < 0).any():
                raise NotSupportedError(
                    f"table `{self._name}`: its format can only take new rows, but the query takes rows back; "
                    "use 'format' = 'debezium-json'"
                )
            if (changes.weights != 1).any():
                index = np.repeat(np.arange(changes.num_rows), changes.weights)
                changes = ChangeBatch(changes.rows.take(index), np.ones(len(index), np.int64))
        data = self._encoder.encode(changes)
        if data:
            self._open().write(data)

    def prepare(self, version: int) -> Json | None:
        """Finish the staged file; the committable is its name and where it goes."""
        staged = self._staged
        if staged is None:
            return None
        staged.flush()
        os.fsync(staged.fileno())
        staged.close()
        self._staged = None
        if is_single_file(self._path):
            offset = os.path.getsize(self._path) if os.path.exists(self._path) else 0
            return {"staged": staged.name, "file": self._path, "offset": offset}
        unique = clock.current().new_id()
        return {"staged": staged.name, "file": f"{self._path}/part-{version:010d}-{unique}.{self._extension}"}

    def commit(self, version: int, committable: Json) -> None:
        """Publish; nothing is done the second time."""
        staged, target = committable["staged"], committable["file"]
        if not os.path.exists(staged):
            if not os.path.exists(target):
                raise OperationalError(f"table `{self._name}`: neither `{staged}` nor `{target}` is there to commit")
            return
        if "offset" in committable:
            _append_once(staged, target, committable["offset"], self._name)
            os.unlink(staged)
        else:
            os.replace(staged, target)

    def abort(self) -> None:
        """Throw the staged file away."""
        if self._staged is not None:
            self._staged.close()
            os.unlink(self._staged.name)
            self._staged = None

    def close(self) -> None:
        """What was not prepared is gone."""
        self.abort()

    def _open(self) -> BinaryIO:
        if self._staged is None:
            directory = os.path.dirname(self._path) if is_single_file(self._path) else self._path
            try:
                os.makedirs(directory, exist_ok=True)
                self._staged = open(f"{directory}/.staged-{clock.current().new_id()}", "wb")  # noqa: SIM115
            except OSError as err:
                raise OperationalError(f"table `{self._name}`: cannot write to `{directory}`: {err.strerror}") from err
        return self._staged


def is_single_file(path: str) -> bool:
    """Whether the path is one file, and not a directory of files."""
    return os.path.isfile(path) or (not os.path.isdir(path) and "." in os.path.basename(path))


def _append_once(staged: str, target: str, offset: int, name: str) -> None:
    """Append the staged bytes at offset. Bytes that are there already are a part of them, from a commit cut short."""
    with open(staged, "rb") as file:
        data: Any = file.read()
    with open(target, "r+b" if os.path.exists(target) else "w+b") as file:
        file.seek(offset)
        there = file.read()
        if there != data[: len(there)]:
            raise OperationalError(
                f"table `{name}`: `{target}` was written by others while the job wrote to it; "
                "give each writer its own file"
            )
        file.seek(offset + len(there))
        file.write(data[len(there) :])
        file.flush()
        os.fsync(file.fileno())
