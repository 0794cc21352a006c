"""How far a job is behind a table that it reads."""

from collections.abc import Mapping
from dataclasses import dataclass

from tsdb import clock
from tsdb.connector.connector import Json
from tsdb.metadata.snapshot import Snapshot, SnapshotNotFound
from tsdb.table.table import Table

_NO_ROWS = ("COMPACT", "ANALYZE")
_LOOKED_AT_MAX = 100
"""Beyond so many snapshots all are counted, also those that only compact."""


@dataclass(frozen=True, slots=True)
class Lag:
    """snapshots: that are there and not taken in; since_ms: the age of the first of them."""

    snapshots: int
    since_ms: int = 0


def lag_of(table: Table, position: Json) -> Lag | None:
    """The lag of a source at a position (see `StreamScan.position`); None if it cannot be told."""
    following = position.get("snapshot") if isinstance(position, Mapping) else position
    latest = table.snapshots.latest_id()
    if not isinstance(following, int):
        return None
    first = abs(following)
    if latest is None or latest < first:
        return Lag(0)
    looked_at = range(first, min(latest, first + _LOOKED_AT_MAX) + 1)
    unread = [s for s in (_snapshot(table, n) for n in looked_at) if s is not None and s.commit_kind not in _NO_ROWS]
    beyond = max(0, latest - first - _LOOKED_AT_MAX)
    if not unread:
        return Lag(beyond)
    return Lag(len(unread) + beyond, max(0, clock.current().now_ms() - unread[0].time_millis))


def _snapshot(table: Table, number: int) -> Snapshot | None:
    try:
        return table.snapshots.snapshot(number)
    except SnapshotNotFound:
        return None
