"""Jobs: they end, resume, refuse, and are shown."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tsdb.exec.streaming.registry as registry_module
from tests.unit.exec.streaming_jobs.parts import CutSource, batch_count, draft, pipeline, published, words
from tsdb.changes import ChangeBatch
from tsdb.connector.connector import SourceDelta
from tsdb.errors import AlreadyExists, DataError, JobFailed, JobTakenOver, OperationalError, ProgrammingError
from tsdb.exec.streaming.draft import JobDraft
from tsdb.exec.streaming.registry import JobRegistry
from tsdb.exec.streaming.restart import restart_policy
from tsdb.fs import LocalFileIO

EACH_STEP = {"execution.checkpointing.interval": "0 ms"}
CUTS = [["a", "b"], ["a"], ["c", "a"], ["b"]]


def open_registry(folder: Path) -> JobRegistry:
    return JobRegistry(LocalFileIO(), str(folder))


def run_bounded(folder: Path, cuts: list[list[str]]) -> None:
    job = open_registry(folder).submit_draft(draft(CutSource(cuts), str(folder)), EACH_STEP)
    assert job.wait(10)
    assert job.status == "FINISHED"


def test_a_bounded_job_finishes_and_its_sink_holds_the_batch_result(tmp_path: Path) -> None:
    run_bounded(tmp_path, CUTS)
    assert published(f"{tmp_path}/sink") == batch_count(CUTS)
    run_bounded(tmp_path, [*CUTS, ["a", "z"]])
    assert published(f"{tmp_path}/sink") == batch_count([*CUTS, ["a", "z"]])
    (info,) = open_registry(tmp_path).show()
    assert (info.name, info.status, info.rows_in) == ("count", "FINISHED", 8)


def test_stop_takes_a_last_checkpoint_and_the_next_run_goes_on(tmp_path: Path) -> None:
    jobs = open_registry(tmp_path)
    source = CutSource(CUTS[:2], bounded=False)
    slow = {"execution.checkpointing.interval": "1 h"}
    job = jobs.submit_draft(draft(source, str(tmp_path)), slow)
    first_id = job.id
    while not source.latest_reached():
        time.sleep(0.001)
    jobs.stop("count")
    assert published(f"{tmp_path}/sink") == batch_count(CUTS[:2])
    assert [info.status for info in open_registry(tmp_path).show()] == ["STOPPED"]
    jobs.stop("count")  # quiet
    job = jobs.submit_draft(draft(CutSource(CUTS), str(tmp_path)), slow)
    job.wait(10)
    assert (job.id, published(f"{tmp_path}/sink")) == (first_id, batch_count(CUTS))


def test_checkpoint_waits_until_what_is_there_is_committed(tmp_path: Path) -> None:
    jobs = open_registry(tmp_path)
    source = CutSource([], bounded=False)
    job = jobs.submit_draft(draft(source, str(tmp_path)), {"execution.checkpointing.interval": "1 h"})
    for n in range(1, 4):
        source.cuts.append([f"w{i}" for i in range(n)])
        job.checkpoint(10)
        assert published(f"{tmp_path}/sink") == batch_count(source.cuts)
    version = job.version
    assert job.checkpoint(10) == version, "nothing new, no new version"
    jobs.close()
    assert job.status == "STOPPED"


def test_old_checkpoints_and_their_runs_are_expired(tmp_path: Path) -> None:
    run_bounded(tmp_path, [[f"w{i}"] for i in range(10)])
    names = sorted(os.listdir(tmp_path / "_jobs" / "count"))
    assert names == ["chk-10", "chk-10.done", "chk-8", "chk-8.done", "chk-9", "chk-9.done", "lease-1", "state"]
    assert len(os.listdir(tmp_path / "_jobs" / "count" / "state")) == 3


def test_a_failure_is_kept_shown_and_raised_and_the_job_can_go_on(tmp_path: Path) -> None:
    jobs = open_registry(tmp_path)
    source = CutSource(CUTS[:1], bounded=False)
    job = jobs.submit_draft(draft(source, str(tmp_path)), EACH_STEP)
    job.checkpoint(10)
    source.fails = DataError("line 7 of orders.json is no number")
    with pytest.raises(JobFailed, match=r"job `count` failed at version 1: line 7 of orders.json"):
        job.wait(10)
    for registry in (jobs, open_registry(tmp_path)):
        (info,) = registry.show()
        assert info.status == "FAILED" and "line 7" in info.error
    run_bounded(tmp_path, CUTS)
    assert published(f"{tmp_path}/sink") == batch_count(CUTS)


def test_another_query_under_the_same_name_is_refused(tmp_path: Path) -> None:
    run_bounded(tmp_path, CUTS)
    jobs = open_registry(tmp_path)
    source = CutSource(CUTS)
    with pytest.raises(AlreadyExists, match=r"(?s)another query.*INSERT OTHER.*DROP JOB 'count'.*pipeline\.name"):
        jobs.submit_draft(draft(source, str(tmp_path), sql="INSERT OTHER"), EACH_STEP)
    assert source.closed
    jobs.drop("count")
    assert jobs.show() == [] and not (tmp_path / "_jobs" / "count").exists()
    with pytest.raises(ProgrammingError, match="no job `count`"):
        jobs.stop("count")


def test_a_job_that_runs_here_is_not_started_again(tmp_path: Path) -> None:
    jobs = open_registry(tmp_path)
    job = jobs.submit_draft(draft(CutSource([], bounded=False), str(tmp_path)), EACH_STEP)
    with pytest.raises(AlreadyExists, match="already running in this process"):
        open_registry(tmp_path).submit_draft(draft(CutSource([]), str(tmp_path)), EACH_STEP)
    jobs.drop("count")
    assert job.status == "STOPPED" and jobs.show() == []


def test_names_may_hold_any_character(tmp_path: Path) -> None:
    jobs = open_registry(tmp_path)
    job = jobs.submit_draft(draft(CutSource(CUTS), str(tmp_path), name="a/b ../ü"), EACH_STEP)
    job.wait(10)
    assert [info.name for info in open_registry(tmp_path).show()] == ["a/b ../ü"]
    assert os.listdir(tmp_path / "_jobs") == ["a%2Fb%20..%2F%C3%BC"]


OTHER_PROCESS = """
import sys
from tests.unit.exec.streaming_jobs.parts import CutSource, draft
from tsdb.exec.streaming.registry import JobRegistry
from tsdb.exec.streaming.restart import restart_policy
from tsdb.fs import LocalFileIO
folder = sys.argv[1]
jobs = JobRegistry(LocalFileIO(), folder)
source = CutSource([["a"], ["b"]], bounded=False)
job = jobs.submit_draft(draft(source, folder), {"execution.checkpointing.interval": "0 ms"})
job.checkpoint(10)
print("ready", flush=True)
job.wait()
print(job.status, flush=True)
"""


@pytest.fixture
def other_process(tmp_path: Path):
    with subprocess.Popen(
        [sys.executable, "-c", OTHER_PROCESS, str(tmp_path)],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_a_second_process_is_told_who_runs_the_job_and_takes_over_when_it_is_killed(
    tmp_path: Path, other_process: subprocess.Popen
) -> None:
    jobs = open_registry(tmp_path)
    with pytest.raises(AlreadyExists, match=rf"job `count` is already running in process {other_process.pid} on "):
        jobs.submit_draft(draft(CutSource(CUTS), str(tmp_path)), EACH_STEP)
    with pytest.raises(AlreadyExists, match=f"process {other_process.pid}"):
        jobs.drop("count")
    assert [(i.status, i.name) for i in jobs.show()] == [("RUNNING", "count")]
    other_process.kill()
    other_process.wait()
    assert [(i.status, i.version, i.rows_in) for i in jobs.show()] == [("LOST", 2, 2)]
    job = jobs.submit_draft(draft(CutSource([["a"], ["b"], ["a"]]), str(tmp_path)), EACH_STEP)
    job.wait(10)
    assert published(f"{tmp_path}/sink") == batch_count([["a"], ["b"], ["a"]])


def test_a_job_of_another_process_can_be_stopped_from_here(tmp_path: Path, other_process: subprocess.Popen) -> None:
    jobs = open_registry(tmp_path)
    jobs.stop("count", timeout=20)
    assert other_process.stdout.readline() == "STOPPED\n"
    assert [info.status for info in jobs.show()] == ["STOPPED"]


def test_the_loser_of_a_lease_publishes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A holder that was thought dead comes back: its next checkpoint exists already, so it fails."""
    first = CutSource(CUTS[:2], bounded=False)
    paused = open_registry(tmp_path).submit_draft(draft(first, str(tmp_path)), EACH_STEP)
    paused.checkpoint(10)
    monkeypatch.setattr("tsdb.exec.streaming.lease._owners_here", set())
    run_bounded(tmp_path, CUTS)
    first.cuts.append(["from the past"])
    with pytest.raises(JobFailed, match="taken over"):
        paused.wait(10)
    assert published(f"{tmp_path}/sink") == batch_count(CUTS)


