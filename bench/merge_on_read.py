"""Queries on a primary-key table of 5 overlapping runs, cold (first in a new process) and warm.

The peer is pypaimon-rust on the same files.
"""

from typing import Any

from bench import rows, side

RUNS = 5
QUERIES = [
    "SELECT count(*) FROM t",
    "SELECT sum(a), sum(b) FROM t",
    "SELECT name, sum(a) AS s FROM t GROUP BY name",
]
NAMES = ["count", "sum", "group by"]


def main(row_count: int, repeat: int) -> None:
    each = row_count // RUNS
    with side.warehouse() as folder:
        for run in range(RUNS):
            file = rows.arrow_file(each, keys=row_count // 2, seed=100 + run)
            side.run(side.OURS, "ingest", warehouse=str(folder), file=str(file), options={})

        def once(who: str) -> dict[str, Any]:
            return side.run(who, "queries", warehouse=str(folder), sql=QUERIES, warm=3)

        got = side.alternate([side.OURS, side.RUST], repeat, once)
    ours, rust = got[side.OURS], got[side.RUST]
    for i, name in enumerate(NAMES):
        assert ours[f"rows_{i}"] == rust[f"rows_{i}"], (
            f"{name}: {ours[f'rows_{i}']} rows, the peer has {rust[f'rows_{i}']}"
        )
        for phase in ("cold", "warm"):
            mine, theirs = ours[f"{phase}_{i}"], rust[f"{phase}_{i}"]
            print(
                f"merge_on_read {name:9} {phase}  tsdb {mine * 1000:7.0f} ms  "
                f"pypaimon-rust {theirs * 1000:7.0f} ms  {theirs / mine:5.2f}x"
            )
    total = {
        p: sum(rust[f"{p}_{i}"] for i in range(3)) / sum(ours[f"{p}_{i}"] for i in range(3)) for p in ("cold", "warm")
    }
    memory = ours["peak_mib"] / rust["peak_mib"]
    print(f"merge_on_read ratios: cold {total['cold']:.2f}x, warm {total['warm']:.2f}x, memory {memory:.2f}x")
