"""Work on several buckets at once, and reading while the rows read before are worked on."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_threads(work: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """The results in order of the items; one thread a processor. The first exception comes out when all have ended."""
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(len(items), os.cpu_count() or 1), "tsdb-table") as pool:
        futures = [pool.submit(work, item) for item in items]
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
