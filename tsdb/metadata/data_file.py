"""The metadata of a data file, as manifests hold it.

Source: Paimon, `DataFileMeta`, `SimpleStats`.
"""

import base64
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

EMPTY_ROW = bytes(12)


@dataclass(frozen=True, slots=True)
class SimpleStats:
    """Statistics of columns: BinaryRows of the smallest and largest values, and null counts (None: unknown)."""

    min_values: bytes
    max_values: bytes
    null_counts: tuple[int | None, ...] | None


def local_path(uri: str) -> str:
    """The path that `file:/a/b` or `file:///a/b` means; other texts stay as they are."""
    return "/" + uri.removeprefix("file:").lstrip("/") if uri.startswith("file:") else uri


EMPTY_STATS = SimpleStats(EMPTY_ROW, EMPTY_ROW, ())


@dataclass(frozen=True, slots=True)
class DataFileMeta:
    """One data or changelog file. min_key, max_key: serialized BinaryRows of the trimmed primary key."""

    file_name: str
    file_size: int
    row_count: int
    min_key: bytes
    max_key: bytes
    key_stats: SimpleStats
    value_stats: SimpleStats
    min_sequence_number: int
    max_sequence_number: int
    schema_id: int
    level: int
    extra_files: tuple[str, ...] = ()
    creation_time_millis: int | None = None
    delete_row_count: int | None = None
    embedded_file_index: bytes | None = None
    file_source: int | None = None
    value_stats_cols: tuple[str, ...] | None = None
    external_path: str | None = None
    first_row_id: int | None = None
    write_cols: tuple[str, ...] | None = None

    def directory(self, bucket_path: str) -> str:
        """Where the file, and what lies beside it, is. bucket_path: the directory of its bucket."""
        return bucket_path if self.external_path is None else local_path(self.external_path).rpartition("/")[0]

    def path(self, bucket_path: str) -> str:
        """The file. bucket_path: the directory of its bucket."""
        return f"{self.directory(bucket_path)}/{self.file_name}"

    def paths(self, bucket_path: str) -> list[str]:
        """The file and what lies beside it. bucket_path: the directory of its bucket."""
        directory = self.directory(bucket_path)
        return [f"{directory}/{name}" for name in (self.file_name, *self.extra_files)]

    def at_level(self, level: int) -> "DataFileMeta":
        """The same file on another level (an upgrade changes no byte)."""
        return replace(self, level=level)

    def to_json(self) -> dict[str, Any]:
        """A JSON object, bytes in base64; for checkpoints."""
        return {key: _to_plain(value) for key, value in asdict(self).items() if value is not None}

    @staticmethod
    def from_json(spec: dict[str, Any]) -> "DataFileMeta":
        """The inverse of to_json."""
        values = dict(spec)
        for key in ("min_key", "max_key", "embedded_file_index"):
            if key in values:
                values[key] = base64.b64decode(values[key])
        for key in ("key_stats", "value_stats"):
            s = values[key]
            counts = s.get("null_counts")
            values[key] = SimpleStats(
                base64.b64decode(s["min_values"]),
                base64.b64decode(s["max_values"]),
                None if counts is None else tuple(counts),
            )
        for key in ("extra_files", "value_stats_cols", "write_cols"):
            if values.get(key) is not None:
                values[key] = tuple(values[key])
        known = {f.name for f in fields(DataFileMeta)}
        return DataFileMeta(**{k: v for k, v in values.items() if k in known})


def _to_plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {k: _to_plain(v) for k, v in value.items()}
    return list(value) if isinstance(value, tuple) else value
