"""A job with a side table for late rows is stopped at every file operation: both tables have every row once."""

import shutil
from pathlib import Path

import pytest

import tsdb
from tests.simulation.stopping_files import Stopped, StoppingFileIO
from tsdb.errors import Error
from tsdb.exec.session_options import SessionOptions
from tsdb.fs import LocalFileIO, Storage
from tsdb.session import Session

JOB = """
SET 'execution.mode' = 'streaming';
SET 'scan.bounded.mode' = 'latest';
SET 'execution.checkpointing.interval' = '0 ms';
SET 'execution.checkpointing.num-retained' = '1';
INSERT INTO counts SELECT window_start, count(*) FROM TABLE(TUMBLE(
  TABLE clicks /*+ OPTIONS('late-rows' = 'late', 'scan.mode' = 'from-snapshot', 'scan.snapshot-id' = '1') */,
  DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;
"""
SETUP = """
CREATE TABLE clicks (id INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts);
CREATE TABLE counts (w TIMESTAMP(3), n BIGINT);
INSERT INTO clicks VALUES (1, TIMESTAMP '2024-01-01 00:01:10');
INSERT INTO clicks VALUES (2, TIMESTAMP '2024-01-01 00:00:10'), (3, TIMESTAMP '2024-01-01 00:01:11');
INSERT INTO clicks VALUES (4, TIMESTAMP '2024-01-01 00:02:10'), (5, TIMESTAMP '2024-01-01 00:00:10');
"""
COUNTS = [("00:01:00", 2), ("00:02:00", 1)]
LATE = [2, 5]


def run(root: Path, files: StoppingFileIO) -> str:
    """Run the job until it ends or the world does."""
    session = Session(Storage(files, str(root)), SessionOptions({}))
    try:
        list(session.execute(JOB))
        (job,) = session.jobs.jobs()
        job.wait(30)
    except (Error, Stopped):
        return "stopped"
    return job.status


def rows(root: Path) -> tuple[list[tuple[str, int]], list[int]]:
    """The counts by minute and the ids of late rows."""
    with tsdb.connect(str(root)) as con:
        counts = con.execute("SELECT w, n FROM counts").fetchall()
        there = ("late",) in con.execute("SHOW TABLES").fetchall()
        late = con.execute("SELECT id FROM late").fetchall() if there else []
    return sorted((str(w)[11:19], n) for w, n in counts), sorted(i for (i,) in late)


@pytest.mark.parametrize(("after", "only"), [(False, None), (True, "try_create")], ids=["anything", "publications"])
def test_late_rows_come_exactly_once_from_any_file_operation(tmp_path: Path, after: bool, only: str | None) -> None:
    with tsdb.connect(str(tmp_path / "empty")) as con:
        con.execute(SETUP)
    shutil.copytree(tmp_path / "empty", tmp_path / "whole")
    whole = StoppingFileIO(LocalFileIO(), only=only)
    assert run(tmp_path / "whole", whole) == "FINISHED"
    assert rows(tmp_path / "whole") == (COUNTS, LATE)
    for n in range(1, whole.count + 1, 1 if only else 3):
        root = tmp_path / f"at-{n}"
        shutil.copytree(tmp_path / "empty", root)
        stopping = StoppingFileIO(LocalFileIO(), n, after=after, only=only)
        run(root, stopping)
        assert stopping.stopped, n
        counts, late = rows(root)
        assert counts in (COUNTS[:0], COUNTS[:1], COUNTS) and late in (LATE[:0], LATE[:1], LATE), n
        assert run(root, StoppingFileIO(LocalFileIO())) == "FINISHED", n
        assert rows(root) == (COUNTS, LATE), n
        shutil.rmtree(root)
