"""Tags that commits make by themselves, one a period of time, and tags that end.

'tag.automatic-creation' = 'process-time' or 'watermark': the first snapshot after a period (and 'tag.creation-delay')
gets the tag of the period that has ended, `2024-05-14` or `2024-05-14 13`. 'batch': every batch commit moves the tag
`batch-write-<day>`. Tags without a retention of their own stay until 'tag.num-retained-max' are newer.
Source: Paimon, `TagAutoCreation`, `TagPeriodHandler`, `TagBatchCreation`, `TagTimeExpire`.
"""

import datetime as dt
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass

from tsdb.errors import OptionError
from tsdb.metadata.snapshot import BATCH_IDENTIFIER, Snapshot
from tsdb.options import TableOptions, parse_duration_ms
from tsdb.table.rollback import delete_tag
from tsdb.table.table import Table
from tsdb.table.tag import Tag, create_tag, find_tag, now, tag_modified, tags

_EPOCH = dt.datetime(1970, 1, 1)
_HOUR = dt.timedelta(hours=1)
_PERIODS: Mapping[str, dt.timedelta] = {"daily": dt.timedelta(days=1), "hourly": _HOUR, "two-hours": 2 * _HOUR}
_DAYS: Mapping[str, str] = {
    "with_dashes": "%Y-%m-%d",
    "without_dashes": "%Y%m%d",
    "without_dashes_and_spaces": "%Y%m%d",
}
_HOURS: Mapping[str, str] = {
    "with_dashes": "%Y-%m-%d %H",
    "without_dashes": "%Y%m%d %H",
    "without_dashes_and_spaces": "%Y%m%d%H",
}
_BATCH_PREFIX = "batch-write-"


@dataclass(frozen=True, slots=True)
class Periods:
    """The periods that tags are made for, and how a tag is named after one."""

    length: dt.timedelta
    name_format: str
    delay: dt.timedelta

    def name(self, start: dt.datetime) -> str:
        """The tag of the period that begins then."""
        return start.strftime(self.name_format)

    def start(self, name: str) -> dt.datetime | None:
        """When the period of a tag begins; None for a name that is not one of these."""
        try:
            found = dt.datetime.strptime(name, self.name_format)
        except ValueError:
            return None
        return found if self.name(found) == name else None

    def ended_before(self, time: dt.datetime) -> dt.datetime:
        """The start of the last period that has ended by then."""
        return time - (time - _EPOCH) % self.length - self.length


def periods(options: TableOptions) -> Periods:
    """What the options say. Raises OptionError for a period or a delay that is none."""
    text = options.get("tag.creation-period-duration")
    delay = dt.timedelta(milliseconds=parse_duration_ms(options.get("tag.creation-delay") or "", "tag.creation-delay"))
    formatter = options.get("tag.period-formatter") or ""
    if text is not None:
        length = dt.timedelta(milliseconds=parse_duration_ms(text, "tag.creation-period-duration"))
        name_format = "%Y%m%d%H%M"
    else:
        length = _PERIODS[options.get("tag.creation-period") or ""]
        name_format = (_DAYS if length.days else _HOURS)[formatter]
    if length <= dt.timedelta(0) or delay >= length:
        raise OptionError(
            f"'tag.creation-delay' = '{options.get('tag.creation-delay')}' must be shorter than the period"
        )
    return Periods(length, name_format, delay)


def create_automatic_tags(table: Table, snapshot: Snapshot) -> list[str]:
    """After the commit of `snapshot`: the tags that are due are made, and old ones deleted; the names made."""
    mode = table.options.get("tag.automatic-creation")
    if mode == "batch":
        return _tag_batch(table, snapshot) if snapshot.commit_identifier == BATCH_IDENTIFIER else []
    return [] if mode in (None, "none") else _tag_periods(table, mode)


