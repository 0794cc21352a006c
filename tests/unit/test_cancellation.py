"""Work that is told to end does so at its next step, on every thread it has, and leaves nothing behind."""

import threading
import time
from pathlib import Path

import pytest

import tsdb
from tsdb.cancellation import Cancellation, apart, check_cancelled
from tsdb.errors import Cancelled
from tsdb.table.threads import in_threads

ROWS = 3_000_000
SERIES = f"SELECT value * 7919 % {ROWS}, 2.5 FROM generate_series(1, {ROWS})"
STATEMENTS = {
    "insert": f"INSERT INTO t {SERIES}",
    "append": f"INSERT INTO a {SERIES}",
    "overwrite": f"INSERT OVERWRITE t {SERIES}",
    "create": f"CREATE TABLE made WITH ('write-buffer-size' = '1 mb') AS {SERIES}",
    "update": "UPDATE t SET v = v + 1",
    "compact": "CALL sys.compact('default.t')",
    "sort": "CALL sys.compact(`table` => 'default.a', order_strategy => 'zorder', order_by => 'k,v')",
}


def files(warehouse: Path) -> set[Path]:
    return {path for path in warehouse.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_that_writes_files_is_cancelled_and_takes_them_back(name: str, tmp_path: Path) -> None:
    with tsdb.connect(tmp_path) as con:
        con.execute(
            "CREATE TABLE t (k BIGINT, v DOUBLE, PRIMARY KEY (k) NOT ENFORCED) "
            "WITH ('bucket' = '2', 'write-only' = 'true', 'write-buffer-size' = '1 mb')"
        )
        con.execute("CREATE TABLE a (k BIGINT, v DOUBLE) WITH ('write-buffer-size' = '1 mb')")
        for _ in range(2):
            con.execute("INSERT INTO t SELECT value, 1.0 FROM generate_series(1, 400000)")
            con.execute("INSERT INTO a SELECT value, 1.0 FROM generate_series(1, 400000)")
        before = files(tmp_path)
        cursor = con.cursor()
        ended = threading.Event()

        def cancel() -> None:
            while not (files(tmp_path) - before or ended.wait(0.001)):
                pass
            cursor.cancel()

        thread = threading.Thread(target=cancel)
        thread.start()
        try:
            with pytest.raises(Cancelled):
                cursor.execute(STATEMENTS[name])
        finally:
            ended.set()
            thread.join()
        assert files(tmp_path) - before == set()
        assert con.execute("SELECT count(*), sum(v) FROM t").fetchall() == [(400_000, 400_000.0)]
        assert con.execute("SELECT count(*) FROM a").fetchall() == [(800_000,)]
        assert con.execute("SHOW TABLES").fetchall() == [("a",), ("t",)]
        assert cursor.execute("SELECT 5").fetchall() == [(5,)]


def test_all_threads_of_a_statement_end_with_it() -> None:
    begun, ended = threading.Barrier(3), []

    def work(number: int) -> None:
        begun.wait(30)
        try:
            while True:
                check_cancelled()
                time.sleep(0.001)
        finally:
            ended.append(number)

    statement = Cancellation()
    thread = threading.Thread(target=lambda: (begun.wait(30), statement.cancel()))
    thread.start()
    with pytest.raises(Cancelled), statement:
        in_threads(work, [1, 2])
    thread.join()
    assert sorted(ended) == [1, 2]
    check_cancelled()  # outside of the statement nothing is cancelled


def test_the_failure_of_one_thread_ends_the_others_and_comes_out() -> None:
    begun = threading.Barrier(2)

    def work(number: int) -> None:
        begun.wait(30)
        if number == 2:
            raise ZeroDivisionError
        while True:
            check_cancelled()
            time.sleep(0.001)

    with pytest.raises(ZeroDivisionError):
        in_threads(work, [1, 2])


def test_a_long_computation_is_left_alone() -> None:
    begun, go = threading.Event(), threading.Event()

    def work() -> int:
        begun.set()
        go.wait(30)
        return 7

    statement = Cancellation()
    thread = threading.Thread(target=lambda: (begun.wait(30), statement.cancel()))
    thread.start()
    with pytest.raises(Cancelled), statement:
        apart(work)
    thread.join()
    go.set()
    assert apart(work) == 7
    with pytest.raises(ZeroDivisionError):
        apart(lambda: 1 // 0)


def test_a_cancelled_script_begins_no_further_statement(tmp_path: Path) -> None:
    with tsdb.connect(tmp_path) as con:
        cursor = con.cursor()
        con.create_function("stop", lambda x: cursor.cancel() or x, ["BIGINT"], "BIGINT")
        con.execute("CREATE TABLE t (k BIGINT)")
        with pytest.raises(Cancelled):
            cursor.execute("INSERT INTO t SELECT stop(value) FROM generate_series(1, 10); CREATE TABLE u (k BIGINT)")
        assert con.execute("SHOW TABLES").fetchall() == [("t",)]
        assert con.execute("SELECT count(*) FROM t").fetchall() == [(0,)]
        with pytest.raises(Cancelled):
            cursor.executemany("INSERT INTO t SELECT stop(?)", [(1,), (2,)])
        assert con.execute("SELECT count(*) FROM t").fetchall() == [(0,)]
