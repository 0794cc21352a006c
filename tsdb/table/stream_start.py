"""Where a stream of a table begins, by its options."""

from tsdb.errors import NotSupportedError
from tsdb.options import parse_bool
from tsdb.table.changelog import changelog_ids
from tsdb.table.consumer import find_consumer
from tsdb.table.refs import (
    compacted_snapshot,
    first_since,
    given_option,
    is_incremental,
    resolve_snapshot,
    timestamp_option,
    whole_number,
)
from tsdb.table.table import Table

_IGNORE = "consumer.ignore-progress"
_DEFAULT_MODES = {
    None: "latest-full",
    "scan.timestamp": "from-timestamp",
    "scan.timestamp-millis": "from-timestamp",
    "scan.creation-time-millis": "from-creation-timestamp",
    "scan.file-creation-time-millis": "from-file-creation-time",
}


def stream_start(table: Table) -> int:
    """The id of the first snapshot whose changes are read; -n: first the whole state of snapshot n.

    It may have expired: who goes on from another place, as a job does that starts again, need not mind.
    Raises OptionError and NotSupportedError for options that say no place.
    """
    options = table.options.values
    if is_incremental(options):
        raise NotSupportedError("'incremental-between' is for batch queries; 'scan.mode' says where a stream starts")
    consumer = options.get("consumer-id")
    if consumer is not None and not parse_bool(_IGNORE, options.get(_IGNORE, "false")):
        kept = find_consumer(table, consumer)
        if kept is not None:
            return kept
    mode = options.get("scan.mode", "default")
    if mode == "incremental":
        raise NotSupportedError(f"'scan.mode' = '{mode}' is not supported for streaming reads; use 'latest-full'")
    given = given_option(options)
    if mode == "default":
        mode = _DEFAULT_MODES.get(given, "from-snapshot")
    latest = table.snapshots.latest_id()
    match mode:
        case "from-file-creation-time":
            return 1 if latest is None else -latest
        case "from-creation-timestamp":
            key = "scan.creation-time-millis"
            first_later = first_since(table, whole_number(key, options.get(key, "")))
            return first_later or (1 if latest is None else -latest)
        case "latest-full" | "full":
            return 1 if latest is None else -latest
        case "latest":
            return (latest or 0) + 1
        case "compacted-full":
            snapshot = compacted_snapshot(table)
            return 1 if snapshot is None else -snapshot.id
        case "from-timestamp":
            time_ms = timestamp_option(options)
            assert time_ms is not None
            return _since(table, time_ms)
        case "from-snapshot" | "from-snapshot-full":
            if mode == "from-snapshot" and given == "scan.snapshot-id":
                return max(whole_number(given, options[given]), 1)
            snapshot = resolve_snapshot(table, options)
            assert snapshot is not None
            return snapshot.id if mode == "from-snapshot" else -snapshot.id
    raise NotSupportedError(f"'scan.mode' = '{mode}' is not supported for streaming reads; use 'latest-full'")


def _since(table: Table, time_ms: int) -> int:
    """The first snapshot of that time or later, which may have expired."""
    before = table.snapshots.at_or_before(time_ms - 1)
    if before is not None:
        return before.id + 1
    first = (changelog_ids(table) or [table.snapshots.earliest_id() or 1])[0]
    if first == 1 or not table.snapshots.exists(first):
        return first
    # the one before it has expired, and may be of that time, too
    return first if table.snapshots.snapshot(first).time_millis == time_ms else first - 1
