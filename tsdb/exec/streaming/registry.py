"""The jobs of a warehouse: those that run in this process, and what the files say of all others.

Under `<warehouse>/_jobs/<name>/` lie the lease, the checkpoints and the state of job `<name>`. Any process resumes a
job by submitting the same INSERT under the same name; a different query under that name is refused.
"""

import atexit
import hashlib
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, unquote

from tsdb import clock
from tsdb.catalog.catalog import ConnectorTable
from tsdb.errors import AlreadyExists, CorruptFile, JobFailed, OperationalError, ProgrammingError, nearest
from tsdb.exec.streaming.assemble import PlannedQuery
from tsdb.exec.streaming.checkpoint import Checkpoint, CheckpointStore
from tsdb.exec.streaming.draft import JobDraft, PlannedInsert, insert_draft
from tsdb.exec.streaming.job import Job, JobState, Restart, consumer_of
from tsdb.exec.streaming.lag import Lag, lag_of
from tsdb.exec.streaming.lease import LeaseRecord, acquire, held_message, holder, read_lease
from tsdb.exec.streaming.pipeline import Pipeline
from tsdb.exec.streaming.restart import restart_policy
from tsdb.exec.streaming.run_store import WarehouseRunStore
from tsdb.exec.streaming.same_job import check_same
from tsdb.exec.streaming.savepoint import Savepoint, SavepointStore
from tsdb.exec.streaming.sink import JobSink
from tsdb.fs.file_io import FileIO
from tsdb.options import parse_duration_ms
from tsdb.table.consumer import consumers, delete_consumer
from tsdb.table.table import MAIN_BRANCH, Identifier, Table, open_table

JOBS_FOLDER = "_jobs"
_STATE = "state"
_OTHER_PROCESS_STOP_S = 60.0


@dataclass(frozen=True, slots=True)
class JobInfo:
    """A row of SHOW JOBS. status: as of `Job`, or LOST (its process is gone without a word).

    error: why it failed, or what it waits for while it runs. process: where it runs, if it does.
    """

    job_id: str
    name: str
    status: str
    version: int
    rows_in: int
    rows_out: int
    started_at_ms: int | None
    error: str | None
    process: str | None = None


@dataclass(frozen=True, slots=True)
class JobDetails:
    """What is known of a job. newest: its newest checkpoint. metrics: of a job of this process. lags: by input, of
    those that read a table of the warehouse.
    """

    info: JobInfo
    newest: Checkpoint | None
    metrics: Mapping[str, Any] | None
    lags: Mapping[str, Lag]


