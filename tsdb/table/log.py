"""A table and its log: after each commit the topic is brought up to the newest snapshot, from the snapshots' own files.

So every way to write reaches the log, and what a crash between snapshot and topic leaves out is made up for by the next
commit. Each snapshot keeps where the topic ended when it was committed: what follows it lies behind these offsets.
"""

import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeVar

import pyarrow as pa

from tsdb import clock
from tsdb.errors import NotSupportedError, OperationalError, OptionError
from tsdb.kafka.client import BrokerAway, MessageTooLarge, SizeLimits
from tsdb.kafka.patience import GaveUp, turns
from tsdb.log.format import CannotTell, LogFormat, log_format
from tsdb.log.message import GAP, SETTLED, Mark
from tsdb.log.settings import LOG_SYSTEM, TOPIC, log_settings, scan_options
from tsdb.log.topic import LogTopic, Part
from tsdb.metadata.schema import TableSchema
from tsdb.metadata.snapshot import Snapshot, SnapshotNotFound
from tsdb.options import TableOptions
from tsdb.table.bucket import BucketMode
from tsdb.table.stream_scan import Kinds, StreamPlan, StreamScan, read_changes
from tsdb.table.table import MAIN_BRANCH, Identifier, Table

_T = TypeVar("_T")
_TRIES = 4
_WAIT_S = 0.1
_PATIENCE_S = 30.0

_topics: dict[tuple[Any, ...], LogTopic] = {}
_lock = threading.Lock()


def log_of(table: Table) -> LogTopic | None:
    """The log of a table, one for the whole process; None if it has none. Raises OptionError or NotSupportedError."""
    options = table.options
    settings = log_settings(
        options.values,
        has_key=table.is_primary_key,
        has_changelog=table.is_primary_key and options.changelog_producer in ("lookup", "full-compaction"),
    )
    if settings is None or table.branch != MAIN_BRANCH:
        return None
    # rows of a key stay in order: where their bucket may change, there is one partition for all
    partitions = options.bucket if table.bucket_mode is BucketMode.FIXED else 1
    key = (table.path, partitions, repr(settings))
    with _lock:
        if key not in _topics:
            _topics[key] = LogTopic(str(table.identifier), settings, partitions)
        return _topics[key]


def with_topic(draft: TableSchema, identifier: Identifier) -> TableSchema:
    """The draft of a table with the name of its topic written down, so that it stays when the table is renamed."""
    if draft.options.get(LOG_SYSTEM, "none").lower() == "none" or draft.options.get(TOPIC):
        return draft
    return replace(draft, options={**draft.options, TOPIC: str(identifier)})


def topic_of(options: Mapping[str, str]) -> tuple[str, str] | None:
    """The brokers and the topic that options name; None without a log system."""
    if options.get(LOG_SYSTEM, "none").lower() == "none":
        return None
    return options.get("kafka.bootstrap.servers", ""), options.get(TOPIC, "")


def check_log(table: Table) -> LogTopic | None:
    """The log of a table whose options are new. Raises OptionError or NotSupportedError for what cannot be logged."""
    log = log_of(table)
    if log is not None:
        scan_options(table.options.values)
        StreamScan(table, {}, 1).release()
        format_of(table, log)
        if log.settings.is_eventual and table.options.merge_engine != "deduplicate":
            raise NotSupportedError(
                f"table `{table.identifier}` has 'merge-engine' = '{table.options.merge_engine}': what a row leads to "
                "is known with its commit only, so 'log.consistency' is 'transactional'"
            )
    return log


def create_log(table: Table) -> None:
    """Make the topic of a new table. Raises for a table whose changes cannot be known or told."""
    log = check_log(table)
    if log is not None:
        log.create()


