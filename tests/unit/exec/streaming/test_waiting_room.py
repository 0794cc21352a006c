"""Streams that wait together: one asks for all, each goes when its own has come."""

import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest

from tsdb.exec.streaming.waiter import Waiter
from tsdb.exec.streaming.waiting_room import PARK_S, ROOM, Sign, WaitingRoom

SECONDS = 20


class Bells:
    """Signs that a test rings, and who asked for them how often."""

    def __init__(self) -> None:
        self.rung: set[str] = set()
        self.asked: Counter[tuple[str, str]] = Counter()

    def sign(self, name: str) -> Sign:
        return name, lambda: self._ask(name)

    def _ask(self, name: str) -> bool:
        self.asked[name, threading.current_thread().name] += 1
        return name in self.rung


class Stream:
    """A thread that waits once, again and again, until it has seen its sign."""

    def __init__(self, sign: Sign, seen: Callable[[], bool]) -> None:
        self.stop = threading.Event()
        self.waiter = Waiter(self.stop)
        self.looks = 0
        self._sign, self._seen = sign, seen
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        while not self._seen() and not self.stop.is_set():
            self.waiter.wait(None, [self._sign])
            self.looks += 1

    def end(self) -> None:
        self.thread.join(SECONDS)
        assert not self.thread.is_alive()


def streams(bells: Bells, names: list[str]) -> list[Stream]:
    return [Stream(bells.sign(name), lambda name=name: name in bells.rung) for name in names]


def test_each_goes_when_its_own_has_come_whoever_leads() -> None:
    bells = Bells()
    waiting = streams(bells, ["a", "b", "c", "a"])
    for name in ("b", "a", "c"):
        bells.rung.add(name)
        for stream, own in zip(waiting, ["a", "b", "c", "a"], strict=True):
            if own == name:
                stream.end()
    assert not ROOM._guests and ROOM._leader is None


def test_one_asks_for_all_and_once_for_what_several_wait_for() -> None:
    bells = Bells()
    waiting = streams(bells, ["a"] * 30)
    began = time.monotonic()
    while time.monotonic() - began < 0.5 * PARK_S:
        time.sleep(0.02)
    asked = sum(bells.asked.values())
    assert asked <= 0.5 * PARK_S / 0.001 + 60, "not for each of them"
    assert sum(stream.looks for stream in waiting) <= 60
    bells.rung.add("a")
    for stream in waiting:
        stream.end()


@pytest.mark.parametrize("others", [0, 3])
def test_a_stop_a_nudge_and_a_deadline_end_the_wait(others: int) -> None:
    bells = Bells()
    waiting = streams(bells, ["never"] * others)
    stop = threading.Event()
    waiter = Waiter(stop)
    began = time.monotonic()
    assert waiter.wait(began + 0.05, [bells.sign("never")])
    assert not waiter.wait(began + 0.05, [bells.sign("never")]), "the deadline has passed"
    waiter.nudge()
    assert waiter.wait(None, [bells.sign("never")])
    threading.Timer(0.02, waiter.nudge).start()
    assert waiter.wait(None, [bells.sign("never")])
    threading.Timer(0.02, stop.set).start()
    while not stop.is_set():
        assert waiter.wait(None, [bells.sign("never")])
    for stream in waiting:
        stream.stop.set()
        stream.end()
    assert not ROOM._guests


def test_a_child_process_has_a_room_of_its_own() -> None:
    room = WaitingRoom()
    bells = Bells()
    abandoned = Waiter(threading.Event())
    abandoned.signs = [bells.sign("never")]
    room._leader = abandoned
    room._guests[id(abandoned)] = abandoned
    room._lock.acquire()
    room.forget()
    bells.rung.add("a")
    guest = Waiter(threading.Event())
    guest.signs = [bells.sign("a")]
    room.wait(guest)
    assert bells.asked["a", threading.current_thread().name] == 1, "it leads"


def test_who_cannot_be_asked_goes_and_looks() -> None:
    def broken() -> bool:
        raise OSError("the disk is gone")

    assert Waiter(threading.Event()).wait(None, [("broken", broken)])
