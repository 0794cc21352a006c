"""Manifests and manifest lists: which files were added and deleted, and which manifests a snapshot consists of.

Table state = the fold of base list and delta list, in order. Entries are identified by (partition, bucket, level, name,
extra files, embedded index, external path). Files never change, so what was read is kept, by path, within a budget.
Source: Paimon, `ManifestEntry`, `ManifestFileMeta`; Avro as Paimon Java 1.4.2 writes it.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import fastavro

from tsdb.data_types import DataType
from tsdb.fs.file_io import FileIO
from tsdb.metadata.avro_file import DEFAULT_CODEC, member, optional, read_records, record, write_records
from tsdb.metadata.binary_row import decode_row, encode_row
from tsdb.metadata.data_file import EMPTY_ROW, EMPTY_STATS, DataFileMeta, SimpleStats
from tsdb.metadata.schema import TableSchema

ADD, DELETE = 0, 1
CACHED_ENTRIES_MAX = 250_000  # of 1 to 2 KB
CACHED_MANIFESTS_MAX = 20_000
_ARRAY_OF_STRING = {"type": "array", "items": "string"}
Identity = tuple[bytes, int, int, str, tuple[str, ...], bytes | None, str | None]


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """A file added (kind ADD) or deleted (kind DELETE). partition: a BinaryRow. total_buckets: -1 without buckets."""

    kind: int
    partition: bytes
    bucket: int
    total_buckets: int
    file: DataFileMeta

    @property
    def identity(self) -> Identity:
        """What an ADD and its DELETE have in common."""
        f = self.file
        return (
            self.partition, self.bucket, f.level, f.file_name, f.extra_files, f.embedded_file_index, f.external_path,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ManifestFileMeta:
    """An entry of a manifest list."""

    file_name: str
    file_size: int
    num_added_files: int
    num_deleted_files: int
    partition_stats: SimpleStats
    schema_id: int
    min_bucket: int | None = None
    max_bucket: int | None = None
    min_level: int | None = None
    max_level: int | None = None
    min_row_id: int | None = None
    max_row_id: int | None = None


def _stats_type(name: str) -> dict[str, Any]:
    counts = {"type": "array", "items": ["null", "long"]}
    low, high = member("_MIN_VALUES", "bytes"), member("_MAX_VALUES", "bytes")
    return record(name, low, high, optional("_NULL_COUNTS", counts))


_FILE_TYPE = record(
    "record__FILE",
    member("_FILE_NAME", "string"),
    member("_FILE_SIZE", "long"),
    member("_ROW_COUNT", "long"),
    member("_MIN_KEY", "bytes"),
    member("_MAX_KEY", "bytes"),
    member("_KEY_STATS", _stats_type("record__FILE__KEY_STATS")),
    member("_VALUE_STATS", _stats_type("record__FILE__VALUE_STATS")),
    member("_MIN_SEQUENCE_NUMBER", "long"),
    member("_MAX_SEQUENCE_NUMBER", "long"),
    member("_SCHEMA_ID", "long"),
    member("_LEVEL", "int"),
    member("_EXTRA_FILES", _ARRAY_OF_STRING),
    optional("_CREATION_TIME", {"type": "long", "logicalType": "timestamp-millis"}),
    optional("_DELETE_ROW_COUNT", "long"),
    optional("_EMBEDDED_FILE_INDEX", "bytes"),
    optional("_FILE_SOURCE", "int"),
    optional("_VALUE_STATS_COLS", _ARRAY_OF_STRING),
    optional("_EXTERNAL_PATH", "string"),
    optional("_FIRST_ROW_ID", "long"),
    optional("_WRITE_COLS", _ARRAY_OF_STRING),
)
_ENTRY_SCHEMA = fastavro.parse_schema(
    record(
        "record",
        member("_VERSION", "int"),
        member("_KIND", "int"),
        member("_PARTITION", "bytes"),
        member("_BUCKET", "int"),
        member("_TOTAL_BUCKETS", "int"),
        member("_FILE", _FILE_TYPE),
    )
)
_LIST_SCHEMA = fastavro.parse_schema(
    record(
        "record",
        member("_VERSION", "int"),
        member("_FILE_NAME", "string"),
        member("_FILE_SIZE", "long"),
        member("_NUM_ADDED_FILES", "long"),
        member("_NUM_DELETED_FILES", "long"),
        member("_PARTITION_STATS", _stats_type("record__PARTITION_STATS")),
        member("_SCHEMA_ID", "long"),
        optional("_MIN_BUCKET", "int"),
        optional("_MAX_BUCKET", "int"),
        optional("_MIN_LEVEL", "int"),
        optional("_MAX_LEVEL", "int"),
        optional("_MIN_ROW_ID", "long"),
        optional("_MAX_ROW_ID", "long"),
    )
)

# record member -> field of DataFileMeta, for the members that are copied as they are
_PLAIN_FILE = {
    "_FILE_NAME": "file_name", "_FILE_SIZE": "file_size", "_ROW_COUNT": "row_count", "_MIN_KEY": "min_key",
    "_MAX_KEY": "max_key", "_MIN_SEQUENCE_NUMBER": "min_sequence_number",
    "_MAX_SEQUENCE_NUMBER": "max_sequence_number", "_SCHEMA_ID": "schema_id", "_LEVEL": "level",
    "_DELETE_ROW_COUNT": "delete_row_count", "_EMBEDDED_FILE_INDEX": "embedded_file_index",
    "_FILE_SOURCE": "file_source", "_EXTERNAL_PATH": "external_path", "_FIRST_ROW_ID": "first_row_id",
}  # fmt: skip
_PLAIN_LIST = {
    "_FILE_NAME": "file_name", "_FILE_SIZE": "file_size", "_NUM_ADDED_FILES": "num_added_files",
    "_NUM_DELETED_FILES": "num_deleted_files", "_SCHEMA_ID": "schema_id", "_MIN_BUCKET": "min_bucket",
    "_MAX_BUCKET": "max_bucket", "_MIN_LEVEL": "min_level", "_MAX_LEVEL": "max_level",
    "_MIN_ROW_ID": "min_row_id", "_MAX_ROW_ID": "max_row_id",
}  # fmt: skip


def write_manifest(
    file_io: FileIO, path: str, entries: Sequence[ManifestEntry], schema: TableSchema, codec: str = DEFAULT_CODEC
) -> ManifestFileMeta:
    """A new manifest of the entries, and its entry for a manifest list."""
    size = write_records(file_io, path, _ENTRY_SCHEMA, (_entry_record(e) for e in entries), codec)
    _CACHE.put(path, tuple(entries))
    types = [schema.field(k).type for k in schema.partition_keys]
    added = sum(e.kind == ADD for e in entries)
    return ManifestFileMeta(
        file_name=path.rsplit("/", 1)[-1],
        file_size=size,
        num_added_files=added,
        num_deleted_files=len(entries) - added,
        partition_stats=_partition_stats({e.partition for e in entries}, types),
        schema_id=schema.id,
        min_bucket=min((e.bucket for e in entries), default=None),
        max_bucket=max((e.bucket for e in entries), default=None),
        min_level=min((e.file.level for e in entries), default=None),
        max_level=max((e.file.level for e in entries), default=None),
        min_row_id=_first_row_id(entries),
        max_row_id=_last_row_id(entries),
    )


def _first_row_id(entries: Sequence[ManifestEntry]) -> int | None:
    """None unless all rows of all files have ids that their entries tell."""
    starts = [e.file.first_row_id for e in entries]
    return None if not starts or None in starts else min(start for start in starts if start is not None)


def _last_row_id(entries: Sequence[ManifestEntry]) -> int | None:
    if _first_row_id(entries) is None:
        return None
    return max((e.file.first_row_id or 0) + e.file.row_count - 1 for e in entries)


def read_manifest(file_io: FileIO, path: str) -> tuple[ManifestEntry, ...]:
    """The entries of a manifest in order. Raises CorruptFile naming the file."""
    known = _CACHE.get(path)
    if known is None:
        known = tuple(read_records(file_io, path, "manifest", _entry))
        _CACHE.put(path, known)
    return known


def write_manifest_list(
    file_io: FileIO, path: str, metas: Sequence[ManifestFileMeta], codec: str = DEFAULT_CODEC
) -> int:
    """A new manifest list (also of nothing); returns its size in bytes."""
    size = write_records(file_io, path, _LIST_SCHEMA, (_list_record(m) for m in metas), codec)
    _LIST_CACHE.put(path, tuple(metas))
    return size


def read_manifest_list(file_io: FileIO, path: str) -> tuple[ManifestFileMeta, ...]:
    """The manifests of a list, in the order of application. Raises CorruptFile naming the file."""
    known = _LIST_CACHE.get(path)
    if known is None:
        known = tuple(read_records(file_io, path, "manifest list", _list_meta))
        _LIST_CACHE.put(path, known)
    return known


def fold(entries: Iterable[ManifestEntry]) -> list[ManifestEntry]:
    """What the entries come to: live ADDs in the order they were made, and DELETEs whose ADD is not among them."""
    live: dict[Identity, ManifestEntry] = {}
    for entry in entries:
        identity = entry.identity
        before = live.get(identity)
        if entry.kind == DELETE and before is not None and before.kind == ADD:
            del live[identity]
        else:
            live[identity] = entry
    return list(live.values())


def _partition_stats(partitions: set[bytes], types: Sequence[DataType]) -> SimpleStats:
    if not types or not partitions:
        return EMPTY_STATS
    columns = list(zip(*(decode_row(p, types) for p in partitions), strict=True))
    present = [[v for v in column if v is not None] for column in columns]
    low = [min(c) if c else None for c in present]
    high = [max(c) if c else None for c in present]
    nulls = tuple(len(c) - len(p) for c, p in zip(columns, present, strict=True))
    return SimpleStats(encode_row(low, types), encode_row(high, types), nulls)


def _stats_record(stats: SimpleStats) -> dict[str, Any]:
    counts = None if stats.null_counts is None else list(stats.null_counts)
    return {"_MIN_VALUES": stats.min_values, "_MAX_VALUES": stats.max_values, "_NULL_COUNTS": counts}


def _stats(spec: dict[str, Any]) -> SimpleStats:
    counts = spec.get("_NULL_COUNTS")
    return SimpleStats(spec["_MIN_VALUES"], spec["_MAX_VALUES"], None if counts is None else tuple(counts))


def _entry_record(entry: ManifestEntry) -> dict[str, Any]:
    f = entry.file
    file: dict[str, Any] = {name: getattr(f, attribute) for name, attribute in _PLAIN_FILE.items()}
    file["_KEY_STATS"] = _stats_record(f.key_stats)
    file["_VALUE_STATS"] = _stats_record(f.value_stats)
    file["_EXTRA_FILES"] = list(f.extra_files)
    file["_CREATION_TIME"] = f.creation_time_millis
    file["_VALUE_STATS_COLS"] = None if f.value_stats_cols is None else list(f.value_stats_cols)
    file["_WRITE_COLS"] = None if f.write_cols is None else list(f.write_cols)
    return {
        "_VERSION": 2,
        "_KIND": entry.kind,
        "_PARTITION": entry.partition,
        "_BUCKET": entry.bucket,
        "_TOTAL_BUCKETS": entry.total_buckets,
        "_FILE": file,
    }


def _entry(spec: dict[str, Any]) -> ManifestEntry:
    """Spelled out, because there may be a hundred thousand."""
    file = spec["_FILE"]
    get = file.get
    created, extra = get("_CREATION_TIME"), get("_EXTRA_FILES")
    columns, written = get("_VALUE_STATS_COLS"), get("_WRITE_COLS")
    meta = DataFileMeta(
        file["_FILE_NAME"],
        file["_FILE_SIZE"],
        file["_ROW_COUNT"],
        file["_MIN_KEY"],
        file["_MAX_KEY"],
        _stats(file["_KEY_STATS"]),
        _stats(file["_VALUE_STATS"]),
        file["_MIN_SEQUENCE_NUMBER"],
        file["_MAX_SEQUENCE_NUMBER"],
        file["_SCHEMA_ID"],
        file["_LEVEL"],
        tuple(extra) if extra else (),
        None if created is None else _millis(created),
        get("_DELETE_ROW_COUNT"),
        get("_EMBEDDED_FILE_INDEX"),
        get("_FILE_SOURCE"),
        None if columns is None else tuple(columns),
        get("_EXTERNAL_PATH"),
        get("_FIRST_ROW_ID"),
        None if written is None else tuple(written),
    )
    return ManifestEntry(spec["_KIND"], spec["_PARTITION"], spec["_BUCKET"], spec["_TOTAL_BUCKETS"], meta)


def _millis(created: Any) -> int:
    """fastavro turns timestamp-millis into a datetime."""
    return created if isinstance(created, int) else round(created.timestamp() * 1000)


def _list_record(meta: ManifestFileMeta) -> dict[str, Any]:
    out: dict[str, Any] = {name: getattr(meta, attribute) for name, attribute in _PLAIN_LIST.items()}
    return {"_VERSION": 2, **out, "_PARTITION_STATS": _stats_record(meta.partition_stats)}


def _list_meta(spec: dict[str, Any]) -> ManifestFileMeta:
    plain: dict[str, Any] = {attribute: spec.get(name) for name, attribute in _PLAIN_LIST.items()}
    return ManifestFileMeta(**plain, partition_stats=_stats(spec["_PARTITION_STATS"]))


T = TypeVar("T")


class _Cache:
    """The newest results by path, up to a number of entries in all. Thread-safe."""

    def __init__(self, entries_max: int) -> None:
        self._entries_max = entries_max
        self._entries = 0
        self._known: OrderedDict[str, tuple[Any, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: str) -> tuple[Any, ...] | None:
        with self._lock:
            if path in self._known:
                self._known.move_to_end(path)
            return self._known.get(path)

    def put(self, path: str, entries: tuple[Any, ...]) -> None:
        if len(entries) >= self._entries_max:
            return  # alone it would drive out all others, and not even stay
        with self._lock:
            before = self._known.pop(path, None)
            self._entries += len(entries) + 1 - (0 if before is None else len(before) + 1)
            self._known[path] = entries
            while self._entries > self._entries_max:
                _, oldest = self._known.popitem(last=False)
                self._entries -= len(oldest) + 1


_CACHE = _Cache(CACHED_ENTRIES_MAX)
_LIST_CACHE = _Cache(CACHED_MANIFESTS_MAX)

EMPTY_PARTITION = EMPTY_ROW