def test_open_registries_are_closed_at_exit(tmp_path: Path) -> None:
    jobs = open_registry(tmp_path)
    source = CutSource(CUTS, bounded=False)
    jobs.submit_draft(draft(source, str(tmp_path)), EACH_STEP)
    while not source.latest_reached():
        time.sleep(0.001)
    registry_module._close_all()
    assert published(f"{tmp_path}/sink") == batch_count(CUTS)


def test_a_stop_before_the_first_step_leaves_the_beginning_to_the_next_run(tmp_path: Path) -> None:
    jobs = open_registry(tmp_path)
    job = jobs.submit_draft(draft(CutSource(CUTS, bounded=False), str(tmp_path)), EACH_STEP, start=False)
    job.request_stop()
    job.start()
    job.wait(10)
    assert (job.status, job.version) == ("STOPPED", 0)
    run_bounded(tmp_path, CUTS)
    assert published(f"{tmp_path}/sink") == batch_count(CUTS)


class EndlessCut(CutSource):
    """Is always in the middle of a cut."""

    def poll(self, rows_max: int) -> SourceDelta:
        return SourceDelta([ChangeBatch(words("x"), np.ones(1, np.int64))], complete=False)


def test_a_stop_in_a_cut_that_does_not_end_takes_back_what_was_not_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsdb.exec.streaming.job._FINISH_CUT_S", 0.1)
    job = open_registry(tmp_path).submit_draft(draft(EndlessCut([], bounded=False), str(tmp_path)), EACH_STEP)
    job.stop(10)
    assert (job.status, job.version, published(f"{tmp_path}/sink")) == ("STOPPED", 0, batch_count([]))
    run_bounded(tmp_path, CUTS)
    assert published(f"{tmp_path}/sink") == batch_count(CUTS)


