"""Scans that Python does: run side by side, stopped early, cancelled, and their errors kept."""

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from datafusion import SessionContext

from tsdb.errors import Cancelled, CorruptFile, InternalError
from tsdb.exec.batch.dataset import Control, ScanDataset, grouped
from tsdb.exec.engine import Engine
from tsdb.exec.failure import ErrorScope, translated

SCHEMA = pa.schema([("k", pa.int64()), ("v", pa.string())])


@dataclass
class Part:
    """`batches` batches of 10 rows; fails or waits at one of them."""

    first: int = 0
    batches: int = 3
    fails_at: int | None = None
    error: Exception = field(default_factory=lambda: CorruptFile("file x.parquet is cut off"))
    waits: threading.Event | None = None
    given: list[int] = field(default_factory=list)
    row_count: int | None = None

    def to_batches(
        self, columns: Sequence[str] | None, filter: pc.Expression | None, batch_size: int
    ) -> Iterator[pa.RecordBatch]:
        for i in range(self.batches):
            if i == self.fails_at:
                raise self.error
            if i and self.waits is not None:
                self.waits.wait(5)
            self.given.append(i)
            keys = pa.array(range(self.first + i * 10, self.first + i * 10 + 10), pa.int64())
            batch = pa.record_batch([keys, keys.cast(pa.string())], schema=SCHEMA)
            yield (batch if filter is None else batch.filter(filter)).select(list(columns or SCHEMA.names))


def context_over(parts: Sequence[Part], control: Control) -> SessionContext:
    context = Engine().context()
    context.register_dataset("t", ScanDataset(SCHEMA, lambda: parts, control, 2))
    return context


def test_columns_filters_and_counts() -> None:
    control = Control()
    context = context_over([Part(0), Part(100), Part(200)], control)
    assert context.sql("SELECT count(*) AS n FROM t").to_pylist() == [{"n": 90}]
    assert context.sql("SELECT v FROM t WHERE k = 105").to_pylist() == [{"v": "105"}]
    assert context.sql("SELECT sum(k) AS s FROM t WHERE v LIKE '20%'").to_pylist() == [{"s": 20 + sum(range(200, 210))}]


def test_known_counts_need_no_reading() -> None:
    part = Part(row_count=12345)
    assert context_over([part], Control()).sql("SELECT count(*) AS n FROM t").to_pylist() == [{"n": 12345}]
    assert part.given == []


def test_limit_stops_the_scan() -> None:
    part = Part(batches=100_000)
    rows = context_over([part], Control()).sql("SELECT * FROM t LIMIT 5").to_pylist()
    assert len(rows) == 5
    assert len(part.given) < 1000


@pytest.mark.parametrize("error", [CorruptFile("file x.parquet is cut off"), ValueError("a mistake")])
def test_the_error_of_a_part_is_the_one_that_is_raised(error: Exception) -> None:
    control = Control()
    context = context_over([Part(), Part(fails_at=1, error=error)], control)
    with pytest.raises((CorruptFile, InternalError)) as caught, translated(ErrorScope(failures=control.failures)):
        context.sql("SELECT * FROM t").collect()
    assert caught.value is error or caught.value.__cause__ is error


def test_cancel_from_another_thread() -> None:
    control, go = Control(), threading.Event()
    stream = iter(context_over([Part(batches=1000, waits=go)], control).sql("SELECT * FROM t").execute_stream())
    threading.Timer(0.05, lambda: (control.cancel(), go.set())).start()
    with pytest.raises(Cancelled), translated(ErrorScope(failures=control.failures)):
        for _ in stream:
            pass


def test_groups_are_balanced() -> None:
    parts = [Part(row_count=n) for n in (100, 1, 50, 49, 2)]
    loads = sorted(sum(part.row_count or 0 for part in group) for group in grouped(parts, 2))
    assert loads == [100, 102]
    assert grouped([], 2) == [[]]


PROGRAM = """
import tsdb
con = tsdb.connect()
con.execute("CREATE TABLE t (k INT, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '8', 'write-only' = 'true')")
for i in range(3):
    con.execute("INSERT INTO t VALUES " + ", ".join(f"({k})" for k in range(i, 5000 + i)))
print(len(con.execute("SELECT * FROM t LIMIT 3").fetchall()))
cursor = con.execute("SELECT * FROM t")
print(cursor.fetchone() is not None)
"""


def test_a_process_may_end_with_queries_open(tmp_path: Any) -> None:
    """An interpreter that shuts down while DataFusion calls back into it would abort."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.split()) == (0, ["3", "True"]), done.stderr
