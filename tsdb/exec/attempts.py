"""Work that is done anew when another writer was faster."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tsdb.errors import CommitConflict, OperationalError, SnapshotExpired

_ATTEMPTS = 5
"""How often UPDATE and DELETE are tried when other writers replace the files that they rewrite; and queries when the
snapshot that they read expires.
"""
_T = TypeVar("_T")


def retried(work: Callable[[], _T], when: tuple[type[OperationalError], ...] = (CommitConflict, SnapshotExpired)) -> _T:
    """The work, planned and done anew when another writer was faster, or expired what is being read."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return work()
        except when:
            continue
    return work()
