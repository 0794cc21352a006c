"""STOP JOB … WITH SAVEPOINT, and starting from one."""

import subprocess
import sys
from pathlib import Path

import pytest

import tsdb
from tests.simulation.stopping_files import Stopped, StoppingFileIO
from tests.unit.exec.streaming_jobs.parts import CutSource, batch_count, draft, published
from tsdb import Connection
from tsdb.exec.streaming.registry import JobRegistry
from tsdb.fs import LocalFileIO

DDL = """
CREATE TABLE src (customer STRING, amount BIGINT);
CREATE TABLE sums (customer STRING, n BIGINT, total BIGINT, PRIMARY KEY (customer) NOT ENFORCED);
INSERT INTO src VALUES ('ann', 1), ('bob', 2), ('ann', 3);
SET 'execution.mode' = 'streaming';
"""
JOB = "INSERT INTO sums SELECT customer, count(*), sum(amount) FROM src GROUP BY customer"
NAME = "insert-into_default.sums"


@pytest.fixture
def con(tmp_path: Path):
    with tsdb.connect(str(tmp_path)) as connection:
        connection.execute(DDL)
        yield connection


def batch(con: Connection, text: str) -> list[tuple]:
    con.execute("SET 'execution.mode' = 'batch'")
    found = con.execute(text)
    rows = sorted(found.fetchall()) if found.description else []
    con.execute("SET 'execution.mode' = 'streaming'")
    return rows


def savepoint(con: Connection) -> str:
    """Run the job until it has seen what there is, and stop it."""
    con.execute(JOB)
    con.jobs()[-1].checkpoint(20)
    return con.execute(f"STOP JOB '{NAME}' WITH SAVEPOINT").fetchone()[0]


def check_goes_on(con: Connection) -> None:
    """The job takes in what comes, and its sums are those of all rows."""
    batch(con, "INSERT INTO src VALUES ('bob', 5), ('cat', 7)")
    con.jobs()[-1].checkpoint(20)
    assert batch(con, "SELECT * FROM sums") == batch(
        con, "SELECT customer, count(*), sum(amount) FROM src GROUP BY customer"
    )


def test_a_dropped_job_starts_again_from_its_savepoint(con: Connection) -> None:
    path = savepoint(con)
    assert [(row[0], row[1], row[4]) for row in con.execute("SHOW SAVEPOINTS")] == [(NAME, 1, path)]
    con.execute(f"DROP JOB '{NAME}'; SET 'execution.savepoint.path' = '{path}'")
    con.execute(JOB)
    check_goes_on(con)
    job = con.jobs()[-1]
    assert job.metrics()["rows_in"] == 5, "the rows before the savepoint are not read again"
    job.stop()
    con.execute(JOB)
    assert con.jobs()[-1].id == job.id, "the same script goes on with the job that it has started"
    check_goes_on(con)
    con.execute(f"DROP SAVEPOINT '{path}'")
    assert con.execute("SHOW SAVEPOINTS").fetchall() == []
    assert not list(Path(path).parent.glob("*"))


def test_a_savepoint_starts_a_job_of_another_name(con: Connection) -> None:
    path = savepoint(con)
    con.execute(f"SET 'execution.savepoint.path' = '{path}'; SET 'pipeline.name' = 'second'")
    con.execute(JOB)
    assert con.jobs()[-1].name == "second"
    check_goes_on(con)


def test_a_stopped_job_and_one_of_another_process_give_savepoints(con: Connection, tmp_path: Path) -> None:
    con.execute(JOB)
    con.jobs()[0].checkpoint(20)
    with tsdb.connect(str(tmp_path)) as other:
        path = other.execute(f"STOP JOB '{NAME}' WITH SAVEPOINT").fetchone()[0]
        assert other.execute(f"STOP JOB '{NAME}' WITH SAVEPOINT").fetchone()[0] == path
    assert [row[2] for row in con.execute("SHOW JOBS")] == ["STOPPED"]
    con.execute(f"SET 'execution.savepoint.path' = '{path}'")
    con.execute(JOB)  # nothing came after the savepoint: the job itself goes on
    check_goes_on(con)


def test_a_job_that_went_on_does_not_go_back(con: Connection) -> None:
    path = savepoint(con)
    con.execute(JOB)
    check_goes_on(con)
    con.jobs()[-1].stop()
    con.execute(f"SET 'execution.savepoint.path' = '{path}'")
    with pytest.raises(tsdb.ProgrammingError, match=r"has a state of its own, at version 2.*RESET"):
        con.execute(JOB)


