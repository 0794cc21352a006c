"""Time travel: which snapshot the scan options of a query mean.

Source: Paimon, `TimeTravelUtil`.
"""

import datetime as dt
from collections.abc import Mapping

from tsdb.errors import OperationalError, OptionError
from tsdb.metadata.snapshot import Snapshot
from tsdb.table.table import Table
from tsdb.table.tag import find_tag, get_tag

TRAVEL_OPTIONS = (
    "scan.snapshot-id",
    "scan.timestamp-millis",
    "scan.timestamp",
    "scan.tag-name",
    "scan.version",
    "scan.watermark",
    "scan.creation-time-millis",
    "scan.file-creation-time-millis",
)
INCREMENTAL_OPTIONS = ("incremental-between", "incremental-between-timestamp", "incremental-to-auto-tag")
_SNAPSHOTS = ("scan.snapshot-id", "scan.tag-name", "scan.version", "scan.watermark")
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "from-timestamp": ("scan.timestamp", "scan.timestamp-millis"),
    "from-snapshot": _SNAPSHOTS,
    "from-snapshot-full": _SNAPSHOTS,
    "from-file-creation-time": ("scan.file-creation-time-millis",),
    "from-creation-timestamp": ("scan.creation-time-millis",),
    "incremental": INCREMENTAL_OPTIONS,
}
"""By 'scan.mode', the options of which one has to say where that is."""
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND = dt.timedelta(milliseconds=1)


def resolve_snapshot(table: Table, options: Mapping[str, str]) -> Snapshot | None:
    """The snapshot that a batch query with these options reads; None for a table that was never written.

    Raises OptionError for values that are none and options that contradict each other, OperationalError with the range
    there is for a snapshot that is not there.
    """
    given = given_option(options)
    match given:
        case None:
            return (
                compacted_snapshot(table) if options.get("scan.mode") == "compacted-full" else table.latest_snapshot()
            )
        case "scan.snapshot-id":
            return table.snapshots.snapshot(whole_number(given, options[given]))
        case "scan.tag-name":
            return get_tag(table, options[given]).snapshot
        case "scan.version":
            return _version(table, options[given])
        case "scan.watermark":
            return at_watermark(table, whole_number(given, options[given]))
        case "scan.creation-time-millis" | "scan.file-creation-time-millis":
            first = None if given.startswith("scan.file") else first_since(table, whole_number(given, options[given]))
            return table.latest_snapshot() if first is None else table.snapshots.snapshot(first)
    time_ms = timestamp_option(options)
    assert time_ms is not None
    snapshot = table.snapshots.at_or_before(time_ms)
    if snapshot is None:
        raise OperationalError(
            f"table `{table.identifier}` has no snapshot at or before {text_of(time_ms)}{_earliest(table)}"
        )
    return snapshot


def first_since(table: Table, time_ms: int) -> int | None:
    """The first snapshot at or after a time; None unless the one before it is there, too."""
    before = table.snapshots.at_or_before(time_ms - 1)
    return None if before is None or not table.snapshots.exists(before.id + 1) else before.id + 1


def created_since(table: Table, options: Mapping[str, str]) -> int | None:
    """The options ask for the files of the state that were made from then on, in epoch milliseconds."""
    for key in ("scan.file-creation-time-millis", "scan.creation-time-millis"):
        if key in options:
            time_ms = whole_number(key, options[key])
            return time_ms if key.startswith("scan.file") or first_since(table, time_ms) is None else None
    return None


def at_watermark(table: Table, watermark: int) -> Snapshot:
    """The first snapshot with at least this watermark. Raises OperationalError if there is none."""
    for snapshot_id in table.snapshots.ids():
        snapshot = table.snapshots.snapshot(snapshot_id)
        if snapshot.watermark is not None and snapshot.watermark >= watermark:
            return snapshot
    raise OperationalError(f"table `{table.identifier}` has no snapshot with a watermark of {watermark} or later")


def is_incremental(options: Mapping[str, str]) -> bool:
    """The options ask for what lies between two snapshots."""
    return any(key in options for key in INCREMENTAL_OPTIONS)


def given_option(options: Mapping[str, str]) -> str | None:
    """The one option that travels in time, if any. Raises OptionError for two, or none where 'scan.mode' needs one."""
    given = [key for key in TRAVEL_OPTIONS if options.get(key) is not None]
    if len(given) > 1:
        raise OptionError(f"'{given[0]}' and '{given[1]}' contradict each other; give one of them")
    mode = options.get("scan.mode", "default")
    needed = _NEEDED.get(mode, ())
    if needed and not any(options.get(key) is not None for key in needed):
        one_of = "' or '".join(needed[:2])
        raise OptionError(f"'scan.mode' = '{mode}' needs '{one_of}'")
    return given[0] if given else None


def timestamp_option(options: Mapping[str, str]) -> int | None:
    """Epoch milliseconds of 'scan.timestamp-millis' or 'scan.timestamp'."""
    if "scan.timestamp-millis" in options:
        return whole_number("scan.timestamp-millis", options["scan.timestamp-millis"])
    text = options.get("scan.timestamp")
    return None if text is None else timestamp_of("scan.timestamp", text)


def timestamp_of(key: str, text: str) -> int:
    """Epoch milliseconds of a time such as `2024-05-14 13:34:56` (UTC), or of a number that is that already."""
    if text.strip().isdigit():
        return int(text)
    try:
        time = dt.datetime.fromisoformat(text.strip())
    except ValueError as err:
        raise OptionError(f"'{key}' is a time such as '2024-05-14 13:34:56', not '{text}'") from err
    return ((time if time.tzinfo else time.replace(tzinfo=dt.UTC)) - _EPOCH) // _MILLISECOND


def whole_number(key: str, text: str) -> int:
    """The number. Raises OptionError that names the option."""
    try:
        return int(text)
    except ValueError as err:
        raise OptionError(f"'{key}' is a whole number, not '{text}'") from err


def text_of(time_ms: int) -> str:
    """Epoch milliseconds as a time in UTC."""
    return f"{(_EPOCH + time_ms * _MILLISECOND).replace(tzinfo=None).isoformat(' ', 'milliseconds')} (UTC)"


def _version(table: Table, text: str) -> Snapshot:
    """A tag of that name, else the snapshot of that id."""
    tag = find_tag(table, text)
    if tag is not None:
        return tag.snapshot
    return table.snapshots.snapshot(int(text)) if text.strip().isdigit() else get_tag(table, text).snapshot


def compacted_snapshot(table: Table) -> Snapshot | None:
    """The newest snapshot that a compaction made, else the newest."""
    latest = snapshot = table.latest_snapshot()
    earliest = table.snapshots.earliest_id() or 1
    while snapshot is not None and snapshot.commit_kind != "COMPACT" and snapshot.id > earliest:
        snapshot = table.snapshots.snapshot(snapshot.id - 1)
    return snapshot if snapshot is not None and snapshot.commit_kind == "COMPACT" else latest


def _earliest(table: Table) -> str:
    earliest = table.snapshots.earliest_id()
    if earliest is None:
        return "; it was never written"
    first = table.snapshots.snapshot(earliest)
    return f"; the earliest is snapshot {first.id} of {text_of(first.time_millis)}"
