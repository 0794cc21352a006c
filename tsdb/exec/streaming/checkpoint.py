"""Checkpoints of a job: one file a version, published atomically.

`chk-<n>` holds where every source stands, the runs of the dataflow's state and what the sink has prepared. It is
created only if it does not exist, so of two processes that both believe to own a job only one can publish version n:
the loser stops. `chk-<n>.done` says that the sink has committed n; without it recovery commits again, which the sink
must bear.

Source: Flink's checkpoints with a two-phase sink; the fence by create-if-absent is that of SlateDB's manifest.
"""

import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any

from tsdb.errors import CorruptFile
from tsdb.exec.streaming.run_store import WarehouseRunStore, runs_named
from tsdb.fs.file_io import FileIO

_NAME = re.compile(r"chk-(\d+)")
_DONE = re.compile(r"chk-(\d+)\.done")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a job at version `version`; version 0 is its beginning, before the first row.

    job_id: also the commit user of its table sink. tables: when each table that it reads or writes was created.
    sources: input → position. plan: fingerprint of the plan the state belongs to.
    savepoint: where the job was started from. reads: input → table of the warehouse.
    """

    version: int
    job_id: str
    name: str
    sql: str
    plan: str
    created_at_ms: int
    sources: dict[str, Any] = field(default_factory=dict)
    dataflow: dict[str, Any] | None = None
    committable: Any = None
    rows_in: int = 0
    rows_out: int = 0
    tables: dict[str, int] = field(default_factory=dict)
    savepoint: str | None = None
    reads: dict[str, str] = field(default_factory=dict)


class CheckpointStore:
    """The checkpoints of one job in `folder`."""

    def __init__(self, file_io: FileIO, folder: str) -> None:
        self._file_io = file_io
        self._folder = folder

    def newest(self) -> Checkpoint | None:
        """The checkpoint of the highest version; None before the first."""
        versions = self.versions()
        return self.read(versions[-1]) if versions else None

    def read(self, version: int) -> Checkpoint:
        """One checkpoint. Raises CorruptFile."""
        path = self._path(version)
        try:
            return Checkpoint(**json.loads(self._file_io.read_bytes(path)))
        except (FileNotFoundError, ValueError, TypeError) as err:
            raise CorruptFile(
                f"the checkpoint {path} cannot be read ({err}); DROP JOB and start the query anew"
            ) from err

    def versions(self) -> list[int]:
        """What is there, ascending."""
        names = (_NAME.fullmatch(status.name) for status in self._file_io.list_files(self._folder))
        return sorted(int(match[1]) for match in names if match)

    def publish(self, checkpoint: Checkpoint) -> bool:
        """Make it the newest; False if this version exists already, published by another process."""
        data = json.dumps(asdict(checkpoint), separators=(",", ":")).encode()
        return self._file_io.try_create(self._path(checkpoint.version), data)

    def mark_done(self, version: int) -> None:
        """Note that the sink has committed `version`; a note lost costs one look at the sink's table at recovery."""
        self._file_io.write_bytes(self._path(version) + ".done", b"")

    def is_done(self, version: int) -> bool:
        """Whether `mark_done` was called."""
        return self._file_io.exists(self._path(version) + ".done")

    def newest_done(self) -> int:
        """The highest version that is noted as committed; 0: none."""
        names = (_DONE.fullmatch(status.name) for status in self._file_io.list_files(self._folder))
        return max((int(match[1]) for match in names if match), default=0)

    def expire(self, retained: int, runs: WarehouseRunStore) -> None:
        """Keep the newest `retained` checkpoints, and of the runs those that they name."""
        versions = self.versions()
        for version in versions[:-retained]:
            self._file_io.delete(self._path(version) + ".done")
            self._file_io.delete(self._path(version))
        kept = [self.read(version) for version in versions[-retained:]]
        runs.expire(runs_named([checkpoint.dataflow for checkpoint in kept]))

    def _path(self, version: int) -> str:
        return f"{self._folder}/chk-{version}"
