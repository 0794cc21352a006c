"""The lease of a job: who runs it, with a sign of life, and how it ended.

`lease-<epoch>` is created only if it does not exist, so of two processes that start a job one gets the next epoch
and the other is told who has it. The holder rewrites its file now and then; it may be taken over when the holder has
said that it ended, when its process is gone (on the same machine), or after `LOST_AFTER_MS` without a sign of life
(on another). The lease is a courtesy that gives clear errors: what makes a paused holder harmless is that
checkpoints are created only if absent.
"""

import json
import os
import re
import socket
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tsdb import clock
from tsdb.errors import AlreadyExists, CorruptFile, JobTakenOver
from tsdb.fs.file_io import FileIO

HEARTBEAT_S = 2.0
LOST_AFTER_MS = 20_000

_NAME = re.compile(r"lease-(\d+)")


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """What a lease file says. state: RUNNING, or its end: STOPPED, FINISHED, FAILED. host: with boot and pid space."""

    epoch: int
    job_id: str
    owner: str
    pid: int
    process_start: str
    host: str
    started_at_ms: int
    heartbeat_ms: int
    state: str = "RUNNING"
    version: int = 0
    rows_in: int = 0
    rows_out: int = 0
    error: str | None = None

    @property
    def is_held(self) -> bool:
        """Whether the holder still runs, as far as one can see from here."""
        if self.state != "RUNNING":
            return False
        if self.host == _host():
            if self.pid == os.getpid():
                return self.owner in _owners_here
            return _process_start(self.pid) == self.process_start
        return clock.current().now_ms() - self.heartbeat_ms < LOST_AFTER_MS

    @property
    def status(self) -> str:
        """The state, but LOST if it says RUNNING and nobody runs it."""
        return "LOST" if self.state == "RUNNING" and not self.is_held else self.state


class Lease:
    """A lease that this process holds. `heartbeat` may be called by any one thread at a time."""

    def __init__(self, file_io: FileIO, folder: str, record: LeaseRecord) -> None:
        self._file_io = file_io
        self._folder = folder
        self.record = record

    @property
    def epoch(self) -> int:
        """Counts the runs of the job."""
        return self.record.epoch

    def heartbeat(self, version: int, rows_in: int, rows_out: int, *, waits: str | None = None) -> None:
        """Give a sign of life. waits: what for, if it does. Raises JobTakenOver if another process did."""
        newest = _newest_epoch(self._file_io, self._folder)
        if newest != self.epoch:
            raise JobTakenOver(
                f"the job in {self._folder} was {'dropped' if newest is None else 'taken over by another process'}"
            )
        self._write(replace(self.record, version=version, rows_in=rows_in, rows_out=rows_out, error=waits))

    def release(self, state: str, version: int, rows_in: int, rows_out: int, *, error: str | None = None) -> None:
        """Say how the job ended; a lease that was taken over is left alone."""
        try:
            if _newest_epoch(self._file_io, self._folder) == self.epoch:
                ended = replace(
                    self.record, state=state, version=version, rows_in=rows_in, rows_out=rows_out, error=error
                )
                self._write(ended)
        finally:
            _owners_here.discard(self.record.owner)

    def _write(self, record: LeaseRecord) -> None:
        self.record = replace(record, heartbeat_ms=clock.current().now_ms())
        self._file_io.replace(_path(self._folder, self.epoch), _encode(self.record))


def acquire(file_io: FileIO, folder: str, name: str, job_id: str) -> Lease:
    """Become the one process that runs job `name`. Raises AlreadyExists naming the holder if there is one."""
    before = read_lease(file_io, folder)
    if before is not None and before.is_held:
        raise AlreadyExists(held_message(name, before))
    now = clock.current().now_ms()
    pid = os.getpid()
    record = LeaseRecord(
        epoch=before.epoch + 1 if before is not None else 1,
        job_id=job_id,
        owner=clock.current().new_id(),
        pid=pid,
        process_start=_process_start(pid),
        host=_host(),
        started_at_ms=now,
        heartbeat_ms=now,
    )
    _owners_here.add(record.owner)
    try:
        created = file_io.try_create(_path(folder, record.epoch), _encode(record))
        if created and _newest_epoch(file_io, folder) != record.epoch:
            file_io.delete(_path(folder, record.epoch))  # the number was free because its successor has deleted it
            created = False
        if created and before is not None:
            file_io.delete(_path(folder, before.epoch))
    except BaseException:
        _owners_here.discard(record.owner)  # perhaps it was created: then nobody holds it
        raise
    if not created:
        _owners_here.discard(record.owner)
        winner = read_lease(file_io, folder)
        gone = f"job `{name}` was dropped meanwhile; start it again"
        raise AlreadyExists(held_message(name, winner) if winner else gone)
    return Lease(file_io, folder, record)


def read_lease(file_io: FileIO, folder: str) -> LeaseRecord | None:
    """The newest lease; None for a job that never ran. Raises CorruptFile."""
    while (epoch := _newest_epoch(file_io, folder)) is not None:
        try:
            return LeaseRecord(**json.loads(file_io.read_bytes(_path(folder, epoch))))
        except FileNotFoundError:
            continue  # taken over or dropped between the two looks
        except (ValueError, TypeError) as err:
            path = _path(folder, epoch)
            raise CorruptFile(
                f"the lease {path} cannot be read ({err}); when no process runs the job, delete that file and start "
                "the job again: it goes on at its newest checkpoint"
            ) from err
    return None


def held_message(name: str, record: LeaseRecord) -> str:
    """Who runs the job, and what to do."""
    age_s = max(0, clock.current().now_ms() - record.heartbeat_ms) / 1000
    return (
        f"job `{name}` is already running in {holder(record)} (last sign of life {age_s:.1f} s ago); "
        f"STOP JOB '{name}' first, or SET 'pipeline.name' to run the query under another name"
    )


def holder(record: LeaseRecord) -> str:
    """The process that holds a lease."""
    here = record.owner in _owners_here
    return "this process" if here else f"process {record.pid} on {record.host.split('/')[0]}"


_owners_here: set[str] = set()
"""The owners of the leases that this process holds: tells a running job from one whose thread is gone."""


def _newest_epoch(file_io: FileIO, folder: str) -> int | None:
    names = (_NAME.fullmatch(status.name) for status in file_io.list_files(folder))
    return max((int(match[1]) for match in names if match), default=None)


def _path(folder: str, epoch: int) -> str:
    return f"{folder}/lease-{epoch}"


def _encode(record: LeaseRecord) -> bytes:
    return json.dumps(asdict(record), indent=1).encode()


def _host() -> str:
    """Names the space in which a process id means something: the machine, its boot, and its container."""
    parts = [socket.gethostname()]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            parts.append(os.readlink(path) if os.path.islink(path) else Path(path).read_text().strip())
        except OSError:
            parts.append("")
    return "/".join(parts)


def _process_start(pid: int) -> str:
    """When the process began, so that a process id used again is not taken for the old one; '' if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        fields = stat[stat.rindex(")") + 2 :].split()
        return "" if fields[0] in "ZX" else fields[19]
    except (OSError, ValueError, IndexError):
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except OSError:
        return "alive"
    return "" if Path("/proc/self/stat").exists() else "alive"
