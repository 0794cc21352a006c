"""Snapshots: `snapshot/snapshot-<N>`, N = 1, 2, 3 …; publishing one is the only atomic step of a commit.

The hints LATEST and EARLIEST may be missing, stale or half written: they are where the search begins, never its answer.
Source: Paimon, `Snapshot`, `SnapshotManager`.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from tsdb.errors import CorruptFile, OperationalError
from tsdb.fs.file_io import FileIO

BATCH_IDENTIFIER = 2**63 - 1
CACHED_MAX = 1024
_LOOKS = 5


class SnapshotNotFound(OperationalError):
    """The snapshot was never there, or has expired; the message names the range there is."""

    code = "SNAPSHOT_NOT_FOUND"


TAKES_BACK = "rollback-to-as-latest-"
"""How the names of users begin that commit an old state as the latest one."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The JSON of a snapshot, names in snake case. commit_kind: APPEND, COMPACT, OVERWRITE or ANALYZE."""

    id: int
    schema_id: int
    base_manifest_list: str
    delta_manifest_list: str
    commit_user: str
    commit_identifier: int
    commit_kind: str
    time_millis: int
    total_record_count: int
    delta_record_count: int
    version: int = 3
    base_manifest_list_size: int | None = None
    delta_manifest_list_size: int | None = None
    changelog_manifest_list: str | None = None
    changelog_manifest_list_size: int | None = None
    index_manifest: str | None = None
    changelog_record_count: int | None = None
    watermark: int | None = None
    statistics: str | None = None
    properties: Mapping[str, str] | None = None
    next_row_id: int | None = None
    log_offsets: Mapping[str, int] | None = None

    @property
    def takes_back(self) -> bool:
        """Whether it has what an older snapshot had, in place of what lies between."""
        return self.commit_kind == "OVERWRITE" and self.commit_user.startswith(TAKES_BACK)

    def to_json(self) -> str:
        """The text of the snapshot file; absent values are left out."""
        out = {}
        for name in _JSON_ORDER:
            value = getattr(self, name)
            if value is not None:
                out[_camel(name)] = dict(value) if isinstance(value, Mapping) else value
        return json.dumps(out, indent=2, ensure_ascii=False)

    @staticmethod
    def from_json(text: str | bytes) -> "Snapshot":
        """The snapshot of a file's text; unknown keys are ignored. Raises TypeError or ValueError if it is none."""
        spec: dict[str, Any] = json.loads(text)
        known = {name: spec[key] for name, key in _KEYS.items() if key in spec}
        missing = [_camel(name) for name in _REQUIRED if name not in known]
        if missing:
            raise ValueError(f"it has no {', '.join(missing)}")
        return Snapshot(**known)


_JSON_ORDER = (
    "version", "id", "schema_id", "base_manifest_list", "base_manifest_list_size", "delta_manifest_list",
    "delta_manifest_list_size", "changelog_manifest_list", "changelog_manifest_list_size", "index_manifest",
    "commit_user", "commit_identifier", "commit_kind", "time_millis", "log_offsets", "total_record_count",
    "delta_record_count", "changelog_record_count", "watermark", "statistics", "properties", "next_row_id",
)  # fmt: skip
_REQUIRED = [f.name for f in fields(Snapshot)][:10]


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


_KEYS = {name: _camel(name) for name in _JSON_ORDER}


