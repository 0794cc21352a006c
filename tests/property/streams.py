"""Random changes to three tables, and the sum of changes, for tests of the law of incremental operators."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
from datafusion import SessionConfig, SessionContext

from tsdb.changes import ChangeBatch
from tsdb.exec.streaming.compile import PLANNER_OPTIONS, InputSpec, compile_plan
from tsdb.exec.streaming.dataflow import Dataflow
from tsdb.exec.streaming.state_memory import state_memory

SCHEMAS: dict[str, pa.Schema] = {
    "o": pa.schema(
        [
            ("id", pa.int64()),
            ("g", pa.string()),
            ("h", pa.int32()),
            ("v", pa.float64()),
            ("d", pa.decimal128(10, 2)),
            ("ts", pa.timestamp("ms")),
            ("b", pa.bool_()),
        ]
    ),
    "c": pa.schema([("k", pa.int64()), ("name", pa.string()), ("w", pa.int64())]),
    "e": pa.schema([("id", pa.int64()), ("g", pa.string()), ("l", pa.list_(pa.int64()))]),
}


def context(tables: Mapping[str, pa.Table]) -> SessionContext:
    config = SessionConfig().with_target_partitions(1)
    for key, value in PLANNER_OPTIONS.items():
        config = config.set(key, value)
    result = SessionContext(config)
    for name, table in tables.items():
        batches = table.to_batches() or [pa.RecordBatch.from_pylist([], table.schema)]
        result.register_record_batches(name, [batches])
    return result


def compiled(query: str, mode: str = "all", memory_bytes: int | None = None) -> Dataflow:
    empty = context({n: s.empty_table() for n, s in SCHEMAS.items()})
    specs = {n: InputSpec(s, None, mode) for n, s in SCHEMAS.items()}
    with state_memory(memory_bytes):
        return compile_plan(empty.sql(query).optimized_logical_plan(), specs, empty)


def batch(query: str, tables: Mapping[str, pa.Table]) -> Counter[tuple[Any, ...]]:
    return rows_of(context(tables).sql(query).to_arrow_table())


def rows_of(table: pa.Table) -> Counter[tuple[Any, ...]]:
    columns = [[canonical(x) for x in c.to_pylist()] for c in table.columns]
    return Counter(zip(*columns, strict=True)) if columns else Counter()


def canonical(value: Any) -> Any:
    if isinstance(value, float):
        if value != value:
            return "nan"
        # batch rounds at each addition, so what should cancel may leave a trace there
        return 0.0 if abs(value) < 1e-9 else float(f"{value:.12g}")
    if isinstance(value, list):
        return tuple(canonical(v) for v in value)
    if isinstance(value, dict):
        return tuple((k, canonical(v)) for k, v in value.items())
    return value


@dataclass
class Sum:
    """The accumulated output; no row may weigh less than nothing."""

    rows: Counter[tuple[Any, ...]] = field(default_factory=Counter)

    def add(self, change: ChangeBatch) -> None:
        columns = [[canonical(x) for x in c.to_pylist()] for c in change.rows.columns]
        for row, weight in zip(zip(*columns, strict=True), change.weights.tolist(), strict=True):
            self.rows[row] += weight
        for row in [r for r, n in self.rows.items() if n == 0]:
            del self.rows[row]
        assert all(n > 0 for n in self.rows.values()), {r: n for r, n in self.rows.items() if n < 0}


class World:
    """Three tables that change at random: inserts (with NULLs and duplicates), deletions and re-insertions."""

    def __init__(self, seed: int, *, append_only: bool = False) -> None:
        self.random = np.random.default_rng(seed)
        self.rows: dict[str, list[dict[str, Any]]] = {n: [] for n in SCHEMAS}
        self.append_only = append_only

    def tables(self) -> dict[str, pa.Table]:
        return {n: pa.Table.from_pylist(rows, schema=SCHEMAS[n]) for n, rows in self.rows.items()}

    def change(self, size: int) -> dict[str, ChangeBatch]:
        deltas = {}
        for name, schema in SCHEMAS.items():
            if self.random.random() < 0.2:
                continue
            gone = [] if self.append_only else self.remove(name, int(self.random.integers(0, size // 2 + 1)))
            new = [self.row(name) for _ in range(int(self.random.integers(0, size + 1)))]
            new += [dict(r) for r in gone if self.random.random() < 0.2]  # deleted and inserted again
            new += [dict(new[0])] if new and self.random.random() < 0.5 else []
            self.rows[name] += new
            weights = np.array([-1] * len(gone) + [1] * len(new), np.int64)
            deltas[name] = ChangeBatch(pa.Table.from_pylist(gone + new, schema=schema), weights)
        return deltas

    def remove(self, name: str, count: int) -> list[dict[str, Any]]:
        rows = self.rows[name]
        return [rows.pop(int(self.random.integers(0, len(rows)))) for _ in range(min(count, len(rows)))]

    def row(self, name: str) -> dict[str, Any]:
        r = self.random

        def maybe(value: Any) -> Any:
            return None if r.random() < 0.15 else value

        if name == "c":
            k = int(r.integers(0, 6))
            return {"k": maybe(k), "name": f"n{k}", "w": maybe(int(r.integers(0, 9)))}
        if name == "e":
            lists = [[], [1], [1, None], [2, 3]]
            return {
                "id": maybe(int(r.integers(0, 8))),
                "g": maybe(str(r.choice(["a", "b", "c"]))),
                "l": maybe(lists[int(r.integers(0, 4))]),
            }
        return {
            "id": maybe(int(r.integers(0, 8))),
            "g": maybe(str(r.choice(["a", "b", "c"]))),
            "h": maybe(int(r.integers(0, 3))),
            "v": maybe(float(r.choice([0.0, -0.0, 0.5, 1.25, -3.0, 1e6]))),
            "d": maybe(Decimal(int(r.integers(-500, 500))) / 100),
            "ts": maybe(int(r.integers(0, 5)) * 1000),
            "b": maybe(bool(r.integers(0, 2))),
        }


class MemoryStore:
    """A RunStore in memory that counts what is put into it."""

    def __init__(self) -> None:
        self.tables: dict[str, pa.Table] = {}

    def put(self, table: pa.Table) -> str:
        name = f"run-{len(self.tables)}"
        self.tables[name] = table
        return name

    def get(self, name: str) -> pa.Table:
        return self.tables[name]
