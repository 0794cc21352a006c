"""Where the files of a table lie, and the names of new ones.

Readers never parse paths: partition and bucket of a file come from its manifest entry.
Source: Paimon, `FileStorePathFactory`, `PartitionPathUtils`.
"""

import datetime as dt
import decimal
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tsdb import clock

DEFAULT_PARTITION = "__DEFAULT_PARTITION__"
POSTPONE_BUCKET = -2
_ESCAPED = re.compile(r"[\x00-\x1f\x7f\"#%'*/:=?\\{}\[\]^]")


@dataclass(frozen=True, slots=True)
class TablePaths:
    """The paths of one table. table_path: its directory, without a trailing slash."""

    table_path: str
    default_partition: str = DEFAULT_PARTITION
    legacy_names: bool = True

    def manifest(self, name: str) -> str:
        """A manifest, manifest list or index manifest."""
        return f"{self.table_path}/manifest/{name}"

    def index(self, name: str) -> str:
        """A file of deletion vectors or of a hash index."""
        return f"{self.table_path}/index/{name}"

    def tag(self, name: str) -> str:
        """The file of a tag."""
        return f"{self.table_path}/tag/tag-{name}"

    def partition(self, values: Mapping[str, Any]) -> str:
        """The directory of a partition (the table's own if none). values: Python values by name, in key order."""
        parts = [
            f"{_escape(key)}={_escape(_text(value, self.default_partition, self.legacy_names))}"
            for key, value in values.items()
        ]
        return "/".join([self.table_path, *parts])

    def bucket(self, values: Mapping[str, Any], bucket: int) -> str:
        """The directory of a bucket."""
        name = "postpone" if bucket == POSTPONE_BUCKET else str(bucket)
        return f"{self.partition(values)}/bucket-{name}"


class FileNames:
    """Names for the new files of one writer: one random id, and a counter for each kind. Thread-safe."""

    def __init__(
        self, data_prefix: str = "data-", changelog_prefix: str = "changelog-", extension: str = "parquet"
    ) -> None:
        self._id = clock.current().new_id()
        self._data_prefix, self._changelog_prefix, self._extension = data_prefix, changelog_prefix, extension
        self._files, self._manifests = itertools.count(), itertools.count()
        self._lists, self._indexes = itertools.count(), itertools.count()

    def new_data_file(self) -> str:
        """`data-<id>-<n>.parquet`; the counter is shared with changelog files."""
        return f"{self._data_prefix}{self._id}-{next(self._files)}.{self._extension}"

    def new_changelog_file(self) -> str:
        """`changelog-<id>-<n>.parquet`."""
        return f"{self._changelog_prefix}{self._id}-{next(self._files)}.{self._extension}"

    def new_manifest(self) -> str:
        """`manifest-<id>-<n>`."""
        return f"manifest-{self._id}-{next(self._manifests)}"

    def new_manifest_list(self) -> str:
        """`manifest-list-<id>-<n>`."""
        return f"manifest-list-{self._id}-{next(self._lists)}"

    def new_index_manifest(self) -> str:
        """`index-manifest-<id>-<n>`."""
        return f"index-manifest-{self._id}-{next(self._indexes)}"


def _escape(text: str) -> str:
    return _ESCAPED.sub(lambda match: f"%{ord(match[0]):02X}", text)


def _text(value: Any, default: str, legacy: bool) -> str:
    """A partition value as Java writes it into a path."""
    match value:
        case None:
            return default
        case bool():
            return "true" if value else "false"
        case str():
            return value if value.strip() else default
        case float():
            return _java_double(value)
        case decimal.Decimal():
            return f"{value:f}"
        case dt.datetime():
            return _timestamp(value, legacy)
        case dt.date():
            return str((value - dt.date(1970, 1, 1)).days) if legacy else value.isoformat()
        case dt.time():
            millis = ((value.hour * 60 + value.minute) * 60 + value.second) * 1000 + value.microsecond // 1000
            return str(millis) if legacy else value.isoformat(timespec="milliseconds" if millis % 1000 else "seconds")
    return str(value)


def _timestamp(value: dt.datetime, legacy: bool) -> str:
    """Java's LocalDateTime.toString: seconds left out when zero, fraction of 3, 6 or 9 digits."""
    fraction = f"{value.microsecond:06d}"
    fraction = "" if not value.microsecond else "." + (fraction[:3] if fraction.endswith("000") else fraction)
    if not legacy:
        return f"{value:%Y-%m-%d %H:%M:%S}".zfill(19) + fraction
    seconds = f":{value.second:02d}{fraction}" if value.second or fraction else ""
    return f"{value.year:04d}-{value.month:02d}-{value.day:02d}T{value.hour:02d}:{value.minute:02d}{seconds}"


def _java_double(value: float) -> str:
    """Java's Double.toString: plain between 1e-3 and 1e7, else `d.dddE<n>`."""
    if value != value or value in (float("inf"), float("-inf")):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(value) if "e" not in repr(value) else f"{value:f}"
    mantissa, exponent = f"{decimal.Decimal(repr(value)).normalize():E}".split("E")
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}E{int(exponent)}"
