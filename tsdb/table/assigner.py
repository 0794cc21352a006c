"""Who decides the bucket of each row, by the kind of table.

An assigner lives as long as its writer. `begin` comes before the first row of each commit, `assign` for every batch of
rows, `updates` when the commit is prepared; `forget` when what was assigned will not be committed. The files of one
commit all have the number of buckets that `total_buckets` says for their partition.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import pyarrow as pa

from tsdb.table.assigned import Assigned, Kinds
from tsdb.table.bucket import BucketMode, fixed_buckets, partition_codes, placement
from tsdb.table.cross_partition import CrossPartitionAssigner
from tsdb.table.hash_index import DynamicAssigner, IndexUpdate
from tsdb.table.postpone_bucket import PostponedAssigner
from tsdb.table.table import Table

Replaces = Callable[[set[bytes]], Callable[[bytes], bool]]
"""For an overwrite: which partitions are replaced as a whole, given those that get rows."""


class Assigner(Protocol):
    """Places rows. Not thread-safe. Every row of a key of a partition gets the same bucket, in every commit."""

    @property
    def based_on(self) -> int | None:
        """The snapshot after which nobody else may have written when the commit comes; None: it does not matter."""
        ...

    def begin(self) -> None:
        """Before the first row of a commit: look at what other writers have done."""
        ...

    def assign(self, rows: pa.Table, kinds: Kinds | None) -> Assigned:
        """The place of each row; rows may be added, changed and dropped."""
        ...

    def total_buckets(self, partition: bytes) -> int:
        """The number of buckets that manifests record for the files of a partition."""
        ...

    def updates(self) -> Mapping[tuple[bytes, int], IndexUpdate]:
        """The index files of this commit, which are now the caller's, by partition and bucket."""
        ...

    def forget(self) -> None:
        """Nothing of what was assigned since the last `updates` will be committed."""
        ...


def assigner_of(table: Table, *, user: str, replaces: Replaces | None = None) -> Assigner:
    """The assigner of a writer. user: its commit user. replaces: None if nothing is overwritten."""
    match table.bucket_mode:
        case BucketMode.DYNAMIC:
            return DynamicAssigner(table, starts_anew=replaces is not None)
        case BucketMode.CROSS_PARTITION:
            return CrossPartitionAssigner(table, user=user, replaces=replaces)
        case BucketMode.POSTPONED:
            return PostponedAssigner(table)
    return FixedAssigner(table)


class FixedAssigner:
    """The bucket is a function of the bucket key; bucket 0 where there are none."""

    based_on: int | None = None

    def __init__(self, table: Table) -> None:
        self._table = table

    def begin(self) -> None:
        """Nothing to look at."""

    def assign(self, rows: pa.Table, kinds: Kinds | None) -> Assigned:
        """See `Assigner`."""
        table = self._table
        if table.bucket_mode is BucketMode.FIXED:
            buckets = fixed_buckets(rows, table.schema, table.options, table.options.bucket)
        else:
            buckets = np.zeros(rows.num_rows, np.int32)
        return Assigned(rows, kinds, placement(partition_codes(rows, table.schema), buckets))

    def total_buckets(self, partition: bytes) -> int:
        """See `Assigner`."""
        return self._table.options.bucket

    def updates(self) -> Mapping[tuple[bytes, int], IndexUpdate]:
        """There is no index."""
        return {}

    def forget(self) -> None:
        """There is nothing to forget."""
