"""How long until an appended row is seen in the changelog of a query in another process, at 10,000 rows a second.

A row is due at its place in time; the writer commits whatever has become due since its last commit, without a pause. It
is told how long the reader has the changes of the version after a row was due, which includes half the commit before
and its own; after the append() that brings it has begun; and after its snapshot is published. The queries: a projection
(Nexmark's q1), an average of maxima over a join (q4), and a join of bids with auctions.
"""

import json
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

import tsdb
from bench.side import warehouse

_RATE = 10_000
_AUCTIONS = 2_000
_WARM_UP_S = 1.0
_QUERIES = {
    "q1": "SELECT auction, bidder, 0.908 * price AS price, sent FROM bid",
    "q4": "SELECT category, AVG(final), MAX(sent) AS sent FROM (SELECT MAX(price) AS final, MAX(sent) AS sent, category"
    " FROM bid JOIN auction ON auction = id GROUP BY id, category) GROUP BY category",
    "join": "SELECT auction, bidder, price, seller, sent FROM bid JOIN auction ON auction = id",
}

_READER = """
import sys, time, tsdb
import pyarrow.compute as pc
con = tsdb.connect(sys.argv[1])
con.execute("SET 'execution.mode' = 'streaming'")
cursor = con.execute(sys.argv[2])
print("ready", flush=True)
last, end, seen = 0, None, []
while end is None or last < end:
    rows = cursor.poll(0.5)
    now = time.time_ns()
    latest = pc.max(rows["sent"]).as_py() if rows.num_rows else last
    if latest > last:
        last = latest
        seen.append(f"{now} {last}")  # a full pipe would hold it up
    elif last and not rows.num_rows:
        break
print("\\n".join(seen), flush=True)
"""


def main(row_count: int, repeat: int) -> None:
    """row_count: for how long rows come, 20 seconds at the most. repeat: not used."""
    del repeat
    seconds = max(3.0, min(row_count / _RATE, 20.0))
    with warehouse() as folder, tsdb.connect(str(folder)) as con:
        con.execute("CREATE TABLE auction (id BIGINT, seller BIGINT, category BIGINT)")
        con.execute(f"INSERT INTO auction SELECT value, value % 97, value % 5 FROM generate_series(0, {_AUCTIONS - 1})")
        for name, query in _QUERIES.items():
            con.execute("DROP TABLE IF EXISTS bid")
            con.execute("CREATE TABLE bid (auction BIGINT, bidder BIGINT, price BIGINT, sent BIGINT)")
            reader = subprocess.Popen(
                [sys.executable, "-c", _READER, str(folder), query], stdout=subprocess.PIPE, text=True
            )
            assert reader.stdout is not None and reader.stdout.readline() == "ready\n"
            commits = _write(con, seconds)
            seen = [(int(a), int(b)) for a, b in (line.split() for line in reader.stdout)]
            reader.wait()
            due, begun, published = _latencies(seen, commits)
            took = [c.published - c.begun for c in commits]
            print(
                f"stream_latency {name:4} seen after it was due {_text(due)}, after its append() began {_text(begun)},"
                f" after its snapshot {_text(published)}; an append takes {_text(np.array(took) / 1e6)},"
                f" {len(commits)} of them", flush=True,
            )  # fmt: skip
            print(json.dumps({"name": name, "p50_ms": np.percentile(begun, 50), "p99_ms": np.percentile(begun, 99)}))


@dataclass(frozen=True, slots=True)
class _Commit:
    """When its INSERT began and was done, and when its last row was due, in nanoseconds. rows: how many."""

    begun: int
    published: int
    due: int
    rows: int


def _write(con: tsdb.Connection, seconds: float) -> list[_Commit]:
    """Commit rows as they become due."""
    random = np.random.default_rng(1)
    begun, done, commits = time.time_ns(), 0, list[_Commit]()
    while done < seconds * _RATE:
        due = min(int((time.time_ns() - begun) * _RATE / 1e9), int(seconds * _RATE))
        if due == done:
            time.sleep(0.0005)
            continue
        start, count = time.time_ns(), due - done
        rows = {
            "auction": random.integers(0, _AUCTIONS, count),
            "bidder": random.integers(0, 50_000, count),
            "price": random.integers(1, 1_000_000, count),
            "sent": begun + (np.arange(done, due) * (1_000_000_000 // _RATE)),
        }
        con.append("bid", pa.table(rows))
        commits.append(_Commit(start, time.time_ns(), int(rows["sent"][-1]), count))
        done = due
    return commits


def _latencies(seen: list[tuple[int, int]], commits: list[_Commit]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each row after the warm-up, in milliseconds: after it was due, after its INSERT began, after its snapshot.

    seen: (now, when the latest row seen was due), ascending.
    """
    step = 1_000_000_000 // _RATE
    dues = np.array([due for _, due in seen])
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for commit in commits:
        at = int(np.searchsorted(dues, commit.due))
        if at < len(seen) and commit.due >= commits[0].due + _WARM_UP_S * 1e9:
            now = seen[at][0]
            rows = now - (commit.due - step * np.arange(commit.rows))
            same = np.ones(commit.rows)
            parts.append((rows, same * (now - commit.begun), same * (now - commit.published)))
    due, begun, published = (np.concatenate(p) / 1e6 for p in zip(*parts, strict=True))
    return due, begun, published


def _text(values: np.ndarray) -> str:
    return f"p50 {np.percentile(values, 50):.1f} ms (p99 {np.percentile(values, 99):.1f})"
