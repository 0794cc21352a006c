"""How long until an INSERT is seen by a streaming cursor of another process, at 5,000 rows a second; a real broker."""

import json
import subprocess
import sys
import time

import tsdb
from bench.kafka_broker import broker
from bench.side import warehouse

_ROWS = 500
_PAUSE_S = 0.1

_READER = """
import sys, time, tsdb
import pyarrow.compute as pc
con = tsdb.connect(sys.argv[1])
con.execute("SET 'execution.mode' = 'streaming'")
cursor = con.execute("SELECT sent FROM t")
print("ready", flush=True)
seen = set()
while len(seen) < int(sys.argv[2]):
    rows = cursor.poll(1.0)
    now = time.time_ns()
    for sent in pc.unique(rows["sent"]).to_pylist():
        if sent not in seen:
            seen.add(sent)
            print((now - sent) / 1e6, flush=True)
"""


def main(row_count: int, repeat: int) -> None:
    commits = max(min(row_count // _ROWS, 200), 50)
    del repeat
    with broker() as address, warehouse() as folder, tsdb.connect(str(folder)) as con:
        log = f", 'log.system' = 'kafka', 'kafka.bootstrap.servers' = '{address}', 'kafka.topic' = "
        for name, options in {
            "eventual": f"{log}'eventual', 'log.consistency' = 'eventual'",
            "transactional": f"{log}'transactional'",
            "snapshots": "",
        }.items():
            con.execute("DROP TABLE IF EXISTS t")
            con.execute(
                f"CREATE TABLE t (id BIGINT, sent BIGINT, PRIMARY KEY (id) NOT ENFORCED) WITH ('bucket' = '1'{options})"
            )
            con.execute("INSERT INTO t VALUES (0, 0)")
            command = [sys.executable, "-c", _READER, str(folder), str(commits + 1)]
            reader = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            assert reader.stdout is not None and reader.stdout.readline() == "ready\n"
            reader.stdout.readline()  # the row that was there
            time.sleep(1.5)  # by then it follows the topic
            took = []
            for n in range(commits):
                begun = time.perf_counter()
                first = n * _ROWS + 1
                con.execute(
                    f"INSERT INTO t SELECT value, {time.time_ns()} FROM generate_series({first}, {first + _ROWS - 1})"
                )
                took.append((time.perf_counter() - begun) * 1000)
                time.sleep(max(0.0, _PAUSE_S - (time.perf_counter() - begun)))
            seen = sorted(float(reader.stdout.readline()) for _ in range(commits))
            reader.wait()
            took.sort()
            print(f"kafka_latency {name}: INSERT p50 {took[len(took) // 2]:.1f} ms, " + _text(seen))
            print(json.dumps({"name": name, "p50_ms": seen[len(seen) // 2], "p99_ms": seen[int(len(seen) * 0.99)]}))


def _text(seen: list[float]) -> str:
    return f"begun to seen p50 {seen[len(seen) // 2]:.1f} ms, p99 {seen[int(len(seen) * 0.99)]:.1f} ms"
