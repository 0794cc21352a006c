"""How long a call waits for a broker: in turns, and only a moment longer once whoever asked wants to end.

Between a job and the client that waits for it lie the table, its log and the commit, so the one who asks stands in a
context variable. It hears on the way what is waited for.
"""

from collections.abc import Iterator
from contextvars import ContextVar
from typing import Protocol

from tsdb import clock
from tsdb.errors import OperationalError

HURRY_S = 1.0
"""How long a call still waits when whoever asked wants to end."""

_TURN_S = 0.2
_NOTICED_S = 1.0


class Asker(Protocol):
    """Who asks a broker, and may want to end before it answers."""

    @property
    def wants_to_end(self) -> bool:
        """Nobody is interested in the answer any more."""
        ...

    def waiting_for(self, what: str) -> None:
        """Called again and again while an answer takes longer than usual."""
        ...


class GaveUp(OperationalError):
    """Whoever asked wants to end, and the broker has not answered."""

    code = "GAVE_UP"


_asker: ContextVar[Asker | None] = ContextVar("kafka_asker", default=None)


def asks(asker: Asker) -> None:
    """From now on what this thread wants of brokers is asked for by it."""
    _asker.set(asker)


def turns(what: str, seconds: float) -> Iterator[float]:
    """Lengths of waits, one after the other, for `seconds` in all. what: is waited for, as in "it waits for …".

    Raises GaveUp.
    """
    asker, now_s = _asker.get(), clock.current().monotonic_s
    begun_s = now_s()
    end_s, hurry_s = begun_s + seconds, None
    while (left_s := end_s - now_s()) > 0:
        if asker is not None:
            if asker.wants_to_end and hurry_s is None:
                hurry_s = now_s() + HURRY_S
            if hurry_s is not None and now_s() > hurry_s:
                raise GaveUp(f"it was to end while it waited for {what}")
            if now_s() - begun_s > _NOTICED_S:
                asker.waiting_for(what)
        yield min(left_s, _TURN_S)