class SnapshotManager:
    """The snapshots of one table (or branch)."""

    def __init__(self, file_io: FileIO, table_path: str) -> None:
        """table_path: the directory that holds `snapshot/`."""
        self._file_io = file_io
        self._directory = f"{table_path}/snapshot"
        self._known: OrderedDict[int, Snapshot] = OrderedDict()
        self._lock = threading.Lock()

    def path(self, snapshot_id: int) -> str:
        """The file of a snapshot."""
        return f"{self._directory}/snapshot-{snapshot_id}"

    def ids(self) -> list[int]:
        """The ids there are, ascending."""
        names = [f.name for f in self._file_io.list_files(self._directory)]
        return sorted(int(n[9:]) for n in names if n.startswith("snapshot-") and n[9:].isdigit())

    def latest_id(self) -> int | None:
        """The newest id; None for a table without snapshots."""
        hint = self._hint("LATEST")
        if hint is not None and hint > 0 and self.exists(hint) and not self.exists(hint + 1):
            return hint
        ids: list[int] = []
        for _ in range(_LOOKS):
            ids = self.ids()
            # a listing that meets commits and expirations may have neither the old snapshots nor the new one
            if (ids and self.exists(ids[-1])) or (not ids and not self._file_io.exists(f"{self._directory}/LATEST")):
                break
        newest = ids[-1] if ids else 0
        while self.exists(newest + 1):
            newest += 1
        return newest or None

    def earliest_id(self) -> int | None:
        """The oldest id that has not expired."""
        hint = self._hint("EARLIEST")
        if hint is not None and hint > 0 and self.exists(hint) and not self.exists(hint - 1):
            return hint
        ids = self.ids()
        return ids[0] if ids else None

    def exists(self, snapshot_id: int) -> bool:
        """Whether that snapshot is there."""
        return self._file_io.exists(self.path(snapshot_id))

    def latest(self) -> Snapshot | None:
        """The newest snapshot."""
        for _ in range(_LOOKS):
            latest = self.latest_id()
            try:
                return None if latest is None else self.snapshot(latest)
            except SnapshotNotFound:  # overtaken and expired between the two looks
                if latest == self.latest_id():
                    raise
        return self.snapshot(self.latest_id() or 0)

    def snapshot(self, snapshot_id: int) -> Snapshot:
        """The snapshot of that id. Raises SnapshotNotFound, or CorruptFile naming the file."""
        with self._lock:
            if snapshot_id in self._known:
                self._known.move_to_end(snapshot_id)
                return self._known[snapshot_id]
        path = self.path(snapshot_id)
        if not self.exists(snapshot_id + 1):
            self._file_io.settle(path)
        try:
            snapshot = Snapshot.from_json(self._file_io.read_bytes(path))
        except FileNotFoundError as err:
            raise self._not_found(snapshot_id) from err
        except (KeyError, TypeError, ValueError) as err:
            raise CorruptFile(f"snapshot file {path} cannot be read: {err}") from err
        with self._lock:
            self._known[snapshot_id] = snapshot
            while len(self._known) > CACHED_MAX:
                self._known.popitem(last=False)
        return snapshot

    def is_replaced(self, snapshot: Snapshot) -> bool:
        """Whether its id belongs to another snapshot now (after a rollback); an expired one is not replaced."""
        try:
            return Snapshot.from_json(self._file_io.read_bytes(self.path(snapshot.id))) != snapshot
        except FileNotFoundError:
            return False

    def forget(self) -> None:
        """Drop what was read before (after a rollback or an expiration)."""
        with self._lock:
            self._known.clear()

    def at_or_before(self, time_ms: int) -> Snapshot | None:
        """The newest snapshot with time_millis ≤ time_ms, by bisection; None if all are newer."""
        earliest, latest = self.earliest_id(), self.latest_id()
        if earliest is None or latest is None:
            return None
        low, high, best = earliest, latest, None
        while low <= high:
            middle = (low + high) // 2
            snapshot = self.snapshot(middle)
            if snapshot.time_millis <= time_ms:
                best, low = snapshot, middle + 1
            else:
                high = middle - 1
        return best

    def try_commit(self, snapshot: Snapshot) -> bool:
        """Publish the snapshot under its id; False if another has it."""
        return self._file_io.try_create(self.path(snapshot.id), snapshot.to_json().encode())

    def announce(self, snapshot: Snapshot) -> None:
        """Let the hints follow, if they can be written."""
        self.write_hint("LATEST", snapshot.id)
        if snapshot.id == 1:
            self.write_hint("EARLIEST", 1)

    def write_hint(self, name: str, snapshot_id: int) -> None:
        """Best effort: a commit that is published must not fail over its hint, nor wait for the disk."""
        try:
            self._file_io.replace(f"{self._directory}/{name}", str(snapshot_id).encode(), durable=False)
        except OSError:
            return

    def _hint(self, name: str) -> int | None:
        try:
            text = self._file_io.read_bytes(f"{self._directory}/{name}")
        except FileNotFoundError:
            return None
        return int(text) if text.strip().isdigit() else None

    def _not_found(self, snapshot_id: int) -> SnapshotNotFound:
        ids = self.ids()
        there = f"snapshots {ids[0]} to {ids[-1]} are there" if ids else "the table has no snapshot"
        return SnapshotNotFound(f"snapshot {snapshot_id} of {self._shown()} not found; {there}")

    def _shown(self) -> str:
        """The table as it is called in SQL, where its folder says so."""
        *_, database, table = ["", *self._directory.removesuffix("/snapshot").split("/")]
        return f"table `{database.removesuffix('.db')}.{table}`" if database.endswith(".db") else f"{database}/{table}"
