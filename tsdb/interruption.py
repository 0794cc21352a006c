"""Ending what a thread does from another one, as Ctrl-C ends what the main thread does.

The exception arrives between two steps of the interpreter, so whoever waits does so in short pieces (`wait_for`).
"""

import ctypes
import math
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import TypeVar

from tsdb import clock

LOOK_S = 0.02
_T = TypeVar("_T")


class Interrupted(KeyboardInterrupt):
    """Another thread asked for the end. Like Ctrl-C no Exception, so nobody takes it for a failure."""


class Interruption:
    """Lets other threads end what one thread does inside of `accepted`. Not to be nested."""

    def __init__(self) -> None:
        self._thread: int | None = None
        self._sent = False
        self._sending = False
        self._one_sends = threading.Lock()

    @contextmanager
    def accepted(self) -> Iterator[None]:
        """Inside, `send` raises Interrupted in this thread, once."""
        thread = threading.get_ident()
        self._sent = False
        self._thread = thread
        try:
            yield
        finally:
            # no lock on this side: an exception that arrives right here would leave it locked
            self._thread = None
            while self._sending:
                clock.current().sleep(LOOK_S / 10)
            _raise_in(thread, None)

    def send(self) -> bool:
        """Interrupt; False if there is nothing to interrupt."""
        with self._one_sends:
            self._sending = True
            try:
                if self._thread is None:
                    return False
                if not self._sent:
                    self._sent = True
                    _raise_in(self._thread, Interrupted)
                return True
            finally:
                self._sending = False


def wait_for(futures: Iterable[Future[_T]], timeout_s: float = math.inf) -> None:
    """Wait until all have ended, or for so long; an interrupt ends the waiting soon."""
    pending = set(futures)
    until_s = clock.current().monotonic_s() + timeout_s
    while pending and clock.current().monotonic_s() < until_s:
        pending = wait_for_futures(pending, timeout=LOOK_S).not_done


def taken_from(queue: SimpleQueue[_T]) -> _T:
    """The next item, when there is one; an interrupt ends the waiting soon."""
    while True:
        try:
            return queue.get(timeout=LOOK_S)
        except Empty:
            continue


class Crew:
    """Threads of a pool that work for this one, and are interrupted with it."""

    def __init__(self) -> None:
        self._threads: set[int] = set()

    def member(self, work: Callable[[], _T]) -> _T:
        """Do the work in this thread."""
        thread = threading.get_ident()
        self._threads.add(thread)
        try:
            return work()
        finally:
            self._threads.discard(thread)

    def interrupt(self) -> None:
        """End what they do."""
        for thread in list(self._threads):
            _raise_in(thread, Interrupted)


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    """None: takes back what has not arrived."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), ctypes.py_object() if error is None else ctypes.py_object(error)
    )
