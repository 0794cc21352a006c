"""Two hundred streams in one process: each gets each change, and those that wait cost next to nothing."""

import os
import threading
import time
from pathlib import Path

import pytest

import tsdb
from tsdb.exec.streaming.pipeline import Pipeline
from tsdb.exec.streaming.waiting_room import PARK_S

STREAMS, TABLES = 200, 8
SECONDS = 60


class Reader:
    """A streaming query and the thread that reads it."""

    def __init__(self, warehouse: str, number: int) -> None:
        self.con = tsdb.connect(warehouse)
        self.con.execute("SET 'execution.mode' = 'streaming'")
        kind = "count(*), sum(v)" if number % 2 else "id, v"
        self.cursor = self.con.execute(f"SELECT {kind} FROM t{number % TABLES}")
        self.rows: list[tuple[object, ...]] = []
        self.thread = threading.Thread(target=self._read, name=f"reader-{number}")
        self.thread.start()

    def _read(self) -> None:
        try:
            while rows := self.cursor.fetchmany(100):
                self.rows += rows
        except tsdb.InterfaceError:
            pass  # it was closed

    @property
    def newest(self) -> object:
        return self.rows[-1][2] if self.rows else None


def until(condition: object, what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def test_two_hundred_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [0]
    advance = Pipeline.advance

    def counted(self: Pipeline, rows_max: int = 1 << 17) -> object:
        looks[0] += 1
        return advance(self, rows_max)

    monkeypatch.setattr(Pipeline, "advance", counted)
    threads, files = threading.active_count(), _open_files()
    with tsdb.connect(str(tmp_path)) as con:
        for table in range(TABLES):
            con.execute(
                f"CREATE TABLE t{table} (id INT, v BIGINT, PRIMARY KEY (id) NOT ENFORCED) WITH ('bucket' = '1')"
            )
            con.execute(f"INSERT INTO t{table} VALUES (0, 1)")
        readers = [Reader(str(tmp_path), number) for number in range(STREAMS)]
        until(lambda: all(r.newest == 1 for r in readers), "each has the state")
        assert threading.active_count() <= threads + STREAMS + 2, "a thread each, of the reader"
        assert _open_files() <= files + 20
        began, before = time.monotonic(), looks[0]
        while time.monotonic() - began < 1.0:
            time.sleep(0.05)
        elapsed = time.monotonic() - began
        assert looks[0] - before <= STREAMS * (elapsed / PARK_S + 2), "who waits is left alone"
        for value in (2, 3):
            for table in range(TABLES):
                con.execute(f"INSERT INTO t{table} VALUES (0, {value})")
            until(lambda value=value: all(r.newest == value for r in readers), "each has the change")
        for number, reader in enumerate(readers):
            values = [row[-1] for row in reader.rows]
            assert values in ([1, 1, 2, 2, 3], [1, 1, 3]), (number, values)
        for reader in readers:
            reader.con.close()
        for reader in readers:
            reader.thread.join(SECONDS)
    until(lambda: threading.active_count() <= threads, "all threads have ended")


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


@pytest.mark.parametrize(
    ("query", "by_file"),
    [
        ("SELECT id, at FROM w", True),
        ("SELECT window_start, count(*) FROM TUMBLE(TABLE w, DESCRIPTOR(at), INTERVAL '1' MINUTE) "
         "GROUP BY window_start, window_end", True),
        ("SELECT id, at FROM w /*+ OPTIONS('table.exec.source.idle-timeout' = '1 s') */ ", False),
        ("SELECT count(*) FROM w AS a JOIN w AS b ON a.id = b.id", True),
    ],
    ids=["rows", "windows", "idle", "join"],
)  # fmt: skip
def test_who_waits_for_a_file_only(tmp_path: Path, query: str, by_file: bool) -> None:
    """What the clock moves, too, is looked at by itself."""
    with tsdb.connect(str(tmp_path)) as con:
        con.execute("CREATE TABLE w (id INT, at TIMESTAMP(3), WATERMARK FOR at AS at - INTERVAL '5' SECOND)")
        con.execute("SET 'execution.mode' = 'streaming'")
        cursor = con.execute(query)
        cursor.poll(0)
        assert (cursor._result._pipeline.signs is not None) == by_file  # type: ignore[union-attr]
        con.execute("SET 'execution.mode' = 'batch'")
        for minute in (0, 2):
            con.execute(f"INSERT INTO w VALUES ({minute}, TIMESTAMP '2024-01-01 00:0{minute}:00')")
        assert cursor.poll(10).num_rows
