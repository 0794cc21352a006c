"""Partitions that are over: by the time their values say, or by the time of their last file.

'partition.expiration-time' is how long a partition lives. 'partition.expiration-strategy' = 'values-time' reads the
time out of the partition's values ('partition.timestamp-pattern', 'partition.timestamp-formatter'); a value that says
no time never expires. 'update-time' takes the newest file. Source: Paimon, `PartitionExpire` and its strategies.
"""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tsdb.errors import OptionError, ProgrammingError
from tsdb.options import TableOptions, parse_duration_ms
from tsdb.table.scan import live_files, partition_values
from tsdb.table.table import Table
from tsdb.table.tag import now
from tsdb.table.update_time import partition_update_times

_EPOCH = dt.datetime(1970, 1, 1)
_LETTERS: Mapping[str, tuple[str, str]] = {
    "y": ("year", r"\d{1,10}"), "u": ("year", r"\d{1,10}"), "M": ("month", r"\d{1,2}"), "d": ("day", r"\d{1,2}"),
    "H": ("hour", r"\d{1,2}"), "m": ("minute", r"\d{1,2}"), "s": ("second", r"\d{1,2}"), "S": ("fraction", r"\d{1,9}"),
}  # fmt: skip
_DEFAULT = re.compile(
    r"(?P<year>\d{1,10})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"
    r"(?: (?P<hour>\d{1,2}):(?P<minute>\d{1,2}):(?P<second>\d{1,2})(?:\.(?P<fraction>\d{1,9}))?)?"
)


@dataclass(frozen=True, slots=True)
class PartitionLife:
    """How long partitions live, and how their time is known."""

    time: dt.timedelta
    strategy: str
    pattern: str | None
    formatter: str | None
    expires_max: int


def partition_life(options: TableOptions, given: Mapping[str, Any] | None = None) -> PartitionLife | None:
    """What the options say, and `given` over them, by option; None if partitions do not expire.

    Raises OptionError for a strategy that is none.
    """
    found = TableOptions({**options.values, **{key: str(value) for key, value in (given or {}).items()}})
    text = found.get("partition.expiration-time")
    if text is None:
        return None
    strategy = found.get("partition.expiration-strategy") or ""
    if strategy not in ("values-time", "update-time"):
        raise OptionError(f"'partition.expiration-strategy' is 'values-time' or 'update-time', not '{strategy}'")
    return PartitionLife(
        dt.timedelta(milliseconds=parse_duration_ms(text, "partition.expiration-time")),
        strategy,
        found.get("partition.timestamp-pattern"),
        found.get("partition.timestamp-formatter"),
        found.integer("partition.expiration-max-num"),
    )


def expired_partitions(table: Table, life: PartitionLife) -> dict[bytes, dict[str, Any]]:
    """The partitions whose time is over, oldest first, with their values by column.

    Raises ProgrammingError for a table without partitions.
    """
    if not table.schema.partition_keys:
        raise ProgrammingError(f"table `{table.identifier}` has no partitions, so none can expire")
    snapshot = table.latest_snapshot()
    newest = partition_update_times(table, snapshot)
    limit = now() - life.time
    due = []
    for partition in {entry.partition for entry in live_files(table, snapshot)}:
        values = dict(zip(table.schema.partition_keys, partition_values(table, partition), strict=True))
        time: dt.datetime | None = _EPOCH + dt.timedelta(milliseconds=newest[partition])
        if life.strategy == "values-time":
            time = time_of_values(values, life.pattern, life.formatter)
        if time is not None and time < limit:
            due.append((time, partition, values))
    due.sort(key=lambda item: item[:2])
    return {partition: values for _, partition, values in due[: life.expires_max]}


def time_of_values(values: Mapping[str, Any], pattern: str | None, formatter: str | None) -> dt.datetime | None:
    """The time that the values of a partition say; None if they say none.

    pattern: `$dt $hour:00:00`, else the first value. formatter: as in Java, `yyyyMMdd`, else `yyyy-MM-dd[ HH:mm:ss]`.
    """
    text = str(next(iter(values.values())))
    if pattern is not None:
        text = pattern
        for name in sorted(values, key=len, reverse=True):
            text = text.replace(f"${name}", str(values[name]))
    match = (_DEFAULT if formatter is None else _compiled(formatter)).fullmatch(text)
    if match is None:
        return None
    parts = {name: value for name, value in match.groupdict().items() if value is not None}
    micros = int(parts.pop("fraction", "0").ljust(6, "0")[:6])
    numbers = {name: int(value) for name, value in parts.items()}
    if "year" not in numbers:
        return None
    try:
        return dt.datetime(**{"month": 1, "day": 1, **numbers}, microsecond=micros)  # type: ignore[arg-type]
    except ValueError:
        return None


def _compiled(formatter: str) -> re.Pattern[str]:
    """A Java pattern of times as a regular expression. Raises OptionError for a letter that is not known here."""
    out = ""
    for piece in re.finditer(r"'(?:[^']|'')*'|([A-Za-z])\1*|.", formatter):
        text = piece[0]
        if text.startswith("'"):
            out += re.escape(text[1:-1].replace("''", "'") or "'")
        elif not text[0].isalpha():
            out += re.escape(text)
        elif text[0] not in _LETTERS or f"(?P<{_LETTERS[text[0]][0]}>" in out:
            raise OptionError(
                f"'partition.timestamp-formatter' = '{formatter}': `{text}` cannot be followed; use y M d H m s S"
            )
        else:
            name, digits = _LETTERS[text[0]]
            wanted = digits if len(text) == 1 else rf"\d{{{len(text)}}}"
            out += f"(?P<{name}>{wanted})"
    return re.compile(out)