def test_another_query_is_refused_unless_its_state_is_the_same(con: Connection) -> None:
    path = savepoint(con)
    other = JOB.replace("sum(amount)", "max(amount)")
    with pytest.raises(tsdb.ProgrammingError, match="exists with another query"):
        con.execute(other)
    con.execute(f"SET 'execution.savepoint.path' = '{path}'; SET 'pipeline.name' = 'other'")
    with pytest.raises(tsdb.ProgrammingError, match=r"(?s)savepoint .* is of another query.*max \( amount"):
        con.execute(other)
    con.execute("RESET 'execution.savepoint.path'; RESET 'pipeline.name'")
    con.execute(JOB.replace("GROUP BY customer", "GROUP BY 1"))  # the same operators over the same table
    check_goes_on(con)


def test_restore_none_starts_anew(con: Connection) -> None:
    savepoint(con)
    old = con.execute("SHOW JOBS").fetchone()[0]
    con.execute("SET 'execution.restore' = 'none'")
    con.execute(JOB.replace("sum(amount)", "max(amount)"))
    job = con.jobs()[-1]
    job.checkpoint(20)
    assert job.id != old and job.metrics()["rows_in"] == 3
    assert batch(con, "SELECT * FROM sums") == [("ann", 2, 3), ("bob", 1, 2)]
    with pytest.raises(tsdb.ProgrammingError, match="already running in this process"):
        con.execute(JOB)


def test_savepoints_that_cannot_be_used_say_why(con: Connection) -> None:
    path = savepoint(con)
    con.execute(f"DROP JOB '{NAME}'")

    def refused(place: str, message: str) -> None:
        con.execute(f"SET 'execution.savepoint.path' = '{place}'")
        with pytest.raises(tsdb.Error, match=message):
            con.execute(JOB)
        assert con.execute("SHOW JOBS").fetchall() == [], "nothing is left of the attempt"

    refused(f"{path}x", "there is no savepoint .*Did you mean")
    refused(str(Path(path).parent), "is no savepoint, or one that was never finished")
    run = next(Path(path).glob("run-*"))
    data = run.read_bytes()
    run.write_bytes(data[:-9] + b"123456789")
    refused(path, f"is damaged: its file {run.name}")
    run.unlink()
    refused(path, f"is not whole: its file {run.name} is missing")
    run.write_bytes(data)
    metadata = Path(path) / "_metadata"
    text = metadata.read_text()
    metadata.write_text(text[: len(text) // 2])
    refused(path, "_metadata is damaged")
    metadata.write_text(text)
    con.execute(f"SET 'execution.savepoint.path' = '{path}'")
    con.execute(JOB)
    check_goes_on(con)


def test_a_job_without_a_checkpoint_has_no_savepoint(con: Connection) -> None:
    with pytest.raises(tsdb.ProgrammingError, match="there is no job `nope`"):
        con.execute("STOP JOB 'nope' WITH SAVEPOINT")


def test_a_savepoint_cut_off_anywhere_is_not_there_and_can_be_taken_again(tmp_path: Path) -> None:
    cuts = [["a", "b", "a"], ["b"]]
    stopped_at = 0
    for n in range(1, 100):
        root = f"{tmp_path}/at-{n}"
        job = JobRegistry(LocalFileIO(), root).submit_draft(draft(CutSource(cuts), root), {})
        job.wait(20)
        stopping = StoppingFileIO(LocalFileIO(), n)
        jobs = JobRegistry(stopping, root)
        try:
            jobs.stop_with_savepoint("count")
        except Stopped:
            stopped_at = n
        fresh = JobRegistry(LocalFileIO(), root)
        whole = fresh.savepoints.all()
        path = fresh.stop_with_savepoint("count")
        assert [s.path for s in fresh.savepoints.all()] == [path], n
        assert len(whole) <= 1
        fresh.drop("count")
        longer = CutSource([*cuts, ["c", "a"]])
        again = fresh.submit_draft(draft(longer, root), {"execution.savepoint.path": path})
        again.wait(20)
        assert again.metrics()["rows_in"] == 6 and published(f"{root}/sink") == batch_count(longer.cuts)
        if not stopping.stopped:
            break
    assert stopped_at > 5


KILLED = """
import sys, tsdb
con = tsdb.connect(sys.argv[1])
con.execute("SET 'execution.mode' = 'streaming'")
con.execute(sys.argv[2])
con.jobs()[0].checkpoint(20)
import tsdb.exec.streaming.savepoint as savepoint, os
savepoint.asdict = lambda _: os.kill(os.getpid(), 9)
con.execute(sys.argv[3])
"""


def test_a_process_killed_during_a_savepoint_leaves_none(con: Connection, tmp_path: Path) -> None:
    stop = f"STOP JOB '{NAME}' WITH SAVEPOINT"
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), JOB, stop], timeout=60)
    assert ended.returncode == -9
    assert con.execute("SHOW SAVEPOINTS").fetchall() == []
    path = con.execute(stop).fetchone()[0]
    con.execute(f"DROP JOB '{NAME}'; SET 'execution.savepoint.path' = '{path}'")
    con.execute(JOB)
    check_goes_on(con)
