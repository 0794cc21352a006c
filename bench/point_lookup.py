"""`SELECT * FROM t WHERE id = ?` through a DB-API cursor, one random key after the other.

The table has two buckets of overlapping runs, and then one compacted run each.
"""

import statistics
from typing import Any

from bench import rows, side

ASKED_MS = 5.0
LOOKUPS = 500


def main(row_count: int, repeat: int) -> None:
    file = rows.arrow_file(row_count, keys=row_count, seed=1)
    with side.warehouse() as folder:
        side.run(side.OURS, "ingest", warehouse=str(folder), file=str(file), options={})
        for state in ("runs", "compacted"):
            if state == "compacted":
                side.run(side.OURS, "compact", warehouse=str(folder))
            got: list[dict[str, Any]] = [
                side.run(side.OURS, "lookups", warehouse=str(folder), keys=row_count, count=LOOKUPS)
                for _ in range(repeat)
            ]
            cold, warm, slow, cpu = (
                statistics.median(run[key] for run in got) for key in ("cold", "warm", "slow", "cpu")
            )
            print(
                f"point_lookup {row_count:,} rows, {state}: warm {1000 * warm:.2f} ms (asked {ASKED_MS:.0f} ms), "
                f"{1000 * cpu:.2f} ms of processor, "
                f"19 of 20 within {1000 * slow:.2f} ms, first of a process {1000 * cold:.0f} ms"
            )
