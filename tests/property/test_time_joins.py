"""Joins that go by time, sessions and OVER windows, each against a loop over all rows that were in time."""

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import tsdb
from tsdb import clock

STREAMING = {"execution.mode": "streaming"}
ZERO = datetime(2024, 1, 1)
END = 10_000
DDL = (
    "CREATE TABLE a (id INT, k INT, ts TIMESTAMP(3), p AS PROCTIME(), WATERMARK FOR ts AS ts - INTERVAL '3' SECOND)",
    "CREATE TABLE b (id INT, k INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)",
    "CREATE TABLE r (k INT, v INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts, PRIMARY KEY (k) NOT ENFORCED)"
    " WITH ('changelog-producer' = 'input')",
)

Row = tuple[int, int, int]


class Side:
    """The rows of one input that were in time, and its watermark."""

    def __init__(self, delay: int) -> None:
        self.delay, self.watermark, self.rows = delay, -END, list[Row]()

    def commit(self, rows: list[Row]) -> None:
        self.rows += [row for row in rows if row[2] > self.watermark]
        self.watermark = max([self.watermark, *(row[2] - self.delay for row in rows)])


class Stage:
    """Two append tables and a versioned one, filled at random, with what an oracle needs of them."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        self.a, self.b, self.now, self.made = Side(3), Side(2), 0, 0
        self.every_a: list[Row] = []
        self.versions: list[tuple[int, int, int]] = []
        self.r_watermark = -END

    def change(self) -> str:
        self.now += self.random.randint(0, 4)
        table = self.random.choice("aabbr")
        if table == "r":
            moment = self.now
            keys = self.random.sample(range(3), self.random.randint(1, 3))
            rows = [(k, self.random.randint(0, 99), moment) for k in keys]
            self.versions += rows
            self.r_watermark = max(self.r_watermark, moment)
            return f"INSERT INTO r VALUES {', '.join(f'({k}, {v}, {time(at)})' for k, v, at in rows)}"
        rows = [self.row() for _ in range(self.random.randint(1, 5))]
        (self.a if table == "a" else self.b).commit(rows)
        if table == "a":
            self.every_a += rows
        return f"INSERT INTO {table} VALUES {', '.join(f'({i}, {k}, {time(at)})' for i, k, at in rows)}"

    def row(self) -> Row:
        self.made += 1
        return self.made, self.random.randint(0, 2), max(0, self.now - self.random.randint(0, 6))


def interval(stage: Stage) -> Iterator[tuple[Any, ...]]:
    yield from ((i, j) for i, k, at in stage.a.rows for j, m, its in stage.b.rows if k == m and -4 <= its - at <= 6)


def left_interval(stage: Stage) -> Iterator[tuple[Any, ...]]:
    yield from interval(stage)
    met = {i for i, _ in interval(stage)}
    done = min(stage.a.watermark, stage.b.watermark - 6)
    yield from ((i, None) for i, _, at in stage.a.rows if at <= done and i not in met)


def temporal(stage: Stage) -> Iterator[tuple[Any, ...]]:
    come = min(stage.a.watermark, stage.r_watermark)
    for i, k, at in stage.a.rows:
        fitting = [(its, v) for m, v, its in stage.versions if m == k and its <= at]
        if at <= come:
            yield i, dict(sorted(fitting))[max(fitting)[0]] if fitting else None


def over(stage: Stage) -> Iterator[tuple[Any, ...]]:
    for i, k, at in stage.a.rows:
        if at <= stage.a.watermark:
            before = [j for j, m, its in stage.a.rows if m == k and its <= at]
            yield i, len(before), sum(before)


CASES: dict[str, tuple[str, Callable[[Stage], Iterator[tuple[Any, ...]]]]] = {
    "interval": (
        "SELECT a.id, b.id FROM a JOIN b ON a.k = b.k"
        " AND b.ts BETWEEN a.ts - INTERVAL '4' SECOND AND a.ts + INTERVAL '6' SECOND",
        interval,
    ),
    "left interval": (
        "SELECT a.id, b.id FROM a LEFT JOIN b ON a.k = b.k"
        " AND a.ts >= b.ts - INTERVAL '6' SECOND AND a.ts <= b.ts + INTERVAL '4' SECOND",
        left_interval,
    ),
    "temporal": (
        "SELECT a.id, r.v FROM a LEFT JOIN r FOR SYSTEM_TIME AS OF a.ts ON a.k = r.k",
        temporal,
    ),
    "over": (
        "SELECT id, count(*) OVER w, sum(id) OVER w FROM a WINDOW w AS (PARTITION BY k ORDER BY ts)",
        over,
    ),
}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_what_is_given_is_final_and_what_a_loop_says(tmp_path: Path, case: str, seed: int) -> None:
    query, oracle = CASES[case]
    stage, seen = Stage(f"{case} {seed}"), Counter[tuple[Any, ...]]()
    with tsdb.connect(str(tmp_path)) as batch, tsdb.connect(str(tmp_path), options=STREAMING) as streaming:
        for statement in DDL:
            batch.execute(statement)
        cursor = streaming.execute(query)
        for _ in range(25):
            statement = stage.change()
            batch.execute(statement)
            seen.update(rows(cursor))
            wanted = Counter(oracle(stage))
            if case == "left interval":  # a pair is given when both sides are final
                assert seen <= wanted, statement
                assert {r for r in wanted if r[1] is None} <= set(seen), statement
            else:
                assert seen == wanted, statement


def test_a_lookup_meets_what_the_table_is_in_the_version_of_the_row(tmp_path: Path) -> None:
    query = "SELECT a.id, x.v FROM a JOIN d FOR SYSTEM_TIME AS OF a.p AS x ON a.k = x.k"
    with tsdb.connect(str(tmp_path)) as batch, tsdb.connect(str(tmp_path), options=STREAMING) as streaming:
        for statement in DDL:
            batch.execute(statement)
        batch.execute("CREATE TABLE d (k INT, v INT, PRIMARY KEY (k) NOT ENFORCED)")
        cursor = streaming.execute(query)
        batch.execute("INSERT INTO d VALUES (1, 10)")
        batch.execute(f"INSERT INTO a VALUES (1, 1, {time(0)}), (2, 2, {time(0)})")
        assert list(rows(cursor)) == [(1, 10)]
        batch.execute("INSERT INTO d VALUES (1, 11), (2, 20)")
        assert list(rows(cursor)) == []
        batch.execute(f"INSERT INTO a VALUES (3, 1, {time(0)}), (4, 2, {time(0)})")
        assert sorted(rows(cursor)) == [(3, 11), (4, 20)]
        assert sorted(batch.execute(query).fetchall()) == [(1, 11), (2, 20), (3, 11), (4, 20)]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_session_is_given_when_no_row_can_join_it(tmp_path: Path, seed: int) -> None:
    query = (
        "SELECT k, window_start, window_end, count(*) FROM TABLE(SESSION(TABLE a PARTITION BY k, DESCRIPTOR(ts),"
        " INTERVAL '5' SECOND)) GROUP BY k, window_start, window_end"
    )
    stage, seen = Stage(f"session {seed}"), list[tuple[Any, ...]]()
    with tsdb.connect(str(tmp_path)) as batch, tsdb.connect(str(tmp_path), options=STREAMING) as streaming:
        batch.execute(DDL[0])
        cursor = streaming.execute(query)
        used: list[Row] = []
        for _ in range(20):
            watermark = stage.a.watermark
            stage.now += stage.random.randint(0, 6)
            new = [stage.row() for _ in range(stage.random.randint(1, 4))]
            used += [row for row in new if row[2] + 5 > watermark]
            stage.a.commit(new)
            batch.execute(f"INSERT INTO a VALUES {', '.join(f'({i}, {k}, {time(at)})' for i, k, at in new)}")
            closed = list(rows(cursor))
            assert all(row[2] <= moment(stage.a.watermark) for row in closed)
            seen += closed
        batch.execute(f"INSERT INTO a VALUES (0, 3, {time(END)})")
        seen += list(rows(cursor))
        assert sum(row[3] for row in seen) == len(used), "each row that was not too late is in one session"
        for key in range(3):
            given = sorted(row for row in seen if row[0] == key)
            for row, following in itertools.pairwise(given):
                assert row[2] <= following[2]
            times = [at for _, k, at in used if k == key]
            assert all(any(b <= moment(at) < e for _, b, e, _ in given) for at in times)


def rows(cursor: Any) -> Iterator[tuple[Any, ...]]:
    for table in cursor.poll_until_caught_up(30):
        for op, *row in zip(*(column.to_pylist() for column in table.columns), strict=True):
            assert op == "+I", (op, row)
            yield tuple(row)


def moment(at: int) -> datetime:
    return ZERO + timedelta(seconds=at)


def time(at: int) -> str:
    return f"TIMESTAMP '{moment(at)}'"


class HandClock(clock.SystemClock):
    """A clock whose wall time is set by hand."""

    ms = 1_700_000_000_000

    def now_ms(self) -> int:
        return self.ms


def test_windows_of_arrival_close_by_the_clock(tmp_path: Path) -> None:
    query = (
        "SELECT k, count(*) FROM TABLE(TUMBLE(TABLE seen, DESCRIPTOR(p), INTERVAL '1' HOUR))"
        " GROUP BY k, window_start, window_end"
    )
    with (
        clock.use(HandClock()) as now,
        tsdb.connect(str(tmp_path)) as batch,
        tsdb.connect(str(tmp_path), options=STREAMING) as streaming,
    ):
        assert isinstance(now, HandClock)
        batch.execute(DDL[1])
        batch.execute("CREATE VIEW seen AS SELECT k, PROCTIME() AS p FROM b")
        cursor = streaming.execute(query)
        batch.execute(f"INSERT INTO b VALUES (1, 7, {time(0)}), (2, 7, {time(1)})")
        assert list(rows(cursor)) == []
        now.ms += 3_600_000
        assert list(cursor.fetchmany(1)) == [("+I", 7, 2)]
        batch.execute(f"INSERT INTO b VALUES (1, 7, {time(0)})")
        assert list(rows(cursor)) == []
        now.ms += 3_600_000
        assert list(cursor.fetchmany(1)) == [("+I", 7, 1)]


def test_an_input_that_brings_nothing_is_waited_for_unless_it_is_idle(tmp_path: Path) -> None:
    query = (
        "SELECT k, count(*) FROM TABLE(TUMBLE(TABLE both_sides, DESCRIPTOR(ts), INTERVAL '10' SECOND))"
        " GROUP BY k, window_start, window_end"
    )
    with (
        clock.use(HandClock()) as now,
        tsdb.connect(str(tmp_path)) as batch,
        tsdb.connect(str(tmp_path), options=STREAMING) as streaming,
    ):
        assert isinstance(now, HandClock)
        for statement in DDL[:2]:
            batch.execute(statement)
        batch.execute("CREATE VIEW both_sides AS SELECT k, ts FROM a UNION ALL SELECT k, ts FROM b")
        waiting = streaming.execute(query)
        streaming.execute("SET 'table.exec.source.idle-timeout' = '1 min'")
        patient = streaming.execute(query)
        assert list(rows(waiting)) == list(rows(patient)) == []
        batch.execute(f"INSERT INTO a VALUES (1, 7, {time(1)}), (2, 8, {time(30)})")
        assert list(rows(waiting)) == list(rows(patient)) == []
        now.ms += 61_000
        batch.execute(f"INSERT INTO a VALUES (3, 8, {time(31)})")
        assert list(rows(patient)) == [(7, 1)]
        assert list(rows(waiting)) == []
        batch.execute(f"INSERT INTO b VALUES (4, 7, {time(32)})")
        assert list(rows(waiting)) == [(7, 1)]
        assert list(rows(patient)) == []
