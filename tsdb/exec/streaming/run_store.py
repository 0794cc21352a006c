"""Where the state of a job lies: immutable Arrow files, one a run, that checkpoints name.

A run is written once and never changed, so a checkpoint costs only its new runs, and restoring is opening files. The
name of a run begins with the epoch of the lease under which it was written: names of two processes never meet, and a
process that has lost its lease cannot delete what its successor is writing.
"""

import re
from collections.abc import Iterable

import pyarrow as pa

from tsdb.errors import CorruptFile
from tsdb.fs.file_io import FileIO

_NAME = re.compile(r"run-(\d+)-\d+\.arrow")


class WarehouseRunStore:
    """The runs of one job in `folder`, written under one lease epoch. Used by the thread of the job only."""

    def __init__(self, file_io: FileIO, folder: str, epoch: int) -> None:
        self._file_io = file_io
        self._folder = folder
        self._epoch = epoch
        self._count = 0

    def put(self, table: pa.Table) -> str:
        """Write a run; returns its name, which stays valid until `expire` finds that nobody names it."""
        self._count += 1
        name = f"run-{self._epoch}-{self._count}.arrow"
        with self._file_io.open_output(self._path(name)) as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        return name

    def get(self, name: str) -> pa.Table:
        """The run of that name, memory-mapped where files are local. Raises CorruptFile."""
        path = self._path(name)
        try:
            return pa.ipc.open_file(self._opened(path)).read_all()
        except (OSError, pa.ArrowInvalid) as err:
            raise CorruptFile(
                f"the state file {path} cannot be read ({err}); DROP JOB and start the query anew, or restore the file"
            ) from err

    def expire(self, named: Iterable[str]) -> int:
        """Delete the runs of this and earlier epochs that are not in `named`; returns how many."""
        keep = set(named)
        count = 0
        for status in self._file_io.list_files(self._folder):
            match = _NAME.fullmatch(status.name)
            if match and int(match[1]) <= self._epoch and status.name not in keep:
                self._file_io.delete(status.path)
                count += 1
        return count

    def _opened(self, path: str) -> pa.NativeFile:
        local = self._file_io.local_path(path)
        return self._file_io.open_input(path) if local is None else pa.memory_map(local)

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}"


def runs_named(value: object) -> set[str]:
    """Every run that a checkpoint's JSON names, wherever in it."""
    if isinstance(value, str):
        return {value} if _NAME.fullmatch(value) else set()
    if isinstance(value, dict):
        return set().union(*(runs_named(v) for v in value.values()))
    if isinstance(value, list | tuple):
        return set().union(*(runs_named(v) for v in value))
    return set()
