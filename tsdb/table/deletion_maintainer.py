"""Writing deletion vectors: the deleted rows of the files of one bucket, as they were and as they will be.

A maintainer is told which rows of which files are deleted and which files are gone. `prepare` writes the index files
that say so, and names those that they replace; a failed commit deletes what was written (see `discard`). In a table
with buckets all vectors of a bucket are in one file; otherwise only the files with a changed vector are written anew,
each up to 'deletion-vector.index-file.target-size'.

Source: Paimon, `BucketedDvMaintainer`, `AppendDeleteFileMaintainer` and `DeletionVectorsIndexFile`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tsdb.metadata.deletion_vector import encode_deletion_vectors, live_mask, read_deletion_vector
from tsdb.metadata.index_file import DELETION_VECTORS, IndexFileMeta
from tsdb.metadata.paths import FileNames
from tsdb.metadata.snapshot import Snapshot
from tsdb.options import parse_size
from tsdb.table.bucket import BucketMode
from tsdb.table.commit_message import CommitMessage
from tsdb.table.index_change import index_entries
from tsdb.table.scan import DataSplit
from tsdb.table.table import Table

Positions = npt.NDArray[np.int64]
_NONE: Positions = np.empty(0, np.int64)


class DeletionMaintainer:
    """The deletion vectors of one bucket. Not thread-safe.

    index_files: those of the bucket in the snapshot that the writer started from.
    """

    def __init__(self, table: Table, index_files: Iterable[IndexFileMeta]) -> None:
        self._table = table
        self._names = FileNames()
        self._bits = 64 if table.options.flag("deletion-vectors.bitmap64") else 32
        self._one_file = table.is_primary_key or table.bucket_mode is not BucketMode.UNAWARE
        self._files = {file.file_name: file for file in index_files if file.index_type == DELETION_VECTORS}
        self._place = {name: file for file in self._files.values() for name in file.deletion_ranges}
        self._changed: dict[str, Positions] = {}

    def positions(self, file_name: str) -> Positions:
        """The deleted rows of a data file, ascending; with what was told since the last `prepare`."""
        known = self._changed.get(file_name)
        if known is not None:
            return known
        index_file = self._place.get(file_name)
        if index_file is None:
            return _NONE
        path = self._table.paths.of_index(index_file)
        return read_deletion_vector(self._table.file_io, path, index_file.deletion_ranges[file_name].offset)

    def live_rows(self, file_name: str, row_count: int) -> npt.NDArray[np.bool_] | None:
        """A mask over the rows of a data file; None if all of them live."""
        deleted = self.positions(file_name)
        if not len(deleted):
            return None
        index_file = self._place.get(file_name)
        path = f"of {file_name}" if index_file is None else self._table.paths.of_index(index_file)
        return live_mask(deleted, row_count, path)

    def delete(self, file_name: str, positions: npt.NDArray[np.integer]) -> None:
        """These rows of the file are deleted, too."""
        if len(positions):
            self._changed[file_name] = np.union1d(self.positions(file_name), positions.astype(np.int64))

    def remove(self, file_name: str) -> None:
        """The file is no longer one of the table's."""
        self._changed.pop(file_name, None)
        if file_name in self._place:
            self._changed[file_name] = _NONE

    def prepare(self) -> tuple[tuple[IndexFileMeta, ...], tuple[IndexFileMeta, ...]]:
        """The index files that come (they are written here) and those that go; the next changes start from them."""
        changed = {
            name: positions for name, positions in self._changed.items() if len(positions) or name in self._place
        }
        self._changed = {}
        if not changed:
            return (), ()
        stale = {file.file_name for name in changed if (file := self._place.get(name)) is not None}
        removed = [file for file in self._files.values() if self._one_file or file.file_name in stale]
        vectors = {name: self.positions(name) for file in removed for name in file.deletion_ranges} | changed
        vectors = {name: positions for name, positions in vectors.items() if len(positions)}
        added = [self._write(part) for part in self._parts(vectors)]
        for file in removed:
            del self._files[file.file_name]
        self._files |= {file.file_name: file for file in added}
        self._place = {name: file for file in self._files.values() for name in file.deletion_ranges}
        return tuple(added), tuple(removed)

    def _parts(self, vectors: Mapping[str, Positions]) -> Iterator[dict[str, Positions]]:
        """The vectors of one file each. Their size is not known before they are written; no Roaring bitmap has more
        than two bytes a row and some for its containers.
        """
        target = parse_size(self._table.options.get("deletion-vector.index-file.target-size") or "")
        part: dict[str, Positions] = {}
        size = 0
        for name, positions in vectors.items():
            part[name] = positions
            size += 32 + 2 * len(positions) + 8 * (1 + (int(positions[-1]) >> 16))
            if size >= target and not self._one_file:
                yield part
                part, size = {}, 0
        if part:
            yield part

    def _write(self, vectors: Mapping[str, Positions]) -> IndexFileMeta:
        data, ranges = encode_deletion_vectors(vectors, bits=self._bits)
        name = self._names.new_index_file()
        self._table.file_io.write_bytes(self._table.paths.index(name), data)
        return IndexFileMeta(DELETION_VECTORS, name, len(data), len(ranges), ranges)


def deletion_maintainers(
    table: Table, snapshot: Snapshot | None, buckets: Sequence[tuple[bytes, int]]
) -> dict[tuple[bytes, int], DeletionMaintainer]:
    """A maintainer for each of the buckets, by partition and bucket, as the snapshot has them."""
    files: dict[tuple[bytes, int], list[IndexFileMeta]] = {bucket: [] for bucket in buckets}
    for entry in index_entries(table, snapshot):
        if (entry.partition, entry.bucket) in files:
            files[entry.partition, entry.bucket].append(entry.file)
    return {bucket: DeletionMaintainer(table, members) for bucket, members in files.items()}


def removal_messages(
    table: Table, snapshot: Snapshot | None, rows: Iterable[tuple[DataSplit, Positions | None]]
) -> list[CommitMessage]:
    """What deletes rows of files, and the files of which no row is left. Index files are written here.

    snapshot: the one that the rows were found in. rows: splits of one file each, and positions in it; None: all rows.
    """
    buckets: dict[tuple[bytes, int, int], list[tuple[DataSplit, Positions | None]]] = {}
    for split, positions in rows:
        buckets.setdefault((split.partition, split.bucket, split.total_buckets), []).append((split, positions))
    maintainers = deletion_maintainers(table, snapshot, [(partition, bucket) for partition, bucket, _ in buckets])
    messages = []
    for (partition, bucket, total_buckets), members in buckets.items():
        maintainer = maintainers[partition, bucket]
        gone = []
        for split, positions in members:
            (file,) = split.files
            if positions is not None:
                maintainer.delete(file.file_name, positions)
            if positions is None or len(maintainer.positions(file.file_name)) == file.row_count:
                maintainer.remove(file.file_name)
                gone.append(file)
        added, removed = maintainer.prepare()
        messages.append(
            CommitMessage(
                partition, bucket, total_buckets,
                deleted_files=tuple(gone), new_index_files=added, deleted_index_files=removed,
            )
        )  # fmt: skip
    return messages
