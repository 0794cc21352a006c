"""Paimon Java as one of the writers of a race, while processes of ours write, overwrite, compact and expire."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from judge import PaimonJava

import tsdb

ROOT = Path(__file__).parent.parent.parent
SECONDS = float(os.environ.get("TSDB_RACE_SECONDS", "5"))
RACERS = ("writer-1", "compactor", "overwriter", "expirer")


@pytest.mark.judged("commits that race", "Paimon Java", "reads", "writes")
def test_java_races_with_us(java: PaimonJava, tmp_path: Path) -> None:
    with tsdb.connect(str(tmp_path)) as con:
        con.execute(
            "CREATE TABLE t (p STRING, k INT, n BIGINT, PRIMARY KEY (p, k) NOT ENFORCED) PARTITIONED BY (p) "
            "WITH ('bucket' = '2', 'write-only' = 'true', 'commit.max-retries' = '200')"
        )
    processes = {racer: _start(racer, tmp_path) for racer in RACERS}
    for process in processes.values():
        assert process.stdout.readline() == "ready\n"
    java.write(tmp_path, "default.t", [["+I", "java", 0, 0]], 1)
    for process in processes.values():
        process.stdin.write("go\n")
        process.stdin.flush()
    end, identifier, n = time.monotonic() + SECONDS, 1, 0
    with tsdb.connect(str(tmp_path)) as con:
        while time.monotonic() < end:
            identifier, n = identifier + 1, n + 3
            identifier = _write(java, tmp_path, [["+U", "java", 0, n], ["+U", "java", 1, -n]], identifier)
            found = con.execute("SELECT p, k, n FROM t").fetch_arrow_table()
            sums = found.group_by("p").aggregate([("n", "sum")])["n_sum"]
            assert pc.all(pc.equal(sums, 0)).as_py(), found.to_pylist()
            assert ("java", 0, n) in con.execute("SELECT p, k, n FROM t WHERE p = 'java'").fetchall()
        for racer, process in processes.items():
            output, _ = process.communicate(timeout=60)
            assert process.returncode == 0 and int(output.split()[0]) > 0, racer
        assert identifier > 1  # on a busy machine Java comes to few turns
        ours = sorted(con.execute("SELECT p, k, n FROM t").fetchall())
        assert sorted(tuple(row) for row in java.read(tmp_path, "default.t")) == ours
        ids = [row[0] for row in con.execute("SELECT snapshot_id FROM t$snapshots").fetchall()]
    assert ids == list(range(ids[0], ids[-1] + 1))


def _write(java: PaimonJava, warehouse: Path, rows: list[list[Any]], identifier: int) -> int:
    """The identifier under which the rows were committed.

    Java that has to wait for seconds gives up its commit, because snapshots that it wants to look through have expired.
    """
    while True:
        try:
            java.write(warehouse, "default.t", rows, identifier)
            return identifier
        except AssertionError as err:
            if "might have been expired" not in str(err):
                raise
            identifier += 1


def _start(racer: str, warehouse: Path) -> Any:
    script = str(ROOT / "tests" / "unit" / "table" / "racer.py")
    return subprocess.Popen(
        [sys.executable, script, racer, str(warehouse), str(SECONDS)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
