"""Where the files of a table lie, and the names of new ones.

Readers never parse paths: partition and bucket of a file come from its manifest entry.
Source: Paimon, `FileStorePathFactory`, `PartitionPathUtils`.
"""

import datetime as dt
import decimal
import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tsdb import clock
from tsdb.data_types import DataType, TypeRoot
from tsdb.errors import NotSupportedError
from tsdb.metadata.data_file import local_path
from tsdb.metadata.index_file import IndexFileMeta

DEFAULT_PARTITION = "__DEFAULT_PARTITION__"
POSTPONE_BUCKET = -2
# what Java's isWhitespace holds for blank, of which a no-break space is none
_BLANKS = "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \u1680\u2028\u2029\u205f\u3000" + "".join(
    chr(code) for code in range(0x2000, 0x200B) if code != 0x2007
)
_ESCAPED = re.compile(r"[\x00-\x1f\x7f\"#%'*/:=?\\{}\[\]^]")


@dataclass(frozen=True, slots=True)
class TablePaths:
    """The paths of one table. table_path: its directory, without a trailing slash.

    data_directory: in it are the data files, in place of the table's. external_paths: roots outside, for new files.
    partition_types: types of the partition columns; without them FLOAT, TIME and TIMESTAMP may be written differently.
    has_scattered_indexes: index files lie beside the data files, where they are not looked for here.
    """

    table_path: str
    default_partition: str = DEFAULT_PARTITION
    legacy_names: bool = True
    data_directory: str | None = None
    external_paths: tuple[str, ...] = ()
    partition_types: Mapping[str, DataType] = field(default_factory=dict)
    has_scattered_indexes: bool = False

    def manifest(self, name: str) -> str:
        """A manifest, manifest list or index manifest."""
        return f"{self.table_path}/manifest/{name}"

    def index(self, name: str) -> str:
        """A file of deletion vectors or of a hash index. Raises NotSupportedError if they lie beside the data files."""
        if self.has_scattered_indexes:
            raise NotSupportedError(
                f"table at {self.table_path}: 'index-file-in-data-file-dir' = 'true' is not supported for tables with "
                f"deletion vectors or dynamic buckets"
            )
        return f"{self.table_path}/index/{name}"

    def of_index(self, file: IndexFileMeta) -> str:
        """The same, of a file that may lie elsewhere."""
        return self.index(file.file_name) if file.external_path is None else local_path(file.external_path)

    @property
    def data_path(self) -> str:
        """What holds the directories of partitions and buckets."""
        return self.table_path if self.data_directory is None else f"{self.table_path}/{self.data_directory}"

    def tag(self, name: str) -> str:
        """The file of a tag."""
        return f"{self.table_path}/tag/tag-{name}"

    def partition(self, values: Mapping[str, Any]) -> str:
        """The directory of a partition (the table's own if none). values: Python values by name, in key order."""
        return "/".join([self.table_path, *self._parts(values)])

    def _parts(self, values: Mapping[str, Any]) -> list[str]:
        return [f"{_escape(key)}={_escape(self._text(key, value))}" for key, value in values.items()]

    def _text(self, key: str, value: Any) -> str:
        return _text(value, self.partition_types.get(key), self.default_partition, self.legacy_names)

    def bucket(self, values: Mapping[str, Any], bucket: int) -> str:
        """The directory of a bucket."""
        return "/".join([self.data_path, *self._parts(values), _bucket_name(bucket)])

    def external_buckets(self, values: Mapping[str, Any], bucket: int) -> tuple[str, ...]:
        """The directories outside of the table for new files of a bucket; none if they go into its own."""
        inside = [] if self.data_directory is None else [self.data_directory]
        parts = [*inside, *self._parts(values), _bucket_name(bucket)]
        return tuple("/".join([root.rstrip("/"), *parts]) for root in self.external_paths)


def _bucket_name(bucket: int) -> str:
    return "bucket-postpone" if bucket == POSTPONE_BUCKET else f"bucket-{bucket}"


