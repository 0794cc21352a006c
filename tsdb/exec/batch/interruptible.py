"""Waiting that can be interrupted.

DataFusion looks for Ctrl-C between the polls of its runtime; while a join keeps all of its threads busy there are none,
so the interpreter would not answer for minutes. Here the next batch is taken on a thread of its own, and the caller
waits in Python, where signals and `cancel` arrive at once. The thread is left behind with the batch it waits for; it
drops the query when that comes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any

from tsdb.cancellation import cancelled_with_statement

_END = object()
_CANCELLED = object()


class Interruptible:
    """An iterator over what `start` gives. The thread begins with the first item and ends with the last one."""

    def __init__(self, start: Callable[[], Iterator[Any]]) -> None:
        self._start = start
        self._wanted: SimpleQueue[bool] = SimpleQueue()
        self._found: SimpleQueue[tuple[object, BaseException | None]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        cancelled_with_statement(self)

    def next(self) -> Any:
        """The next item; raises StopIteration at the end, InterruptedError after `cancel`, or its own error."""
        if self._thread is None:
            arguments = (_serve, self._start, self._wanted, self._found)
            self._thread = threading.Thread(target=copy_context().run, args=arguments, name="tsdb-query", daemon=True)
            self._thread.start()
        self._wanted.put(True)
        item, error = self._found.get()
        if error is not None:
            raise error
        if item is _CANCELLED:
            raise InterruptedError
        if item is _END:
            raise StopIteration
        return item

    def cancel(self) -> None:
        """Wake whoever waits, and let the thread end."""
        self._found.put((_CANCELLED, None))
        self._wanted.put(False)

    def close(self) -> None:
        """Let the thread end; may be called twice."""
        self._wanted.put(False)

    def __del__(self) -> None:
        self.close()


def _serve(
    start: Callable[[], Iterator[Any]],
    wanted: SimpleQueue[bool],
    found: SimpleQueue[tuple[object, BaseException | None]],
) -> None:
    """Take an item whenever one is wanted. It knows the queues only, so a query that nobody holds any more is freed."""
    items: Iterator[Any] | None = None
    while wanted.get():
        try:
            items = start() if items is None else items
            item = next(items, _END)
        except BaseException as err:
            found.put((None, err))
            return
        found.put((item, None))
        if item is _END:
            return
