"""Index manifests: the hash indexes and deletion vectors of a snapshot, always as a full list.

Of a hash index, and of deletion vectors in tables with buckets, a bucket has one file of each type at most. Deletion
vectors of tables without buckets, and global indexes, are told apart by the names of their files.
Source: Paimon, `IndexManifestEntry`, `IndexFileMeta`; Avro as Paimon Java 1.4.2 writes it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import fastavro

from tsdb.fs.file_io import FileIO
from tsdb.metadata.avro_file import DEFAULT_CODEC, member, nullable, optional, read_records, record, write_records

HASH, DELETION_VECTORS = "HASH", "DELETION_VECTORS"
_ADD = 0


@dataclass(frozen=True, slots=True)
class DeletionRange:
    """Where in an index file the deletion vector of a data file lies. length: as the manifest says it, which differs
    between 32-bit and 64-bit vectors.
    """

    offset: int
    length: int
    cardinality: int | None


@dataclass(frozen=True, slots=True)
class IndexFileMeta:
    """One index file. deletion_ranges: by data file name. global_index: as the Avro record has it, kept as it is."""

    index_type: str
    file_name: str
    file_size: int
    row_count: int
    deletion_ranges: Mapping[str, DeletionRange] = field(default_factory=dict)
    external_path: str | None = None
    global_index: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON object, for checkpoints. Writers of tsdb make no global indexes."""
        assert self.global_index is None, self.file_name
        ranges = {name: [r.offset, r.length, r.cardinality] for name, r in self.deletion_ranges.items()}
        return {
            "index_type": self.index_type,
            "file_name": self.file_name,
            "file_size": self.file_size,
            "row_count": self.row_count,
            "deletion_ranges": ranges,
            "external_path": self.external_path,
        }

    @classmethod
    def from_json(cls, spec: Mapping[str, Any]) -> "IndexFileMeta":
        """The inverse of `to_json`."""
        ranges = {name: DeletionRange(*place) for name, place in spec["deletion_ranges"].items()}
        return cls(**{**spec, "deletion_ranges": ranges})


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """An index file of a bucket. partition: a BinaryRow."""

    partition: bytes
    bucket: int
    file: IndexFileMeta


def read_index_manifest(file_io: FileIO, path: str) -> list[IndexEntry]:
    """The entries of an index manifest. Raises CorruptFile naming the file."""
    return [entry for entry in read_records(file_io, path, "index manifest", _entry) if entry is not None]


def write_index_manifest(file_io: FileIO, path: str, entries: Sequence[IndexEntry], codec: str = DEFAULT_CODEC) -> None:
    """A new index manifest of all index files of a snapshot."""
    write_records(file_io, path, _SCHEMA, (_record(entry) for entry in entries), codec)


_GLOBAL_INDEX = record(
    "record__GLOBAL_INDEX",
    member("_ROW_RANGE_START", "long"),
    member("_ROW_RANGE_END", "long"),
    member("_INDEX_FIELD_ID", "int"),
    optional("_EXTRA_FIELD_IDS", {"type": "array", "items": "int"}),
    optional("_INDEX_META", "bytes"),
)
_RANGE = record(
    "record__DELETIONS_VECTORS_RANGES",
    member("f0", "string"),
    member("f1", "int"),
    member("f2", "int"),
    optional("_CARDINALITY", "long"),
)
_SCHEMA = fastavro.parse_schema(
    record(
        "record",
        member("_VERSION", "int"),
        member("_KIND", "int"),
        member("_PARTITION", "bytes"),
        member("_BUCKET", "int"),
        member("_INDEX_TYPE", "string"),
        member("_FILE_NAME", "string"),
        member("_FILE_SIZE", "long"),
        member("_ROW_COUNT", "long"),
        optional("_DELETIONS_VECTORS_RANGES", {"type": "array", "items": nullable(_RANGE)}),
        optional("_EXTERNAL_PATH", "string"),
        optional("_GLOBAL_INDEX", _GLOBAL_INDEX),
    )
)


def _record(entry: IndexEntry) -> dict[str, Any]:
    file = entry.file
    ranges = [
        {"f0": name, "f1": place.offset, "f2": place.length, "_CARDINALITY": place.cardinality}
        for name, place in file.deletion_ranges.items()
    ]
    return {
        "_VERSION": 1,
        "_KIND": _ADD,
        "_PARTITION": entry.partition,
        "_BUCKET": entry.bucket,
        "_INDEX_TYPE": file.index_type,
        "_FILE_NAME": file.file_name,
        "_FILE_SIZE": file.file_size,
        "_ROW_COUNT": file.row_count,
        "_DELETIONS_VECTORS_RANGES": ranges if file.index_type == DELETION_VECTORS else None,
        "_EXTERNAL_PATH": file.external_path,
        "_GLOBAL_INDEX": None if file.global_index is None else dict(file.global_index),
    }


def _entry(spec: dict[str, Any]) -> IndexEntry | None:
    if spec["_KIND"] != _ADD:
        return None
    ranges = {
        r["f0"]: DeletionRange(r["f1"], r["f2"], r.get("_CARDINALITY"))
        for r in spec.get("_DELETIONS_VECTORS_RANGES") or ()
        if r is not None
    }
    file = IndexFileMeta(
        spec["_INDEX_TYPE"], spec["_FILE_NAME"], spec["_FILE_SIZE"], spec["_ROW_COUNT"], ranges,
        spec.get("_EXTERNAL_PATH"), spec.get("_GLOBAL_INDEX"),
    )  # fmt: skip
    return IndexEntry(spec["_PARTITION"], spec["_BUCKET"], file)
