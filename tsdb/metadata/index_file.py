"""Index manifests: the hash indexes and deletion vectors of a snapshot, always as a full list.

Source: Paimon, `IndexManifestEntry`, `IndexFileMeta`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tsdb.fs.file_io import FileIO
from tsdb.metadata.avro_file import read_records

HASH, DELETION_VECTORS = "HASH", "DELETION_VECTORS"


@dataclass(frozen=True, slots=True)
class DeletionRange:
    """Where in an index file the deletion vector of a data file lies."""

    offset: int
    length: int
    cardinality: int | None


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One index file. deletion_ranges: by data file name."""

    kind: int
    partition: bytes
    bucket: int
    index_type: str
    file_name: str
    file_size: int
    row_count: int
    deletion_ranges: Mapping[str, DeletionRange] = field(default_factory=dict)
    external_path: str | None = None


def read_index_manifest(file_io: FileIO, path: str) -> list[IndexEntry]:
    """The entries of an index manifest. Raises CorruptFile naming the file."""
    return read_records(file_io, path, "index manifest", _entry)


def _entry(spec: dict[str, Any]) -> IndexEntry:
    ranges = {
        r["f0"]: DeletionRange(r["f1"], r["f2"], r.get("_CARDINALITY"))
        for r in spec.get("_DELETIONS_VECTORS_RANGES") or ()
        if r is not None
    }
    return IndexEntry(
        spec["_KIND"], spec["_PARTITION"], spec["_BUCKET"], spec["_INDEX_TYPE"], spec["_FILE_NAME"],
        spec["_FILE_SIZE"], spec["_ROW_COUNT"], ranges, spec.get("_EXTERNAL_PATH"),
    )  # fmt: skip
