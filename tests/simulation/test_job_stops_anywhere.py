"""A job is stopped at every file operation, and opened again: nothing is lost, nothing is there twice."""

from pathlib import Path

import pytest

from tests.simulation.stopping_files import Stopped, StoppingFileIO
from tests.unit.exec.streaming_jobs.parts import CutSource, batch_count, draft, published
from tsdb.errors import Error
from tsdb.exec.streaming.registry import JobRegistry
from tsdb.fs import LocalFileIO

CUTS = [["a", "b", "a"], ["b"], ["c", "a"]]
EACH_STEP = {"execution.checkpointing.interval": "0 ms", "execution.checkpointing.num-retained": "2"}


def run(folder: Path, files: StoppingFileIO) -> str:
    """Run the job until it ends or the world does."""
    jobs = JobRegistry(files, str(folder))
    try:
        job = jobs.submit_draft(draft(CutSource(CUTS), str(folder), file_io=files), EACH_STEP)
        job.wait(30)
    except (Error, Stopped):
        return "stopped"
    return job.status


@pytest.mark.parametrize("after", [False, True], ids=["before the operation", "after it"])
def test_job_resumes_exactly_once_from_any_file_operation(tmp_path: Path, after: bool) -> None:
    whole = StoppingFileIO(LocalFileIO())
    assert run(tmp_path / "whole", whole) == "FINISHED"
    assert whole.count > 30
    prefixes = [batch_count(CUTS[:n]) for n in range(len(CUTS) + 1)]
    for n in range(1, whole.count + 1):
        folder = tmp_path / f"at-{n}"
        stopping = StoppingFileIO(LocalFileIO(), n, after=after)
        run(folder, stopping)
        assert stopping.stopped, n
        assert published(f"{folder}/sink") in prefixes, n
        assert run(folder, StoppingFileIO(LocalFileIO())) == "FINISHED", n
        assert published(f"{folder}/sink") == batch_count(CUTS), n
