"""Time zones: their names, and moments of UTC as the clocks of a zone show them.

Where the clocks go back a time stands for two moments: the earlier one is meant. Where they go forward a time that is
left out means as much later as the clocks jump. So it is in `java.time`, and in Flink.
"""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import pyarrow as pa
import pyarrow.compute as pc

from tsdb.errors import OptionError, nearest

_OFFSET = re.compile(r"(?:GMT|UTC)?([+-])(\d{1,2})(?::?(\d\d))?", re.IGNORECASE)
_UTC = ("UTC", "Z", "GMT", "ETC/UTC", "UTC+0", "+00:00", "UCT", "ZULU")
_HOURS_MAX = 18


def zone_name(zone: str) -> str:
    """A zone as Arrow knows it. Raises ValueError if it is none."""
    name = _offset_name(zone) or zone
    try:
        pc.local_timestamp(pa.array([0], pa.timestamp("us", name)))
    except (pa.ArrowInvalid, ValueError) as err:
        raise ValueError(f"'{zone}' is no time zone; write 'Europe/Berlin' or '+02:00'") from err
    return name


def session_zone(zone: str) -> str:
    """The zone of a session as Arrow and Python know it; every name of UTC is `UTC`. Raises OptionError."""
    text = zone.strip()
    name = _offset_name(text) or text
    if name.upper() in _UTC or name in ("-00:00", "+00:00"):
        return "UTC"
    try:
        tzinfo(name)
        return zone_name(name)
    except ValueError as err:
        near = nearest(text, available_timezones()) or " Write a name such as 'Europe/Berlin', or '+02:00'."
        raise OptionError(f"'table.local-time-zone': '{zone}' is no time zone.{near}") from err


@lru_cache(maxsize=64)
def tzinfo(name: str) -> dt.tzinfo:
    """The zone for a `datetime`. Raises ValueError if there is none of that name."""
    if name == "UTC":
        return dt.UTC
    offset = _OFFSET.fullmatch(name)
    if offset is not None:
        hours, minutes = int(offset[2]), int(offset[3] or 0)
        if hours > _HOURS_MAX or minutes > 59 or (hours == _HOURS_MAX and minutes):
            raise ValueError(f"'{name}' is farther from UTC than {_HOURS_MAX} hours")
        length = dt.timedelta(hours=hours, minutes=minutes)
        return dt.timezone(-length if offset[1] == "-" else length)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError, ValueError) as err:
        raise ValueError(f"'{name}' is no time zone") from err


def local_times(moments: pa.Array, zone: str) -> pa.Array:
    """What the clocks of a zone show at moments of UTC. moments: timestamps without a zone; so is the result."""
    kind = moments.type
    return pc.local_timestamp(pc.cast(pc.cast(moments, pa.int64()), pa.timestamp(kind.unit, zone_name(zone))))


def moments_of(times: pa.Array, zone: str) -> pa.Array:
    """The moments of UTC at which the clocks of a zone show these times; both without a zone."""
    kind, whole = times.type, pa.int64()
    known = pc.assume_timezone(times, zone_name(zone), ambiguous="earliest", nonexistent="latest")
    found = pc.cast(known, whole)
    left_out = pc.not_equal(pc.local_timestamp(known), times)
    if pc.any(left_out).as_py():
        # the offset before the clocks jump: so much later than the time that is written
        before = pc.cast(pc.subtract(found, 1), known.type)
        offset = pc.subtract(pc.cast(pc.local_timestamp(before), whole), pc.cast(before, whole))
        found = pc.if_else(left_out, pc.subtract(pc.cast(times, whole), offset), found)
    return pc.cast(found, kind)


def _offset_name(zone: str) -> str | None:
    """`+02:00` for what is written as an offset."""
    offset = _OFFSET.fullmatch(zone)
    return None if offset is None else f"{offset[1]}{int(offset[2]):02d}:{offset[3] or '00'}"
