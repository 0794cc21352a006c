"""Whoever waits for a batch can be woken, and a query that nobody holds is freed."""

import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from tsdb.errors import Cancelled
from tsdb.exec.batch.interruptible import Interruptible
from tsdb.exec.result import BatchResult


class Stream:
    """1, 2, then it waits until it is let go."""

    def __init__(self, go: threading.Event) -> None:
        self.go = go

    def __iter__(self) -> Iterator[int]:
        yield 1
        yield 2
        self.go.wait(20)


def test_items_then_the_end_then_errors() -> None:
    items = Interruptible(lambda: iter([1, 2]))
    assert [items.next(), items.next()] == [1, 2]
    with pytest.raises(StopIteration):
        items.next()
    failing = Interruptible(lambda: (1 // 0 for _ in "x"))
    with pytest.raises(ZeroDivisionError):
        failing.next()


def test_cancel_wakes_the_reader_at_once() -> None:
    go = threading.Event()
    items = Interruptible(lambda: iter(Stream(go)))
    assert [items.next(), items.next()] == [1, 2]
    threading.Timer(0.05, items.cancel).start()
    started = time.monotonic()
    with pytest.raises(InterruptedError):
        items.next()
    assert time.monotonic() - started < 5
    go.set()


def test_a_query_that_nobody_holds_is_freed() -> None:
    stream = Stream(threading.Event())
    held = weakref.ref(stream)
    items: Interruptible | None = Interruptible(lambda s=stream: iter(s))
    assert items is not None and items.next() == 1
    del stream, items
    deadline = time.monotonic() + 5
    while held() is not None and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    assert held() is None


def test_cancel_of_a_result(ask: Any) -> None:
    result = ask.session.execute_one("SELECT 1")
    assert isinstance(result, BatchResult)
    result.cancel()
    result.cancel()
    with pytest.raises(Cancelled):
        result.reader.read_all()


PROGRAM = """
import tsdb, pyarrow as pa, threading, os, signal, time
con = tsdb.connect()
con.register("t", pa.table({"k": pa.array(range(3_000_000))}))
cursor = con.execute("SELECT count(*) FROM t a JOIN t b ON a.k % 100 = b.k % 100")
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
started = time.monotonic()
try:
    cursor.fetchall()
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - started < 20)
"""


def test_ctrl_c_ends_a_join_that_keeps_all_threads_busy() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout.split()) == (0, ["interrupted", "True"]), done.stderr
