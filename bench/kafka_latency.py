"""How long until an INSERT on a log table is seen by a streaming cursor of another process; a real broker here."""

import json
import subprocess
import sys
import time

import tsdb
from bench.kafka_broker import broker
from bench.side import warehouse

_READER = """
import sys, time, tsdb
con = tsdb.connect(sys.argv[1])
con.execute("SET 'execution.mode' = 'streaming'")
cursor = con.execute("SELECT sent FROM t")
print("ready", flush=True)
seen = 0
while seen < int(sys.argv[2]):
    rows = cursor.poll(1.0)
    now = time.time_ns()
    for sent in rows["sent"].to_pylist():
        seen += 1
        print((now - sent) / 1e6, flush=True)
"""


def main(row_count: int, repeat: int) -> None:
    commits = max(min(row_count, 200), 50)
    del repeat
    with broker() as address, warehouse() as folder, tsdb.connect(str(folder)) as con:
        for name, options in {
            "log": f", 'log.system' = 'kafka', 'kafka.bootstrap.servers' = '{address}', 'kafka.topic' = 'latency'",
            "snapshots": "",
        }.items():
            con.execute("DROP TABLE IF EXISTS t")
            con.execute(f"CREATE TABLE t (id BIGINT, sent BIGINT) WITH ('bucket' = '1', 'bucket-key' = 'id'{options})")
            con.execute("INSERT INTO t VALUES (0, 0)")
            command = [sys.executable, "-c", _READER, str(folder), str(commits + 1)]
            reader = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            assert reader.stdout is not None and reader.stdout.readline() == "ready\n"
            reader.stdout.readline()  # the row that was there
            time.sleep(1.5)  # by then it follows the topic
            took = []
            for n in range(1, commits + 1):
                begun = time.perf_counter()
                con.execute("INSERT INTO t VALUES (?, ?)", [n, time.time_ns()])
                took.append((time.perf_counter() - begun) * 1000)
                time.sleep(0.01)
            seen = sorted(float(reader.stdout.readline()) for _ in range(commits))
            reader.wait()
            took.sort()
            print(f"kafka_latency {name}: INSERT p50 {took[len(took) // 2]:.1f} ms, " + _text(seen))
            print(json.dumps({"name": name, "p50_ms": seen[len(seen) // 2], "p99_ms": seen[int(len(seen) * 0.99)]}))


def _text(seen: list[float]) -> str:
    return f"begun to seen p50 {seen[len(seen) // 2]:.1f} ms, p99 {seen[int(len(seen) * 0.99)]:.1f} ms"
