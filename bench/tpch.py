"""TPC-H, all 22 queries: on append tables and on primary-key tables, a tenth of whose rows were written again.

Beside plain DataFusion and DuckDB on the generator's Parquet files, and pypaimon-rust on the same Paimon tables. Every
engine must give the same rows. The scale factor is rows / 10,000,000 (the default of 10 million rows: SF 1).
"""

import json
import math
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import side, tpch_tables

PLAIN, DUCKDB = "datafusion", "duckdb"
ASKED = {"append cold": 1.15, "append warm": 1.15, "keyed cold": 1.5, "keyed warm": 1.2}


def main(row_count: int, repeat: int) -> None:
    side.CACHE.mkdir(parents=True, exist_ok=True)
    data = str(tpch_tables.data(side.CACHE, row_count / 10_000_000))
    folder = Path(tempfile.mkdtemp(dir=side.CACHE))
    try:
        for kind in ("append", "keyed"):
            ours, rust = (_load(who, data, folder / f"{kind}-{who}", kind) for who in (side.OURS, side.RUST))
            print(f"tpch load {kind}: {ours:.2f} s, pypaimon-rust {rust:.2f} s, {rust / ours:.2f}x (asked 2x)")
        for kind in ("append", "keyed"):
            _compare(kind, data, folder, repeat)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _load(who: str, data: str, warehouse: Path, kind: str) -> float:
    got = side.run_worker(
        _python(who), "worker_tpch.py", "load", engine=who, data=data, warehouse=str(warehouse), keyed=kind == "keyed"
    )
    return float(got["seconds"])


def _compare(kind: str, data: str, folder: Path, repeat: int) -> None:
    engines = [PLAIN, side.OURS, side.RUST, DUCKDB]
    best: dict[str, dict[str, list[float]]] = {}
    rows: dict[str, Any] = {}
    for _ in range(repeat):
        for who in engines:
            results = folder / f"{who}.json"
            got = side.run_worker(
                _python(who), "worker_tpch.py", "query", engine=who, data=data,
                warehouse=str(folder / f"{kind}-{side.OURS}"), warm=3, results=str(results),
            )  # fmt: skip
            before = best.setdefault(who, {"cold": got["cold"], "warm": got["warm"]})
            best[who] = {phase: list(map(min, before[phase], got[phase])) for phase in before}
            rows[who] = json.loads(results.read_text())
    for number, plain in enumerate(rows[PLAIN]):
        times = "  ".join(f"{who} {best[who]['cold'][number]:.3f}/{best[who]['warm'][number]:.3f}" for who in engines)
        differing = [who for who in engines if not _same(rows[who][number], plain)]
        said = f" DIFFERENT: {', '.join(differing)}" if differing else ""
        print(f"tpch {kind} Q{number + 1:<2} cold/warm s: {times}{said}")
    for phase in ("cold", "warm"):
        total = {who: sum(best[who][phase]) for who in engines}
        ours = total[side.OURS]
        print(
            f"tpch {kind} {phase}: {ours:.2f} s, {ours / total[PLAIN]:.2f} of plain DataFusion's time "
            f"(asked {ASKED[f'{kind} {phase}']}), {total[side.RUST] / ours:.2f}x pypaimon-rust "
            f"(asked {3 if kind == 'keyed' else 1}x), {total[DUCKDB] / ours:.2f}x DuckDB"
        )


def _same(left: list[list[Any]], right: list[list[Any]]) -> bool:
    """The same rows in order. Averages of decimals have six digits in some engines, the last one rounded or cut, and
    those of a float in others.
    """
    return len(left) == len(right) and all(
        a == b or (isinstance(a, float) and isinstance(b, float) and math.isclose(a, b, rel_tol=2e-5, abs_tol=1.5e-6))
        for row, other in zip(left, right, strict=True)
        for a, b in zip(row, other, strict=True)
    )


def _python(who: str) -> str:
    return str(side.PEERS) if who == side.RUST else sys.executable
