"""A continuous INSERT: a thread that moves changes from sources through a dataflow into a sink, exactly once.

Law: at every moment the newest checkpoint and what the sink has published agree, or become so by committing what
that checkpoint prepared, which is idempotent. So whoever opens the newest checkpoint, commits its committable and
goes on from its positions loses nothing and publishes nothing twice, wherever the run before was cut off.
Order of a checkpoint: prepare the sink → put the state's new runs → publish `chk-<n>` → commit the sink → mark done
→ expire.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tsdb import clock
from tsdb.errors import Error, InternalError, JobFailed, JobTakenOver, OperationalError
from tsdb.exec.streaming.checkpoint import Checkpoint, CheckpointStore
from tsdb.exec.streaming.lease import HEARTBEAT_S, Lease
from tsdb.exec.streaming.pipeline import Pipeline
from tsdb.exec.streaming.restart import RestartPolicy
from tsdb.exec.streaming.run_store import WarehouseRunStore
from tsdb.exec.streaming.sink import JobSink
from tsdb.exec.streaming.waiter import WAIT_MIN_S, Waiter
from tsdb.kafka.patience import GaveUp, asks

ROWS_BETWEEN_CHECKPOINTS = 4_000_000
"""So many rows make a checkpoint due before its time: what the sink holds back stays bounded."""

_FINISH_CUT_S = 10.0


@dataclass(frozen=True, slots=True)
class JobState:
    """Where a job keeps itself: its lease, its checkpoints and its runs."""

    lease: Lease
    checkpoints: CheckpointStore
    runs: WarehouseRunStore


@dataclass(frozen=True, slots=True)
class Restart:
    """How a job that failed begins anew: when, and with which new parts."""

    policy: RestartPolicy
    parts: Callable[[], tuple[Pipeline, JobSink]]


def consumer_of(job_id: str) -> str:
    """The consumer as which a job keeps its place in the tables that it reads."""
    return f"tsdb-job-{job_id}"


class Job:
    """A running or ended job of this process. Its methods may be called from any thread."""

    def __init__(
        self,
        newest: Checkpoint,
        pipeline: Pipeline,
        sink: JobSink,
        state: JobState,
        *,
        interval_s: float = 1.0,
        retained: int = 3,
        stop_wanted: Callable[[], bool] = lambda: False,
        restart: Restart | None = None,
    ) -> None:
        """newest: the published checkpoint to go on from. stop_wanted: asked now and then, for STOP JOB elsewhere.

        restart: None, every failure is final.
        """
        self._newest = newest
        self._pipeline = pipeline
        self._sink = sink
        self._state = state
        self._interval_s = interval_s
        self._retained = retained
        self._stop_wanted = stop_wanted
        self._restart = restart
        self._restarts = 0
        self._parts_open = True
        self._stop = threading.Event()
        self._waiter = Waiter(self._stop)
        self._ended = threading.Event()
        self._requests: list[threading.Event] = []
        self._requests_lock = threading.Lock()
        self._error: Exception | None = None
        self._status = "RUNNING"
        self._rows_out = newest.rows_out
        self._dirty = False
        self._rows_at_checkpoint = newest.rows_in
        self._checkpoint_ms = 0.0
        self._heartbeat_s = 0.0
        self._waits_for = ""
        pipeline.rows_in = newest.rows_in
        self._thread = threading.Thread(target=self._run, name=f"tsdb-job-{newest.name}", daemon=True)

    @property
    def id(self) -> str:
        """The id of the job over all its runs; also the commit user of its sink."""
        return self._newest.job_id

    @property
    def name(self) -> str:
        """The name by which it is stopped and resumed."""
        return self._newest.name

    @property
    def status(self) -> str:
        """RUNNING, RESTARTING (it failed and waits for its next attempt), FINISHED, STOPPED or FAILED.

        A job is finished if all its sources are bounded and done.
        """
        return self._status

    @property
    def runs(self) -> bool:
        """It has not ended."""
        return not self._ended.is_set()

    @property
    def epoch(self) -> int:
        """Which run of the job this is, counted over all processes."""
        return self._state.lease.epoch

    @property
    def version(self) -> int:
        """The newest checkpoint."""
        return self._newest.version

    @property
    def error(self) -> Exception | None:
        """Why it failed."""
        return self._error

    @property
    def started_at_ms(self) -> int:
        """When this run of the job began."""
        return self._state.lease.record.started_at_ms

    def recover(self) -> None:
        """Commit what the newest checkpoint prepared, and take its state. Before `start`."""
        newest = self._newest
        if newest.committable is not None and not self._state.checkpoints.is_done(newest.version):
            self._sink.commit(newest.version, newest.committable)
            self._state.checkpoints.mark_done(newest.version)
        self._pipeline.restore(newest.sources, newest.dataflow, self._state.runs)

    def start(self) -> None:
        """Let it run."""
        self._thread.start()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended; False if it still runs after `timeout` seconds. Raises JobFailed with the reason."""
        ended = self._ended.wait(timeout)
        self._raise_failure()
        return ended

    def stop(self, timeout: float | None = 60.0) -> None:
        """End it with a last checkpoint, and wait for that. Raises JobFailed if it failed; quiet if it had ended."""
        self.request_stop()
        if not self.wait(timeout):
            raise OperationalError(f"job `{self.name}` has not stopped within {timeout:g} s; it will after its step")

    def request_stop(self) -> None:
        """Like `stop`, without waiting."""
        self._stop.set()
        self._waiter.nudge()

    def checkpoint(self, timeout: float = 60.0) -> int:
        """Wait until what the sources hold now has been taken in and committed; returns the version.

        Quiet if the job has ended. Raises JobFailed, or OperationalError after `timeout` seconds.
        """
        done = threading.Event()
        with self._requests_lock:
            self._requests.append(done)
        self._waiter.nudge()
        deadline = clock.current().monotonic_s() + timeout
        while not done.wait(0.01) and not self._ended.is_set():
            if clock.current().monotonic_s() > deadline:
                raise OperationalError(f"job `{self.name}` has made no checkpoint within {timeout:g} s")
        self._raise_failure()
        return self.version

    def places(self) -> dict[str, Any]:
        """Where its sources stand now."""
        return self._pipeline.places()

    @property
    def waits(self) -> str | None:
        """What it waits for: a broker that is away, or its next attempt after a failure. None when all is well."""
        if self._status == "RESTARTING":
            return f"restarts after {type(self._error).__name__}: {self._error}"
        if self._status != "RUNNING":
            return None
        return f"waits for {self._waits_for}" if self._waits_for else self._pipeline.waits

    @property
    def wants_to_end(self) -> bool:
        """A stop came: what takes long is given up, and the next run does it."""
        return self._stop.is_set()

    def waiting_for(self, what: str) -> None:
        """Show what the job waits for, and that it lives."""
        self._waits_for = what
        self._heartbeat_when_due()

    def metrics(self) -> dict[str, Any]:
        """Rows in and out, records passed over, the version, the time of its checkpoint, the state of the operators."""
        return {
            "rows_in": self._pipeline.rows_in,
            "rows_out": self._rows_out,
            "records_skipped": self._pipeline.records_skipped,
            "version": self.version,
            "checkpoint_ms": self._checkpoint_ms,
            "checkpoint_at_ms": self._newest.created_at_ms,
            "restarts": self._restarts,
            "operators": self._pipeline.dataflow.metrics(),
        }

    # --- the thread

    def _run(self) -> None:
        asks(self)
        try:
            self._status_at_end(self._loop_and_restart())
        except Exception as err:
            self._fail(err)
        except BaseException as err:  # a panic in Rust code is no Exception
            self._fail(InternalError(f"{type(err).__name__}: {err}"))
        finally:
            self._ended.set()

    def _loop_and_restart(self) -> str:
        """Move data, over as many failures as the policy allows; returns the status at the end."""
        while True:
            try:
                return self._loop()
            except GaveUp as err:  # the newest checkpoint stays the truth
                self._error = err
                self._close_parts(err)
                return "STOPPED"
            except Exception as err:
                if not self._revived(err):
                    return "STOPPED"

    def _revived(self, err: Exception) -> bool:
        """Begin anew at the newest checkpoint; False if a stop came first. Raises the failure if it is final."""
        while True:
            self._error = err
            self._close_parts(err)
            now_s = clock.current().monotonic_s()
            pause_s = None if self._restart is None else self._restart.policy.pause_s(err, now_s)
            if self._restart is None or pause_s is None:
                raise err
            self._status = "RESTARTING"
            if not self._paused(pause_s):
                return False
            try:
                self._take_new_parts(self._restart)
                return True
            except Exception as again:
                err = again

    def _paused(self, seconds: float) -> bool:
        """Wait, with signs of life; False if a stop came."""
        while seconds > 0 and not self._stop.wait(min(seconds, HEARTBEAT_S)):
            seconds -= HEARTBEAT_S
            self._heartbeat()
        return not self._stop.is_set()

    def _take_new_parts(self, restart: Restart) -> None:
        newest = self._state.checkpoints.newest()
        assert newest is not None, "a job has its first checkpoint before it runs"
        self._heartbeat()  # it is still ours
        self._pipeline, self._sink = restart.parts()
        self._parts_open, self._newest = True, newest
        self._rows_out, self._dirty, self._rows_at_checkpoint = newest.rows_out, False, newest.rows_in
        self._pipeline.rows_in = newest.rows_in
        self.recover()
        self._restarts += 1
        self._status, self._error = "RUNNING", None

    def _loop(self) -> str:
        """Move data until the end; returns the status."""
        waiter = self._waiter
        last_s = self._heartbeat_s = clock.current().monotonic_s() - self._interval_s
        while True:
            stopping = self._stop.is_set()
            requests = self._take_requests()
            with waiter.look():
                moved = self._move(finish_cut=stopping)
            finished = self._pipeline.finished
            now_s = clock.current().monotonic_s()
            if self._pipeline.at_cut:
                if (stopping or finished) and self._pipeline.begun:
                    self._dirty |= self._pipeline.positions() != self._newest.sources
                caught_up = not moved or self._pipeline.latest_reached
                due = now_s - last_s >= self._interval_s or self._rows_pending >= ROWS_BETWEEN_CHECKPOINTS
                if self._dirty and (due or stopping or finished or (requests and caught_up)):
                    self._checkpoint()
                    last_s = clock.current().monotonic_s()
                requests = self._answer(requests, caught_up)
            self._put_back(requests)
            if finished:
                return "FINISHED"
            if stopping:
                return "STOPPED"
            self._waits_for = ""
            self._heartbeat_when_due()
            if moved:
                waiter.reset()
            elif not self._stop.is_set():
                next_s = last_s + self._interval_s if self._dirty and self._pipeline.at_cut else None
                waiter.wait(next_s, self._pipeline.signs)

    def _move(self, *, finish_cut: bool) -> bool:
        """One step, or the rest of a cut that is open; returns whether anything came."""
        if finish_cut and self._pipeline.at_cut:
            return False
        deadline = clock.current().monotonic_s() + _FINISH_CUT_S
        moved = False
        while (step := self._pipeline.advance()) is not None or (finish_cut and not self._pipeline.at_cut):
            if step is not None:
                moved = self._dirty = True
                if step.output.num_rows:
                    self._sink.write(step.output)
                    self._rows_out += step.output.num_rows
            elif finish_cut:
                clock.current().sleep(WAIT_MIN_S)
            if not finish_cut or self._pipeline.at_cut or clock.current().monotonic_s() > deadline:
                break
        return moved

    def _checkpoint(self) -> None:
        started_s = clock.current().monotonic_s()
        version = self._newest.version + 1
        committable = self._sink.prepare(version)
        checkpoint = replace(
            self._newest,
            version=version,
            created_at_ms=clock.current().now_ms(),
            sources=self._pipeline.positions(),
            dataflow=self._pipeline.dataflow.checkpoint(self._state.runs),
            committable=committable,
            rows_in=self._pipeline.rows_in,
            rows_out=self._rows_out,
        )
        if not self._state.checkpoints.publish(checkpoint):
            raise JobTakenOver(
                f"another process has taken over job `{self.name}`: checkpoint {version} is there already"
            )
        self._newest = checkpoint
        self._dirty = False
        self._rows_at_checkpoint = checkpoint.rows_in
        if committable is not None:
            self._sink.commit(version, committable)
        self._state.checkpoints.mark_done(version)
        self._state.checkpoints.expire(self._retained, self._state.runs)
        self._pipeline.keep_places(consumer_of(self.id))
        self._checkpoint_ms = (clock.current().monotonic_s() - started_s) * 1000

    @property
    def _rows_pending(self) -> int:
        return self._pipeline.rows_in - self._rows_at_checkpoint

    def _take_requests(self) -> list[threading.Event]:
        with self._requests_lock:
            requests, self._requests = self._requests, []
        return requests

    def _put_back(self, requests: list[threading.Event]) -> None:
        with self._requests_lock:
            self._requests = requests + self._requests

    def _answer(self, requests: list[threading.Event], caught_up: bool) -> list[threading.Event]:
        """Tell those who asked before the last look at the sources; returns who has to wait on."""
        if not caught_up:
            return requests
        for request in requests:
            request.set()
        return []

    def _heartbeat_when_due(self) -> None:
        now_s = clock.current().monotonic_s()
        if now_s - self._heartbeat_s >= HEARTBEAT_S:
            self._heartbeat_s = now_s
            self._heartbeat()

    def _heartbeat(self) -> None:
        self._state.lease.heartbeat(self.version, self._pipeline.rows_in, self._rows_out, waits=self.waits)
        if self._stop_wanted():
            self._stop.set()

    def _status_at_end(self, status: str) -> None:
        if self._parts_open:
            if self._dirty:
                self._sink.abort()  # the stop came in the middle of a cut: the next run takes the whole cut again
            self._sink.close()
            self._pipeline.close()
        newest = self._newest
        self._state.lease.release(status, newest.version, newest.rows_in, newest.rows_out)
        self._status = status

    def _fail(self, err: Exception) -> None:
        """Keep the reason; free everything that can be freed. What the newest checkpoint says stays true."""
        self._error = err
        self._close_parts(err)
        self._status = "FAILED"
        _tried([self._release_failed], err)

    def _close_parts(self, err: Exception) -> None:
        """Let sink and sources go, which may have failed themselves."""
        if self._parts_open:
            self._parts_open = False
            _tried([self._sink.abort, self._sink.close, self._pipeline.close], err)

    def _release_failed(self) -> None:
        newest, reason = self._newest, f"{type(self._error).__name__}: {self._error}"
        self._state.lease.release("FAILED", newest.version, newest.rows_in, newest.rows_out, error=reason)

    def _raise_failure(self) -> None:
        if self._ended.is_set() and self._error is not None and self._status == "FAILED":
            err = self._error
            if not isinstance(err, Error):
                err = InternalError(f"{type(err).__name__}: {err}")
            raise JobFailed(f"job `{self.name}` failed at version {self.version}: {err}") from self._error


def _tried(steps: list[Callable[[], None]], err: Exception) -> None:
    """Each of the steps; what goes wrong becomes a note of the error that is at hand."""
    for step in steps:
        try:
            step()
        except Exception as second:
            err.add_note(f"while ending the job: {type(second).__name__}: {second}")
