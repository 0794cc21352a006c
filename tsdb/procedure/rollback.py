"""Going back: `sys.rollback_to` and its kin, which forget what is newer, and `rollback_to_as_latest`."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tsdb.catalog.catalog import Catalog
from tsdb.errors import ProgrammingError
from tsdb.metadata.snapshot import Snapshot
from tsdb.procedure.procedure import TABLE, Argument, Procedure, result, table_argument
from tsdb.table.refs import resolve_snapshot, text_of, timestamp_of
from tsdb.table.restate import rollback_as_latest
from tsdb.table.rollback import rollback_to
from tsdb.table.table import Table
from tsdb.table.tag import get_tag, tags

_SNAPSHOT = Argument("snapshot_id", "int", "The snapshot to go back to.")
_TAG = Argument("tag", "string", "The tag to go back to; or:")


def _rollback_to(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = table_argument(catalog, arguments)
    _check_one("rollback_to", arguments)
    if "tag" in arguments:
        return _done(table, get_tag(table, arguments["tag"]).snapshot)
    return _done(table, table.snapshots.snapshot(arguments["snapshot_id"]))


def _as_latest(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    """An expired snapshot is looked for among the tags."""
    table = table_argument(catalog, arguments)
    _check_one("rollback_to_as_latest", arguments)
    latest = table.latest_snapshot()
    if latest is None:
        raise ProgrammingError(f"table `{table.identifier}` has no snapshot yet, so there is nothing to go back to")
    tag = arguments.get("tag")
    if tag is not None:
        target = get_tag(table, tag).snapshot
    elif table.snapshots.exists(arguments["snapshot_id"]):
        target = table.snapshots.snapshot(arguments["snapshot_id"])
    else:
        tagged = [found.snapshot for found in tags(table) if found.snapshot.id == arguments["snapshot_id"]]
        target = tagged[0] if tagged else table.snapshots.snapshot(arguments["snapshot_id"])
    made = rollback_as_latest(table, target, tag)
    return result(previous_snapshot_id=latest.id, rolled_back_snapshot_id=target.id, current_snapshot_id=made.id)


def _check_one(name: str, arguments: Mapping[str, Any]) -> None:
    if ("snapshot_id" in arguments) == ("tag" in arguments):
        raise ProgrammingError(f"procedure {name} needs either `snapshot_id` or `tag`")


def _rollback(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = table_argument(catalog, arguments)
    given = [name for name in ("version", "snapshot", "tag") if name in arguments]
    if len(given) != 1:
        raise ProgrammingError("procedure rollback needs one of `version`, `snapshot` and `tag`")
    option = {"version": "scan.version", "snapshot": "scan.snapshot-id", "tag": "scan.tag-name"}[given[0]]
    target = resolve_snapshot(table, {option: str(arguments[given[0]])})
    assert target is not None
    return _done(table, target)


def _to_timestamp(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table, time_ms = table_argument(catalog, arguments), timestamp_of("timestamp", str(arguments["timestamp"]))
    target = table.snapshots.at_or_before(time_ms)
    if target is None:
        raise ProgrammingError(f"table `{table.identifier}` has no snapshot at or before {text_of(time_ms)}")
    return _done(table, target)


def _to_watermark(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    """The last snapshot whose watermark is not later."""
    table, watermark = table_argument(catalog, arguments), arguments["watermark"]
    for snapshot_id in reversed(table.snapshots.ids()):
        snapshot = table.snapshots.snapshot(snapshot_id)
        if snapshot.watermark is not None and snapshot.watermark <= watermark:
            return _done(table, snapshot)
    raise ProgrammingError(f"table `{table.identifier}` has no snapshot with a watermark of {watermark} or earlier")


def _done(table: Table, target: Snapshot) -> pa.Table:
    latest = table.snapshots.latest_id()
    rollback_to(table, target)
    return result(previous_snapshot_id=latest, current_snapshot_id=target.id)


ROLLBACK_TO = Procedure(
    "rollback_to",
    "Make an older snapshot the newest; newer snapshots and tags are deleted with their files.",
    (TABLE, _TAG, _SNAPSHOT),
    _rollback_to,
    orders=(("table", "snapshot_id"),),
)
ROLLBACK_TO_AS_LATEST = Procedure(
    "rollback_to_as_latest",
    "Make a new snapshot that has what an older one has; those between stay.",
    (TABLE, _TAG, _SNAPSHOT),
    _as_latest,
    orders=(("table", "snapshot_id"),),
)
ROLLBACK = Procedure(
    "rollback",
    "The same, as Spark calls it.",
    (
        TABLE,
        Argument("version", "string", "The tag or snapshot to go back to; or:"),
        Argument("snapshot", "int", "The snapshot to go back to; or:"),
        Argument("tag", "string", "The tag to go back to."),
    ),
    _rollback,
)
ROLLBACK_TO_TIMESTAMP = Procedure(
    "rollback_to_timestamp",
    "Make the newest snapshot at or before a time the newest.",
    (TABLE, Argument("timestamp", "int", "Epoch milliseconds.", required=True)),
    _to_timestamp,
)
ROLLBACK_TO_WATERMARK = Procedure(
    "rollback_to_watermark",
    "Make the newest snapshot with at most a watermark the newest.",
    (TABLE, Argument("watermark", "int", "The watermark.", required=True)),
    _to_watermark,
)
ROLLBACK_PROCEDURES = (
    ROLLBACK_TO, ROLLBACK, ROLLBACK_TO_AS_LATEST, ROLLBACK_TO_TIMESTAMP, ROLLBACK_TO_WATERMARK,
)  # fmt: skip
