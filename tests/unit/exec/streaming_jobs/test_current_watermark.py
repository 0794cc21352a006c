"""CURRENT_WATERMARK: what the watermark of a row's input was when the row came."""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import tsdb
from tsdb import Connection
from tsdb.errors import NotSupportedError

FROM_FIRST = "/*+ OPTIONS('scan.mode' = 'from-snapshot', 'scan.snapshot-id' = '1') */"
DDL = """
CREATE TABLE t (k INT, s INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
CREATE TABLE zoned (k INT, ts TIMESTAMP_LTZ(3), WATERMARK FOR ts AS ts);
CREATE TABLE plain (k INT, ts TIMESTAMP(3));
CREATE TABLE keyed (k INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts, PRIMARY KEY (k) NOT ENFORCED);
"""


@pytest.fixture
def con(tmp_path: Path) -> Iterator[Connection]:
    with tsdb.connect(str(tmp_path)) as connection:
        connection.execute(DDL)
        yield connection


def fill(con: Connection, seed: int) -> list[tuple[int, int, int | None]]:
    """Snapshots of random rows; each row (k, second, watermark in seconds when it came)."""
    dice, rows, watermark, clock = random.Random(seed), [], None, 100
    for _ in range(10):
        cut = [(dice.randrange(5), clock := clock + dice.randint(-12, 15)) for _ in range(dice.randint(1, 5))]
        values = ", ".join(f"({k}, {s}, CAST(TO_TIMESTAMP_LTZ({s}, 0) AS TIMESTAMP(3)))" for k, s in cut)
        con.execute(f"INSERT INTO t VALUES {values}, (9, NULL, NULL)")
        rows += [(k, s, watermark) for k, s in cut]
        latest = max(s for _, s in cut) - 5
        watermark = latest if watermark is None else max(watermark, latest)
    return rows


def stream(con: Connection, query: str) -> list[tuple]:
    con.execute("SET 'execution.mode' = 'streaming'; SET 'scan.bounded.mode' = 'latest'")
    rows = con.execute(query).fetchall()
    con.execute("RESET 'execution.mode'; RESET 'scan.bounded.mode'")
    assert all(row[0] == "+I" for row in rows)
    return [row[1:] for row in rows]


def test_every_row_has_the_watermark_of_the_snapshots_before(con: Connection) -> None:
    rows = fill(con, 1)
    seconds = "TIMESTAMPDIFF(SECOND, TIMESTAMP '1970-01-01 00:00:00', CURRENT_WATERMARK(ts))"
    query = f"SELECT k, s, {seconds} FROM t {FROM_FIRST}"
    assert Counter(stream(con, f"{query} WHERE s IS NOT NULL")) == Counter(rows)


@pytest.mark.parametrize(
    "source", ["t {}", "(SELECT * FROM t {}) AS t", "(SELECT k, s, ts FROM t {} WHERE k >= 0) AS t"]
)
def test_rows_in_time_are_chosen_as_the_window_would(con: Connection, source: str) -> None:
    rows = fill(con, 2)
    expected = [(k, s) for k, s, w in rows if w is None or s > w]
    assert 0 < len(expected) < len(rows)
    in_time = "CURRENT_WATERMARK(ts) IS NULL OR ts > CURRENT_WATERMARK(ts)"
    query = f"SELECT k, s FROM {source.format(FROM_FIRST)} WHERE {in_time}"
    assert Counter(r for r in stream(con, query) if r[1] is not None) == Counter(expected)


def test_it_has_the_type_of_the_time_and_goes_on_after_a_restart(con: Connection) -> None:
    con.execute("CREATE TABLE seen (k INT, w TIMESTAMP_LTZ(3))")
    con.execute("SET 'execution.mode' = 'streaming'; INSERT INTO seen SELECT k, CURRENT_WATERMARK(ts) FROM zoned")
    con.jobs()[0].checkpoint(20)
    for k in (1, 2, 3):
        con.execute(f"SET 'execution.mode' = 'batch'; INSERT INTO zoned VALUES ({k}, TO_TIMESTAMP_LTZ({k}, 0))")
        con.execute("SET 'execution.mode' = 'streaming'")
        con.jobs()[-1].checkpoint(20)
        con.execute("STOP JOB 'insert-into_default.seen'")
        con.execute("INSERT INTO seen SELECT k, CURRENT_WATERMARK(ts) FROM zoned")
    con.jobs()[-1].stop()
    con.execute("SET 'execution.mode' = 'batch'")
    seen = con.execute("SELECT k, CAST(w AS STRING) FROM seen ORDER BY k").fetchall()
    assert [(k, w and w[:19]) for k, w in seen] == [(1, None), (2, "1970-01-01 00:00:01"), (3, "1970-01-01 00:00:02")]


def test_a_batch_query_is_before_the_first_watermark(con: Connection) -> None:
    rows = fill(con, 3)
    query = (
        "SELECT count(*) FROM t WHERE (CURRENT_WATERMARK(ts) IS NULL OR ts > CURRENT_WATERMARK(ts)) AND s IS NOT NULL"
    )
    assert con.execute(query).fetchall() == [(len(rows),)]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("SELECT CURRENT_WATERMARK(ts) FROM plain", "has a WATERMARK"),
        ("SELECT CURRENT_WATERMARK(ts) FROM keyed", "updated or deleted"),
        ("SELECT CURRENT_WATERMARK(max(ts)) FROM t", "has a WATERMARK"),
        ("SELECT CURRENT_WATERMARK(TIMESTAMP '2024-01-01 00:00:00'), k FROM t", "has a WATERMARK"),
    ],
)
def test_refused_where_there_is_none(con: Connection, query: str, reason: str) -> None:
    con.execute("SET 'execution.mode' = 'streaming'")
    with pytest.raises(NotSupportedError, match=f"CURRENT_WATERMARK.*{reason}") as caught:
        con.execute(query)
    assert caught.value.position is not None and caught.value.position.column == 8
