"""Processes that write, delete, overwrite, compact and expire at once, while a reader checks every snapshot it meets.

Five seconds here; `make races` sets TSDB_RACE_SECONDS and goes on for minutes.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.compute as pc
import pytest

import tsdb
from tests.unit.table.racer import KEPT_MS, table_of
from tsdb.metadata.snapshot import BATCH_IDENTIFIER, SnapshotNotFound
from tsdb.table.read import read_table
from tsdb.table.scan import live_files, plan_scan

ROOT = Path(__file__).parent.parent.parent.parent
SECONDS = float(os.environ.get("TSDB_RACE_SECONDS", "5"))
RACERS = ("writer-1", "writer-2", "compactor", "overwriter", "deleter", "expirer")


def start(racer, warehouse):
    script = str(Path(__file__).parent / "racer.py")
    return subprocess.Popen(
        [sys.executable, script, racer, str(warehouse), str(SECONDS)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def check(table, snapshot):
    """The sums of all partitions are 0, each key is there once, and the snapshot counts the rows of its files."""
    rows = read_table(table, plan_scan(table, snapshot))
    sums = rows.group_by("p").aggregate([("n", "sum")])
    assert pc.all(pc.equal(sums["n_sum"], 0)).as_py() in (True, None), (snapshot.id, sums.to_pylist())
    assert rows.group_by(["p", "k"]).aggregate([]).num_rows == rows.num_rows
    files = sum(entry.file.row_count for entry in live_files(table, snapshot))
    assert files == snapshot.total_record_count, snapshot.id


KINDS = {
    "plain": "'bucket' = '2'",
    "deletion vectors": "'bucket' = '2', 'deletion-vectors.enabled' = 'true'",
    "dynamic buckets": "'bucket' = '-1', 'dynamic-bucket.target-row-num' = '5'",
    "lookup": "'bucket' = '2', 'changelog-producer' = 'lookup'",
    "aggregation": "'bucket' = '2', 'merge-engine' = 'aggregation', 'aggregation.remove-record-on-delete' = 'true'",
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_snapshot_is_whole_while_all_kinds_of_writers_race(tmp_path, kind):
    if kind != "plain" and "TSDB_RACE_SECONDS" not in os.environ:
        pytest.skip("a long race: make races")
    with tsdb.connect(str(tmp_path)) as con:
        con.execute(
            "CREATE TABLE t (p STRING, k INT, n BIGINT, PRIMARY KEY (p, k) NOT ENFORCED) PARTITIONED BY (p) "
            f"WITH ('write-only' = 'true', {KINDS[kind]})"
        )
        con.execute("INSERT INTO t VALUES ('pairs', 0, 1), ('pairs', 1, -1)")
    processes = {racer: start(racer, tmp_path) for racer in RACERS}
    for process in processes.values():
        assert process.stdout.readline() == "ready\n"
    for process in processes.values():
        process.stdin.write("go\n")
        process.stdin.flush()
    table = table_of(str(tmp_path))
    seen, checked = {}, 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end or any(process.poll() is None for process in processes.values()):
        latest = table.latest_snapshot()
        for snapshot_id in range(max(seen, default=0) + 1, latest.id + 1):
            try:
                seen[snapshot_id] = table.snapshots.snapshot(snapshot_id)
            except SnapshotNotFound:
                assert snapshot_id < table.snapshots.earliest_id(), "ids have no gaps but what expired"
        if latest.time_millis > time.time() * 1000 - KEPT_MS / 2:  # old ones may expire while they are read
            check(table, latest)
            checked += 1
    done = {}
    for racer, process in processes.items():
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, racer
        done[racer] = tuple(map(int, output.split()))
    assert checked > 5 and all(made > 0 for made, _ in done.values()), (checked, done)
    check(table, table.latest_snapshot())
    assert table.snapshots.ids() == list(range(table.snapshots.earliest_id(), table.snapshots.latest_id() + 1))
    commits = [(s.commit_user, s.commit_identifier, s.commit_kind) for s in seen.values()]
    numbered = [commit for commit in commits if commit[1] != BATCH_IDENTIFIER]
    assert len(numbered) == len(set(numbered)), "a commit handed in twice is one"
    for writer in ("writer-1", "writer-2"):
        identifiers = [identifier for user, identifier, _ in commits if user == writer]
        made, lost = done[writer]
        assert lost == 0 and identifiers == sorted(identifiers) and identifiers[-1] == made
