"""Pauses between looks at sources."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tsdb import clock
from tsdb.exec.streaming.waiting_room import ROOM, Sign

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
    Where signs tell that something has come, streams wait for them together; see `waiting_room.py`.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._nudged = False
        self._until_s: float | None = None
        self.bell = threading.Event()
        self.signs: Sequence[Sign] = ()
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

    def wait(self, deadline_s: float | None = None, signs: Sequence[Sign] | None = None) -> bool:
        """Pause; False if the deadline (of the monotonic clock) is reached.

        signs: what tells that something has come; None: nothing does, so the pause is a short one.
        """
        now = clock.current().monotonic_s()
        if deadline_s is not None and now >= deadline_s:
            return False
        if signs is not None and not self._nudged:
            self._until_s, self.signs = deadline_s, signs
            ROOM.wait(self)
            self.signs = ()
        elif not self._nudged:
            pause = self.pause_s
            if self._look_s > WAIT_MIN_S:
                pause = max(pause, min(self._look_s * _PAUSE_PER_LOOK, WAIT_SLOW_S))
            self._stop.wait(pause if deadline_s is None else min(pause, deadline_s - now))
        self._nudged = False
        return True

    def nudge(self) -> None:
        """From any thread: look at once."""
        self._nudged = True
        ROOM.hurry()

    @property
    def pause_s(self) -> float:
        """How long the sources can be left alone now."""
        waited = clock.current().monotonic_s() - self._since_s
        pause = WAIT_IDLE_S if waited > _IDLE_AFTER_S else min(max(waited / _LOOKS, WAIT_MIN_S), WAIT_MAX_S)
        if self._until_s is None:
            return pause
        return min(pause, max(self._until_s - clock.current().monotonic_s(), 0.0))

    def wants_to_go(self) -> bool:
        """Whether the pause must end: by a stop, a nudge, or the deadline."""
        if self._stop.is_set() or self._nudged:
            return True
        return self._until_s is not None and clock.current().monotonic_s() >= self._until_s
