"""Pauses between looks at sources that cannot tell when something comes."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tsdb import clock

WAIT_MIN_S = 0.001
WAIT_MAX_S = 0.005
WAIT_IDLE_S = 0.020
WAIT_SLOW_S = 0.5
_IDLE_AFTER_S = 5.0
_PAUSE_PER_LOOK = 10
_LOOKS = 10


class Waiter:
    """Pauses between looks at sources, a tenth of the time since something came, within bounds; `stop` ends them.

    So what comes in a rhythm is seen soon after it came, whatever the rhythm. A look that takes long (a directory of
    thousands of files) is followed by a pause ten times as long, so that waiting costs a tenth of a core at most.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self.reset()

    def reset(self) -> None:
        """Something came: look again soon."""
        self._since_s = clock.current().monotonic_s()
        self._look_s = 0.0

    @contextmanager
    def look(self) -> Iterator[None]:
        """Around a look at the sources: measures the processor time that it takes."""
        began_s = time.thread_time()
        yield
        self._look_s = time.thread_time() - began_s

    def wait(self, deadline_s: float | None = None) -> bool:
        """Pause; False if the deadline (of the monotonic clock) is reached."""
        now = clock.current().monotonic_s()
        waited = now - self._since_s
        pause = WAIT_IDLE_S if waited > _IDLE_AFTER_S else min(max(waited / _LOOKS, WAIT_MIN_S), WAIT_MAX_S)
        if self._look_s > WAIT_MIN_S:
            pause = max(pause, min(self._look_s * _PAUSE_PER_LOOK, WAIT_SLOW_S))
        if deadline_s is not None:
            if now >= deadline_s:
                return False
            pause = min(pause, deadline_s - now)
        self._stop.wait(pause)
        return True
