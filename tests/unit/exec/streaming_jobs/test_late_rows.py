"""'late-rows': a side table gets, as they came, the rows that come after their windows have closed."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

import tsdb
from tsdb import Connection
from tsdb.errors import BindError, Error, NotSupportedError
from tsdb.exec.streaming.job import Job

STORED = """
CREATE TABLE clicks (id INT, page STRING, at_s INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)
"""
HINT = "/*+ OPTIONS('late-rows' = 'late', 'scan.mode' = 'from-snapshot', 'scan.snapshot-id' = '1') */"
DELAY_S, MINUTE_S = 5, 60


@pytest.fixture
def con(tmp_path: Path) -> Iterator[Connection]:
    with tsdb.connect(str(tmp_path)) as connection:
        connection.execute(STORED)
        yield connection


def insert(con: Connection, *rows: tuple[int, str, int]) -> None:
    """One snapshot of rows (id, page, seconds)."""
    values = ", ".join(f"({i}, '{p}', {s}, CAST(TO_TIMESTAMP_LTZ({s}, 0) AS TIMESTAMP(3)))" for i, p, s in rows)
    con.execute(f"INSERT INTO clicks VALUES {values}")


def run(con: Connection, statement: str) -> Job:
    """Run a statement as a bounded job, to its end."""
    con.execute("SET 'execution.mode' = 'streaming'; SET 'scan.bounded.mode' = 'latest'")
    con.execute(statement)
    job = con.jobs()[-1]
    assert job.wait(30)
    con.execute("RESET 'execution.mode'; RESET 'scan.bounded.mode'")
    return job


def late_ids(con: Connection, table: str = "late") -> list[int]:
    return sorted(i for (i,) in con.execute(f"SELECT id FROM {table}").fetchall())


def test_late_row_goes_as_it_came_to_the_side_table(con: Connection) -> None:
    insert(con, (1, "a", 1), (2, "b", 30))
    insert(con, (3, "a", 70))
    insert(con, (4, "a", 59), (5, "b", 61))
    con.execute("CREATE TABLE per_minute (page STRING, w TIMESTAMP(3), n BIGINT)")
    run(
        con,
        f"""INSERT INTO per_minute SELECT page, window_start, count(*)
        FROM TABLE(TUMBLE(TABLE clicks {HINT}, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
        GROUP BY page, window_start, window_end""",
    )
    rows = con.execute("SELECT id, page, at_s, ts, late_for, late_watermark, late_kind FROM late").fetchall()
    assert [(*r[:3], str(r[3]), r[4], str(r[5]), r[6]) for r in rows] == [
        (4, "a", 59, "1970-01-01 00:00:59", "window_start, window_end", "1970-01-01 00:01:05", "+I")
    ]
    assert sum(n for (n,) in con.execute("SELECT n FROM per_minute").fetchall()) == 4


def brute_force(cuts: list[list[tuple[int, str, int]]], ends: dict[int, list[int]]) -> list[int]:
    """The rows of which a window was closed when they came: its last moment is at or before the watermark."""
    watermark, late = None, []
    for cut in cuts:
        for number, _, _ in cut:
            late += [number] if watermark is not None and any(e * 1000 - 1 <= watermark for e in ends[number]) else []
        latest = max(s for _, _, s in cut) * 1000 - DELAY_S * 1000
        watermark = latest if watermark is None else max(watermark, latest)
    return sorted(late)


WINDOWS = {
    "TUMBLE(TABLE clicks {}, DESCRIPTOR(ts), INTERVAL '1' MINUTE)": lambda s: [s // 60 * 60 + 60],
    "HOP(TABLE clicks {}, DESCRIPTOR(ts), INTERVAL '20' SECOND, INTERVAL '1' MINUTE)": lambda s: [
        s // 20 * 20 + 20 * i for i in (1, 2, 3)
    ],
    "CUMULATE(TABLE clicks {}, DESCRIPTOR(ts), INTERVAL '20' SECOND, INTERVAL '1' MINUTE)": lambda s: [
        e for e in (s // 60 * 60 + 20, s // 60 * 60 + 40, s // 60 * 60 + 60) if e > s
    ],
}


@pytest.mark.parametrize("window", WINDOWS, ids=lambda w: w.split("(")[0])
def test_side_table_has_the_rows_that_brute_force_finds(con: Connection, window: str) -> None:
    dice = random.Random(window)
    cuts, number, clock = [], 0, 0
    for _ in range(12):
        cut = []
        for _ in range(dice.randint(1, 6)):
            number, clock = number + 1, clock + dice.randint(0, 15)
            cut.append((number, dice.choice("ab"), max(0, clock - dice.choice([0, 0, 10, 70]))))
        cut += [(-n, page, s) for n, page, s in cut if dice.random() < 0.2]  # equal but for the id
        cuts.append(cut)
        insert(con, *cut)
    con.execute("CREATE TABLE counts (page STRING, w TIMESTAMP(3), e TIMESTAMP(3), n BIGINT)")
    job = run(
        con,
        f"""INSERT INTO counts SELECT page, window_start, window_end, count(*)
        FROM TABLE({window.format(HINT)}) WHERE id <> 7 GROUP BY page, window_start, window_end""",
    )
    ends = {n: WINDOWS[window](s) for cut in cuts for n, _, s in cut}
    expected = [i for i in brute_force(cuts, ends) if i != 7]
    assert expected
    assert late_ids(con) == expected
    assert job.metrics()["operators"]["late_rows"] >= len(expected)


def test_interval_join_keeps_the_late_rows_of_each_side_in_its_own_table(con: Connection) -> None:
    con.execute("CREATE TABLE buys (click INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts)")
    con.execute("CREATE TABLE pairs (id INT, at TIMESTAMP(3))")
    con.execute("INSERT INTO buys VALUES (1, TIMESTAMP '1970-01-01 00:00:10')")
    insert(con, (1, "a", 8), (2, "a", 500))
    insert(con, (3, "a", 20))
    run(
        con,
        f"""INSERT INTO pairs SELECT c.id, b.ts FROM clicks {HINT} AS c
        JOIN buys /*+ OPTIONS('late-rows' = 'late_buys') */ AS b
        ON c.id = b.click AND b.ts BETWEEN c.ts AND c.ts + INTERVAL '1' MINUTE""",
    )
    assert late_ids(con) == [3]
    assert con.execute("SELECT count(*) FROM late_buys").fetchall() == [(0,)]


def test_statement_set_fills_targets_and_side_tables(con: Connection) -> None:
    insert(con, (1, "a", 1), (2, "a", 100))
    insert(con, (3, "a", 2), (4, "b", 101))
    con.execute("CREATE TABLE copies (id INT)")
    con.execute("CREATE TABLE counts (w TIMESTAMP(3), n BIGINT)")
    run(
        con,
        f"""EXECUTE STATEMENT SET BEGIN
        INSERT INTO copies SELECT id FROM clicks;
        INSERT INTO counts SELECT window_start, count(*)
        FROM TABLE(TUMBLE(TABLE clicks {HINT}, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;
        END""",
    )
    assert sorted(con.execute("SELECT id FROM copies").fetchall()) == [(1,), (2,), (3,), (4,)]
    assert late_ids(con) == [3]


def test_union_and_self_join_tell_inputs_apart(con: Connection) -> None:
    con.execute("CREATE TABLE more (id INT, page STRING, at_s INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts)")
    con.execute("INSERT INTO more VALUES (100, 'm', 90, TIMESTAMP '1970-01-01 00:01:30')")
    insert(con, (1, "a", 90))
    insert(con, (2, "a", 3), (3, "a", 80))
    con.execute("CREATE TABLE counts (w TIMESTAMP(3), n BIGINT)")
    con.execute(f"""CREATE TEMPORARY VIEW both_tables AS
        SELECT id, ts FROM clicks {HINT} UNION ALL SELECT id, ts FROM more""")
    run(
        con,
        """INSERT INTO counts SELECT window_start, count(*)
        FROM TABLE(TUMBLE(TABLE both_tables, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end""",
    )
    assert late_ids(con) == [2]


def test_option_of_the_table_is_for_every_job_that_closes_windows(con: Connection) -> None:
    con.execute("ALTER TABLE clicks SET ('late-rows' = 'late')")
    insert(con, (1, "a", 100))
    con.execute("CREATE TABLE copies (id INT)")
    run(con, "INSERT INTO copies SELECT id FROM clicks")
    assert con.execute("SELECT id FROM copies").fetchall() == [(1,)]
    assert ("late",) not in con.execute("SHOW TABLES").fetchall()


TUMBLE_JOB = (
    "INSERT INTO t SELECT window_start, count(*) FROM TABLE(TUMBLE(TABLE clicks /*+ OPTIONS('late-rows' = '{}') */, "
    "DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end"
)
REFUSED = {
    "INSERT INTO t SELECT ts, id FROM clicks /*+ OPTIONS('late-rows' = 'late') */": "closes no window",
    "INSERT INTO t SELECT ts, id FROM plain /*+ OPTIONS('late-rows' = 'late') */": "no WATERMARK",
    "SELECT ts, id FROM clicks /*+ OPTIONS('late-rows' = 'late') */": "kept by jobs",
    TUMBLE_JOB.format("plain"): "has other columns",
    TUMBLE_JOB.format("t"): "reads or fills",
    TUMBLE_JOB.format("clicks"): "reads or fills",
    TUMBLE_JOB.format("keyed"): "without a primary key",
    TUMBLE_JOB.format("a.b.c"): "no name of a table",
    TUMBLE_JOB.format("nowhere.late"): "nowhere",
}


@pytest.mark.parametrize("statement", REFUSED)
def test_refused_at_plan_time(con: Connection, statement: str) -> None:
    con.execute("CREATE TABLE t (w TIMESTAMP(3), n BIGINT)")
    con.execute("CREATE TABLE plain (ts TIMESTAMP(3), id BIGINT)")
    con.execute("CREATE TABLE keyed (id INT PRIMARY KEY NOT ENFORCED)")
    con.execute("SET 'execution.mode' = 'streaming'")
    tables = con.execute("SHOW TABLES").fetchall()
    with pytest.raises((NotSupportedError, BindError, Error), match=REFUSED[statement]):
        con.execute(statement)
    assert con.execute("SHOW TABLES").fetchall() == tables
    assert con.execute("SHOW JOBS").fetchall() == []