def check_log_change(before: Table, schema: TableSchema) -> None:
    """Whether the log of a table can be as a new schema says. Raises OptionError or NotSupportedError.

    What its topic was made with stays; 'log.system' may be taken back, and the topic is then left alone.
    """
    had, has = before.schema.options, schema.options
    system = has.get(LOG_SYSTEM, "none").lower()
    if system == "none" or had == has:
        return
    if had.get(LOG_SYSTEM, "none").lower() != system:
        raise OptionError(
            f"'{LOG_SYSTEM}' = '{system}' comes with CREATE TABLE, which makes the topic; create another table and "
            "copy the rows with INSERT INTO"
        )
    for key in (TOPIC, "log.format", "log.key.format", "log.changelog-mode"):
        if had.get(key) != has.get(key):
            raise OptionError(
                f"'{key}' cannot be changed once the table is there, because the messages of its topic were written "
                "with it; create another table and copy the rows with INSERT INTO"
            )
    check_log(replace(before, schema=schema, options=TableOptions(schema.options)))


def format_of(table: Table, log: LogTopic, schema_id: int | None = None) -> LogFormat:
    """How rows of the table's schema, or of another of its schemas, are written into messages."""
    return _format_of(table, log, schema_id, None)


def writing_format(table: Table, log: LogTopic) -> LogFormat:
    """The format for rows of the table's schema, whose messages the topic takes. Raises OperationalError."""
    return _format_of(table, log, None, log.body_bytes_max)


def _format_of(table: Table, log: LogTopic, schema_id: int | None, bytes_max: int | None) -> LogFormat:
    schema = table.schema if schema_id in (None, table.schema.id) else table.schemas.schema(schema_id or 0)
    return _format(log, schema.arrow_schema, tuple(schema.primary_keys), bytes_max)


@lru_cache(maxsize=64)
def _format(log: LogTopic, schema: pa.Schema, primary_key: tuple[str, ...], bytes_max: int | None) -> LogFormat:
    return log_format(log.settings, schema, primary_key, bytes_max)


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
    floor = None if latest is None else latest.log_offsets
    return _patiently(table, lambda: log.ends(floor), patience_s)


def size_limits(table: Table, log: LogTopic, *, anew: bool = False) -> SizeLimits:
    """How large a message of the log may be; a broker that is away is waited for. Raises OperationalError."""
    return _patiently(table, lambda: log.limits(anew=anew), _PATIENCE_S)


def _patiently(table: Table, ask: Callable[[], _T], patience_s: float) -> _T:
    for _ in turns(f"the broker of the log of table `{table.identifier}`", patience_s):
        try:
            return ask()
        except BrokerAway:
            clock.current().sleep(_WAIT_S)
    return ask()


def check_log_there(table: Table) -> None:
    """Find out that a log is away before anything is written. Where rows are seen early, the look is not repeated soon.

    Raises OperationalError.
    """
    log = log_of(table)
    if log is not None and not (log.settings.is_eventual and log.was_there):
        log_ends(table, table.latest_snapshot(), 0.0)


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
            if attempt + 1 == _TRIES or isinstance(err, GaveUp):
                warnings.warn(
                    f"snapshot {snapshot.id} of table `{table.identifier}` is committed, but not in its log yet: {err}",
                    RuntimeWarning,
                    stacklevel=2,
                )
                return
            clock.current().sleep(_WAIT_S * (attempt + clock.current().jitter()))


def catch_up(table: Table, log: LogTopic, snapshot_id: int) -> None:
    """Write every snapshot that the topic lacks, at least up to this one, in order."""
    if _is_overtaken(table, log, snapshot_id):
        log.give_up()
    newest = log.newest()
    _check_same_history(table, log)
    if newest is not None and newest >= snapshot_id:
        return
    if newest is None or newest + 1 < (table.snapshots.earliest_id() or 1):
        # what the topic lacks is gone, or nobody knows: whoever follows it takes the snapshots themselves
        log.append(replace(_mark(table, table.snapshots.snapshot(snapshot_id)), stage=GAP), ())
        return
    scan = StreamScan(table, {}, newest + 1)
    try:
        while (plan := scan.plan()) is not None:
            _tell(table, log, plan)
    finally:
        scan.release()
    log.passed(snapshot_id)


