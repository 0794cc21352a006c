"""What cannot be a stream says so before it runs: what, where in the text, and what to do instead."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import tsdb
from tsdb import Connection

DDL = """
CREATE TABLE t (k INT, v INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts);
CREATE TABLE u (k INT, v INT, ts TIMESTAMP(3), PRIMARY KEY (k) NOT ENFORCED);
CREATE TABLE plain (k INT, ts TIMESTAMP(3));
CREATE TABLE texts (k INT, ts STRING);
CREATE TABLE sink (w TIMESTAMP(3), n BIGINT);
"""

REFUSED = [
    (
        "WITH RECURSIVE ^r AS (SELECT k FROM t UNION ALL SELECT k + 1 FROM r WHERE k < 3) SELECT * FROM r",
        "recursive query `r`",
        "'execution.mode' = 'batch'",
    ),
    ("SELECT t.k FROM t JOIN u ^FOR SYSTEM_TIME AS OF t.ts ON t.k = u.k", "`t.ts`", "PRIMARY KEY and a WATERMARK"),
    ("SELECT t.k FROM t JOIN u ^FOR SYSTEM_TIME AS OF t.v ON t.k = u.k", "`t.v`", "a column of the left table"),
    ("SELECT t.k FROM t FULL JOIN u ^FOR SYSTEM_TIME AS OF t.ts ON t.k = u.k", "FULL JOIN", "JOIN or LEFT JOIN"),
    ("SELECT t.k FROM t JOIN u ^FOR SYSTEM_TIME AS OF t.ts ON t.k > u.k", "equal columns", "ON left.x = right.y"),
    ("SELECT t.k FROM t, ^u FOR SYSTEM_TIME AS OF t.ts", "right side of a JOIN", "constant TIMESTAMP"),
    ("SELECT t.k FROM t JOIN u FOR SYSTEM_TIME AS OF t.^nope ON t.k = u.k", "`nope`", "does not exist"),
    ("SELECT * FROM TABLE(TUMBLE(TABLE texts, DESCRIPTOR(^ts), INTERVAL '1' MINUTE))", "`ts` is STRING", "TIMESTAMP"),
    (
        "INSERT INTO sink SELECT window_start, count(*) FROM TABLE(TUMBLE(TABLE ^plain, DESCRIPTOR(ts), INTERVAL '1' "
        "MINUTE)) GROUP BY window_start, window_end",
        "never close",
        "declare one",
    ),
    ("SELECT k, ^rand() FROM u", "`rand`", "store it in a column"),
    ("SELECT k, ^now() FROM t", "`now`", "a column of the rows"),
    ("SELECT k, sum(^rand()) FROM t GROUP BY k", "`rand`", "store it in a column"),
]


@pytest.fixture(scope="module")
def con(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    with tsdb.connect(str(tmp_path_factory.mktemp("refused"))) as connection:
        connection.execute(DDL)
        connection.execute("SET 'execution.mode' = 'streaming'")
        yield connection


@pytest.mark.parametrize(("marked", "what", "advice"), REFUSED, ids=[what for _, what, _ in REFUSED])
def test_error_says_what_where_and_what_to_do(con: Connection, marked: str, what: str, advice: str) -> None:
    with pytest.raises(tsdb.Error) as caught:
        con.execute(marked.replace("^", ""))
    err = caught.value
    assert what in err.message and advice in err.message
    assert err.position is not None and err.position.line == 1
    assert marked.replace("^", "")[err.position.column - 1 :].startswith(marked.partition("^")[2][:3])
    assert con.execute("SHOW JOBS").fetchall() == []


def test_a_stream_without_end_is_not_fetched_whole(con: Connection) -> None:
    with con.cursor() as cursor:
        cursor.execute("SELECT k FROM t")
        with pytest.raises(tsdb.ProgrammingError, match=r"never end.*fetchmany.*scan\.bounded\.mode"):
            cursor.fetchall()


def test_a_source_that_vanishes_fails_the_job_with_its_name(tmp_path: Path) -> None:
    with tsdb.connect(str(tmp_path)) as connection:
        connection.execute("CREATE TABLE src (k INT); CREATE TABLE copy (k INT); INSERT INTO src VALUES (1)")
        connection.execute("SET 'execution.mode' = 'streaming'; INSERT INTO copy SELECT k FROM src")
        (job,) = connection.jobs()
        job.checkpoint(20)
        connection.execute("DROP TABLE src")
        with pytest.raises(tsdb.OperationalError, match="src"):
            job.wait(20)
        connection.execute("SET 'execution.mode' = 'batch'")
        ((_, _, status, *_, error),) = connection.execute("SHOW JOBS").fetchall()
        assert status == "FAILED" and "src" in str(error)
        assert connection.execute("SELECT k FROM copy").fetchall() == [(1,)]
