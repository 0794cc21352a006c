"""The time after which state that nothing has touched is dropped: 'table.exec.state.ttl'.

What is dropped is dropped in silence: the results that were given stay as they are, and a key that comes again begins
anew. A retraction of something that is not there any more is left out, so what was given is never taken back twice.
Time is processing time, from the clock; keys are told by their hashes, so a collision lets a key live longer.

Source: Flink, state TTL (updated on write, never returned once expired).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from tsdb import clock
from tsdb.changes import ChangeBatch, consolidate, plus
from tsdb.exec.streaming.arrangement import Arrangement
from tsdb.exec.streaming.graph import RunStore
from tsdb.row_hash import I64, U64, Mask

_SWEEPS = 16
"""So often in the time to live the state is gone through, at most."""


@runtime_checkable
class Expiring(Protocol):
    """An operator whose state is dropped when nothing has touched it for the time to live."""

    def expire(self) -> None:
        """Drop what is due, before the rows of a step come."""
        ...


class LastWrites:
    """When each key was last touched, in runs by hash that are merged geometrically."""

    def __init__(self, ttl_ms: int) -> None:
        """ttl_ms: after so long a key is due."""
        self.ttl_ms = ttl_ms
        self._runs: list[_Writes] = []
        self._least = 0
        self._swept = -ttl_ms

    @property
    def size_bytes(self) -> int:
        """Bytes of all runs."""
        return sum(16 * len(run.hashes) for run in self._runs)

    def touch(self, hashes: U64) -> None:
        """These keys are touched now."""
        if not len(hashes):
            return
        now = clock.current().now_ms()
        self._least = min(self._least, now) if self._runs else now
        self._runs.append(_Writes(*_latest(hashes, np.full(len(hashes), now, np.int64))))
        while len(self._runs) > 1 and len(self._runs[-2].hashes) <= 2 * len(self._runs[-1].hashes):
            self._runs[-2:] = [_merged(self._runs[-2:])]

    def take_due(self) -> U64:
        """The keys that nothing has touched for so long, ascending; they are known no more."""
        now = clock.current().now_ms()
        if not self._runs or now < self._least + self.ttl_ms or now < self._swept + self.ttl_ms // _SWEEPS:
            return np.empty(0, np.uint64)
        self._swept = now
        whole = _merged(self._runs)
        due = whole.times + self.ttl_ms <= now
        kept = whole.times[~due]
        self._runs = [_Writes(whole.hashes[~due], kept)] if len(kept) else []
        self._least = int(kept.min()) if len(kept) else 0
        return whole.hashes[due]

    def checkpoint(self, store: RunStore) -> list[str]:
        """The names of the runs; only new ones are put into the store."""
        for run in self._runs:
            if run.stored is None:
                run.stored = store.put(pa.table({"hash": run.hashes, "time": run.times}))
        return [run.stored for run in self._runs if run.stored is not None]

    def restore(self, names: Sequence[str], store: RunStore) -> None:
        """Take the runs of a checkpoint."""
        self._runs = []
        for name in names:
            table = store.get(name)
            hashes, times = (np.array(table.column(c).to_numpy()) for c in ("hash", "time"))
            self._runs.append(_Writes(hashes, times, name))
        self._least = min((int(run.times.min()) for run in self._runs), default=0)


class _Writes:
    """hashes: ascending, each once; times: of the last touch, in epoch milliseconds."""

    __slots__ = ("hashes", "stored", "times")

    def __init__(self, hashes: U64, times: I64, stored: str | None = None) -> None:
        self.hashes, self.times, self.stored = hashes, times, stored


def among(hashes: U64, ascending: U64) -> Mask:
    """Which of the hashes are among others."""
    at = np.minimum(np.searchsorted(ascending, hashes), len(ascending) - 1)
    return np.asarray(ascending[at] == hashes)


def dropped(arrangement: Arrangement, due: U64) -> ChangeBatch:
    """Take the rows of keys with these hashes out of an arrangement; returns them."""
    found = consolidate(arrangement.under(due))
    arrangement.insert(ChangeBatch(found.rows, -found.weights))
    return found


def without_unknown(delta: ChangeBatch, arrangement: Arrangement, keys: Sequence[pa.Array], hashes: U64) -> ChangeBatch:
    """The delta without retractions of rows that the arrangement does not have. keys: distinct ones of the delta, with
    their hashes; all rows of the delta that are meant for the arrangement are under them.
    """
    if not (delta.weights < 0).any():
        return delta
    found = arrangement.lookup(keys, hashes)
    return without_missing(ChangeBatch(found.rows, found.weights), delta)


def without_missing(before: ChangeBatch, delta: ChangeBatch) -> ChangeBatch:
    """The delta without retractions of rows that are not there. before: what is there, as far as the delta matters."""
    if not (delta.weights < 0).any():
        return delta
    total = consolidate(plus([before, delta], delta.schema))
    missing = np.flatnonzero(total.weights < 0)
    if not len(missing):
        return delta
    unknown = ChangeBatch(total.rows.take(pa.array(missing)), -total.weights[missing])
    return consolidate(plus([delta, unknown], delta.schema))


def _merged(runs: Sequence[_Writes]) -> _Writes:
    if len(runs) == 1:
        return runs[0]
    return _Writes(*_latest(np.concatenate([r.hashes for r in runs]), np.concatenate([r.times for r in runs])))


def _latest(hashes: U64, times: I64) -> tuple[U64, I64]:
    order = np.lexsort((times, hashes))
    hashes, times = hashes[order], times[order]
    last = np.flatnonzero(np.concatenate([hashes[1:] != hashes[:-1], [True]]))
    return hashes[last], times[last]


def keys_due(writes: LastWrites | None) -> U64:
    """The hashes of the keys that an operator drops now, ascending."""
    return np.empty(0, np.uint64) if writes is None else writes.take_due()


def ttl_text(writes: LastWrites | None) -> str:
    """For the description of an operator."""
    return "" if writes is None else f" ttl={writes.ttl_ms} ms"


def writes_kept(writes: LastWrites | None, store: RunStore) -> dict[str, Any]:
    """For the manifest of an operator."""
    return {} if writes is None else {"writes": writes.checkpoint(store)}


def writes_found(writes: LastWrites | None, manifest: dict[str, Any], store: RunStore) -> None:
    """What the manifest of an operator says."""
    if writes is not None:
        writes.restore(manifest["writes"], store)


_CURRENT: ContextVar[int] = ContextVar("state_ttl", default=0)


def last_writes() -> LastWrites | None:
    """For an operator that is being compiled: where it keeps what was touched when; None: state lives for ever."""
    return LastWrites(_CURRENT.get()) if _CURRENT.get() else None


def current_ttl_ms() -> int:
    """The time to live for operators that are being compiled; 0: for ever."""
    return _CURRENT.get()


@contextmanager
def state_ttl(ttl_ms: int) -> Iterator[None]:
    """Operators that are made within drop what nothing has touched for so long; 0: never."""
    token: Any = _CURRENT.set(ttl_ms)
    try:
        yield
    finally:
        _CURRENT.reset(token)
