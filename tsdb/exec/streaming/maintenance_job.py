"""A procedure that goes on (`CALL sys.compact` in streaming mode) as a job: under a name, with a lease, to be stopped.

Its source does the work when it is polled, and tells what it has done as rows; there is nothing to compute and nowhere
to write. It has no state: whoever takes the job over begins with a look at the tables.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from tsdb.changes import ChangeBatch, empty
from tsdb.connector.connector import ChangelogMode, Json, SourceDelta
from tsdb.exec.streaming.pipeline import Feed, Pipeline
from tsdb.exec.streaming.watermark import InputTime
from tsdb.table.compaction_watch import CompactionWatch

_SCHEMA = pa.schema([pa.field("table", pa.string()), pa.field("snapshot_id", pa.int64())])


def maintenance_pipeline(watch: CompactionWatch) -> Pipeline:
    """A pipeline that does nothing but look."""
    return Pipeline(_Passing(), [Feed(_WatchSource(watch), ("done",))])


class _WatchSource:
    """A row for every compaction."""

    schema = _SCHEMA
    mode: ChangelogMode = "append"
    upsert_key: tuple[str, ...] | None = None
    position: Json = None
    finished = False
    skipped = 0

    def __init__(self, watch: CompactionWatch) -> None:
        self._watch = watch
        self._found = False

    def poll(self, rows_max: int) -> SourceDelta | None:
        """Do what is due."""
        done = self._watch.look()
        self._found = bool(done)
        if not done:
            return None
        rows = pa.table([[str(each.table) for each in done], [each.snapshot_id for each in done]], schema=_SCHEMA)
        return SourceDelta([ChangeBatch(rows, np.ones(len(done), np.int64))])

    def seek(self, position: Json) -> None:
        """There are no positions."""

    def latest_reached(self) -> bool:
        """Nothing was due."""
        return not self._found

    def close(self) -> None:
        """Nothing is held."""


class _Passing:
    """The rows as they come."""

    schema = _SCHEMA
    upsert_key: tuple[str, ...] | None = None

    def step(
        self, deltas: Mapping[str, ChangeBatch], times: Mapping[str, InputTime] | None = None, *, complete: bool = True
    ) -> ChangeBatch:
        """What came."""
        return deltas.get("done", empty(_SCHEMA))

    def overdue(self) -> bool:
        """The clock makes nothing due."""
        return False

    def checkpoint(self, store: Any) -> dict[str, Any]:
        """No state."""
        return {}

    def restore(self, manifest: dict[str, Any], store: Any) -> None:
        """No state."""

    def metrics(self) -> dict[str, Any]:
        """No state."""
        return {}


class NoSink:
    """Takes what is only counted."""

    accepts: ChangelogMode = "all"

    def write(self, changes: ChangeBatch) -> None:
        """Forget it."""

    def prepare(self, version: int) -> Json | None:
        """There is nothing to commit."""
        return None

    def commit(self, version: int, committable: Json) -> None:
        """There is nothing to commit."""

    def abort(self) -> None:
        """There is nothing to undo."""

    def close(self) -> None:
        """Nothing is held."""
