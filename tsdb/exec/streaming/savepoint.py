"""Savepoints: a checkpoint of a job with all its state in a folder of its own, which nobody deletes but DROP SAVEPOINT.

`<warehouse>/_savepoints/<job>/<version>-<id>/` holds the runs and `_metadata`, which is created last and at once: a
savepoint is there whole or not at all. It is only taken of a checkpoint whose commit is published, so who starts from
it has nothing to commit, under whatever name.

Source: Flink's savepoints; there, too, `_metadata` is the file that makes one.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import quote

from tsdb.errors import CorruptFile, ProgrammingError, nearest
from tsdb.exec.streaming.checkpoint import Checkpoint
from tsdb.exec.streaming.run_store import runs_named
from tsdb.fs.file_io import FileIO

SAVEPOINTS_FOLDER = "_savepoints"
_METADATA = "_metadata"
_FORMAT = 1
_PIECE = 1 << 22
_NAME = re.compile(r"(\d+)-\w+")


@dataclass(frozen=True, slots=True)
class Savepoint:
    """A savepoint that is whole. checkpoint: its runs have the names that they have in `path`. runs: name → SHA-256."""

    path: str
    checkpoint: Checkpoint
    runs: Mapping[str, str]


class SavepointStore:
    """The savepoints of a warehouse."""

    def __init__(self, file_io: FileIO, root: str) -> None:
        """root: of the warehouse."""
        self._file_io = file_io
        self._root = f"{root}/{SAVEPOINTS_FOLDER}"

    def write(self, checkpoint: Checkpoint, folder: str) -> str:
        """Copy a checkpoint and its runs, which lie in `folder`; returns the path. Call it with the job's lease.

        What an attempt of before has left unfinished is deleted.
        """
        home = f"{self._root}/{quote(checkpoint.name, safe='')}"
        path = f"{home}/{checkpoint.version}-{checkpoint.job_id[:8]}"
        for status in self._file_io.list_files(home):
            if status.is_dir and not self._file_io.exists(f"{status.path}/{_METADATA}"):
                self._file_io.delete_dir(status.path)
        if self._file_io.exists(f"{path}/{_METADATA}"):
            return path
        names = {name: f"run-0-{i}.arrow" for i, name in enumerate(sorted(runs_named(checkpoint.dataflow)), start=1)}
        sums = {new: self._copy(f"{folder}/{old}", f"{path}/{new}") for old, new in names.items()}
        kept = replace(checkpoint, dataflow=_renamed(checkpoint.dataflow, names), committable=None)
        text = json.dumps({"format": _FORMAT, "checkpoint": asdict(kept), "runs": sums}, separators=(",", ":"))
        self._file_io.try_create(f"{path}/{_METADATA}", text.encode())
        return path

    def read(self, path: str) -> Savepoint:
        """The savepoint at a path. Raises ProgrammingError if there is none, CorruptFile if it cannot be used."""
        path = path.rstrip("/")
        try:
            found = json.loads(self._file_io.read_bytes(f"{path}/{_METADATA}"))
            if found["format"] != _FORMAT:
                raise CorruptFile(f"the savepoint {path} has format {found['format']!r}; this tsdb reads {_FORMAT}")
            savepoint = Savepoint(path, Checkpoint(**found["checkpoint"]), dict(found["runs"]))
        except FileNotFoundError:
            raise ProgrammingError(self._missing(path)) from None
        except (ValueError, TypeError, KeyError) as err:
            raise CorruptFile(f"the savepoint {path} cannot be read: {_METADATA} is damaged ({err})") from err
        for name, wanted in savepoint.runs.items():
            try:
                intact = self._sum(f"{path}/{name}") == wanted
            except FileNotFoundError:
                raise CorruptFile(f"the savepoint {path} is not whole: its file {name} is missing") from None
            if not intact:
                raise CorruptFile(f"the savepoint {path} is damaged: its file {name} is not the one that was written")
        return savepoint

    def copy_state(self, savepoint: Savepoint, folder: str) -> None:
        """Put the runs where a job has its state."""
        for name in savepoint.runs:
            self._copy(f"{savepoint.path}/{name}", f"{folder}/{name}")

    def all(self) -> list[Savepoint]:
        """Every whole savepoint, by job and version; its runs are not looked at."""
        found = []
        for home in self._file_io.list_files(self._root):
            for status in self._file_io.list_files(home.path) if home.is_dir else ():
                match = _NAME.fullmatch(status.name)
                if match and self._file_io.exists(f"{status.path}/{_METADATA}"):
                    data = json.loads(self._file_io.read_bytes(f"{status.path}/{_METADATA}"))
                    found.append(Savepoint(status.path, Checkpoint(**data["checkpoint"]), data["runs"]))
        return sorted(found, key=lambda s: (s.checkpoint.name, s.checkpoint.version))

    def drop(self, path: str) -> None:
        """Delete one: first what makes it one. Raises ProgrammingError if there is none in this warehouse."""
        path = path.rstrip("/")
        if path not in [savepoint.path for savepoint in self.all()]:
            raise ProgrammingError(self._missing(path))
        self._file_io.delete(f"{path}/{_METADATA}")
        self._file_io.delete_dir(path)

    def _missing(self, path: str) -> str:
        hint = nearest(path, [savepoint.path for savepoint in self.all()])
        unfinished = self._file_io.exists(path)
        what = (
            f"{path} is no savepoint, or one that was never finished" if unfinished else f"there is no savepoint {path}"
        )
        return f"{what}; SHOW SAVEPOINTS lists those of this warehouse.{hint}"

    def _copy(self, source: str, target: str) -> str:
        """Copy a file; its SHA-256."""
        digest = hashlib.sha256()
        with self._file_io.open_input(source) as read, self._file_io.open_output(target) as write:
            while piece := read.read(_PIECE):
                digest.update(piece)
                write.write(piece)
        return digest.hexdigest()

    def _sum(self, path: str) -> str:
        digest = hashlib.sha256()
        with self._file_io.open_input(path) as read:
            while piece := read.read(_PIECE):
                digest.update(piece)
        return digest.hexdigest()


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """The JSON of a checkpoint with other names for its runs."""
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, dict):
        return {key: _renamed(each, names) for key, each in value.items()}
    return [_renamed(each, names) for each in value] if isinstance(value, list | tuple) else value
