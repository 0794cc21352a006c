"""Brokers that do not answer, and calls that may wait for ever: what both clients need."""

import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from tsdb.kafka.patience import turns

_T = TypeVar("_T")


class NoAnswer(Exception):
    """A call took longer than it may."""


def why_away(servers: Sequence[str], seconds: float) -> str:
    """Nobody is there, or somebody who does not let us in: the libraries do not tell the one from the other."""
    for server in servers:
        host, _, port = server.rpartition(":")
        with suppress(OSError, ValueError), socket.create_connection((host.strip("[]"), int(port)), timeout=1):
            return (
                f"Kafka at {server} takes connections but gave no answer within {seconds:g} s: check "
                "'properties.security.protocol', the user and the password, and the certificates"
            )
    return f"no Kafka broker at {', '.join(servers)} within {seconds:g} s: start it, or correct the addresses"


def within(seconds: float, what: str, call: Callable[[], _T], too_late: Callable[[_T], object] = lambda _: None) -> _T:
    """Call something that may wait for ever, but wait for so long only. what: is waited for.

    too_late: what to do with an answer that nobody waits for any more. Raises NoAnswer, GaveUp, or what it raises.
    """
    answers: list[_T] = []
    failures: list[BaseException] = []
    lock, is_left = threading.Lock(), False

    def run() -> None:
        try:
            answer = call()
        except BaseException as err:
            failures.append(err)
            return
        with lock:
            answers.append(answer)
        if is_left:
            too_late(answer)

    thread = threading.Thread(target=run, name="tsdb-kafka-call", daemon=True)
    thread.start()
    try:
        for turn in turns(what, seconds):
            thread.join(turn)
            if not thread.is_alive():
                break
    finally:
        with lock:
            is_left = not answers
    if failures:
        raise failures[0]
    if is_left:
        raise NoAnswer(f"no answer within {seconds:g} s")
    return answers[0]


def too_large(topic: str, text: str) -> str:
    """What to do about a message that is larger than the client or the broker takes."""
    where = "" if topic == "?" else f"topic '{topic}': "
    return (
        f"{where}a message is too large ({text}); raise 'max.message.bytes' of the topic, and 'max.request.size' of "
        "the client, with 'properties.' ('kafka.' where it is a log) before it"
    )


def gone(topic: str, number: int, offset: int, begin: int, end: int) -> str:
    """What to say of an offset that is asked for and not there."""
    return (
        f"topic '{topic}', partition {number}: offset {offset} is not there any more; it has offsets {begin} to {end}. "
        "The broker's retention removed it, or the topic was made anew; start the query anew to read from the beginning"
    )
