"""Windows over a table with a WATERMARK: each is given once, when it is closed, and is what a fold over the rows says.

The oracle is a loop over rows: a row counts for each of its windows that was open when its commit came; a window is
open as long as its end is later than the watermark.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import tsdb

STREAMING = {"execution.mode": "streaming"}
DELAY_S = 4
ZERO, EPOCH = datetime(2024, 1, 1), datetime(1970, 1, 1)

Window = tuple[int, int]


def tumble(at: int) -> Iterator[Window]:
    yield at // 10 * 10, at // 10 * 10 + 10


def hop(at: int) -> Iterator[Window]:
    last = at // 5 * 5
    yield from ((start, start + 15) for start in (last, last - 5, last - 10))


def cumulate(at: int) -> Iterator[Window]:
    start = at // 12 * 12
    yield from ((start, end) for end in (start + 4, start + 8, start + 12) if end > at)


KINDS: dict[str, tuple[str, Callable[[int], Iterator[Window]]]] = {
    "tumble": ("TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND)", tumble),
    "hop": ("HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '15' SECOND)", hop),
    "cumulate": ("CUMULATE(TABLE t, DESCRIPTOR(ts), INTERVAL '4' SECOND, INTERVAL '12' SECOND)", cumulate),
}
AGGREGATES = {
    "count(*), sum(v)": lambda values: (len(values), sum(values)),
    "count(DISTINCT v), max(v)": lambda values: (len(set(values)), max(values)),
    "count(*), listagg(CAST(v AS STRING), ',') WITHIN GROUP (ORDER BY v)": lambda values: (
        len(values),
        ",".join(map(str, sorted(values))),
    ),
}


class Oracle:
    """The windows as a loop over rows sees them."""

    def __init__(self, windows: Callable[[int], Iterator[Window]]) -> None:
        self.windows = windows
        self.values: dict[tuple[int, Window], list[int]] = {}
        self.watermark = -1000
        self.late = 0

    def commit(self, rows: list[tuple[int, int, int]]) -> dict[tuple[int, Window], list[int]]:
        """What is closed after the rows (key, time, value) of a commit."""
        for key, at, value in rows:
            for window in self.windows(at):
                if window[1] <= self.watermark:
                    self.late += 1
                else:
                    self.values.setdefault((key, window), []).append(value)
        self.watermark = max([self.watermark, *(at - DELAY_S for _, at, _ in rows)])
        closed = [w for w in self.values if w[1][1] <= self.watermark]
        return {w: self.values.pop(w) for w in closed}


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("aggregates", AGGREGATES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_window_is_given_once_when_it_closes(tmp_path: Path, kind: str, aggregates: str, restart: bool) -> None:
    text, windows = KINDS[kind]
    made, oracle, seen = random.Random(f"{kind} {aggregates}"), Oracle(windows), Counter[tuple[Any, ...]]()
    query = f"SELECT k, window_start, window_end, {aggregates} FROM TABLE({text}) GROUP BY k, window_start, window_end"
    with tsdb.connect(str(tmp_path)) as batch, tsdb.connect(str(tmp_path), options=STREAMING) as streaming:
        batch.execute("CREATE TABLE t (k INT, v INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '4' SECOND)")
        batch.execute("CREATE TABLE o (k INT, b TIMESTAMP(3), e TIMESTAMP(3), x BIGINT, y STRING)")
        insert = f"INSERT INTO o SELECT k, window_start, window_end, x, CAST(y AS STRING) FROM ({named(query)})"
        cursor = streaming.execute(query)
        job = start(streaming, insert)
        wanted: dict[tuple[int, Window], list[int]] = {}
        now = 0
        for step in range(8):
            now += made.randint(0, 9)
            rows = [(made.randint(0, 2), max(0, now - made.randint(0, 9)), made.randint(0, 5)) for _ in range(6)]
            batch.execute(f"INSERT INTO t VALUES {', '.join(f'({k}, {v}, {time(at)})' for k, at, v in rows)}")
            closed = oracle.commit(rows)
            wanted |= closed
            given = Counter(row for table in cursor.poll_until_caught_up(30) for row in changes(table))
            assert given == Counter(expected(closed, aggregates)), f"commit {step}"
            seen += given
            if restart and step == 4:
                job.stop()
                job = start(streaming, insert)
        job.checkpoint()
        metrics = job.metrics()["operators"]
        if not restart:
            assert metrics["late_rows"] == oracle.late
            assert metrics["watermarks_ms"] == {"t": int((ZERO - EPOCH).total_seconds() + oracle.watermark) * 1000}
        stored = batch.execute("SELECT * FROM o").fetchall()
        assert Counter((k, b, e, x, y) for k, b, e, x, y in stored) == Counter(
            (k, b, e, x, str(y)) for k, b, e, x, y in expected(wanted, aggregates)
        )
        live = len(oracle.values)
        assert all(o["rows"] <= 8 * live + 40 for o in metrics["operators"]), metrics
        job.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_a_bounded_stream_closes_all_windows_at_its_end(tmp_path: Path, kind: str) -> None:
    query = f"SELECT k, window_start, count(*) FROM TABLE({KINDS[kind][0]}) GROUP BY k, window_start, window_end"
    with tsdb.connect(str(tmp_path)) as con:
        con.execute("CREATE TABLE t (k INT, v INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '4' SECOND)")
        con.execute(f"INSERT INTO t VALUES (1, 1, {time(3)}), (1, 2, {time(30)}), (2, 2, {time(11)}), (2, 2, NULL)")
        wanted = Counter(con.execute(query).fetchall())
        con.execute("SET 'execution.mode' = 'streaming'")
        con.execute("SET 'scan.bounded.mode' = 'latest'")
        assert Counter((row[1:]) for row in con.execute(query).fetchall()) == wanted


def named(query: str) -> str:
    """The query with its two aggregates called x and y."""
    head, tail = query.split(" FROM ", 1)
    *first, aggregates = head.partition("window_end, ")
    depth, cut = 0, 0
    for at, letter in enumerate(aggregates):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            cut = at
            break
    return f"{''.join(first)}{aggregates[:cut]} AS x, {aggregates[cut + 1 :]} AS y FROM {tail}"


def start(con: tsdb.Connection, insert: str) -> Any:
    con.execute(insert)
    return con.jobs()[-1]


def time(at: int) -> str:
    return f"TIMESTAMP '{ZERO + timedelta(seconds=at)}'"


def expected(closed: dict[tuple[int, Window], list[int]], aggregates: str) -> list[tuple[Any, ...]]:
    return [
        (key, ZERO + timedelta(seconds=begin), ZERO + timedelta(seconds=end), *AGGREGATES[aggregates](values))
        for (key, (begin, end)), values in closed.items()
    ]


def changes(table: Any) -> Iterator[tuple[Any, ...]]:
    for op, *row in zip(*(column.to_pylist() for column in table.columns), strict=True):
        assert op == "+I", "what is final is never taken back"
        yield tuple(row)
