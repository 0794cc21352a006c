"""Postponed buckets ('bucket' = '-2'): rows wait in `bucket-postpone`, as they came, until a compaction gives them
buckets.

A waiting file has its rows in order of arrival with their row kinds, neither sorted nor merged, and no sequence numbers
(-1); the order of files is that of their writer and their creation. No batch read sees them. The name of a file says
who wrote it, because other engines read the files of one writer together. Source: Paimon, `PostponeBucketWriter` and
`PostponeBucketFileStoreWrite`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from tsdb import clock
from tsdb.format.parquet import SEQUENCE_NUMBER, VALUE_KIND
from tsdb.mergetree.data_writer import FILE_SOURCE_APPEND, DataWriter
from tsdb.mergetree.sorted_run import SortedRun
from tsdb.mergetree.write_buffer import BufferedRows
from tsdb.metadata.data_file import DataFileMeta
from tsdb.metadata.paths import POSTPONE_BUCKET, FileNames
from tsdb.table.assigned import Assigned, Kinds
from tsdb.table.bucket import Placement, fixed_buckets, partition_codes, placement
from tsdb.table.commit_message import CommitMessage
from tsdb.table.hash_index import IndexUpdate
from tsdb.table.table import Table

_NO_SEQUENCE = -1
_SLICE_ROWS = 1 << 18


class PostponedAssigner:
    """Every row waits in the postponed bucket of its partition."""

    based_on: int | None = None

    def __init__(self, table: Table) -> None:
        self._table = table

    def begin(self) -> None:
        """Nothing to look at."""

    def assign(self, rows: pa.Table, kinds: Kinds | None) -> Assigned:
        """The rows as they are."""
        parted = partition_codes(rows, self._table.schema)
        places = tuple((partition, POSTPONE_BUCKET) for partition in parted.partitions)
        return Assigned(rows, kinds, Placement(places, parted.codes.astype(np.int32)))

    def total_buckets(self, partition: bytes) -> int:
        """What manifests record for waiting files."""
        return POSTPONE_BUCKET

    def updates(self) -> Mapping[tuple[bytes, int], IndexUpdate]:
        """There is no index."""
        return {}

    def forget(self) -> None:
        """There is nothing to forget."""


class NumberedAssigner:
    """Rows of a table with postponed buckets go to real ones. numbers: how many each partition has; default: the
    others.
    """

    based_on: int | None = None

    def __init__(self, table: Table, numbers: Mapping[bytes, int], default: int = 1) -> None:
        self._table = table
        self._numbers = numbers
        self._default = default

    def begin(self) -> None:
        """Nothing to look at."""

    def assign(self, rows: pa.Table, kinds: Kinds | None) -> Assigned:
        """Each row in a bucket by the hash of its key."""
        schema, options = self._table.schema, self._table.options
        parted = partition_codes(rows, schema)
        counts = np.array([self.total_buckets(partition) for partition in parted.partitions])[parted.codes]
        buckets = np.empty(rows.num_rows, np.int32)
        for count in np.unique(counts).tolist():
            members = np.flatnonzero(counts == count)
            buckets[members] = fixed_buckets(rows.take(pa.array(members)), schema, options, count)
        return Assigned(rows, kinds, placement(parted, buckets))

    def total_buckets(self, partition: bytes) -> int:
        """As many as the partition has."""
        return self._numbers.get(partition, self._default)

    def updates(self) -> Mapping[tuple[bytes, int], IndexUpdate]:
        """There is no index."""
        return {}

    def forget(self) -> None:
        """There is nothing to forget."""


def postpone_writer(table: Table, writer: DataWriter, partition: bytes, user: str) -> "PostponeWriter":
    """A writer of the postponed bucket of a partition. writer: of files in its directory.

    Files are named `data--u-<user>-s-<number>-w-<id>-<n>`; the number tells the writers of one user apart.
    """
    prefix = table.options.get("data-file.prefix") or "data-"
    number = int(clock.current().jitter() * (1 << 31))
    names = FileNames(f"{prefix}-u-{user}-s-{number}-w-")
    return PostponeWriter(partition, replace(writer, names=names), table.options.target_file_size_bytes(True))


@dataclass(slots=True)
class PostponeWriter:
    """The writer of the postponed bucket of a partition; see `BucketWriter`."""

    partition: bytes
    writer: DataWriter
    target_file_size_bytes: int
    bucket: int = POSTPONE_BUCKET
    next_sequence: int = 0
    new_files: list[DataFileMeta] = field(default_factory=list)

    def flush(self, buffered: BufferedRows) -> None:
        """Write the rows in order of arrival."""
        bytes_per_row = max(1, buffered.rows.nbytes // max(1, buffered.rows.num_rows))
        self.new_files += self.writer.write(
            _slices(buffered),
            level=0,
            source=FILE_SOURCE_APPEND,
            rows_per_file=max(1, 2 * self.target_file_size_bytes // bytes_per_row),
        )

    def compact(self, *, full: bool) -> bool:
        """There is nothing to compact here."""
        return False

    def runs(self) -> Sequence[SortedRun]:
        """Waiting files are no sorted runs."""
        return ()

    def take_message(self) -> CommitMessage:
        """What was written since the last message."""
        message = CommitMessage(self.partition, self.bucket, POSTPONE_BUCKET, tuple(self.new_files))
        self.new_files = []
        return message

    def abort(self) -> None:
        """Delete the files that are in no message yet."""
        self.writer.delete(self.new_files)
        self.new_files = []


def _slices(buffered: BufferedRows) -> Iterator[pa.Table]:
    for start in range(0, buffered.rows.num_rows, _SLICE_ROWS):
        rows = buffered.rows.slice(start, _SLICE_ROWS)
        kinds = np.zeros(rows.num_rows, np.int8) if buffered.kinds is None else buffered.kinds[start:][:_SLICE_ROWS]
        rows = rows.append_column(SEQUENCE_NUMBER, pa.array(np.full(rows.num_rows, _NO_SEQUENCE, np.int64)))
        yield rows.append_column(VALUE_KIND, pa.array(kinds, pa.int8()))
