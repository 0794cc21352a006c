"""Statements one after the other, their results printed: for `-c`, `-f`, standard input and the shell."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TextIO

import pyarrow as pa

import tsdb

from .printer import printer

_POLL_S = 0.1


@dataclass(slots=True)
class Session:
    """What the shell and the runner share: the connection, and how results are shown.

    rows_max: how many rows of the result of a batch query a table shows; None: all.
    """

    connection: tsdb.Connection
    format: str = "table"
    timing: bool = False
    out: TextIO = sys.stdout
    rows_max: int | None = None


def run_script(session: Session, sql: str) -> None:
    """Run every statement and print its result. Raises the first error."""
    started = time.monotonic()
    for cursor in session.connection.statements(sql):
        show(session, cursor, started)
        started = time.monotonic()


def show(session: Session, cursor: tsdb.Cursor, started: float) -> None:
    """Print one result; started: when its statement was, by `time.monotonic`."""
    if cursor.schema is None:
        _note(session, _done(cursor.rowcount), started)
    elif cursor.is_changelog:
        _show_changes(session, cursor, started)
    else:
        _show_rows(session, cursor, started)


def _show_rows(session: Session, cursor: tsdb.Cursor, started: float) -> None:
    to = printer(session.format, cursor.schema, session.out)
    count = shown = 0
    limit = session.rows_max if session.format == "table" else None
    for batch in cursor.fetch_record_batch():
        count += batch.num_rows
        part = batch if limit is None else batch.slice(0, limit - shown)
        shown += part.num_rows
        if part.num_rows or not batch.num_rows:
            to.rows(pa.Table.from_batches([part]))
    to.close()
    first = "" if shown == count else f"the first {shown} of "
    more = "" if shown == count else ", .rows all shows all"
    _note(session, f"{first}{count} row{'' if count == 1 else 's'}{more}", started)


def _show_changes(session: Session, cursor: tsdb.Cursor, started: float) -> None:
    """Changes as they come, until the query ends or Ctrl-C."""
    to = printer(session.format, cursor.schema, session.out, live=True)
    count = 0
    try:
        for _ in _until_stopped():
            if cursor.ended:
                break
            changes = cursor.poll(_POLL_S)
            if changes.num_rows:
                count += changes.num_rows
                to.rows(changes)
    finally:
        version = cursor.version
        cursor.close()
        to.close()
        _note(session, f"{count} change{'' if count == 1 else 's'}, version {version}", started)


def _until_stopped() -> Iterator[None]:
    """Again and again until Ctrl-C or SIGTERM, which then take effect between two turns: not while a file is being
    opened or a lock is held. The second one takes effect at once.
    """
    found: list[int] = []
    with _handled((signal.SIGINT, signal.SIGTERM), found):
        while not found:
            yield
    if found:
        signal.raise_signal(found[0])


@contextmanager
def _handled(signals: tuple[signal.Signals, ...], found: list[int]) -> Iterator[None]:
    """The first of the signals is put into `found`. Off the main thread, where none arrives, nothing is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in signals}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop(number: int, _: FrameType | None) -> None:
        found.append(number)
        restore()

    for number in signals:
        signal.signal(number, stop)
    try:
        yield
    finally:
        restore()


def _done(rowcount: int) -> str:
    return "ok" if rowcount < 0 else f"ok, {rowcount} row{'' if rowcount == 1 else 's'} changed"


def _note(session: Session, text: str, started: float) -> None:
    """A remark for people; other formats are for programs and get none."""
    if session.format == "table":
        took = f", {_duration(time.monotonic() - started)}" if session.timing else ""
        session.out.write(f"({text}{took})\n")
        session.out.flush()


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"


def describe(err: BaseException) -> str:
    """An error as the shell shows it: what is wrong and where, with a caret; no traceback."""
    if isinstance(err, tsdb.Error):
        return f"error: {err}"
    if isinstance(err, OSError):
        return f"error: {err}"
    return f"internal error: {type(err).__name__}: {err}"