class FileNames:
    """Names for the new files of one writer: one random id, and a counter for each kind. Thread-safe."""

    def __init__(self, data_prefix: str = "data-", changelog_prefix: str = "changelog-") -> None:
        self._id = clock.current().new_id()
        self._data_prefix, self._changelog_prefix = data_prefix, changelog_prefix
        self._files, self._manifests = itertools.count(), itertools.count()
        self._lists, self._indexes = itertools.count(), itertools.count()
        self._index_files = itertools.count()

    def new_data_file(self, extension: str = "parquet") -> str:
        """`data-<id>-<n>.parquet`; the counter is shared with changelog files."""
        return f"{self._data_prefix}{self._id}-{next(self._files)}.{extension}"

    def new_changelog_file(self, extension: str = "parquet") -> str:
        """`changelog-<id>-<n>.parquet`."""
        return f"{self._changelog_prefix}{self._id}-{next(self._files)}.{extension}"

    def new_manifest(self) -> str:
        """`manifest-<id>-<n>`."""
        return f"manifest-{self._id}-{next(self._manifests)}"

    def new_manifest_list(self) -> str:
        """`manifest-list-<id>-<n>`."""
        return f"manifest-list-{self._id}-{next(self._lists)}"

    def new_index_manifest(self) -> str:
        """`index-manifest-<id>-<n>`."""
        return f"index-manifest-{self._id}-{next(self._indexes)}"

    def new_index_file(self) -> str:
        """`index-<id>-<n>`: deletion vectors or a hash index."""
        return f"index-{self._id}-{next(self._index_files)}"


def _escape(text: str) -> str:
    return _ESCAPED.sub(lambda match: f"%{ord(match[0]):02X}", text)


def _text(value: Any, kind: DataType | None, default: str, legacy: bool) -> str:
    """A partition value as Java writes it into a path. kind: None if the type is not known."""
    match value:
        case None:
            return default
        case bool():
            return "true" if value else "false"
        case str():
            return value if value.strip(_BLANKS) else default
        case bytes():
            return _text(value.decode("utf-8", "replace"), None, default, legacy)
        case float():
            is_float = kind is not None and kind.root is TypeRoot.FLOAT
            return java_number(value, str(np.float32(value)) if is_float else repr(value))
        case decimal.Decimal():
            return f"{value:f}"
        case dt.datetime() | np.datetime64():
            return timestamp_text(value, kind, legacy)
        case dt.date():
            return str((value - dt.date(1970, 1, 1)).days) if legacy else value.isoformat()
        case dt.time():
            return time_text(value, kind, legacy)
    return str(value)


def timestamp_text(given: dt.datetime | np.datetime64, kind: DataType | None, legacy: bool) -> str:
    """Legacy: LocalDateTime.toString, without seconds that are zero. Else with as many digits as the type has."""
    nanos = 0
    if isinstance(given, np.datetime64):
        nanos = int(given.astype("datetime64[ns]").astype(np.int64)) % 1000
        value: dt.datetime = given.astype("datetime64[us]").astype(dt.datetime)
    else:
        value = given
    date = f"{value.year:04d}-{value.month:02d}-{value.day:02d}"
    digits = f"{value.microsecond:06d}{nanos:03d}"
    short = "." + digits[: 9 if nanos else 6 if value.microsecond % 1000 else 3] if value.microsecond or nanos else ""
    if legacy:
        seconds = f":{value.second:02d}{short}" if value.second or short else ""
        return f"{date}T{value.hour:02d}:{value.minute:02d}{seconds}"
    if kind is not None:
        wanted = max(kind.precision, len(digits.rstrip("0")))
        short = "." + digits[:wanted] if wanted else ""
    return f"{date} {value.hour:02d}:{value.minute:02d}:{value.second:02d}{short}"


def time_text(value: dt.time, kind: DataType | None, legacy: bool) -> str:
    """Legacy: milliseconds of the day. Else with the digits that matter, but at least one if the type has any."""
    millis = value.microsecond // 1000
    if legacy:
        return str(((value.hour * 60 + value.minute) * 60 + value.second) * 1000 + millis)
    precision = (3 if millis else 0) if kind is None else kind.precision
    digits = f"{millis:03d}"[:precision].rstrip("0") or "0"
    return f"{value:%H:%M:%S}" + (f".{digits}" if precision else "")


def java_number(value: float, text: str) -> str:
    """Java's toString of a float or double: plain between 1e-3 and 1e7, else `d.dddE<n>`. text: its shortest digits."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return text
    mantissa, exponent = f"{decimal.Decimal(text).normalize():E}".split("E")
    if "." not in mantissa:
        mantissa, exponent = f"{value:.1e}".split("e")  # never fewer than two digits, so the nearest two: 4.9E-324
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}E{int(exponent)}"
