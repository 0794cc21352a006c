"""Planning a read of a table with 100,000 data files: cold (the first plan of a process) and warm.

Only metadata is made, by the table's own writers: 100 days of 10 buckets with 100 files each.
"""

import statistics
import subprocess
import sys
from typing import Any

from bench import side

FILES = 100_000
KINDS = ("all", "day", "key", "value")
ASKED_S = {"cold": 3.0, "warm": 1.0}


def main(row_count: int, repeat: int) -> None:
    del row_count
    with side.warehouse() as folder:
        subprocess.run([sys.executable, str(side.HERE / "many_files.py"), str(folder), str(FILES)], check=True)
        got: dict[str, list[dict[str, Any]]] = {what: [] for what in KINDS}
        for _ in range(repeat):
            for what in KINDS:
                got[what].append(side.run(side.OURS, "plan", warehouse=str(folder), what=what))
    for what, runs in got.items():
        for phase, asked in ASKED_S.items():
            seconds, cpu = (statistics.median(run[key] for run in runs) for key in (phase, f"{phase}_cpu"))
            print(
                f"planning {FILES:,} files, {what:4} {phase}: {seconds:6.3f} s (asked {asked:.0f} s), "
                f"{cpu:.3f} s of processor, "
                f"{runs[0]['files']:,} files kept"
            )
    print(f"planning memory: {statistics.median(run['peak_mib'] for run in got['all']):,.0f} MiB")
