"""How much of a dataflow's state stays in memory, and where the rest goes.

The arrangements of one dataflow share a budget. Over it, the largest runs in memory become files without a name that
are mapped: a look-up touches only the pages it needs, the kernel keeps as many of them as it has room for, and nothing
is left behind when the process ends, however it ends. Pages of these files that the process holds are given back
when they are four times the budget and more than half of what the machine could give to others; the kernel takes them
back sooner if it must. Giving back what is read again costs more than the reading.
"""

import mmap
import os
import re
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from tsdb.errors import OperationalError
from tsdb.row_hash import I64

_LEAST_RUN_BYTES = 64 << 10
_STATM = "/proc/self/statm"
_MEMINFO = "/proc/meminfo"
_LOOKS = 16
"""The pages are counted every so many look-ups."""

_PAGES = 4
"""So many times the budget may be pages of mapped files, however little memory there is."""


class Spillable(Protocol):
    """What can move its largest part from memory to disk."""

    @property
    def largest_bytes(self) -> int:
        """The size of that part."""
        ...

    def spill(self) -> None:
        """Move it."""
        ...


class StateMemory:
    """The budget of one dataflow; used by its thread only."""

    def __init__(self, limit_bytes: int) -> None:
        """limit_bytes: what may be in memory; runs of less than a part of it are not worth a file."""
        self.limit_bytes = limit_bytes
        self._least_bytes = min(_LEAST_RUN_BYTES, limit_bytes // 16)
        self._members: list[Spillable] = []
        self._held: dict[int, int] = {}
        self._total = 0
        self._maps: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()
        self._looks = 0

    def join(self, member: Spillable) -> int:
        """A new part of the state; returns its number."""
        self._members.append(member)
        return len(self._members) - 1

    def holds(self, member: int, size_bytes: int) -> None:
        """The part has so much in memory now; something may be spilled before this returns."""
        self._total += size_bytes - self._held.get(member, 0)
        self._held[member] = size_bytes
        self.looked()
        if self._total <= self.limit_bytes:
            return
        while self._total > self.limit_bytes // 2:
            largest = max(self._members, key=lambda m: m.largest_bytes)
            if largest.largest_bytes <= self._least_bytes:
                return
            largest.spill()

    def held(self, member: int, size_bytes: int) -> None:
        """Like `holds`, from within a spill."""
        self._total += size_bytes - self._held.get(member, 0)
        self._held[member] = size_bytes

    def write(self, fill: Callable[[pa.NativeFile], None]) -> pa.Buffer:
        """A new mapped file with what `fill` writes."""
        handle, path = tempfile.mkstemp(prefix="tsdb-state-")
        try:
            with pa.OSFile(path, "wb") as file:
                fill(file)
            mapped = mmap.mmap(handle, 0, prot=mmap.PROT_READ)
        except OSError as err:
            raise OperationalError(
                f"state larger than 'execution.state.memory' cannot be written to {os.path.dirname(path)}: {err}; "
                "free space there, or set TMPDIR to a larger place"
            ) from err
        finally:
            os.close(handle)
            os.unlink(path)
        self._maps.add(mapped)
        return pa.py_buffer(mapped)

    def grown(self, arrays: Sequence[I64], capacity: int) -> list[I64] | None:
        """The arrays with zeros behind, in one mapped file, side by side: what belongs to one place is in one page.

        None: they are too small for that.
        """
        size_bytes = capacity * 8 * len(arrays)
        if size_bytes <= self.limit_bytes // 8:
            return None
        handle, path = tempfile.mkstemp(prefix="tsdb-state-")
        try:
            os.ftruncate(handle, size_bytes)
            mapped = mmap.mmap(handle, size_bytes)
        finally:
            os.close(handle)
            os.unlink(path)
        self._maps.add(mapped)
        longer = np.frombuffer(mapped, np.int64).reshape(capacity, len(arrays))
        for column, array in enumerate(arrays):
            longer[: len(array), column] = array
        return list(longer.T)

    def looked(self) -> None:
        """Some pages of mapped files were read."""
        self._looks += 1
        if self._maps and self._looks % _LOOKS == 0:
            self._give_pages_back()

    def _give_pages_back(self) -> None:
        try:
            with open(_STATM) as file:
                pages = int(file.read().split()[2])
        except OSError:
            return
        held = pages * mmap.PAGESIZE
        if held > _PAGES * self.limit_bytes and held > _available_bytes() // 2:
            for mapped in list(self._maps):
                mapped.madvise(mmap.MADV_DONTNEED)


def _available_bytes() -> int:
    """What the machine could give to others, as the kernel estimates it; pages of mapped files are part of it."""
    try:
        with open(_MEMINFO) as file:
            found = re.search(r"MemAvailable:\s+(\d+) kB", file.read())
    except OSError:
        return 0
    return int(found[1]) << 10 if found else 0


_CURRENT: ContextVar[StateMemory | None] = ContextVar("state_memory", default=None)


def current_state_memory() -> StateMemory | None:
    """The budget of the dataflow that is being compiled; None: all state stays in memory."""
    return _CURRENT.get()


def state_memory(limit_bytes: int | None) -> AbstractContextManager[StateMemory | None]:
    """Operators that are made within share a new budget; None: no limit."""
    return sharing(None if limit_bytes is None else StateMemory(limit_bytes))


@contextmanager
def sharing(memory: StateMemory | None) -> Iterator[StateMemory | None]:
    """Operators that are made within share this budget."""
    token: Any = _CURRENT.set(memory)
    try:
        yield memory
    finally:
        _CURRENT.reset(token)
