"""`cursor.cancel()` from another thread, while `execute()` itself runs."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import tsdb
from tsdb.dbapi.cursor import Cursor
from tsdb.errors import Cancelled

SOURCE = "SELECT value AS k, wait(value) AS v FROM generate_series(1, 100000)"


class Gate:
    """A Python function in the plan: tells that it runs, and waits until it is let go."""

    def __init__(self) -> None:
        self.runs, self.go = threading.Event(), threading.Event()

    def wait(self, value: int) -> int:
        self.runs.set()
        self.go.wait(30)
        return value


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.go.set()


def cancelled(cursor: Cursor, text: str, gate: Gate) -> float:
    """Seconds from cancel() until execute() raised Cancelled."""
    called: list[float] = []

    def cancel() -> None:
        gate.runs.wait(30)
        called.append(time.monotonic())
        cursor.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(Cancelled):
        cursor.execute(text)
    ended = time.monotonic()
    thread.join()
    return ended - called[0]


@pytest.mark.parametrize(
    "text",
    [
        f"INSERT INTO t {SOURCE}",
        f"INSERT OVERWRITE t {SOURCE}",
        f"CREATE TABLE made AS {SOURCE}",
        "UPDATE t SET v = wait(v) WHERE k > 1",
        "DELETE FROM t WHERE wait(v) > 1",
        f"MERGE INTO t USING ({SOURCE}) s ON t.k = s.k WHEN MATCHED THEN UPDATE SET v = s.v",
    ],
)
def test_a_statement_that_writes_leaves_the_table_as_it_was(tmp_path: Path, gate: Gate, text: str) -> None:
    with tsdb.connect(str(tmp_path)) as con:
        con.create_function("wait", gate.wait, ["BIGINT"], "BIGINT")
        con.execute("CREATE TABLE t (k BIGINT, v BIGINT, PRIMARY KEY (k) NOT ENFORCED)")
        con.execute("INSERT INTO t VALUES (1, 10), (2, 20), (3, 30)")
        cursor = con.cursor()
        took = cancelled(cursor, text, gate)
        assert took < 10  # it is some milliseconds; the machine may be loaded. The gate alone is 30
        gate.go.set()
        assert cursor.execute("SELECT k, v FROM t ORDER BY k").fetchall() == [(1, 10), (2, 20), (3, 30)]
        assert cursor.execute("SELECT count(*) FROM t$snapshots").fetchall() == [(1,)]
        assert cursor.execute("SHOW TABLES LIKE 'made'").fetchall() == []
        print(f"{text.split()[0]}: {took * 1000:.1f} ms")
