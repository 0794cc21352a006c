"""Waiting is cheap, whatever a look at the sources costs."""

import threading
import time

from tsdb.exec.streaming.waiter import Waiter


def test_after_a_costly_look_comes_a_longer_pause() -> None:
    waiter = Waiter(threading.Event())
    with waiter.look():
        until = time.thread_time() + 0.01
        while time.thread_time() < until:
            pass
    began = time.monotonic()
    assert waiter.wait()
    assert time.monotonic() - began > 0.09
    waiter.reset()
    began = time.monotonic()
    assert waiter.wait()
    assert time.monotonic() - began < 0.09
