"""What is over goes: `sys.expire_snapshots`, `expire_changelogs`, `expire_partitions`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from tsdb import clock
from tsdb.catalog.catalog import Catalog
from tsdb.errors import ProgrammingError
from tsdb.procedure.procedure import TABLE, Argument, Procedure, dynamic_options, listed_result, result, table_argument
from tsdb.table.changelog import Retention, changelog_retention, changelogs, snapshot_retention
from tsdb.table.commit import drop_partitions
from tsdb.table.expire import drop_changelogs, expire_changelogs, expire_snapshots
from tsdb.table.partition_expire import expired_partitions, partition_life
from tsdb.table.refs import timestamp_of

_LIMITS = (
    Argument("retain_max", "int", "How many to keep at the most."),
    Argument("retain_min", "int", "How many to keep at least."),
    Argument("older_than", "string", "Only those before this time in UTC, such as `2024-05-14 00:00:00`."),
    Argument("max_deletes", "int", "How many to drop at the most."),
)
_OPTIONS = Argument("options", "string", "Options of the table for this time, as `k=v,k=v`.")


def _snapshots(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = dynamic_options(table_argument(catalog, arguments), arguments)
    keep = _limited(snapshot_retention(table.options), arguments)
    return result(deleted_snapshots_count=expire_snapshots(table, keep))


def _changelogs(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = table_argument(catalog, arguments)
    if arguments.get("delete_all"):
        return result(expired_changelogs_count=drop_changelogs(table, changelogs(table)))
    keep = changelog_retention(table.options) or snapshot_retention(table.options)
    return result(expired_changelogs_count=expire_changelogs(table, _limited(keep, arguments)))


def _limited(keep: Retention, arguments: Mapping[str, Any]) -> Retention:
    for name in ("retain_min", "retain_max", "max_deletes"):
        if name in arguments:
            keep = replace(keep, **{name: arguments[name]})
    if "retain_max" in arguments:
        keep = replace(keep, retain_min=min(keep.retain_min, keep.retain_max))
    if "older_than" in arguments:
        keep = replace(keep, older_than_ms=timestamp_of("older_than", arguments["older_than"]))
    return keep


_PARTITION_OPTIONS = {
    "expiration_time": "partition.expiration-time",
    "timestamp_formatter": "partition.timestamp-formatter",
    "timestamp_pattern": "partition.timestamp-pattern",
    "expire_strategy": "partition.expiration-strategy",
    "max_expires": "partition.expiration-max-num",
}


def _partitions(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = dynamic_options(table_argument(catalog, arguments), arguments)
    given = {option: arguments[name] for name, option in _PARTITION_OPTIONS.items() if name in arguments}
    life = partition_life(table.options, given)
    if life is None:
        raise ProgrammingError(
            f"table `{table.identifier}` has no 'partition.expiration-time'; give `expiration_time`, such as '7 d'"
        )
    gone = expired_partitions(table, life)
    if gone:
        drop_partitions(table, gone.__contains__, user=clock.current().new_id())
    names = [", ".join(f"{key}={value}" for key, value in values.items()) for values in gone.values()]
    return listed_result("expired_partitions", names)


EXPIRE_SNAPSHOTS = Procedure(
    "expire_snapshots",
    "Drop old snapshots, and the files that only they need; by default what the table's options say.",
    (TABLE, *_LIMITS, _OPTIONS),
    _snapshots,
)
EXPIRE_CHANGELOGS = Procedure(
    "expire_changelogs",
    "Drop changelogs that have outlived their snapshots; by default what the table's options say.",
    (TABLE, *_LIMITS, Argument("delete_all", "bool", "Drop all of them.")),
    _changelogs,
)
EXPIRE_PARTITIONS = Procedure(
    "expire_partitions",
    "Drop the partitions whose time is over.",
    (
        TABLE,
        Argument("expiration_time", "string", "How long a partition is kept, such as `7 d`."),
        Argument("timestamp_formatter", "string", "How the time in the values is written, such as `yyyyMMdd`."),
        Argument("timestamp_pattern", "string", "The time in the values, such as `$dt $hour:00:00`."),
        Argument("expire_strategy", "string", "`values-time` or `update-time`."),
        Argument("max_expires", "int", "How many to drop at the most."),
        _OPTIONS,
    ),
    _partitions,
)
EXPIRE_PROCEDURES = (EXPIRE_SNAPSHOTS, EXPIRE_CHANGELOGS, EXPIRE_PARTITIONS)
