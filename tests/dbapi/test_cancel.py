"""A statement ends when another thread cancels it, wherever it is; what it had not committed has not happened."""

import threading
import time
from pathlib import Path

import pytest

import tsdb
from tsdb.interruption import Interrupted, Interruption
from tsdb.table.threads import in_threads

ROWS = 30_000_000
SLOW = {
    "insert": f"INSERT INTO t SELECT value, value * 2.5 FROM generate_series(1, {ROWS})",
    "overwrite": f"INSERT OVERWRITE t SELECT value, 0.5 FROM generate_series(1, {ROWS})",
    "create": f"CREATE TABLE n AS SELECT value FROM generate_series(1, {4 * ROWS})",
    "update": "UPDATE t SET v = v + (SELECT count(*) FROM generate_series(1, 300000) a, generate_series(1, 300000) b "
    "WHERE a.value + b.value < 0)",
    "query": f"SELECT value % 1000003, count(*) FROM generate_series(1, {4 * ROWS}) GROUP BY 1 ORDER BY 2",
}


@pytest.mark.parametrize("what", SLOW)
def test_a_statement_is_cancelled_while_it_runs(what: str, tmp_path: Path) -> None:
    con = tsdb.connect(tmp_path)
    con.execute("CREATE TABLE t (k BIGINT, v DOUBLE, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '2')")
    con.execute("INSERT INTO t VALUES (1, 1.0), (2, 2.0)")
    cursor, ended = con.cursor(), []

    def run() -> None:
        try:
            cursor.execute(SLOW[what])
            cursor.fetchall()
        except tsdb.Error as err:
            ended.append(err)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.4)
    cursor.cancel()
    thread.join(timeout=60)
    assert [type(err) for err in ended] == [tsdb.Cancelled]
    assert con.execute("SELECT * FROM t ORDER BY k").fetchall() == [(1, 1.0), (2, 2.0)]
    assert con.execute("SELECT count(*) FROM t$snapshots").fetchone() == (1,)
    assert con.execute("SHOW TABLES").fetchall() == [("t",)]
    assert cursor.execute("SELECT 5").fetchone() == (5,)
    con.close()


def test_an_interrupt_ends_the_threads_of_a_pool() -> None:
    interruption, begun, ended = Interruption(), threading.Barrier(3), []

    def work(number: int) -> None:
        begun.wait()
        try:
            while True:
                time.sleep(0.001)
        finally:
            ended.append(number)

    def cancel() -> None:
        begun.wait()
        assert interruption.send()

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(Interrupted), interruption.accepted():
        in_threads(work, [1, 2])
    thread.join()
    while len(ended) < 2:  # they are told, and end by themselves
        time.sleep(0.001)
    assert sorted(ended) == [1, 2]


def test_nobody_is_interrupted_who_does_nothing() -> None:
    interruption = Interruption()
    assert not interruption.send()
    with interruption.accepted():
        pass
    assert not interruption.send()
    with tsdb.connect() as con:
        cursor = con.cursor()
        cursor.cancel()
        assert cursor.execute("SELECT 1").fetchall() == [(1,)]