def expire_tags(table: Table, older_than: dt.datetime | None = None) -> list[str]:
    """Delete the tags whose retention is over, and those made before older_than; their names. Times are in UTC."""
    gone = []
    for tag in tags(table):
        created = tag.create_time or tag_modified(table, tag.name)
        if created is None:
            continue
        is_over = tag.time_retained is not None and now() > created + tag.time_retained
        if is_over or (older_than is not None and older_than > created):
            delete_tag(table, tag.name)
            gone.append(tag.name)
    return gone


def is_tag_due(table: Table) -> bool:
    """Whether the time is over for a period of 'process-time' that has no tag yet, for want of a snapshot."""
    if table.options.get("tag.automatic-creation") != "process-time":
        return False
    known = _period_tags(table, periods(table.options))
    if not known:
        return True
    every, start = periods(table.options), known[-1][0]
    return _local(table, "sink.process-time-zone", now()) - every.delay >= start + 2 * every.length


def _tag_periods(table: Table, mode: str) -> list[str]:
    every = periods(table.options)
    known = _period_tags(table, every)
    next_start = known[-1][0] + every.length if known else None
    after = known[-1][1].snapshot.id if known else 0
    made = []
    for snapshot in [table.snapshots.snapshot(i) for i in table.snapshots.ids() if i > after]:
        time = _time(table, mode, snapshot)
        if time is None or (next_start is not None and time - every.delay < next_start + every.length):
            continue
        start = every.ended_before(time)
        if next_start is not None and table.options.flag("tag.automatic-completion"):
            start = next_start
        name = every.name(start)
        if find_tag(table, name) is None:
            create_tag(table, name, snapshot, _retained(table))
            made.append(name)
        next_start = start + every.length
    if made:
        _keep_newest(table, [tag for _, tag in _period_tags(table, every)])
    return made


def _tag_batch(table: Table, snapshot: Snapshot) -> list[str]:
    day = _EPOCH + dt.timedelta(milliseconds=snapshot.time_millis)
    name = table.options.get("tag.batch.customized-name") or f"{_BATCH_PREFIX}{day:%Y-%m-%d}"
    if find_tag(table, name) is not None:
        delete_tag(table, name)
    create_tag(table, name, snapshot, _retained(table))
    batch = [tag for tag in tags(table) if tag.name.startswith(_BATCH_PREFIX) or tag.name == name]
    _keep_newest(table, sorted(batch, key=lambda tag: tag.snapshot.id))
    return [name]


def _period_tags(table: Table, every: Periods) -> list[tuple[dt.datetime, Tag]]:
    """The automatic tags, in the order of their periods."""
    found = [(start, tag) for tag in tags(table) if (start := every.start(tag.name)) is not None]
    return sorted(found, key=lambda item: item[0])


def _keep_newest(table: Table, known: list[Tag]) -> None:
    """known: oldest first."""
    if table.options.get("tag.num-retained-max") is None:
        return
    for tag in known[: max(0, len(known) - table.options.integer("tag.num-retained-max"))]:
        delete_tag(table, tag.name)


def _retained(table: Table) -> dt.timedelta | None:
    text = table.options.get("tag.default-time-retained")
    return None if text is None else dt.timedelta(milliseconds=parse_duration_ms(text, "tag.default-time-retained"))


def _time(table: Table, mode: str, snapshot: Snapshot) -> dt.datetime | None:
    """The time of a snapshot that counts; None without a watermark."""
    if mode == "process-time":
        return _local(table, "sink.process-time-zone", _EPOCH + dt.timedelta(milliseconds=snapshot.time_millis))
    if snapshot.watermark is None or snapshot.watermark < 0:
        return None
    return _local(table, "sink.watermark-time-zone", _EPOCH + dt.timedelta(milliseconds=snapshot.watermark))


def _local(table: Table, option: str, time: dt.datetime) -> dt.datetime:
    """A time in UTC as the clocks of the option's zone show it; UTC without the option."""
    name = table.options.get(option)
    if name is None:
        return time
    try:
        zone = zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError) as err:
        raise OptionError(f"'{option}' is a time zone such as 'Europe/Berlin', not '{name}'") from err
    return time.replace(tzinfo=dt.UTC).astimezone(zone).replace(tzinfo=None)
