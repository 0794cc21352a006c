"""Incremental GROUP BY with retractions, in changes per second, against DuckDB keeping the same totals by upserts.

Both take the same 64k-change batches (a tenth of the changes retract an earlier row) over 100,000 keys and hold the
answer after each batch; both final answers are compared.
"""

import statistics
import time

import duckdb
import numpy as np
import pyarrow as pa
from datafusion import SessionContext

from tsdb.changes import ChangeBatch
from tsdb.exec.streaming.compile import compile_plan
from tsdb.exec.streaming.dataflow import InputSpec

KEYS = 100_000
BATCH = 65_536
SQL = "SELECT k, count(*) AS n, sum(v) AS total FROM t GROUP BY k"


def batches(row_count: int) -> list[ChangeBatch]:
    rng = np.random.default_rng(7)
    keys, values = rng.integers(0, KEYS, row_count), rng.integers(0, 1000, row_count)
    out = []
    for at in range(0, row_count, BATCH):
        k, v = keys[at : at + BATCH].copy(), values[at : at + BATCH].copy()
        weights = np.ones(len(k), np.int64)
        if at:  # a tenth takes back rows of the batch before
            back = len(k) // 10
            k[:back], v[:back] = keys[at - back : at], values[at - back : at]
            weights[:back] = -1
        out.append(ChangeBatch(pa.table({"k": pa.array(k), "v": pa.array(v)}), weights))
    return out


def ours(changes: list[ChangeBatch]) -> tuple[float, dict[int, tuple[int, int]]]:
    schema = changes[0].schema
    context = SessionContext()
    context.from_arrow(schema.empty_table(), name="t")
    plan = context.sql(SQL).optimized_logical_plan()
    dataflow = compile_plan(plan, {"t": InputSpec(schema, None, "all")})
    state: dict[int, int] = {}
    outputs = []
    start = time.perf_counter()
    for batch in changes:
        outputs.append(dataflow.step({"t": batch}))
    seconds = time.perf_counter() - start
    for out in outputs:
        columns = zip(*(out.rows[name].to_pylist() for name in ("k", "n", "total")), out.weights.tolist(), strict=True)
        for key, n, total, weight in columns:
            state[key] = state.get(key, 0) + weight * (n * 2**40 + total)
    return seconds, {k: divmod(v, 2**40) for k, v in state.items() if v}


def peer(changes: list[ChangeBatch]) -> tuple[float, dict[int, tuple[int, int]]]:
    with duckdb.connect() as con:
        con.execute("SET threads = 1")
        con.execute("CREATE TABLE totals (k BIGINT PRIMARY KEY, n BIGINT, total BIGINT)")
        start = time.perf_counter()
        for batch in changes:
            delta = batch.rows.append_column("w", pa.array(batch.weights))
            con.register("delta", delta)
            con.execute(
                "INSERT INTO totals SELECT k, sum(w), sum(w * v) FROM delta GROUP BY k "
                "ON CONFLICT (k) DO UPDATE SET n = n + excluded.n, total = total + excluded.total"
            )
        seconds = time.perf_counter() - start
        rows = con.execute("SELECT k, n, total FROM totals WHERE n <> 0").fetchall()
    return seconds, {k: (n, t) for k, n, t in rows}


def main(row_count: int, repeat: int) -> None:
    changes = batches(min(row_count, 8_000_000))
    total = sum(c.num_rows for c in changes)
    mine, theirs = [], []
    for _ in range(repeat):
        seconds, answer = ours(changes)
        mine.append(total / seconds)
        seconds, wanted = peer(changes)
        theirs.append(total / seconds)
        assert answer == wanted, "the two answers differ"
    a, b = statistics.median(mine), statistics.median(theirs)
    print(f"group_by_stream {KEYS:,} keys  tsdb {a / 1e6:.2f} M changes/s  duckdb upserts {b / 1e6:.2f} M changes/s")
    print(f"group_by_stream ratio: {a / b:.2f}x")
