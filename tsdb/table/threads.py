"""Work on several buckets at once, and reading while the rows read before are worked on."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import TypeVar

from tsdb.cancellation import Cancellation, check_cancelled
from tsdb.errors import Cancelled

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_threads(work: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """The results in order of the items; one thread a processor. The first failure, an interrupt or the cancellation
    of the statement ends the others at their next step; it comes out when all have ended.
    """
    check_cancelled()
    if len(items) < 2:
        return [work(item) for item in items]
    with Cancellation() as crew, ThreadPoolExecutor(min(len(items), os.cpu_count() or 1), "tsdb-table") as pool:
        futures = [pool.submit(copy_context().run, work, item) for item in items]
        ended: set[Future[_Result]] = set()
        try:
            ended = wait(futures, return_when=FIRST_EXCEPTION).done
        finally:
            if len(ended) < len(futures):
                crew.cancel()
                pool.shutdown(cancel_futures=True)
    failures = [future.exception() for future in futures if not future.cancelled()]
    for failure in sorted((err for err in failures if err is not None), key=lambda err: isinstance(err, Cancelled)):
        raise failure
    return [future.result() for future in futures]


_READERS = ThreadPoolExecutor(os.cpu_count() or 1, "tsdb-read")


def ahead(items: Iterator[_Item]) -> Iterator[_Item]:
    """The same items, the next one being made by another thread while the last is in use."""
    coming = _READERS.submit(next, items, None)
    try:
        while (item := coming.result()) is not None:
            coming = _READERS.submit(next, items, None)
            yield item
    finally:
        if not coming.cancel():
            coming.exception()  # it is over before whoever closes this closes what the items are read from
