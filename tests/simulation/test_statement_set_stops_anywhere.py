"""The job of a statement set is stopped at every publication and opened again: all sinks are filled, each once."""

import shutil
from pathlib import Path

import pytest

from tests.simulation.stopping_files import Stopped, StoppingFileIO
from tests.simulation.test_table_job_stops_anywhere import (
    EACH_STEP,
    GROUPED,
    ORDERS,
    RESULTS,
    check_changelog,
    make_warehouse,
)
from tests.unit.exec.streaming_jobs.warehouse import BOUNDED, contents, make_table, plan
from tsdb.errors import Error
from tsdb.exec.streaming.draft import PlannedInsert, insert_draft
from tsdb.exec.streaming.registry import JobRegistry
from tsdb.fs import LocalFileIO

FROM_FIRST = BOUNDED | {"scan.mode": "from-snapshot", "scan.snapshot-id": "1"}
COPIES = [[], [(1, "ann", 10), (2, "bob", 20)], [(1, "ann", 10), (2, "bob", 20), (3, "ann", 5)]]
COPIES.append([(1, "ann", 10), (3, "ann", 5)])


def run(root: Path, files: StoppingFileIO) -> str:
    """Run the job until it ends or the world does."""
    orders = make_table(root, "orders", ORDERS, ("id",), file_io=LocalFileIO())
    try:
        sums, copy = (make_table(root, name, {}, file_io=files) for name in ("sums", "copy"))
        inserts = [
            PlannedInsert(plan(query, orders, options=FROM_FIRST), target, tuple(target.schema.names))
            for query, target in ((GROUPED, sums), ("SELECT * FROM orders", copy))
        ]
        job = JobRegistry(files, str(root)).submit_draft(insert_draft(inserts, "SET", "set"), EACH_STEP)
        job.wait(30)
    except (Error, Stopped):
        return "stopped"
    return job.status


@pytest.mark.parametrize("after", [False, True], ids=["before it", "after it"])
def test_a_set_resumes_exactly_once_from_any_publication(tmp_path: Path, after: bool) -> None:
    empty = tmp_path / "empty"
    make_warehouse(empty, {"bucket": "1"})
    make_table(empty, "copy", ORDERS, ("id",), {"changelog-producer": "input"})
    shutil.copytree(empty, tmp_path / "whole")
    whole = StoppingFileIO(LocalFileIO(), only="try_create")
    assert run(tmp_path / "whole", whole) == "FINISHED"
    for n in range(1, whole.count + 1):
        root = tmp_path / f"at-{n}"
        shutil.copytree(empty, root)
        stopping = StoppingFileIO(LocalFileIO(), n, after=after, only="try_create")
        run(root, stopping)
        assert stopping.stopped, n
        sums, copy = (make_table(root, name, {}) for name in ("sums", "copy"))
        behind = RESULTS.index(contents(sums)) - COPIES.index(contents(copy))
        assert behind in (0, 1), "the sinks are at one version, or between two commits of it"
        assert run(root, StoppingFileIO(LocalFileIO())) == "FINISHED", n
        assert (contents(sums), contents(copy)) == (RESULTS[-1], COPIES[-1]), n
        check_changelog(sums)
        check_changelog(copy)
        shutil.rmtree(root)
