"""Tags: `sys.create_tag` and its kin, `delete_tag`, `rename_tag`, `replace_tag`, `expire_tags`."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tsdb import clock
from tsdb.catalog.catalog import Catalog
from tsdb.errors import ProgrammingError
from tsdb.metadata.snapshot import Snapshot
from tsdb.options import parse_duration_ms
from tsdb.procedure.procedure import TABLE, Argument, Procedure, listed_result, result, table_argument
from tsdb.table.commit import commit_nothing
from tsdb.table.refs import at_watermark, text_of, timestamp_of
from tsdb.table.restate import check_not_needed
from tsdb.table.rollback import delete_tag, drop_unneeded
from tsdb.table.table import Table
from tsdb.table.tag import create_tag, get_tag, rename_tag, tags
from tsdb.table.tag_auto import create_automatic_tags, expire_tags, is_tag_due

_TAG = Argument("tag", "string", "The name.", required=True)
_RETAINED = Argument("time_retained", "string", "How long the tag is meant to be kept, such as `7 d`.")


def _create(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = table_argument(catalog, arguments)
    return _created(table, arguments, _snapshot(table, arguments))


def _create_from_timestamp(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    """The first snapshot at or after the time."""
    table, time_ms = table_argument(catalog, arguments), timestamp_of("timestamp", str(arguments["timestamp"]))
    before = table.snapshots.at_or_before(time_ms - 1)
    first = (table.snapshots.earliest_id() or 1) if before is None else before.id + 1
    if not table.snapshots.exists(first):
        raise ProgrammingError(f"table `{table.identifier}` has no snapshot at or after {text_of(time_ms)}")
    return _created_from(table, arguments, table.snapshots.snapshot(first))


def _create_from_watermark(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = table_argument(catalog, arguments)
    return _created_from(table, arguments, at_watermark(table, arguments["watermark"]))


def _created_from(table: Table, arguments: Mapping[str, Any], snapshot: Snapshot) -> pa.Table:
    tag = create_tag(table, arguments["tag"], snapshot, _retained(arguments))
    watermark = None if snapshot.watermark is None else str(snapshot.watermark)
    made = result(tagName=tag.name, snapshot=snapshot.id, commit_time=snapshot.time_millis)
    return made.append_column("watermark", pa.array([watermark], pa.string()))


def _created(table: Table, arguments: Mapping[str, Any], snapshot: Snapshot) -> pa.Table:
    tag = create_tag(table, arguments["tag"], snapshot, _retained(arguments))
    return result(tag=tag.name, snapshot_id=snapshot.id)


def _retained(arguments: Mapping[str, Any]) -> dt.timedelta | None:
    text = arguments.get("time_retained")
    return None if text is None else dt.timedelta(milliseconds=parse_duration_ms(text, "time_retained"))


def _snapshot(table: Table, arguments: Mapping[str, Any]) -> Snapshot:
    given = arguments.get("snapshot_id")
    snapshot = table.latest_snapshot() if given is None else table.snapshots.snapshot(given)
    if snapshot is None:
        raise ProgrammingError(f"table `{table.identifier}` has no snapshot yet, so there is nothing to tag")
    return snapshot


def _delete(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = table_argument(catalog, arguments)
    names = [name.strip() for name in arguments["tag"].split(",")]
    for name in names:
        check_not_needed(table, name)  # all can be deleted, or none is
    for name in names:
        delete_tag(table, name)
    return listed_result("tag", names)


def _rename(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    rename_tag(table_argument(catalog, arguments), arguments["tag"], arguments["target_tag"])
    return result(tag=arguments["target_tag"])


def _replace(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = table_argument(catalog, arguments)
    old = get_tag(table, arguments["tag"])
    check_not_needed(table, old.name)
    snapshot = old.snapshot if "snapshot_id" not in arguments else table.snapshots.snapshot(arguments["snapshot_id"])
    create_tag(table, old.name, snapshot, _retained(arguments), replaces=True)
    if snapshot.id != old.snapshot.id:
        drop_unneeded(table, old.snapshot)
    return result(tag=old.name, snapshot_id=snapshot.id)


def _expire(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    text = arguments.get("older_than")
    older_than = None
    if text is not None:
        older_than = dt.datetime(1970, 1, 1) + dt.timedelta(milliseconds=timestamp_of("older_than", text))
    return listed_result("expired_tags", expire_tags(table_argument(catalog, arguments), older_than))


def _trigger(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = table_argument(catalog, arguments)
    before = {tag.name for tag in tags(table)}
    latest = table.latest_snapshot()
    if latest is not None:
        create_automatic_tags(table, latest)
    if is_tag_due(table):
        commit_nothing(table, user=clock.current().new_id())
    return listed_result("tag", sorted({tag.name for tag in tags(table)} - before))


CREATE_TAG = Procedure(
    "create_tag",
    "Name a snapshot, so that it can be read by that name and its files are kept.",
    (TABLE, _TAG, Argument("snapshot_id", "int", "The snapshot; by default the newest.", alias="snapshot"), _RETAINED),
    _create,
)
CREATE_TAG_FROM_TIMESTAMP = Procedure(
    "create_tag_from_timestamp",
    "Name the first snapshot at or after a time.",
    (TABLE, _TAG, Argument("timestamp", "int", "Epoch milliseconds.", required=True), _RETAINED),
    _create_from_timestamp,
)
CREATE_TAG_FROM_WATERMARK = Procedure(
    "create_tag_from_watermark",
    "Name the first snapshot with at least a watermark.",
    (TABLE, _TAG, Argument("watermark", "int", "The watermark.", required=True), _RETAINED),
    _create_from_watermark,
)
DELETE_TAG = Procedure(
    "delete_tag",
    "Delete tags, and the files that they alone have kept.",
    (TABLE, Argument("tag", "string", "The name; several with commas between them.", required=True)),
    _delete,
)
RENAME_TAG = Procedure(
    "rename_tag",
    "Give a tag another name.",
    (
        TABLE,
        Argument("tag", "string", "The name.", required=True, alias="tagName"),
        Argument("target_tag", "string", "The new name.", required=True, alias="targetTagName"),
    ),
    _rename,
)
REPLACE_TAG = Procedure(
    "replace_tag",
    "Let a tag name another snapshot, or be kept for another time.",
    (TABLE, _TAG, Argument("snapshot_id", "int", "The snapshot; by default the same.", alias="snapshot"), _RETAINED),
    _replace,
)
EXPIRE_TAGS = Procedure(
    "expire_tags",
    "Delete the tags whose time is over.",
    (
        TABLE,
        Argument("older_than", "string", "Also those made before this time in UTC, such as `2024-05-14 00:00`."),
    ),
    _expire,
)
TRIGGER_TAG_AUTOMATIC_CREATION = Procedure(
    "trigger_tag_automatic_creation",
    "Make the automatic tags that are due, with an empty commit if there is no snapshot for them.",
    (TABLE,),
    _trigger,
)
TAG_PROCEDURES = (
    CREATE_TAG,
    CREATE_TAG_FROM_TIMESTAMP,
    CREATE_TAG_FROM_WATERMARK,
    DELETE_TAG,
    RENAME_TAG,
    REPLACE_TAG,
    EXPIRE_TAGS,
    TRIGGER_TAG_AUTOMATIC_CREATION,
)
