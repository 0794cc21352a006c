"""The skewed upsert run and its reads over files that count themselves; see amplification.py."""

import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import tsdb
from tsdb.catalog.filesystem import FileSystemCatalog
from tsdb.format.parquet import write_parquet
from tsdb.fs.local import LocalFileIO
from tsdb.metadata.predicate import Comparison
from tsdb.options import TableOptions
from tsdb.table.commit import commit
from tsdb.table.read import read_table
from tsdb.table.scan import live_files, plan_scan
from tsdb.table.table import Identifier, Table
from tsdb.table.write import TableWriter

EXPONENT = 1.1
COLUMNS = "id BIGINT, name STRING, a BIGINT, b DOUBLE, PRIMARY KEY (id) NOT ENFORCED"


class CountingFiles(LocalFileIO):
    """Notes the size of every file written, and every read."""

    def __init__(self) -> None:
        self.written: dict[str, int] = {}
        self.opened: list[str] = []
        self.bytes_read = 0

    def read_bytes(self, path: str) -> bytes:
        """Counted when the file is there."""
        data = super().read_bytes(path)
        self.opened.append(path)
        self.bytes_read += len(data)
        return data

    def write_bytes(self, path: str, data: bytes) -> None:
        """Counted."""
        super().write_bytes(path, data)
        self.written[path] = len(data)

    def try_create(self, path: str, data: bytes) -> bool:
        """Counted if it succeeds."""
        created = super().try_create(path, data)
        if created:
            self.written[path] = len(data)
        return created

    def open_input(self, path: str) -> pa.NativeFile:
        """Counts what is read of it."""
        self.opened.append(path)
        return pa.PythonFile(_CountedInput(path, self), "r")

    def open_output(self, path: str) -> pa.NativeFile:
        """Counts what is written to it."""
        self.written[path] = 0
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return pa.PythonFile(_CountedOutput(path, self), "w")


class _CountedInput(io.FileIO):
    def __init__(self, path: str, files: CountingFiles) -> None:
        super().__init__(path)
        self._files = files

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(-1 if size is None else size) or b""
        self._files.bytes_read += len(data)
        return data


class _CountedOutput(io.FileIO):
    def __init__(self, path: str, files: CountingFiles) -> None:
        super().__init__(path, "w")
        self._path, self._files = path, files

    def write(self, data: Any) -> int:
        self._files.written[self._path] += len(data)
        return super().write(data)


def upsert_run(warehouse: str, commits: int, rows: int) -> dict[str, float]:
    """Make the table; what was written, and what the rows alone would take."""
    with tsdb.connect(warehouse) as con:
        con.execute(f"CREATE TABLE t ({COLUMNS}) WITH ('bucket' = '2')")
    files = CountingFiles()
    table = _table(warehouse, files)
    arrived = list(_batches(commits, rows))
    with TableWriter(table, user="bench") as writer:
        for number, batch in enumerate(arrived, 1):
            writer.write(batch)
            commit(table, writer.prepare_commit(), user="bench", identifier=number)
    data = sum(size for path, size in files.written.items() if "/bucket-" in path)
    live = read_table(table, plan_scan(table, table.latest_snapshot()))
    return {
        "written": data,
        "metadata": sum(files.written.values()) - data,
        "arrived": _alone(table, arrived, f"{warehouse}/arrived.parquet"),
        "live": sum(entry.file.file_size for entry in live_files(table, table.latest_snapshot())),
        "compacted": _alone(table, [live.sort_by("id")], f"{warehouse}/compacted.parquet"),
        "keys": live.num_rows,
    }


def read_costs(warehouse: str) -> dict[str, Any]:
    """For each kind of read, how many files it opens and how much it reads of them; in a process without caches."""
    files = CountingFiles()
    table = _table(warehouse, files)
    rank = 77
    reads: dict[str, Callable[[], object]] = {
        "planning, first": lambda: plan_scan(table, table.latest_snapshot()),
        "planning, again": lambda: plan_scan(table, table.latest_snapshot()),
        "one row by its key, first": lambda: _row(table, rank),
        "one row by its key, again": lambda: _row(table, rank),
        "count(*), first": lambda: read_table(table, plan_scan(table, table.latest_snapshot()), []),
        "count(*), again": lambda: read_table(table, plan_scan(table, table.latest_snapshot()), []),
        "one column of all rows": lambda: read_table(table, plan_scan(table, table.latest_snapshot()), ["a"]),
        "all columns of all rows": lambda: read_table(table, plan_scan(table, table.latest_snapshot())),
    }
    costs = {}
    for name, read in reads.items():
        files.opened.clear()
        files.bytes_read = 0
        read()
        costs[name] = {"files": len(set(files.opened)), "bytes": files.bytes_read}
    return {"costs": costs}


def _table(warehouse: str, files: CountingFiles) -> Table:
    table = FileSystemCatalog(files, warehouse).get_table(Identifier("default", "t"))
    assert isinstance(table, Table)
    return table


def _row(table: Table, key: int) -> pa.Table:
    predicate = Comparison("=", "id", (key,))
    rows = read_table(table, plan_scan(table, table.latest_snapshot(), predicate), filter=pc.field("id") == key)
    assert rows.num_rows == 1
    return rows


def _batches(commits: int, rows: int) -> Iterator[pa.Table]:
    """The rows of each commit: the keys are Zipf ranks, spread over the key space."""
    rng = np.random.default_rng(3)
    keys = max(1000, commits * rows // 10)
    shares = 1 / np.arange(1, keys + 1) ** EXPONENT
    bounds = np.cumsum(shares) / shares.sum()
    for _ in range(commits):
        ranks = np.searchsorted(bounds, rng.random(rows))
        yield pa.table(
            {
                "id": pa.array(ranks, pa.int64()),
                "name": pa.array(rng.integers(0, 100_000, rows)).cast(pa.string()),
                "a": rng.integers(0, 1000, rows),
                "b": rng.random(rows),
            }
        )


def _alone(table: Table, parts: Iterable[pa.Table], path: str) -> int:
    """The size of the rows as one plain Parquet file."""
    schema = table.schema.arrow_schema
    batches = (batch for part in parts for batch in part.cast(schema).to_batches())
    size = write_parquet(LocalFileIO(), path, batches, schema, TableOptions({}))
    assert pq.ParquetFile(path).metadata.num_rows == sum(part.num_rows for part in parts)
    return size


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](**json.loads(sys.argv[2]))))
