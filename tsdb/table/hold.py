"""Who reads what in this process, so that expiring, rolling back and deleting tags spare what a reader still needs.

A batch query holds the snapshots it reads until it ends; a stream holds the place where it is. Expiration stops before
the first of them. Readers in other processes are protected by time ('snapshot.time-retained') and by consumers.
"""

import itertools
import weakref
from typing import Protocol

from tsdb.metadata.snapshot import Snapshot
from tsdb.table.table import Table


class Follower(Protocol):
    """A stream over a table."""

    @property
    def needed_id(self) -> int:
        """The first snapshot that it has still to read, or is reading."""
        ...


# by directory of the metadata; single operations on a dict need no lock, also when a finalizer comes in between
_snapshots: dict[str, dict[int, Snapshot]] = {}
_followers: dict[str, dict[int, "weakref.ref[Follower]"]] = {}
_tokens = itertools.count()


def hold(table: Table, snapshot: Snapshot | None, owner: object) -> None:
    """Keep the snapshot as long as `owner` lives."""
    if snapshot is None:
        return
    held = _snapshots.setdefault(table.metadata_path, {})
    token = next(_tokens)
    held[token] = snapshot
    weakref.finalize(owner, held.pop, token, None).atexit = False


def follow(table: Table, follower: Follower) -> None:
    """Keep what the follower needs as long as it lives."""
    followers = _followers.setdefault(table.metadata_path, {})
    token = next(_tokens)
    followers[token] = weakref.ref(follower, lambda _: followers.pop(token, None))


def unfollow(table: Table, follower: Follower) -> None:
    """It needs nothing any more."""
    followers = _followers.get(table.metadata_path, {})
    for token, known in followers.copy().items():
        if known() is follower:
            followers.pop(token, None)


def held_snapshots(table: Table) -> list[Snapshot]:
    """What batch queries of this process read of the table, or of this branch of it."""
    return list(_snapshots.get(table.metadata_path, {}).copy().values())


def first_held_id(table: Table) -> int | None:
    """The first snapshot that a reader of this process needs; None if none does."""
    ids = [snapshot.id for snapshot in held_snapshots(table)]
    for known in _followers.get(table.metadata_path, {}).copy().values():
        follower = known()
        if follower is not None:
            ids.append(follower.needed_id)
    return min(ids, default=None)
