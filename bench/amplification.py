"""Write, read and space amplification of a skewed upsert run, and what each kind of read opens and reads.

Keys are drawn from a Zipf distribution (exponent 1.1) over a tenth as many keys as rows; 100 commits, with compaction
in the writer. Bytes written are those of all files that were ever made, of whatever kind; files and bytes read are
counted where the table layer opens them.

write amplification: bytes of data files written / bytes of the rows as they arrived, as one Parquet file.
space amplification: bytes of live data files / bytes of the live rows alone, in one run.
read amplification: bytes of data files that a full read opens / bytes of the live rows alone.
"""

import subprocess
import sys
from json import dumps, loads
from typing import Any

from bench import side

COMMITS = 100


def main(row_count: int, repeat: int) -> None:
    del repeat
    rows = row_count // 10
    with side.warehouse() as folder:
        got = _work("upsert_run", warehouse=str(folder), commits=COMMITS, rows=rows // COMMITS)
        costs = _work("read_costs", warehouse=str(folder))["costs"]
    print(
        f"amplification of {rows:,} Zipf upserts in {COMMITS} commits ({got['keys']:,} keys live): "
        f"write {got['written'] / got['arrived']:.2f}, space {got['live'] / got['compacted']:.2f}, "
        f"read {costs['all columns of all rows']['bytes'] / got['compacted']:.2f}; "
        f"{got['metadata'] / COMMITS / 1024:.0f} KiB of metadata a commit"
    )
    for name, cost in costs.items():
        print(f"cost of {name:28} {cost['files']:4} files opened  {cost['bytes'] / 2**20:8.3f} MiB read")


def _work(job: str, **arguments: Any) -> Any:
    command = [sys.executable, str(side.HERE / "worker_amplification.py"), job, dumps(arguments)]
    return loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=side.ROOT).stdout)
