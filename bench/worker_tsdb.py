"""Our side of the storage benchmarks; see side.py."""

import json
import sys
import time

import numpy as np
import pyarrow as pa

import tsdb
from tsdb.catalog.filesystem import FileSystemCatalog
from tsdb.fs.local import LocalFileIO
from tsdb.metadata.predicate import And, Comparison, Predicate
from tsdb.table.scan import plan_scan
from tsdb.table.table import Identifier, Table

COLUMNS = "id BIGINT, name STRING, a BIGINT, b DOUBLE, PRIMARY KEY (id) NOT ENFORCED"


def ingest(warehouse: str, file: str, options: dict[str, str]) -> dict[str, float]:
    with tsdb.connect(warehouse) as con:
        given = {"bucket": "2", "write-only": "true", **options}
        listed = ", ".join(f"'{k}' = '{v}'" for k, v in given.items())
        con.execute(f"CREATE TABLE IF NOT EXISTS t ({COLUMNS}) WITH ({listed})")
        with pa.memory_map(file) as source:
            rows = pa.ipc.open_file(source).read_all()
            con.register("incoming", rows)
            start, cpu = time.perf_counter(), time.process_time()
            con.execute("INSERT INTO t SELECT * FROM incoming")
            seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {"seconds": seconds, "cpu": cpu, "rows": rows.num_rows}


def fill_log(warehouse: str, file: str, first: int) -> dict[str, float]:
    """Append the rows of the file to the table `log`, with ids from `first` on."""
    with tsdb.connect(warehouse) as con, pa.memory_map(file) as source:
        con.execute("CREATE TABLE IF NOT EXISTS log (id BIGINT, name STRING, a BIGINT, b DOUBLE)")
        con.register("incoming", pa.ipc.open_file(source).read_all())
        con.execute("INSERT INTO log SELECT id + ?, name, a, b FROM incoming", (first,))
    return {}


def load(warehouse: str, options: dict[str, str]) -> dict[str, float]:
    """INSERT … SELECT of the whole of `log` into a new primary-key table."""
    listed = ", ".join(f"'{k}' = '{v}'" for k, v in {"bucket": "2", **options}.items())
    with tsdb.connect(warehouse) as con:
        con.execute("DROP TABLE IF EXISTS t")
        con.execute(f"CREATE TABLE t ({COLUMNS}) WITH ({listed})")
        start = time.perf_counter()
        rows = con.execute("INSERT INTO t SELECT * FROM log").rowcount
        return {"seconds": time.perf_counter() - start, "rows": rows}


def queries(warehouse: str, sql: list[str], warm: int) -> dict[str, float]:
    out = {}
    with tsdb.connect(warehouse) as con:
        for phase, repeat in (("cold", 1), ("warm", warm)):
            for i, text in enumerate(sql):
                best = least = float("inf")
                for _ in range(repeat):
                    start, cpu = time.perf_counter(), time.process_time()
                    table = con.execute(text).fetch_arrow_table()
                    best, least = min(best, time.perf_counter() - start), min(least, time.process_time() - cpu)
                out[f"{phase}_{i}"], out[f"{phase}_cpu_{i}"] = best, least
                out[f"rows_{i}"] = table.num_rows
    return out


def stream_rows(warehouse: str, sql: str, limit: str) -> dict[str, float]:
    """Seconds to the first and to the last row of a query, whose rows are dropped as they come."""
    with tsdb.connect(warehouse) as con:
        con.execute(f"SET 'memory.limit' = '{limit}'")
        start, first, rows = time.perf_counter(), 0.0, 0
        for batch in con.execute(sql).fetch_record_batch():
            first = first or time.perf_counter() - start
            rows += batch.num_rows
        return {"first": first, "seconds": time.perf_counter() - start, "rows": rows}


def compact(warehouse: str) -> dict[str, float]:
    """Full compaction of the table."""
    with tsdb.connect(warehouse) as con:
        start, cpu = time.perf_counter(), time.process_time()
        con.execute("CALL sys.compact(`table` => 'default.t')")
        return {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}


def lookups(warehouse: str, keys: int, count: int) -> dict[str, float]:
    """Seconds of the first look-up, of the middle one and the 95th percentile of `count` more, and of processor time of
    one of these.
    """
    chosen = np.random.default_rng(5).integers(0, keys, count + 1).tolist()
    seconds = []
    with tsdb.connect(warehouse) as con, con.cursor() as cursor:
        for key in chosen:
            if len(seconds) == 1:
                cpu = time.process_time()
            start = time.perf_counter()
            cursor.execute("SELECT * FROM t WHERE id = ?", (key,))
            found = cursor.fetchall()
            seconds.append(time.perf_counter() - start)
            assert len(found) == 1 and found[0][0] == key
        cpu = (time.process_time() - cpu) / count
    warm = sorted(seconds[1:])
    return {"cold": seconds[0], "warm": warm[count // 2], "slow": warm[count * 95 // 100], "cpu": cpu}


PREDICATES: dict[str, Predicate | None] = {
    "all": None,
    "day": Comparison("=", "d", (7,)),
    "value": Comparison(">", "a", (5000,)),
    "key": And((Comparison("=", "d", (7,)), Comparison("=", "id", (123_456,)))),
}


def plan(warehouse: str, what: str) -> dict[str, float]:
    """The first plan of the process, and the best of five more."""
    table = FileSystemCatalog(LocalFileIO(), warehouse).get_table(Identifier("default", "t"))
    assert isinstance(table, Table)
    out: dict[str, float] = {}
    for phase in ("cold", *["warm"] * 5):
        start, cpu = time.perf_counter(), time.process_time()
        planned = plan_scan(table, table.latest_snapshot(), PREDICATES[what])
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        out[phase] = min(seconds, out.get(phase, seconds))
        out[f"{phase}_cpu"] = min(cpu, out.get(f"{phase}_cpu", cpu))
    return {**out, "files": planned.files_kept}


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](**json.loads(sys.argv[2]))))
