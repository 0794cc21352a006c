"""Queries on primary-key tables of 5 overlapping runs, cold (first in a new process) and warm, for a merge engine each.

The peer is pypaimon-rust on the same files.
"""

from collections.abc import Callable
from typing import Any

from bench import rows, side

RUNS = 5
QUERIES = [
    "SELECT count(*) FROM t",
    "SELECT sum(a), sum(b) FROM t",
    "SELECT name, sum(a) AS s FROM t GROUP BY name",
]
NAMES = ["count", "sum", "group by"]
ENGINES: dict[str, dict[str, str]] = {
    "deduplicate": {},
    "partial-update": {"merge-engine": "partial-update"},
    "aggregation": {
        "merge-engine": "aggregation",
        "fields.a.aggregate-function": "sum",
        "fields.b.aggregate-function": "max",
        "fields.name.aggregate-function": "last_non_null_value",
    },
}


def bench(engine: str) -> Callable[[int, int], None]:
    """The benchmark for tables of a merge engine."""
    return lambda row_count, repeat: _main(engine, row_count, repeat)


def _main(engine: str, row_count: int, repeat: int) -> None:
    name = "merge_on_read" if engine == "deduplicate" else engine.replace("-", "_")
    each = row_count // RUNS
    with side.warehouse() as folder:
        for run in range(RUNS):
            file = rows.arrow_file(each, keys=row_count // 2, seed=100 + run)
            side.run(side.OURS, "ingest", warehouse=str(folder), file=str(file), options=ENGINES[engine])

        def once(who: str) -> dict[str, Any]:
            return side.run(who, "queries", warehouse=str(folder), sql=QUERIES, warm=3)

        got = side.alternate([side.OURS, side.RUST], repeat, once)
    ours, rust = got[side.OURS], got[side.RUST]
    for i, query in enumerate(NAMES):
        assert ours[f"rows_{i}"] == rust[f"rows_{i}"], (
            f"{query}: {ours[f'rows_{i}']} rows, the peer has {rust[f'rows_{i}']}"
        )
        for phase in ("cold", "warm"):
            mine, theirs = ours[f"{phase}_{i}"], rust[f"{phase}_{i}"]
            print(
                f"{name} {query:9} {phase}  tsdb {mine * 1000:7.0f} ms  "
                f"pypaimon-rust {theirs * 1000:7.0f} ms  {theirs / mine:5.2f}x"
            )
    total = {
        p: sum(rust[f"{p}_{i}"] for i in range(3)) / sum(ours[f"{p}_{i}"] for i in range(3))
        for p in ("cold", "warm", "cold_cpu", "warm_cpu")
    }
    memory = ours["peak_mib"] / rust["peak_mib"]
    print(
        f"{name} ratios: cold {total['cold']:.2f}x (processor {total['cold_cpu']:.2f}x), "
        f"warm {total['warm']:.2f}x (processor {total['warm_cpu']:.2f}x), memory {memory:.2f}x"
    )
