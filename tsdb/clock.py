"""Time, randomness and ids, in one place, so that a test can stop or replay them.

Every module asks `clock.current()`; nothing else in tsdb calls `time.time`, `uuid` or `random`.
"""

import random
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Clock(Protocol):
    """What a clock gives. Implementations are thread-safe."""

    def now_ms(self) -> int:
        """Wall-clock milliseconds since the epoch."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that never go back, for time-outs."""
        ...

    def new_id(self) -> str:
        """A new random UUID, as text."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    def jitter(self) -> float:
        """A random number in [0, 1), for back-off."""
        ...


class SystemClock:
    """The real world."""

    def now_ms(self) -> int:
        """Wall-clock milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def new_id(self) -> str:
        """A new random UUID, as text."""
        return str(uuid.uuid4())

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def jitter(self) -> float:
        """A random number in [0, 1)."""
        return random.random()


_lock = threading.Lock()
_clock: Clock = SystemClock()


def current() -> Clock:
    """The clock in force."""
    return _clock


@contextmanager
def use(clock: Clock) -> Iterator[Clock]:
    """Put `clock` in force for the whole process while the block runs (tests only)."""
    global _clock
    with _lock:
        before, _clock = _clock, clock
    try:
        yield clock
    finally:
        with _lock:
            _clock = before