class Unsteady(CutSource):
    """Cannot be read the first times, and again behind the first cut."""

    def __init__(self, cuts: list[list[str]], failures: list[Exception]) -> None:
        super().__init__(cuts)
        self.failures = failures

    def poll(self, rows_max: int) -> SourceDelta | None:
        if self.failures and (len(self.failures) > 1 or self.at == 1):
            raise self.failures.pop()
        return super().poll(rows_max)


def unsteady(folder: Path, failures: list[Exception]) -> JobDraft:
    """Each attempt reads from a source of its own; they share what still goes wrong."""
    first = draft(Unsteady(CUTS, failures), str(folder))
    return replace(first, again=lambda: pipeline(Unsteady(CUTS, failures)))


FIXED = {**EACH_STEP, "restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.delay": "1 ms"}


@pytest.mark.parametrize("strategy", ["fixed-delay", "exponential-delay"])
def test_a_job_goes_on_after_failures_of_the_outside(tmp_path: Path, strategy: str) -> None:
    failures: list[Exception] = [OperationalError("away again"), OSError("disk"), OperationalError("away")]
    options = {
        **FIXED,
        "restart-strategy.type": strategy,
        "restart-strategy.fixed-delay.attempts": "3",
        "restart-strategy.exponential-delay.initial-backoff": "1 ms",
    }
    job = open_registry(tmp_path).submit_draft(unsteady(tmp_path, failures), options)
    assert job.wait(10)
    assert (job.status, job.metrics()["restarts"], failures) == ("FINISHED", 3, [])
    assert published(f"{tmp_path}/sink") == batch_count(CUTS)


@pytest.mark.parametrize(
    ("failure", "options"),
    [
        (OperationalError("away"), EACH_STEP),
        (OperationalError("away"), {**FIXED, "restart-strategy.fixed-delay.attempts": "0"}),
        (JobTakenOver("by another"), FIXED),
        (DataError("a bad value"), FIXED),
    ],
    ids=["no-strategy", "no-attempts-left", "taken-over", "a-bad-value"],
)
def test_a_failure_is_final(tmp_path: Path, failure: Exception, options: dict[str, str]) -> None:
    job = open_registry(tmp_path).submit_draft(unsteady(tmp_path, [failure]), options)
    with pytest.raises(JobFailed, match=str(failure)):
        job.wait(10)
    (info,) = open_registry(tmp_path).show()
    assert info.status == "FAILED" and str(failure) in str(info.error)
    run_bounded(tmp_path, CUTS)
    assert published(f"{tmp_path}/sink") == batch_count(CUTS)


def test_a_job_that_waits_for_its_next_attempt_says_so_and_can_be_stopped(tmp_path: Path) -> None:
    jobs = open_registry(tmp_path)
    options = {**FIXED, "restart-strategy.fixed-delay.delay": "1 h"}
    job = jobs.submit_draft(unsteady(tmp_path, [OperationalError("away")]), options)
    while job.status != "RESTARTING":
        time.sleep(0.001)
    (info,) = jobs.show()
    assert (info.status, info.error) == ("RESTARTING", "restarts after OperationalError: away")
    jobs.stop("count")
    assert job.status == "STOPPED"
    run_bounded(tmp_path, CUTS)
    assert published(f"{tmp_path}/sink") == batch_count(CUTS)


def test_pauses_grow_and_begin_anew_after_a_long_run() -> None:
    policy = restart_policy({"restart-strategy.type": "exponential-delay"})
    away = OperationalError("away")
    assert [policy.pause_s(away, now) for now in (0, 1, 2)] == [1.0, 1.5, 2.25]
    assert max(policy.pause_s(away, 3) or 0 for _ in range(20)) == 60.0
    assert policy.pause_s(away, 3 + 60 + 3600) == 1.0
