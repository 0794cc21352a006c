"""Where the deleted rows of data files are listed: the deletion vectors that a snapshot's index manifest names."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tsdb.fs.file_io import FileIO
from tsdb.metadata.deletion_vector import live_mask, read_deletion_vector
from tsdb.metadata.index_file import DELETION_VECTORS, read_index_manifest
from tsdb.metadata.snapshot import Snapshot
from tsdb.table.table import Table


@dataclass(frozen=True, slots=True)
class DeletionFile:
    """The deletion vector of one data file: a block of an index file. cardinality: how many rows, if known."""

    path: str
    offset: int
    cardinality: int | None

    def live_rows(self, file_io: FileIO, row_count: int) -> npt.NDArray[np.bool_]:
        """A mask over the rows of the data file; False where a row is deleted."""
        return live_mask(read_deletion_vector(file_io, self.path, self.offset), row_count, self.path)


@dataclass(frozen=True, slots=True)
class NewlyDeleted:
    """Of one data file, the rows that a later deletion vector deletes and an earlier one (None: there was none) does
    not; only these count as live.
    """

    before: DeletionFile | None
    after: DeletionFile
    cardinality: int | None = None

    def live_rows(self, file_io: FileIO, row_count: int) -> npt.NDArray[np.bool_]:
        """A mask over the rows of the data file; True where a row has been deleted in between."""
        gone = ~self.after.live_rows(file_io, row_count)
        return gone if self.before is None else gone & self.before.live_rows(file_io, row_count)


def deletion_files(table: Table, snapshot: Snapshot | None) -> dict[tuple[bytes, int], dict[str, DeletionFile]]:
    """By partition and bucket, and then by data file name."""
    found: dict[tuple[bytes, int], dict[str, DeletionFile]] = defaultdict(dict)
    if snapshot is None or snapshot.index_manifest is None:
        return found
    for entry in read_index_manifest(table.file_io, table.paths.manifest(snapshot.index_manifest)):
        if entry.file.index_type == DELETION_VECTORS:
            path = table.paths.of_index(entry.file)
            for name, place in entry.file.deletion_ranges.items():
                found[entry.partition, entry.bucket][name] = DeletionFile(path, place.offset, place.cardinality)
    return found
