"""A table and its log: after each commit the topic is brought up to the newest snapshot, from the snapshots' own files.

So every way to write reaches the log, and what a crash between snapshot and topic leaves out is made up for by the next
commit. Each snapshot keeps where the topic ended when it was committed: what follows it lies behind these offsets.
"""

import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tsdb import clock
from tsdb.errors import NotSupportedError, OperationalError
from tsdb.kafka.client import BrokerAway
from tsdb.log.message import Mark, bodies
from tsdb.log.settings import LOG_SYSTEM, TOPIC, log_settings
from tsdb.log.topic import LogTopic
from tsdb.metadata.schema import TableSchema
from tsdb.metadata.snapshot import Snapshot
from tsdb.table.bucket import BucketMode
from tsdb.table.stream_scan import StreamPlan, StreamScan, read_changes
from tsdb.table.table import MAIN_BRANCH, Identifier, Table

_TRIES = 4
_WAIT_S = 0.1
_PATIENCE_S = 30.0

_topics: dict[tuple[Any, ...], LogTopic] = {}
_lock = threading.Lock()


def log_of(table: Table) -> LogTopic | None:
    """The log of a table, one for the whole process; None if it has none. Raises OptionError or NotSupportedError."""
    settings = log_settings(table.options.values)
    if settings is None or table.branch != MAIN_BRANCH:
        return None
    if table.bucket_mode not in (BucketMode.FIXED, BucketMode.UNAWARE):
        raise NotSupportedError(
            f"table `{table.identifier}`: with a log system it needs a fixed number of buckets ('bucket' = '4'); "
            "each is a partition of the topic"
        )
    partitions = max(table.options.bucket, 1)
    more = (settings.retention_ms, settings.delete_on_drop, *sorted(settings.properties.items()))
    key = (table.path, settings.topic, partitions, *more)
    with _lock:
        if key not in _topics:
            _topics[key] = LogTopic(str(table.identifier), settings, partitions)
        return _topics[key]


def with_topic(draft: TableSchema, identifier: Identifier) -> TableSchema:
    """The draft of a table with the name of its topic written down, so that it stays when the table is renamed."""
    if draft.options.get(LOG_SYSTEM, "none").lower() == "none" or draft.options.get(TOPIC):
        return draft
    return replace(draft, options={**draft.options, TOPIC: str(identifier)})


def create_log(table: Table) -> None:
    """Make the topic of a new table. Raises for a table whose changes cannot be known, or that has no fixed buckets."""
    log = log_of(table)
    if log is not None:
        StreamScan(table, {}, 1)
        log.create()


def drop_log(table: Table) -> None:
    """Delete the topic of a table that is gone, if its options say so."""
    log = log_of(table)
    if log is not None:
        if log.settings.delete_on_drop:
            log.delete()
        log.close()


def log_ends(table: Table, latest: Snapshot | None, patience_s: float = _PATIENCE_S) -> dict[str, int]:
    """Where the table's topic ends now; {} without one. patience_s: how long a broker that is away is waited for.

    Raises OperationalError if it stays away, or if the topic is not what it was.
    """
    log = log_of(table)
    if log is None:
        return {}
    deadline_s = clock.current().monotonic_s() + patience_s
    while True:
        try:
            return log.ends(None if latest is None else latest.log_offsets)
        except BrokerAway:
            if clock.current().monotonic_s() > deadline_s:
                raise
            clock.current().sleep(_WAIT_S)


def follow_log(table: Table, snapshot: Snapshot) -> None:
    """Bring the topic up to a snapshot that is committed. What cannot be written now is with the next commit."""
    log = log_of(table)
    if log is None:
        return
    for attempt in range(_TRIES):
        try:
            with log.exclusive():
                catch_up(table, log, snapshot.id)
            return
        except OperationalError as err:
            log.close()
            if attempt + 1 == _TRIES:
                warnings.warn(
                    f"snapshot {snapshot.id} of table `{table.identifier}` is committed, but not in its log yet: {err}",
                    RuntimeWarning,
                    stacklevel=2,
                )
            clock.current().sleep(_WAIT_S * (attempt + clock.current().jitter()))


def catch_up(table: Table, log: LogTopic, snapshot_id: int) -> None:
    """Write every snapshot that the topic lacks, at least up to this one, in order."""
    newest = log.newest()
    _check_same_history(table, log)
    if newest >= snapshot_id:
        return
    earliest = table.snapshots.earliest_id() or 1
    if newest + 1 < earliest:
        raise OperationalError(
            f"the log of table `{table.identifier}` lacks snapshots {newest + 1} to {earliest - 1}, which have "
            f"expired; CALL sys.rebuild_log('{table.identifier}') begins it anew"
        )
    scan = StreamScan(table, {}, newest + 1)
    while (plan := scan.plan()) is not None:
        snapshot = table.snapshots.snapshot(plan.snapshot_id)
        log.append(_mark(snapshot), _messages(table, plan))
    log.passed(snapshot_id)


def _mark(snapshot: Snapshot) -> Mark:
    return Mark(snapshot.id, snapshot.schema_id, snapshot.delta_manifest_list)


def _check_same_history(table: Table, log: LogTopic) -> None:
    """The snapshot that the topic ends with is the table's: after a rollback another one may have its id."""
    mark = log.last_mark
    if mark is None or mark.snapshot_id < (table.snapshots.earliest_id() or 1):
        return
    snapshots, snapshot_id = table.snapshots, mark.snapshot_id
    if not snapshots.exists(snapshot_id) or snapshots.snapshot(snapshot_id).delta_manifest_list != mark.commit:
        raise OperationalError(
            f"the log of table `{table.identifier}` ends with a snapshot {mark.snapshot_id} that the table does not "
            f"have any more: it was rolled back; CALL sys.rebuild_log('{table.identifier}') begins the log anew"
        )


def _messages(table: Table, plan: StreamPlan) -> Iterator[tuple[int, bytes]]:
    """(bucket, body) of the changes, in the order in which `read_changes` gives them."""
    nothing = replace(plan, removed=(), added=(), changed=(), touched=())
    parts = [replace(nothing, removed=(split,)) for split in plan.removed]
    parts += [replace(nothing, added=(split,)) for split in plan.added]
    parts += [replace(nothing, touched=(split,)) for split in plan.touched]
    parts += [replace(nothing, changed=(split,)) for split in plan.changed]
    for part in parts:
        (split,) = part.removed or part.added or part.touched or part.changed
        for rows, kinds in read_changes(table, part):
            if rows.num_rows:
                yield from ((split.bucket, body) for body in bodies(rows, kinds))


def rebuild_log(table: Table) -> tuple[int, dict[str, int]]:
    """A new topic in the place of the old one, which begins behind the newest snapshot.

    Returns that snapshot's id and where the topic ends; these offsets have to be committed, or no writer believes it.
    """
    log = log_of(table)
    if log is None:
        raise NotSupportedError(f"table `{table.identifier}` has no log system; there is nothing to rebuild")
    with log.exclusive():
        log.delete()
        log.create()
        latest = table.latest_snapshot()
        if latest is not None:
            log.newest()
            log.append(_mark(latest), ())
        return 0 if latest is None else latest.id, log.ends()


def close_logs(warehouse: str) -> None:
    """Let go of the brokers of all tables of a warehouse; who needs one again connects again."""
    with _lock:
        closing = [log for key, log in _topics.items() if key[0].startswith(warehouse)]
    for log in closing:
        log.close()
