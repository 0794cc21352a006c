"""Many small streams in one process: what they cost while nothing comes, and how late each has a change.

So many cursors, a thread each, follow ten tables; every other one is a GROUP BY. Another process commits one row at a
time, ten commits a second, a table after the other: each is for a tenth of the streams.
"""

import json
import subprocess
import sys
import time

import tsdb
from bench.side import warehouse

_TABLES = 10
_COUNTS = (1, 50, 200)
_SECONDS = 6

_READER = """
import sys, threading, time, tsdb
warehouse, count, tables, idle_s = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
late = [[] for _ in range(count)]
begun = threading.Barrier(count + 1)
def read(number, cursor):
    cursor.fetchmany(10)
    begun.wait()
    try:
        while rows := cursor.fetchmany(100):
            late[number].append(time.time_ns() - max(row[-1] for row in rows))
    except tsdb.Error:
        pass
cursors = []
opened = time.process_time()
for number in range(count):
    con = tsdb.connect(warehouse)
    con.execute("SET 'execution.mode' = 'streaming'")
    kind = "count(*), max(sent)" if number % 2 else "id, sent"
    cursors.append(con.execute(f"SELECT {kind} FROM t{number % tables}"))
opened = time.process_time() - opened
threads = [threading.Thread(target=read, args=pair, daemon=True) for pair in enumerate(cursors)]
for thread in threads:
    thread.start()
begun.wait()
time.sleep(1)
cpu = time.process_time()
time.sleep(idle_s)
idle = (time.process_time() - cpu) / idle_s
print("ready", flush=True)
cpu, wall = time.process_time(), time.monotonic()
sys.stdin.readline()
busy = (time.process_time() - cpu) / (time.monotonic() - wall)
memory = int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20
closing = time.monotonic()
for cursor in cursors:
    cursor.close()
for thread in threads:
    thread.join()
closing = time.monotonic() - closing
values = sorted(value / 1e6 for each in late for value in each)
at = lambda share: values[min(int(len(values) * share), len(values) - 1)]
import json
print(json.dumps({"open_ms": 1000 * opened / count, "idle_cpu": idle, "busy_cpu": busy, "p50_ms": at(0.5),
                  "p99_ms": at(0.99), "changes": len(values), "close_s": closing, "memory_mib": memory}), flush=True)
"""


def main(row_count: int, repeat: int) -> None:
    """Neither is used: the numbers of streams are fixed."""
    del row_count, repeat
    for count in _COUNTS:
        with warehouse() as folder, tsdb.connect(str(folder)) as con:
            for table in range(_TABLES):
                con.execute(f"CREATE TABLE t{table} (id BIGINT, sent BIGINT)")
                con.execute(f"INSERT INTO t{table} VALUES (0, 0)")
            command = [sys.executable, "-c", _READER, str(folder), str(count), str(_TABLES), "3"]
            reader = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
            assert reader.stdout is not None and reader.stdin is not None and reader.stdout.readline() == "ready\n"
            began = time.monotonic()
            for number in range(_SECONDS * 10):
                con.execute(f"INSERT INTO t{number % _TABLES} VALUES ({number}, {time.time_ns()})")
                time.sleep(max(0.0, began + (number + 1) / 10 - time.monotonic()))
            time.sleep(1)
            reader.stdin.write("\n")
            reader.stdin.flush()
            found = json.loads(reader.stdout.readline())
            reader.wait()
        print(
            f"many_streams {count:4}: idle {100 * found['idle_cpu']:.0f} % of a core, ten commits a second"
            f" {100 * found['busy_cpu']:.0f} %; a change is seen after {found['p50_ms']:.0f} ms (p99"
            f" {found['p99_ms']:.0f}), commit included; {found['open_ms']:.0f} ms of processor time to open one,"
            f" {found['memory_mib']:.0f} MiB, all closed in {found['close_s']:.1f} s", flush=True,
        )  # fmt: skip
        print(json.dumps({"name": "many_streams", "streams": count} | found), flush=True)
