"""State larger than memory: a GROUP BY over ever more keys within 'execution.state.memory'.

Each size runs in a process of its own: all keys come once, then changes of keys drawn at random, in steps of several
sizes. Told are the cost of such a change, as time and as processor time, and the most memory that the process had of
its own (without pages of mapped files, which the kernel takes back when it needs them) and in all. The new totals of a
sample of keys are checked.
"""

import json
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pyarrow as pa
from datafusion import SessionContext

from tsdb.changes import ChangeBatch
from tsdb.exec.streaming.compile import compile_plan
from tsdb.exec.streaming.dataflow import Dataflow, InputSpec
from tsdb.exec.streaming.state_memory import state_memory

STEP = 65_536
STEPS = {1_000: 200, 10_000: 60, STEP: 30}
"""Rows of a step → how many steps."""

WARM_STEPS = 20
LIMIT_MIB = 256
SQL = "SELECT k, count(*) AS n, sum(v) AS total FROM t GROUP BY k"


def dataflow_within(limit_bytes: int | None) -> Dataflow:
    schema = pa.schema([("k", pa.int64()), ("v", pa.int64())])
    context = SessionContext()
    context.from_arrow(schema.empty_table(), name="t")
    with state_memory(limit_bytes):
        return compile_plan(context.sql(SQL).optimized_logical_plan(), {"t": InputSpec(schema, None, "all")})


def changes_of(keys: np.ndarray) -> ChangeBatch:
    values = keys % 1000
    return ChangeBatch(pa.table({"k": pa.array(keys), "v": pa.array(values)}), np.ones(len(keys), np.int64))


def resident_mib() -> tuple[float, float]:
    """(own, in all) of this process now."""
    with open("/proc/self/statm") as file:
        pages = [int(word) for word in file.read().split()]
    return (pages[1] - pages[2]) / 256, pages[1] / 256


def one_size(keys: int, limit_mib: int) -> dict[str, Any]:
    """Load so many keys, then change some."""
    dataflow = dataflow_within(limit_mib << 20 if limit_mib else None)
    rng = np.random.default_rng(5)
    own = everything = 0.0
    began = time.perf_counter()
    for at in range(0, keys, STEP):
        dataflow.step({"t": changes_of(np.arange(at, min(at + STEP, keys)) * 7919)})
        now = resident_mib()
        own, everything = max(own, now[0]), max(everything, now[1])
    load_s = time.perf_counter() - began
    costs = {}
    # pages that were only written so far are read for the first time
    for rows, steps in ((STEP, WARM_STEPS), *STEPS.items()):
        wall = processor = 0.0
        for _ in range(steps):
            changes = changes_of(rng.integers(0, keys, rows) * 7919)
            began, spent = time.perf_counter(), time.process_time()
            out = dataflow.step({"t": changes})
            wall, processor = wall + time.perf_counter() - began, processor + time.process_time() - spent
            now = resident_mib()
            own, everything = max(own, now[0]), max(everything, now[1])
            sample = out.rows.slice(0, 100).to_pylist()
            assert all(row["total"] == row["n"] * (row["k"] % 1000) for row in sample), "a total is wrong"
        costs[rows] = (wall / steps / rows * 1e6, processor / steps / rows * 1e6)
    return {
        "load_us": load_s / keys * 1e6,
        "change_us": costs,
        "own_mib": own,
        "all_mib": everything,
        "state_mib": dataflow.metrics()["state_bytes"] / (1 << 20),
    }


def main(row_count: int, repeat: int) -> None:
    del repeat
    first: dict[str, list[float]] | None = None
    for keys in sorted({min(1_000_000, row_count), min(5_000_000, row_count), row_count}):
        code = f"import json\nfrom bench import state\nprint(json.dumps(state.one_size({keys}, {LIMIT_MIB})))"
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        got = json.loads(done.stdout)
        first = got["change_us"] if first is None else first
        print(
            f"state {keys:,} keys within {LIMIT_MIB} MiB: state {got['state_mib']:,.0f} MiB, most memory of its own "
            f"{got['own_mib']:,.0f} MiB, with mapped pages {got['all_mib']:,.0f} MiB; {got['load_us']:.2f} us a new key"
        )
        for rows, (wall, processor) in got["change_us"].items():
            print(
                f"  steps of {int(rows):,} changes: {wall:.2f} us a change ({wall / first[rows][0]:.2f}x), processor "
                f"{processor:.2f} us ({processor / first[rows][1]:.2f}x)"
            )
