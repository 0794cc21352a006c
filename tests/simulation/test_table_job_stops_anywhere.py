"""A job from a table into a table is stopped at every file operation and opened again, with the real writer.

Its state may have nothing in memory: all of it lies in files, and is opened from those of its checkpoint.
"""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.simulation.stopping_files import Stopped, StoppingFileIO
from tests.unit.exec.streaming_jobs.warehouse import BOUNDED, contents, history, insert, make_table, plan
from tsdb.errors import Error
from tsdb.exec.streaming.registry import JobRegistry
from tsdb.fs import LocalFileIO
from tsdb.table.table import Table

ORDERS = {"id": "BIGINT NOT NULL", "customer": "STRING", "amount": "BIGINT"}
SUMS = {"customer": "STRING NOT NULL", "n": "BIGINT", "total": "BIGINT"}
GROUPED = "SELECT customer, count(*) AS n, sum(amount) AS total FROM orders GROUP BY customer"
EACH_STEP = {"execution.checkpointing.interval": "0 ms", "execution.checkpointing.num-retained": "1"}
RESULTS = [
    [],
    [("ann", 1, 10), ("bob", 1, 20)],
    [("ann", 2, 15), ("bob", 1, 20)],
    [("ann", 2, 15)],
]


def make_warehouse(root: Path, buckets: dict[str, str]) -> None:
    orders = make_table(root, "orders", ORDERS, ("id",), {"changelog-producer": "input"})
    make_table(
        root,
        "sums",
        SUMS,
        ("customer",),
        {"changelog-producer": "input", "num-sorted-run.compaction-trigger": "2", **buckets},
    )
    insert(orders, ("+I", 1, "ann", 10), ("+I", 2, "bob", 20))
    insert(orders, ("+I", 3, "ann", 5))
    insert(orders, ("-D", 2, "bob", 20))


def run(root: Path, files: StoppingFileIO) -> str:
    """Run the job until it ends or the world does."""
    orders = make_table(root, "orders", ORDERS, ("id",), file_io=LocalFileIO())
    try:
        sums = make_table(root, "sums", SUMS, ("customer",), file_io=files)
        query = plan(GROUPED, orders, options=BOUNDED | {"scan.mode": "from-snapshot", "scan.snapshot-id": "1"})
        query = replace(query, state_memory_bytes=1)
        job = JobRegistry(files, str(root)).submit(query, sums, "INSERT", "sums", options=EACH_STEP)
        job.wait(30)
    except (Error, Stopped):
        return "stopped"
    return job.status


def check_changelog(sums: Table) -> None:
    """Every change is there once: the changelog adds up, version by version, to a table with one row a key."""
    bag: Counter[tuple] = Counter()
    for version in history(sums):
        for (weight, *row), count in version.items():
            bag[tuple(row)] += weight * count
        assert set(bag.values()) <= {0, 1}, bag
    assert sorted(+bag) == contents(sums)


ANYTHING, PUBLICATIONS, WRITES = (False, None), (True, "try_create"), (False, "write_bytes")
DYNAMIC = {"bucket": "-1", "dynamic-bucket.target-row-num": "1"}


@pytest.mark.parametrize(
    ("after", "only", "buckets"),
    [(*ANYTHING, {}), (*PUBLICATIONS, {}), (*PUBLICATIONS, DYNAMIC), (*WRITES, DYNAMIC)],
    ids=["anything", "publications", "publications-dynamic", "small files-dynamic"],
)
def test_table_job_resumes_exactly_once_from_any_file_operation(
    tmp_path: Path, after: bool, only: str | None, buckets: dict[str, str]
) -> None:
    """`after` a publication the writer does not learn that it succeeded; after anything else is before the next."""
    make_warehouse(tmp_path / "empty", buckets)
    shutil.copytree(tmp_path / "empty", tmp_path / "whole")
    whole = StoppingFileIO(LocalFileIO(), only=only)
    assert run(tmp_path / "whole", whole) == "FINISHED"
    for n in range(1, whole.count + 1):
        root = tmp_path / f"at-{n}"
        shutil.copytree(tmp_path / "empty", root)
        stopping = StoppingFileIO(LocalFileIO(), n, after=after, only=only)
        run(root, stopping)
        assert stopping.stopped, n
        sums = make_table(root, "sums", SUMS, ("customer",))
        assert contents(sums) in RESULTS, n
        assert run(root, StoppingFileIO(LocalFileIO())) == "FINISHED", n
        assert contents(sums) == RESULTS[-1], n
        check_changelog(sums)
        shutil.rmtree(root)
