"""Work on several buckets at once, and reading while the rows read before are worked on."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from tsdb.interruption import Crew, wait_for

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_threads(work: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """The results in order of the items; one thread a processor. The first exception comes out when all have ended.

    An interrupt, Ctrl-C or a statement that is cancelled, ends the threads, too.
    """
    if len(items) < 2:
        return [work(item) for item in items]
    crew = Crew()
    pool = ThreadPoolExecutor(min(len(items), os.cpu_count() or 1), "tsdb-table")
    try:
        futures = [pool.submit(crew.member, partial(work, item)) for item in items]
        wait_for(futures)
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)
        crew.interrupt()
        wait_for(futures, timeout_s=_END_S)
        raise
    pool.shutdown()
    return [future.result() for future in futures]


_END_S = 0.1
"""How long an interrupt waits for threads: one that sorts millions of rows ends, and deletes its file, a bit later."""

_READERS = ThreadPoolExecutor(os.cpu_count() or 1, "tsdb-read")


def ahead(items: Iterator[_Item]) -> Iterator[_Item]:
    """The same items, the next one being made by another thread while the last is in use."""
    coming = _READERS.submit(next, items, None)
    try:
        while (item := _result(coming)) is not None:
            coming = _READERS.submit(next, items, None)
            yield item
    finally:
        if not coming.cancel():
            coming.exception()  # it is over before whoever closes this closes what the items are read from


def _result(future: Future[_Result]) -> _Result:
    wait_for([future])
    return future.result()
