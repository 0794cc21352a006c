"""Two processes that add and change keys of one table with dynamic buckets, while a third compacts it."""

import subprocess
import sys
from pathlib import Path

import pytest

import tsdb

ROOT = Path(__file__).parent.parent.parent.parent
_WRITER = """
import sys, tsdb
from tsdb.errors import CommitConflict
con, number = tsdb.connect(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for i in range(6):
    rows = ", ".join(f"({key}, {number}, {i})" for key in (i, i + 1, 100 * number + i, 100 * number + i + 1))
    while True:
        try:
            con.execute(f"INSERT INTO t VALUES {rows}")
            break
        except CommitConflict:
            continue
    if i % 3 == 2:
        try:
            con.execute("CALL sys.compact('default.t')")
        except CommitConflict:
            pass
"""


@pytest.mark.parametrize("options", ["'write-only' = 'true'", "'deletion-vectors.enabled' = 'true'"])
def test_every_key_is_in_one_bucket_with_its_last_row(tmp_path, options):
    with tsdb.connect(str(tmp_path)) as con:
        con.execute(
            "CREATE TABLE t (k INT, w INT, v INT, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '-1', "
            f"'dynamic-bucket.target-row-num' = '7', 'commit.max-retries' = '200', {options})"
        )
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", _WRITER, str(tmp_path), str(number)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)},
            )
            for number in (1, 2)
        ]  # fmt: skip
        for writer in writers:
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            writer.stdin.write("go\n")
            writer.stdin.flush()
        for writer in writers:
            writer.communicate()
            assert writer.returncode == 0
        con.execute("CALL sys.compact('default.t')")
        rows = con.execute("SELECT k, w, v FROM t").fetchall()
    assert len({k for k, _, _ in rows}) == len(rows)  # a key in two buckets would be there twice
    own = {(k, w, v) for k, w, v in rows if k >= 100}
    assert own == {(100 * w + k, w, min(k, 5)) for w in (1, 2) for k in range(7)}
    shared = {k: (w, v) for k, w, v in rows if k < 100}
    assert shared.keys() == set(range(7)) and all(v in (k, k - 1) for k, (w, v) in shared.items())