class JobRegistry:
    """All jobs of one warehouse, as one session sees them. Thread-safe as far as its jobs are."""

    def __init__(self, file_io: FileIO, root: str) -> None:
        self._file_io = file_io
        self._savepoints = SavepointStore(file_io, root)
        self._root = f"{root}/{JOBS_FOLDER}"
        self._jobs: dict[str, Job] = {}
        _open_registries.add(self)

    def submit(
        self,
        plan: PlannedQuery,
        target: Table | ConnectorTable,
        sql: str,
        name: str,
        *,
        options: Mapping[str, str],
        columns: Sequence[str] | None = None,
    ) -> Job:
        """Start or resume INSERT INTO `target` (`columns`) with the planned query; see `submit_draft`.

        sql: the normalised INSERT, the same for the same query. columns: None: all of the target, in order.
        """
        into = tuple(columns) if columns is not None else tuple(target.schema.names)
        return self.submit_draft(insert_draft([PlannedInsert(plan, target, into)], sql, name), options)

    def submit_draft(self, draft: JobDraft, options: Mapping[str, str], *, start: bool = True) -> Job:
        """Start a job, or resume it from its newest checkpoint. start: False leaves `Job.start` to the caller.

        Raises AlreadyExists if it runs already, here or elsewhere, or if the name belongs to another query. On an
        error the pipeline is closed.
        """
        try:
            job = self._open(draft, options)
        except BaseException:
            draft.pipeline.close()
            raise
        self._jobs[draft.name] = job
        if start:
            job.start()
        return job

    def jobs(self) -> list[Job]:
        """The jobs that this session started, in that order, ended ones included."""
        return list(self._jobs.values())

    def show(self) -> list[JobInfo]:
        """Every job of the warehouse, by name."""
        names = {unquote(s.name) for s in self._file_io.list_files(self._root) if s.is_dir} | set(self._jobs)
        found = (self._info(name) for name in sorted(names))
        return [info for info in found if info is not None]

    def find(self, name_or_id: str) -> JobInfo:
        """One job. Raises ProgrammingError naming the nearest."""
        infos = self.show()
        for info in infos:
            if name_or_id in (info.name, info.job_id):
                return info
        hint = nearest(name_or_id, [info.name for info in infos])
        raise ProgrammingError(f"there is no job `{name_or_id}` in this warehouse; SHOW JOBS lists them.{hint}")

    def details(self, name_or_id: str) -> JobDetails:
        """All that is known of one job. Raises ProgrammingError naming the nearest."""
        info = self.find(name_or_id)
        job = self._here(info.name)
        newest = CheckpointStore(self._file_io, self._folder(info.name)).newest()
        lags = {} if newest is None else self._lags(newest, newest.sources if job is None else job.places())
        return JobDetails(info, newest, None if job is None else job.metrics(), lags)

    def stop(self, name_or_id: str, timeout: float = _OTHER_PROCESS_STOP_S) -> None:
        """End a job with a last checkpoint, wherever it runs; quiet if it does not. Raises JobFailed if it fails."""
        info = self.find(name_or_id)
        job = self._jobs.get(info.name)
        if job is not None and job.runs:
            job.stop(timeout)
        elif info.status == "RUNNING":
            self._stop_elsewhere(info.name, timeout)

    def stop_with_savepoint(self, name_or_id: str) -> str:
        """Like `stop`, then keep its state for whoever starts from it; the path. A job that does not run may be asked.

        Raises AlreadyExists if the job was started again meanwhile.
        """
        self.stop(name_or_id)
        info = self.find(name_or_id)
        folder = self._folder(info.name)
        before = read_lease(self._file_io, folder)
        lease = acquire(self._file_io, folder, info.name, info.job_id)
        try:
            checkpoints = CheckpointStore(self._file_io, folder)
            newest = checkpoints.newest()
            if newest is None or newest.dataflow is None:
                raise OperationalError(f"job `{info.name}` has no checkpoint yet, so there is nothing to keep")
            if newest.committable is not None and not checkpoints.is_done(newest.version):
                raise OperationalError(
                    f"job `{info.name}` was cut off before version {newest.version} was committed to its sink; start "
                    "it again, and stop it then"
                )
            return self._savepoints.write(newest, f"{folder}/{_STATE}")
        finally:
            state = before.state if before is not None and before.state != "RUNNING" else "STOPPED"
            lease.release(state, info.version, info.rows_in, info.rows_out, error=info.error)

    @property
    def savepoints(self) -> SavepointStore:
        """Those of the warehouse."""
        return self._savepoints

    def drop(self, name_or_id: str) -> None:
        """Forget a job and its state; its table stays as it is. Running here: stopped; elsewhere: AlreadyExists."""
        info = self.find(name_or_id)
        job = self._jobs.get(info.name)
        if job is not None and job.runs:
            job.stop()
        lease = read_lease(self._file_io, self._folder(info.name))
        if lease is not None and lease.is_held:
            raise AlreadyExists(held_message(info.name, lease))
        self._jobs.pop(info.name, None)
        self._forget_consumers(info)
        self._file_io.delete_dir(self._folder(info.name))

    def close(self) -> None:
        """Stop the jobs of this session, each with a last checkpoint; the reasons of failed ones stay in SHOW JOBS."""
        for job in self._jobs.values():
            job.request_stop()
        for job in self._jobs.values():
            try:
                job.wait(_OTHER_PROCESS_STOP_S)
            except JobFailed:
                continue

    # --- parts

    def _open(self, draft: JobDraft, options: Mapping[str, str]) -> Job:
        folder = self._folder(draft.name)
        checkpoints = CheckpointStore(self._file_io, folder)
        plan = hashlib.sha256(draft.plan.encode()).hexdigest()
        anew = options.get("execution.restore") == "none"
        savepoint = self._savepoint(draft, plan, options)
        newest = None if anew else checkpoints.newest()
        if newest is not None:
            check_same(newest, draft, plan)
            _check_not_behind(newest, savepoint)
        job_id = newest.job_id if newest is not None else clock.current().new_id()
        before = None if anew else read_lease(self._file_io, folder)
        sink = draft.sink(job_id)  # before anything is written: it refuses what its table cannot take
        try:
            if anew:
                self._drop_ended(draft.name)
            lease = acquire(self._file_io, folder, draft.name, job_id)
        except BaseException:
            sink.close()
            raise
        try:
            newest = checkpoints.newest()  # again: what another process published until it lost its lease counts
            if newest is None:
                newest = self._first(draft, job_id, plan, savepoint)
                if not checkpoints.publish(newest):
                    raise AlreadyExists(f"job `{draft.name}` was started by another process meanwhile; try again")
            if newest.job_id != job_id:
                raise AlreadyExists(f"job `{draft.name}` was dropped and started anew by another process; try again")
            check_same(newest, draft, plan)
            _check_newest(newest, before, checkpoints.newest_done(), folder)
            if newest.dataflow is None:
                draft.begin()
            runs = WarehouseRunStore(self._file_io, f"{folder}/{_STATE}", lease.epoch)
            job = Job(
                replace(newest, sql=draft.sql, reads=dict(draft.reads)),
                draft.pipeline,
                sink,
                JobState(lease, checkpoints, runs),
                interval_s=parse_duration_ms(options.get("execution.checkpointing.interval", "1 s")) / 1000,
                retained=int(options.get("execution.checkpointing.num-retained", "3")),
                stop_wanted=lambda: self._file_io.exists(_stop_request(folder, lease.epoch)),
                restart=_restart(draft, job_id, options),
            )
            job.recover()
        except BaseException as err:
            sink.close()
            counts = (newest.version, newest.rows_in, newest.rows_out) if newest is not None else (0, 0, 0)
            lease.release("FAILED", *counts, error=f"{type(err).__name__}: {err}")
            raise
        return job

    def _savepoint(self, draft: JobDraft, plan: str, options: Mapping[str, str]) -> Savepoint | None:
        """The one that the session wants to start from. Raises if it does not fit the query."""
        path = options.get("execution.savepoint.path")
        if path is None:
            return None
        savepoint = self._savepoints.read(path)
        check_same(savepoint.checkpoint, draft, plan, savepoint=savepoint.path)
        return savepoint

    def _first(self, draft: JobDraft, job_id: str, plan: str, savepoint: Savepoint | None) -> Checkpoint:
        """The checkpoint with which a job begins."""
        now_ms, tables = clock.current().now_ms(), dict(draft.tables)
        first = Checkpoint(0, job_id, draft.name, draft.sql, plan, now_ms, tables=tables, reads=dict(draft.reads))
        if savepoint is None:
            return first
        self._savepoints.copy_state(savepoint, f"{self._folder(draft.name)}/{_STATE}")
        kept = savepoint.checkpoint
        return replace(
            first,
            version=kept.version,
            sources=kept.sources,
            dataflow=kept.dataflow,
            rows_in=kept.rows_in,
            rows_out=kept.rows_out,
            savepoint=savepoint.path,
        )

    def _drop_ended(self, name: str) -> None:
        """Forget the state of a job that does not run, if there is one."""
        lease = read_lease(self._file_io, self._folder(name))
        if lease is not None and lease.is_held:
            raise AlreadyExists(held_message(name, lease))
        if lease is not None:
            self.drop(name)

    def _info(self, name: str) -> JobInfo | None:
        job = self._here(name)
        if job is not None:
            metrics = job.metrics()
            status = job.status  # FAILED comes before the job has ended, and after its error is known
            error = f"{type(job.error).__name__}: {job.error}" if status == "FAILED" and job.error else job.waits
            counts = (job.version, metrics["rows_in"], metrics["rows_out"])
            process = "this process" if job.runs else None
            return JobInfo(job.id, name, status, *counts, job.started_at_ms, error, process)
        try:
            lease = read_lease(self._file_io, self._folder(name))
            return None if lease is None else self._info_of_files(name, lease)
        except CorruptFile as err:  # the others are shown all the same
            return JobInfo("", name, "FAILED", 0, 0, 0, None, f"{type(err).__name__}: {err}")

    def _here(self, name: str) -> Job | None:
        """The job of this session, unless another process has started it again since it ended."""
        job = self._jobs.get(name)
        if job is None or job.runs:
            return job
        lease = read_lease(self._file_io, self._folder(name))
        return job if lease is None or lease.epoch == job.epoch else None

    def _info_of_files(self, name: str, lease: LeaseRecord) -> JobInfo:
        counts = (lease.version, lease.rows_in, lease.rows_out)
        if lease.status == "LOST":
            newest = CheckpointStore(self._file_io, self._folder(name)).newest()
            if newest is not None:
                counts = (newest.version, newest.rows_in, newest.rows_out)
        process = holder(lease) if lease.is_held else None
        return JobInfo(lease.job_id, name, lease.status, *counts, lease.started_at_ms, lease.error, process)

    def _forget_consumers(self, info: JobInfo) -> None:
        """Nothing is kept any more for a job that does not come back."""
        newest = CheckpointStore(self._file_io, self._folder(info.name)).newest()
        for name in {} if newest is None else newest.tables:
            table = self._table(name)
            if table is not None:
                ours = consumer_of(info.job_id)
                for consumer in consumers(table):
                    if consumer == ours or consumer.startswith(f"{ours}-"):
                        delete_consumer(table, consumer)

    def _lags(self, newest: Checkpoint, places: Mapping[str, Any]) -> dict[str, Lag]:
        """How far each input is behind its table, from where it stands."""
        found = {}
        for name, place in places.items():
            table = self._table(newest.reads[name]) if name in newest.reads else None
            lag = None if table is None else lag_of(table, place)
            if lag is not None:
                found[name] = lag
        return found

    def _table(self, name: str) -> Table | None:
        """A table of the warehouse, by `database.name`."""
        database, _, table_name = name.partition(".")
        base, _, branch = table_name.partition("$branch_")
        path = f"{self._root.removesuffix(f'/{JOBS_FOLDER}')}/{database}.db/{base}"
        return open_table(self._file_io, Identifier(database, table_name), path, branch or MAIN_BRANCH)

    def _stop_elsewhere(self, name: str, timeout: float) -> None:
        """Leave a request beside the lease; its holder looks for it with every sign of life."""
        folder = self._folder(name)
        lease = read_lease(self._file_io, folder)
        if lease is None or not lease.is_held:
            return
        self._file_io.replace(_stop_request(folder, lease.epoch), b"")
        deadline = clock.current().monotonic_s() + timeout
        while (now := read_lease(self._file_io, folder)) is not None and now.epoch == lease.epoch and now.is_held:
            if clock.current().monotonic_s() > deadline:
                raise OperationalError(
                    f"job `{name}` runs in process {lease.pid} on {lease.host.split('/')[0]}, "
                    f"which has not stopped it within {timeout:g} s"
                )
            clock.current().sleep(0.05)
        self._file_io.delete(_stop_request(folder, lease.epoch))

    def _folder(self, name: str) -> str:
        return f"{self._root}/{quote(name, safe='')}"


