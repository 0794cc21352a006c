"""Streams that wait for their tables, together: one of them looks for all, the others sleep.

Each stream has a thread of its own. If each looked by itself, hundreds of them would keep the processor busy although
nothing comes. So the first that waits leads: it asks for every guest whether what it waits for is there, a file for
each table, and a file that several wait for is asked for once. When what the leader itself waits for has come, another
leads. There is no thread besides, and a lone stream looks for itself as if there were no room.
"""

import os
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Protocol

PARK_S = 1.0
"""After so long a guest goes and looks by itself: at what no file tells."""

_PAUSE_PER_LOOK = 10

Sign = tuple[Hashable, Callable[[], bool]]
"""What tells that something has come: guests with the same first part wait for the same."""


class Guest(Protocol):
    """Who waits."""

    @property
    def signs(self) -> Sequence[Sign]:
        """What it waits for; any of them will do."""
        ...

    @property
    def bell(self) -> threading.Event:
        """Its own, rung when it may go or has to lead."""
        ...

    @property
    def pause_s(self) -> float:
        """How long it can be left alone now."""
        ...

    def wants_to_go(self) -> bool:
        """Whether it has another reason to go: a stop, a deadline."""
        ...


class WaitingRoom:
    """See the module. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._guests: dict[int, Guest] = {}
        self._leader: Guest | None = None
        self._pause_s = 0.0
        self._hurry = threading.Event()

    def wait(self, guest: Guest) -> None:
        """Stay until a sign is there, the guest wants to go, or it has been here for long."""
        guest.bell.clear()
        with self._lock:
            self._guests[id(guest)] = guest
            if self._leader is None:
                self._leader = guest
            elif guest.pause_s < self._pause_s:
                self._hurry.set()
        try:
            if self._leader is not guest:
                guest.bell.wait(PARK_S)
            if self._leader is guest:
                self._lead(guest)
        finally:
            self._leave(guest)

    def hurry(self) -> None:
        """Somebody may want to go: look now."""
        self._hurry.set()

    def forget(self) -> None:
        """After a fork: the threads that were here are those of the other process."""
        self.__init__()  # type: ignore[misc]

    def _leave(self, guest: Guest) -> None:
        with self._lock:
            self._guests.pop(id(guest), None)
            if self._leader is not guest:
                return
            self._leader = next(iter(self._guests.values()), None)
            if self._leader is not None:
                self._leader.bell.set()

    def _lead(self, guest: Guest) -> None:
        left_s = PARK_S
        while left_s > 0:
            self._hurry.clear()
            began_s = time.thread_time()
            if guest in self._look():
                return
            cost_s = time.thread_time() - began_s
            with self._lock:
                wanted_s = min(other.pause_s for other in self._guests.values())
            self._pause_s = max(wanted_s, cost_s * _PAUSE_PER_LOOK)
            self._hurry.wait(self._pause_s)
            left_s -= self._pause_s

    def _look(self) -> list[Guest]:
        """Those who go; all but the leader are told, and are no guests any more."""
        with self._lock:
            guests = list(self._guests.values())
        there: dict[Hashable, bool] = {}
        going = [guest for guest in guests if guest.wants_to_go() or _any_there(guest.signs, there)]
        with self._lock:
            for guest in going:
                if guest is not self._leader:
                    self._guests.pop(id(guest), None)
                    guest.bell.set()
        return going


def _any_there(signs: Sequence[Sign], there: dict[Hashable, bool]) -> bool:
    """there: what was found in this round."""
    for key, is_there in signs:
        if key not in there:
            try:
                there[key] = is_there()
            except Exception:  # who waits for it looks by itself, and fails if it has to
                there[key] = True
        if there[key]:
            return True
    return False


ROOM = WaitingRoom()
"""Of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=ROOM.forget)
