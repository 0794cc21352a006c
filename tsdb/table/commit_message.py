"""What a writer hands to a commit: the files that one bucket gained and lost."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tsdb.metadata.data_file import DataFileMeta
from tsdb.metadata.index_file import IndexFileMeta

_FILE_LISTS = ("new_files", "changelog_files", "compact_before", "compact_after", "compact_changelog", "deleted_files")
_INDEX_LISTS = ("new_index_files", "deleted_index_files", "compact_new_index_files", "compact_deleted_index_files")


@dataclass(frozen=True, slots=True)
class CommitMessage:
    """The changes of one bucket since the writer's previous commit.

    new_files and changelog_files (and deleted_files, of row-level deletes) become an APPEND snapshot;
    compact_before leaves and compact_after and compact_changelog enter with the COMPACT snapshot that follows it.
    Index files go with either. What replaces an index file also names the one that it was made from, as deleted: that
    is how a commit notices that another writer has replaced it meanwhile. based_on: the snapshot after which nobody
    else may have written rows; None: it does not matter.
    """

    partition: bytes
    bucket: int
    total_buckets: int
    new_files: tuple[DataFileMeta, ...] = ()
    changelog_files: tuple[DataFileMeta, ...] = ()
    compact_before: tuple[DataFileMeta, ...] = ()
    compact_after: tuple[DataFileMeta, ...] = ()
    compact_changelog: tuple[DataFileMeta, ...] = ()
    deleted_files: tuple[DataFileMeta, ...] = ()
    new_index_files: tuple[IndexFileMeta, ...] = ()
    deleted_index_files: tuple[IndexFileMeta, ...] = ()
    compact_new_index_files: tuple[IndexFileMeta, ...] = ()
    compact_deleted_index_files: tuple[IndexFileMeta, ...] = ()
    based_on: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing changed."""
        return not any(getattr(self, name) for name in (*_FILE_LISTS, *_INDEX_LISTS))

    def to_json(self) -> dict[str, Any]:
        """A JSON value, for checkpoints."""
        head: dict[str, Any] = {
            "partition": base64.b64encode(self.partition).decode(),
            "bucket": self.bucket,
            "total_buckets": self.total_buckets,
            "based_on": self.based_on,
        }
        return head | {name: [file.to_json() for file in getattr(self, name)] for name in (*_FILE_LISTS, *_INDEX_LISTS)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "CommitMessage":
        """The inverse of `to_json`."""
        files: dict[str, Any] = {name: tuple(map(DataFileMeta.from_json, value[name])) for name in _FILE_LISTS}
        # checkpoints of older versions have no index files
        files |= {name: tuple(map(IndexFileMeta.from_json, value.get(name, ()))) for name in _INDEX_LISTS}
        files["based_on"] = value.get("based_on")
        return cls(base64.b64decode(value["partition"]), int(value["bucket"]), int(value["total_buckets"]), **files)
