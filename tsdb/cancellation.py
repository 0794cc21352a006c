"""Ending a running statement from another thread.

Python cannot stop a thread. So a statement that runs is told (`Cancellation.cancel`), whoever waits for it is woken,
and whatever takes long asks now and then (`check_cancelled`): a writer before each slice of rows, a merge before each
step; what it does in one long piece it does on another thread (`apart`). Threads that work for a statement carry its
cancellation with them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar, Token
from queue import SimpleQueue
from typing import Generic, Protocol, Self, TypeVar, cast
from weakref import WeakSet

from tsdb.errors import Cancelled

_Result = TypeVar("_Result")
_CANCELLED = "the statement was cancelled"


class Wait(Protocol):
    """Somebody waits for something that `cancel` brings at once, from any thread."""

    def cancel(self) -> None:
        """Wake who waits."""
        ...


class Cancellation:
    """A running statement, or a part of one, as a context: `cancel` ends what runs inside.

    Parts that are made inside of another one end with it. May be entered by one thread at a time.
    """

    def __init__(self) -> None:
        self._whole = _RUNNING.get()
        self._cancelled = False
        self._lock = threading.Lock()
        self._waits: WeakSet[Wait] = WeakSet()
        self._tokens: list[Token[Cancellation | None]] = []

    def __enter__(self) -> Self:
        self._tokens.append(_RUNNING.set(self))
        return self

    def __exit__(self, *_: object) -> None:
        _RUNNING.reset(self._tokens.pop())

    @property
    def cancelled(self) -> bool:
        """Whether it, or what it is a part of, has been told to end."""
        return self._cancelled or (self._whole is not None and self._whole.cancelled)

    def add(self, wait: Wait) -> None:
        """Something inside is going to wait."""
        with self._lock:
            self._waits.add(wait)
            if self._cancelled:
                wait.cancel()
        if self._whole is not None:
            self._whole.add(wait)

    def cancel(self) -> None:
        """End it from any thread; what it has committed stays."""
        with self._lock:
            self._cancelled = True
            for wait in list(self._waits):
                wait.cancel()


_RUNNING: ContextVar[Cancellation | None] = ContextVar("running", default=None)


def cancelled_with_statement(wait: Wait) -> None:
    """If a statement runs here, `cancel` will be called on the wait when the statement is cancelled."""
    running = _RUNNING.get()
    if running is not None:
        running.add(wait)


def check_cancelled() -> None:
    """Raises Cancelled if the statement that runs here has been told to end. Call it where nothing is half done."""
    running = _RUNNING.get()
    if running is not None and running.cancelled:
        raise Cancelled(_CANCELLED)


def apart(work: Callable[[], _Result]) -> _Result:
    """What a long computation gives, or raises; Ctrl-C and `cancel` do not wait for it.

    work: must change nothing that others see, for then it goes on to its end, alone.
    """
    outcome = _Outcome[_Result]()
    cancelled_with_statement(outcome)
    threading.Thread(target=outcome.of, args=(work,), name="tsdb-apart", daemon=True).start()
    return outcome.wait()


class _Outcome(Generic[_Result]):
    """Of a computation on another thread."""

    def __init__(self) -> None:
        self._told: SimpleQueue[tuple[_Result | None, BaseException | None]] = SimpleQueue()

    def of(self, work: Callable[[], _Result]) -> None:
        """Compute."""
        try:
            self._told.put((work(), None))
        except BaseException as err:
            self._told.put((None, err))

    def wait(self) -> _Result:
        """The result, when there is one; raises the computation's error, or Cancelled."""
        result, error = self._told.get()
        if error is not None:
            raise error
        return cast(_Result, result)

    def cancel(self) -> None:
        """Wake who waits."""
        self._told.put((None, Cancelled(_CANCELLED)))
