"""One side of a comparison: a worker program in its own process, which prints one JSON line.

Peak memory is read from the kernel.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PEERS = ROOT / ".cache" / "peers" / "bin" / "python"
HERE = Path(__file__).parent
CACHE = ROOT / ".cache" / "bench"

OURS = "tsdb"
RUST = "pypaimon-rust"


def run(side: str, job: str, **arguments: Any) -> dict[str, Any]:
    """Runs bench/worker_<side>.py job in a fresh process; the result gets `peak_mib`."""
    worker = {OURS: (sys.executable, "worker_tsdb.py"), RUST: (str(PEERS), "worker_rust.py")}[side]
    return run_worker(worker[0], worker[1], job, **arguments)


def run_worker(python: str, worker: str, job: str, **arguments: Any) -> dict[str, Any]:
    """Runs bench/<worker> job in a fresh process of a Python; the result gets `peak_mib`."""
    command = [python, str(HERE / worker), job, json.dumps(arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode:
        raise SystemExit(f"{worker} {job} {arguments} failed with exit code {process.returncode}")
    result: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    return {**result, "peak_mib": usage.ru_maxrss / 1024}


def alternate(sides: list[str], repeat: int, once: Any) -> dict[str, dict[str, float]]:
    """once(side) -> numbers, `repeat` times for each side in turn; the median of each number."""
    seen: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for _ in range(repeat):
        for side in sides:
            seen[side].append(once(side))
    return {side: {key: statistics.median(r[key] for r in runs) for key in runs[0]} for side, runs in seen.items()}


@contextmanager
def warehouse() -> Iterator[Path]:
    """A temporary folder below .cache/bench (the same disk for both sides)."""
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=CACHE))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
