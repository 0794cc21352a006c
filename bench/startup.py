"""`import tsdb; tsdb.connect(…)` in a fresh process, against duckdb's."""

import statistics
import subprocess
import sys
import time

CODE = {"tsdb": "import tsdb; tsdb.connect(':memory:').close()", "duckdb": "import duckdb; duckdb.connect().close()"}


def main(row_count: int, repeat: int) -> None:
    del row_count
    seen: dict[str, list[float]] = {name: [] for name in CODE}
    for _ in range(max(repeat, 5)):
        for name, code in CODE.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            seen[name].append(time.perf_counter() - start)
    ours, peer = statistics.median(seen["tsdb"]), statistics.median(seen["duckdb"])
    print(f"startup: tsdb {ours:.2f} s, duckdb {peer:.2f} s (both with the interpreter's own start)")
    print(f"startup ratio: {ours / peer:.2f}x")