def _is_overtaken(table: Table, log: LogTopic, snapshot_id: int) -> bool:
    """Whether somebody else has committed since this process wrote, and so has its own hands on the topic by now.

    It would be found out when writing fails, too, which takes longer.
    """
    written = log.written
    if written is None or snapshot_id <= written + 1:
        return False
    try:
        user = table.snapshots.snapshot(snapshot_id).commit_user
        return any(table.snapshots.snapshot(n).commit_user != user for n in range(written + 1, snapshot_id))
    except SnapshotNotFound:
        return True


def _tell(table: Table, log: LogTopic, plan: StreamPlan) -> None:
    """Write one snapshot. Where messages cannot tell it, the topic says so, and readers take it from the table."""
    mark = _mark(table, table.snapshots.snapshot(plan.snapshot_id))
    try:
        try:
            log.append(mark, _parts(table, log, plan))
        except MessageTooLarge:
            log.begin_anew()
            log.append(mark, _parts(table, log, plan))
        return
    except MessageTooLarge as err:
        log.begin_anew()
        warnings.warn(
            f"snapshot {plan.snapshot_id} of table `{table.identifier}` is committed, and its log only says that it is "
            f"there, so that readers take it from the table: {err}",
            RuntimeWarning,
            stacklevel=2,
        )
    except CannotTell:
        pass
    log.append(replace(mark, stage=GAP), ())


def settle(table: Table, log: LogTopic, rows: Iterator[tuple[int, pa.RecordBatch, Kinds]]) -> None:
    """Write what keys are in the newest snapshot, of which rows were written early and never committed.

    rows: (bucket, rows, kinds), asked for when the topic has every snapshot.
    """
    with log.exclusive():
        latest = table.latest_snapshot()
        catch_up(table, log, 0 if latest is None else latest.id)
        written = writing_format(table, log)
        mark = Mark(0, table.schema.id, stage=SETTLED)
        log.append(mark, ((b, *part) for b, some, kinds in rows for part in written.write(some, kinds)))


def _mark(table: Table, snapshot: Snapshot) -> Mark:
    """schema_id: that of the rows as this process reads them."""
    return Mark(snapshot.id, table.schema.id, snapshot.delta_manifest_list)


def _check_same_history(table: Table, log: LogTopic) -> None:
    """The snapshot that the topic ends with is the table's: after a rollback another one may have its id."""
    mark = log.last_mark
    if mark is None or not mark.snapshot_id or mark.snapshot_id < (table.snapshots.earliest_id() or 1):
        return
    snapshots, snapshot_id = table.snapshots, mark.snapshot_id
    if not snapshots.exists(snapshot_id) or snapshots.snapshot(snapshot_id).delta_manifest_list != mark.commit:
        raise OperationalError(
            f"the log of table `{table.identifier}` ends with a snapshot {mark.snapshot_id} that the table does not "
            f"have any more: it was rolled back; CALL sys.rebuild_log('{table.identifier}') begins the log anew"
        )


def _parts(table: Table, log: LogTopic, plan: StreamPlan) -> Iterator[Part]:
    """Messages with the changes, in the order in which `read_changes` gives them."""
    written = writing_format(table, log)
    for bucket, part in [(0, plan)] if log.partitions == 1 else _by_bucket(plan):
        for rows, kinds in read_changes(table, part):
            for keys, values in written.write(rows, kinds):
                yield bucket, keys, values


def _by_bucket(plan: StreamPlan) -> Iterator[tuple[int, StreamPlan]]:
    nothing = replace(plan, removed=(), added=(), changed=(), touched=())
    for split in plan.removed:
        yield split.bucket, replace(nothing, removed=(split,))
    for split in plan.added:
        yield split.bucket, replace(nothing, added=(split,))
    for split in plan.touched:
        yield split.bucket, replace(nothing, touched=(split,))
    for split in plan.changed:
        yield split.bucket, replace(nothing, changed=(split,))


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
            log.append(replace(_mark(table, latest), stage=GAP), ())
        return 0 if latest is None else latest.id, log.ends()


def close_logs(warehouse: str) -> None:
    """Let go of the brokers of all tables of a warehouse; who needs one again connects again."""
    with _lock:
        closing = [log for key, log in _topics.items() if key[0].startswith(warehouse)]
    for log in closing:
        log.close()