def _restart(draft: JobDraft, job_id: str, options: Mapping[str, str]) -> Restart | None:
    again = draft.again
    if again is None:
        return None

    def parts() -> tuple[Pipeline, JobSink]:
        pipeline = again()
        try:
            return pipeline, draft.sink(job_id)
        except BaseException:
            pipeline.close()
            raise

    return Restart(restart_policy(options), parts)


def _check_newest(newest: Checkpoint, before: LeaseRecord | None, done: int, folder: str) -> None:
    """Raises CorruptFile if the run before had got further: the sink would take what comes for what it has.

    before: the lease of that run. done: the highest version that is known to be committed.
    """
    latest = max(done, before.version if before is not None and before.job_id == newest.job_id else 0)
    if latest > newest.version:
        raise CorruptFile(
            f"the checkpoint {folder}/chk-{latest} is missing: its changes are committed, and the newest one that is "
            f"there is {newest.version}; restore the file, or DROP JOB, empty the job's tables and start it anew"
        )


def _check_not_behind(newest: Checkpoint, savepoint: Savepoint | None) -> None:
    """A job does not go back: what came after the savepoint is in its sink already."""
    if savepoint is None or newest.savepoint == savepoint.path:
        return
    kept = savepoint.checkpoint
    if (kept.job_id, kept.version) != (newest.job_id, newest.version):
        raise AlreadyExists(
            f"job `{newest.name}` has a state of its own, at version {newest.version}, and the savepoint "
            f"{savepoint.path} is another. RESET 'execution.savepoint.path' to go on with the job; or DROP JOB "
            f"'{newest.name}', whose later rows stay in its tables, and start from the savepoint"
        )


def _stop_request(folder: str, epoch: int) -> str:
    return f"{folder}/stop-{epoch}"


_open_registries: "weakref.WeakSet[JobRegistry]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """A process that ends without `close` still takes the last checkpoints of its jobs."""
    for registry in list(_open_registries):
        registry.close()
