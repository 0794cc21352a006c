"""Every file of a job's state, gone or damaged in several ways: an error that names it, or the right result."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import tsdb

JOB = "INSERT INTO sums SELECT k, count(*), sum(v) FROM src GROUP BY k"
BEFORE, AFTER = [(1, 2, 15), (2, 1, 20)], [(1, 3, 16), (2, 1, 20)]
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[: len(data) // 2],
    "junk": lambda data: bytes((i * 7 + 13) & 255 for i in range(len(data))),
    "empty": lambda data: b"",
}
FILES = ("chk-0", "chk-1", r"chk-1\.done", "lease-1", r"run-1-1\.arrow", r"run-1-2\.arrow")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    warehouse: Path = tmp_path_factory.mktemp("made")
    with tsdb.connect(warehouse) as con:
        con.execute("CREATE TABLE src (k INT, v INT)")
        con.execute("CREATE TABLE sums (k INT, n BIGINT, s BIGINT, PRIMARY KEY (k) NOT ENFORCED)")
        con.execute("INSERT INTO src VALUES (1, 10), (2, 20), (1, 5)")
        con.execute(f"SET 'execution.mode' = 'streaming'; {JOB}")
        con.jobs()[0].checkpoint(20)
        con.jobs()[0].stop()
    return warehouse


@pytest.mark.parametrize("how", ["gone", *DAMAGES])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_of_the_state_is_named(name: str, how: str, made: Path, tmp_path: Path) -> None:
    warehouse = tmp_path / "w"
    shutil.copytree(made, warehouse)
    (path,) = (p for p in (warehouse / "_jobs").rglob("*") if re.fullmatch(name, p.name))
    data = path.read_bytes()
    path.unlink()
    if how != "gone":
        path.write_bytes(DAMAGES[how](data))
    with tsdb.connect(warehouse) as con:
        con.execute("INSERT INTO src VALUES (1, 1)")
        con.execute("SET 'execution.mode' = 'streaming'")
        failure = None
        try:
            con.execute(JOB)
            con.jobs()[0].checkpoint(20)
            con.jobs()[0].stop()
        except tsdb.Error as err:
            failure = err
        con.execute("SET 'execution.mode' = 'batch'")
        jobs = con.execute("SHOW JOBS").fetchall()
        got = sorted(con.execute("SELECT * FROM sums").fetchall())
    assert len(jobs) == 1
    if failure is None:
        assert got == AFTER
        return
    assert path.name in str(failure) and "mistake of tsdb" not in str(failure)
    assert got in (BEFORE, AFTER)
